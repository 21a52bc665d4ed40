import { once } from 'node:events';
import {
  createCa,
  type LabOrigin,
  type LabProxy,
  type Misbehaviour,
  startOrigin,
  startProxy,
} from '@cloudlane/testing';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

const ca = await createCa();
const certificate = await ca.issue({ names: ['127.0.0.1'] });
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

describe.each(['http', 'https'])('an %s proxy', (scheme) => {
  const tls = scheme === 'https';
  let origin: LabOrigin;
  let proxy: LabProxy;

  beforeEach(async () => {
    origin = await use(startOrigin());
    proxy = await use(startProxy(tls ? { tls: certificate } : {}));
  });

  const client = () => use(Wire.to(proxy, tls ? { ca: ca.certificate } : undefined));

  async function connect(behaviour: Misbehaviour | null, ...headers: string[]): Promise<Wire> {
    proxy.misbehave(behaviour);
    return (await client()).send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, ...headers, '');
  }

  async function forward(behaviour: Misbehaviour | null, path = '/f', method = 'GET'): Promise<Wire> {
    proxy.misbehave(behaviour);
    return (await client()).send(`${method} ${origin.url}${path} HTTP/1.1`, '');
  }

  /** The tunnel works: an origin answers through it. */
  async function expectTunnel(wire: Wire): Promise<void> {
    await wire.send('GET /inside HTTP/1.1', '').until(/"target":"\/inside"/);
    expect(proxy.openTunnels).toBe(1);
  }

  describe.each([
    ['connect', connect],
    ['forward', forward],
  ] as const)('asked to %s', (kind, ask) => {
    test('hangs', async () => {
      const wire = await ask({ kind: 'hang' });
      await proxy.waitForHops(1);
      expect(await wire.settled()).toBe('');
      expect(proxy.hops).toMatchObject([{ kind, status: null }]);
      wire.socket.destroy();
      await proxy.waitUntilIdle();
      expect(origin.connectionCount).toBe(0);
    });

    test('hangs until it is released', async () => {
      let release = () => {};
      const until = new Promise<void>((resolve) => {
        release = resolve;
      });
      const wire = await ask({ kind: 'hang-until', until });
      await proxy.waitForHops(1);
      expect(await wire.settled()).toBe('');
      release();
      await wire.until(/^HTTP\/1.1 200 /);
      expect(proxy.hops[0]?.status).toBe(200);
    });

    test('dials nobody when the client went before the release', async () => {
      let release = () => {};
      const until = new Promise<void>((resolve) => {
        release = resolve;
      });
      const wire = await ask({ kind: 'hang-until', until });
      await proxy.waitForHops(1);
      wire.socket.destroy();
      await proxy.waitUntilIdle();
      release();
      await wire.settled();
      expect([origin.connectionCount, proxy.hops[0]?.status]).toEqual([0, null]);
    });

    test('resets', async () => {
      expect(await (await ask({ kind: 'reset' })).ended).toBe('ECONNRESET');
    });

    test('ends', async () => {
      const wire = await ask({ kind: 'end' });
      expect([await wire.ended, wire.text]).toEqual(['fin', '']);
    });

    test('ends within the head', async () => {
      const wire = await ask({ kind: 'half-header' });
      expect([await wire.ended, wire.text]).toEqual(['fin', 'HTTP/1.1 200 Connection esta']);
    });

    test('sends garbage', async () => {
      const wire = await ask({ kind: 'garbage' });
      expect(await wire.all()).toMatch(/this is not HTTP/);
      expect(wire.text).not.toMatch(/^HTTP/);
      expect(proxy.hops[0]?.status).toBeNull();
    });

    test('replies what it was told', async () => {
      const headers = { Location: 'http://elsewhere.example/', 'Set-Cookie': ['a=1', 'b=2'] };
      const wire = await ask({
        kind: 'reply',
        status: 302,
        reason: 'Moved',
        headers,
        body: 'gone',
        httpVersion: '1.0',
      });
      expect(await wire.all()).toBe(
        'HTTP/1.0 302 Moved\r\nLocation: http://elsewhere.example/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n' +
          'Content-Length: 4\r\nConnection: close\r\n\r\ngone',
      );
      expect([await wire.ended, wire.packets.length, proxy.hops[0]?.status]).toEqual(['fin', 1, 302]);
      expect(origin.connectionCount).toBe(0);
    });

    test.each([true, false])('replies with the body in a second packet, keeping open: %s', async (keepOpen) => {
      const headers = { 'Proxy-Authenticate': 'Digest realm="d"' };
      const wire = await ask({
        kind: 'reply',
        status: 407,
        headers,
        body: 'later',
        bodyLater: true,
        keepOpen,
        times: 1,
      });
      const text = await wire.until(/\r\n\r\nlater$/);
      expect(text).toMatch(/^HTTP\/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Digest realm="d"\r\n/);
      expect(String(wire.packets.at(-1))).toBe('later');
      if (!keepOpen) return expect(await wire.ended).toBe('fin');
      await wire.send(`GET ${origin.url}/next HTTP/1.1`, '').until(/\/next/);
      return expect(proxy.hops.map(({ connection }) => connection)).toEqual([1, 1]);
    });

    test('answers like squid that cannot reach the origin, and goes on', async () => {
      const wire = await ask({ kind: 'refuse-origin', times: 1 });
      const answer = /^HTTP\/1.1 502 Bad Gateway\r\nX-Squid-Error: ERR_CANNOT_FORWARD 0\r\n[\s\S]*<\/html>\n$/;
      await wire.until(answer);
      await wire.send(`GET ${origin.url}/next HTTP/1.1`, '').until(/\/next/);
      expect(proxy.hops.map(({ connection, status }) => [connection, status])).toEqual([
        [1, 502],
        [1, 200],
      ]);
    });

    test('drips a header that never ends, until the client goes', async () => {
      const wire = await ask({ kind: 'drip', interval: 1 });
      await wire.until(/X-Drip: \.{5}/);
      expect(wire.packets.length).toBeGreaterThan(30);
      wire.socket.destroy();
      await proxy.waitUntilIdle();
    });

    test('sends header lines without end, until the client goes', async () => {
      const wire = await ask({ kind: 'endless-header' });
      while (wire.text.length < 100_000) await once(wire.socket, 'data');
      expect(wire.text).not.toContain('\r\n\r\n');
      wire.socket.destroy();
      await proxy.waitUntilIdle();
      const sent = proxy.hops[0]?.sent;
      expect(sent).toBeGreaterThanOrEqual(100_000);
      await wire.settled();
      expect(proxy.hops[0]?.sent).toBe(sent);
    });

    test('falls silent at the limit of an endless header', async () => {
      const wire = await ask({ kind: 'endless-header', limit: 4096 });
      while ((proxy.hops[0]?.sent ?? 0) < 4096) await wire.settled();
      const { length } = await wire.settled();
      expect(length).toBe(proxy.hops[0]?.sent);
      expect(length).toBeLessThan(8192);
    });

    test('sends the right reply byte by byte', async () => {
      const wire = await ask({ kind: 'byte-by-byte' });
      if (kind === 'connect') {
        expect(await wire.until(/\r\n\r\n$/)).toBe(ESTABLISHED);
        expect(wire.packets.map(({ length }) => length)).toEqual(Array(ESTABLISHED.length).fill(1));
        return expectTunnel(wire);
      }
      await wire.all();
      expect(wire.text).toMatch(/Connection: close\r\n\r\n\{.*"target":"\/f".*\}$/);
      return expect(wire.packets.every(({ length }) => length === 1)).toBe(true);
    });

    test('splits the right reply', async () => {
      const wire = await ask({ kind: 'split-reply' });
      await wire.until(kind === 'connect' ? /\r\n\r\n$/ : /\}$/);
      expect(String(wire.packets[0])).toMatch(/[^\n]\r\n$/);
      expect(String(wire.packets[1])).toMatch(/^\r\n/);
      if (kind === 'connect') await expectTunnel(wire);
    });

    test('splits the right reply where it was told', async () => {
      const wire = await ask({ kind: 'split-reply', at: 3 });
      await wire.until(kind === 'connect' ? /\r\n\r\n$/ : /\}$/);
      expect(String(wire.packets[0])).toBe('HTT');
    });

    test('sends interim replies first', async () => {
      const wire = await ask({ kind: 'interim', statuses: [100, 103] });
      await wire.until(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 103 Early Hints\r\n\r\nHTTP\/1.1 200 [\s\S]*\r\n\r\n/);
      expect(proxy.hops[0]?.status).toBe(200);
      if (kind === 'connect') await expectTunnel(wire);
      else expect(await wire.all()).toMatch(/\}$/);
    });

    test('speaks HTTP/1.0', async () => {
      const wire = await ask({ kind: 'http10' });
      await wire.until(/^HTTP\/1.0 200 [\s\S]*\r\n\r\n/);
      if (kind === 'connect') await expectTunnel(wire);
      else expect(await wire.all()).toMatch(/\}$/);
    });

    test('misbehaves so many times, then behaves', async () => {
      const behaviour: Misbehaviour = { kind: 'reply', status: 503, times: 2 };
      await (await ask(behaviour)).all();
      const next = await client();
      await next.send('GET http://127.0.0.1/ HTTP/1.1', '').all();
      const third = await client();
      await third.send(`GET ${origin.url}/third HTTP/1.1`, '').until(/\/third/);
      expect(proxy.hops.map(({ status }) => status)).toEqual([503, 503, 200]);
    });

    test('misbehaves only where it was told', async () => {
      const other = kind === 'connect' ? 'forward' : 'connect';
      await (await ask({ kind: 'reset', on: other })).until(/^HTTP\/1.1 200 /);
      expect(await (await ask({ kind: 'reset', on: kind })).ended).toBe('ECONNRESET');
      await (await ask(null)).until(/^HTTP\/1.1 200 /);
    });

    test('gives up the origin when the client goes in the middle of a reply', async () => {
      const wire = await ask({ kind: 'byte-by-byte', interval: 1 });
      await wire.until(/HTTP/);
      wire.socket.destroy();
      await Promise.all([proxy.waitUntilIdle(), origin.waitUntilIdle()]);
    });
  });

  describe('asked for a tunnel', () => {
    test.each([
      [201, { 'Content-Length': '5' }, 'HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\n'],
      [204, {}, 'HTTP/1.1 204 No Content\r\n\r\n'],
    ])('opens it with %i', async (status, headers, head) => {
      const wire = await connect({ kind: 'status', status, headers });
      expect(await wire.until(/\r\n\r\n$/)).toBe(head);
      expect(proxy.hops[0]?.status).toBe(status);
      await expectTunnel(wire);
    });

    test('glues early bytes to the reply', async () => {
      const wire = await connect({ kind: 'early-bytes', bytes: 'SSH-2.0-early\r\n' });
      await wire.until(/early/);
      expect(wire.packets.map(String)).toEqual([`${ESTABLISHED}SSH-2.0-early\r\n`]);
      await expectTunnel(wire);
    });

    test.each([
      ['end', 'fin'],
      ['reset', 'ECONNRESET'],
    ] as const)('closes right after granting it: %s', async (how, ended) => {
      const wire = await connect({ kind: 'close-after-tunnel', how });
      expect([await wire.ended, wire.text]).toEqual([ended, ESTABLISHED]);
      expect(origin.connectionCount).toBe(0);
    });

    test('grants it and stays silent', async () => {
      const wire = await connect({ kind: 'silent-tunnel' });
      expect(await wire.until(/\r\n\r\n$/)).toBe(ESTABLISHED);
      expect(await wire.send('GET /inside HTTP/1.1', '').settled()).toBe(ESTABLISHED);
      expect(origin.connectionCount).toBe(0);
      wire.socket.destroy();
      await proxy.waitUntilIdle();
    });

    test('forwards as usual while tunnels misbehave', async () => {
      await (await forward({ kind: 'silent-tunnel' })).until(/"target":"\/f"/);
    });
  });

  describe('asked to forward', () => {
    test('closes after one answer without having said so', async () => {
      const wire = await forward({ kind: 'close-idle' });
      expect(await wire.all()).toMatch(/\r\nConnection: keep-alive\r\n[\s\S]*\}$/);
      expect(await wire.ended).toBe('fin');
    });

    test('stalls in the middle of the body', async () => {
      const wire = await forward({ kind: 'stall-body' });
      const text = await wire.until(/Content-Length: \d+[\s\S]*\r\n\r\n\{/i);
      const [, announced] = /Content-Length: (\d+)/i.exec(text) ?? [];
      const [, body = ''] = (await wire.settled()).split('\r\n\r\n');
      expect(body.length).toBe(Math.floor(Number(announced) / 2));
      expect(wire.socket.readyState).toBe('open');
      wire.socket.destroy();
      await proxy.waitUntilIdle();
    });

    test('ends in the middle of the body', async () => {
      const wire = await forward({ kind: 'truncate-body' });
      const [head = '', body = ''] = (await wire.all()).split('\r\n\r\n');
      const [, announced] = /Content-Length: (\d+)/i.exec(head) ?? [];
      expect(body.length).toBe(Math.floor(Number(announced) / 2));
      expect(await wire.ended).toBe('fin');
    });

    test('shapes the answer to HEAD, which has no body', async () => {
      expect(await (await forward({ kind: 'http10' }, '/head', 'HEAD')).all()).toMatch(
        /^HTTP\/1.0 200 [\s\S]*\r\n\r\n$/,
      );
    });
  });

  test('shapes a 502 when the origin breaks off', async () => {
    const broken = await use(startOrigin({ handler: (request) => void request.socket.destroy() }));
    const halfway = await use(
      startOrigin({
        handler: (request, response) => {
          response.writeHead(200, { 'content-length': 9 }).write('half', () => request.socket.destroy());
        },
      }),
    );
    for (const { url } of [broken, halfway]) {
      proxy.misbehave({ kind: 'split-reply' });
      const wire = (await client()).send(`GET ${url}/ HTTP/1.1`, '');
      expect(await wire.all()).toMatch(/^HTTP\/1.1 502 /);
    }
  });

  test('shapes a 407 as well', async () => {
    const auth = { username: 'user', password: 'pass' };
    proxy = await use(startProxy({ auth, ...(tls && { tls: certificate }), misbehaviour: { kind: 'byte-by-byte' } }));
    const wire = (await client()).send('CONNECT 127.0.0.1:1 HTTP/1.1', '');
    expect(await wire.all()).toMatch(/^HTTP\/1.1 407 [\s\S]*<\/html>\n$/);
    expect(wire.packets.every(({ length }) => length === 1)).toBe(true);
  });

  test('refuses connections with a reset, so many times', async () => {
    proxy.misbehave({ kind: 'refuse', times: 1 });
    // The reset may come before the client has noticed that it was connected.
    const refused = Wire.to(proxy).then(
      ({ ended }) => ended,
      ({ code }) => code,
    );
    expect(await refused).toBe('ECONNRESET');
    await (await connect(null)).until(/established/);
  });

  test('closes its port, keeps its connections, and opens the port again', async () => {
    const wire = await client();
    proxy.misbehave({ kind: 'refuse', how: 'close-listener' });
    await expect(Wire.to(proxy)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await wire.send(`GET ${origin.url}/still HTTP/1.1`, '').until(/\/still/);
    await (await connect(null)).until(/established/);
    proxy.misbehave({ kind: 'refuse', how: 'close-listener' });
    await proxy.close();
  });

  test('accepts connections and stays mute', async () => {
    proxy.misbehave({ kind: 'mute', times: 1 });
    const wire = await use(Wire.to(proxy));
    expect(await wire.send('CONNECT 127.0.0.1:1 HTTP/1.1', '').settled()).toBe('');
    expect([proxy.hops.length, proxy.openSockets]).toEqual([0, 1]);
    wire.socket.destroy();
    await proxy.waitUntilIdle();
  });

  test('answers a ClientHello with what is not TLS, so many times', async () => {
    proxy.misbehave({ kind: 'tls-garbage', times: 2 });
    const raw = await use(Wire.to(proxy));
    expect(await raw.settled()).toBe('');
    raw.socket.write(Buffer.from('160301000501000001fe', 'hex'));
    expect([await raw.ended, raw.text]).toEqual(['fin', 'this is not TLS\r\n']);
    await expect(Wire.to(proxy, { ca: ca.certificate })).rejects.toMatchObject({
      code: 'ERR_SSL_WRONG_VERSION_NUMBER',
    });
    expect(proxy.hops).toEqual([]);
    await proxy.waitUntilIdle();
    await (await connect(null)).until(/established/);
  });
});
