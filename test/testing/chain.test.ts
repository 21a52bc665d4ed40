import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { inspect } from 'node:util';
import {
  createCa,
  credentialLeaks,
  type LabAnyProxy,
  type LabAnyProxyOptions,
  type LabOrigin,
  type LabProxy,
  type LabSocks,
  startAnyProxy,
  startOrigin,
  startProxy,
  startSocks,
} from '@cloudlane/testing';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

const ca = await createCa();
const tls = await ca.issue({ names: ['127.0.0.1', 'o.example', 'next.example'] });
const auth = { username: 'jürgen', password: 'p:w%@é' };
const SCHEMES = ['http', 'https', 'socks5h'] as const;
const LOOPBACK = [127, 0, 0, 1] as const;

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe.each(SCHEMES)('a proxy behind another by %s', (scheme) => {
  let origin: LabOrigin;
  let next: LabAnyProxy;
  let first: LabProxy;
  let through: { upstreamProxy: string; ca: string };

  const startNext = (options: LabAnyProxyOptions = {}) =>
    use(startAnyProxy({ tls, auth, localAddress: '127.0.0.3', ...options }));

  beforeEach(async () => {
    origin = await use(startOrigin());
    next = await startNext({ hosts: { 'o.example': '127.0.0.1' } });
    through = { upstreamProxy: next.urlFor(scheme, { credentials: true }), ca: ca.certificate };
    first = await use(startProxy({ ...through, localAddress: '127.0.0.2' }));
  });

  const seen = { authorized: true, username: 'jürgen', remoteAddress: '127.0.0.2' };

  test('tunnels through it, by a name that it alone knows', async () => {
    const target = `o.example:${origin.port}`;
    const wire = await use(Wire.to(first));
    await wire.send(`CONNECT ${target} HTTP/1.1`, '', 'GET /eager HTTP/1.1', '').until(/"target":"\/eager"/);
    expect(first.hops).toMatchObject([{ kind: 'connect', target, remoteAddress: '127.0.0.1', status: 200 }]);
    const kind =
      scheme === 'socks5h' ? { kind: 'socks', addressType: 'name', reply: 0 } : { kind: 'connect', status: 200 };
    expect(next.hops).toMatchObject([{ ...seen, ...kind, target, tlsVersion: scheme === 'https' ? 'TLSv1.3' : null }]);
    expect(origin.requests[0]?.remoteAddress).toBe('127.0.0.3');
    wire.socket.destroy();
    await Promise.all([first.waitUntilIdle(), next.waitUntilIdle(), origin.waitUntilIdle()]);
  });

  test('forwards through it, twice on one connection', async () => {
    const wire = await use(Wire.to(first));
    for (const path of ['/1', '/2']) {
      const url = `http://o.example:${origin.port}${path}`;
      await wire.send(`GET ${url} HTTP/1.1`, '').until(new RegExp(`"target":"${path}"`));
    }
    const one = { ...seen, connection: 1 };
    if (scheme === 'socks5h')
      expect(next.hops).toMatchObject([{ ...one, kind: 'socks', target: `o.example:${origin.port}` }]);
    else {
      const target = `http://o.example:${origin.port}`;
      const forward = { ...one, kind: 'forward', status: 200 };
      expect(next.hops).toMatchObject([
        { ...forward, target: `${target}/1` },
        { ...forward, target: `${target}/2` },
      ]);
    }
    const via = scheme === 'socks5h' ? '1.1 cloudlane-lab' : '1.1 cloudlane-lab, 1.1 cloudlane-lab';
    expect(origin.requests.map(({ headers, connection }) => [headers.via, connection])).toEqual([
      [via, 1],
      [via, 1],
    ]);
    expect(credentialLeaks()).toEqual([]);
    wire.socket.destroy();
    await Promise.all([first.waitUntilIdle(), next.waitUntilIdle(), origin.waitUntilIdle()]);
  });

  test('forwards to an https origin', async () => {
    const secure = await use(startOrigin({ tls }));
    next = await startNext({ hosts: { 'o.example': '127.0.0.1' }, ca: ca.certificate });
    first = await use(startProxy({ ...through, upstreamProxy: next.urlFor(scheme, { credentials: true }) }));
    const wire = await use(Wire.to(first));
    await wire.send(`GET https://o.example:${secure.port}/tls HTTP/1.1`, '').until(/"target":"\/tls"/);
    expect(secure.requests).toMatchObject([{ servername: 'o.example' }]);
  });

  test('says that the other refused it', async () => {
    first = await use(startProxy({ upstreamProxy: next.urlFor(scheme), ca: ca.certificate }));
    const wire = await use(Wire.to(first));
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/^HTTP\/1.1 502 [\s\S]*<\/html>/);
    expect(next.hops).toMatchObject([{ authorized: false }]);
    expect(origin.connectionCount).toBe(0);
    // The connection that was refused is not left behind.
    await next.waitUntilIdle();
  });

  test.each([
    ['ends', { kind: 'end' }, { kind: 'end', in: 'greeting' }],
    ['speaks otherwise', { kind: 'garbage' }, { kind: 'garbage', in: 'request' }],
  ] as const)('says that the other %s', async (_, http, socks) => {
    next.misbehave({ http, socks });
    const wire = await use(Wire.to(first));
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/^HTTP\/1.1 502 [\s\S]*<\/html>/);
  });

  test('gives up the other when its client goes', async () => {
    next.misbehave({ http: { kind: 'hang' }, socks: { kind: 'hang', in: 'request' } });
    const wire = await use(Wire.to(first));
    wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '');
    await next.waitForHops(1);
    wire.socket.destroy();
    await Promise.all([first.waitUntilIdle(), next.waitUntilIdle()]);
  });

  test('does so as a SOCKS proxy too', async () => {
    const socks: LabSocks = await use(startSocks(through));
    const wire = await use(Wire.to(socks));
    await wire.write(5, 1, 0).next(2);
    wire.write(5, 1, 0, 1, ...LOOPBACK, origin.port >> 8, origin.port & 0xff);
    expect((await wire.next(10)).slice(0, 2)).toEqual([5, 0]);
    await wire.send('GET /inside HTTP/1.1', '').until(/"target":"\/inside"/);
    expect(next.hops).toMatchObject([{ authorized: true, target: `127.0.0.1:${origin.port}` }]);
  });

  test('passes on an end as an end, so that the answer still arrives', async () => {
    const answer = 'z'.repeat(1_000_000);
    const late = await use(
      startOrigin({
        upgrade: (_, socket) => socket.resume().once('end', () => setImmediate(() => socket.end(answer))),
      }),
    );
    const wire = await use(Wire.to(first));
    await wire.send(`CONNECT 127.0.0.1:${late.port} HTTP/1.1`, '').until(/\r\n\r\n$/);
    wire.send('GET / HTTP/1.1', 'Connection: upgrade', 'Upgrade: raw', '').socket.end();
    expect((await wire.all()).endsWith(answer)).toBe(true);
    await Promise.all([first.waitUntilIdle(), next.waitUntilIdle()]);
  });

  test('passes on what comes after an end of the origin', async () => {
    let received = '';
    const eager = await use(
      startOrigin({
        upgrade: (_, socket) => {
          socket.end('bye').on('data', (chunk) => {
            received += chunk;
          });
        },
      }),
    );
    const socket = connect({ host: first.host, port: first.port, allowHalfOpen: true });
    socket.write(`CONNECT 127.0.0.1:${eager.port} HTTP/1.1\r\n\r\n`);
    await once(socket, 'data');
    socket.resume().write('GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n');
    await once(socket, 'end');
    socket.end('late');
    await Promise.all([first.waitUntilIdle(), eager.waitUntilIdle()]);
    expect(received).toBe('late');
  });

  test('passes on what came with the grant of the other', async () => {
    next.misbehave({ http: { kind: 'early-bytes', bytes: 'early' }, socks: { kind: 'early-bytes', bytes: 'early' } });
    const wire = await use(Wire.to(first));
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/established\r\n\r\nearly$/);
    await wire.send('GET /inside HTTP/1.1', '').until(/"target":"\/inside"/);
  });

  test.each([
    ['IPv6', { kind: 'bound-ipv6' }],
    ['a name', { kind: 'bound-name', name: 'exit.example' }],
  ] as const)('does not mind that the other connects from %s', async (_, socks) => {
    next.misbehave({ socks });
    const wire = await use(Wire.to(first));
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/established\r\n\r\n$/);
    expect((await wire.send('GET /inside HTTP/1.1', '').until(/\}$/)).split('\r\n\r\n')[1]).toMatch(/^HTTP\/1.1 200/);
  });

  test('says that the other ends before it has said anything', async () => {
    const silent = createServer((socket) => void socket.resume().end()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const upstreamProxy = through.upstreamProxy.replace(`:${next.port}`, `:${portOf(silent)}`);
    const behind = await use(startProxy({ upstreamProxy, ca: ca.certificate }));
    const wire = await use(Wire.to(behind));
    await wire.send('CONNECT 127.0.0.1:1 HTTP/1.1', '').until(/^HTTP\/1.1 502 [\s\S]*<\/html>/);
    silent.close();
    await once(silent, 'close');
  });

  test('keeps the password of the other to itself', () => {
    expect(inspect(first, { showHidden: true, depth: 9 }) + JSON.stringify(first)).not.toMatch(/p:w|p%3Aw/);
  });
});

test('a next proxy may be known by a name, and its certificate must be for that name', async () => {
  const origin = await use(startOrigin());
  const next = await use(startProxy({ tls }));
  for (const [name, answer] of [
    ['next.example', /established/],
    ['wrong.example', /^HTTP\/1.1 502 [\s\S]*ERR_TLS_CERT_ALTNAME_INVALID/],
  ] as const) {
    const upstreamProxy = `https://${name}:${next.port}`;
    const first = await use(startProxy({ upstreamProxy, hosts: { [name]: '127.0.0.1' }, ca: ca.certificate }));
    await (await use(Wire.to(first))).send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(answer);
    expect(next.hops.at(-1)?.servername).toBe('next.example');
  }
});

test.each([
  ['of a scheme that it does not speak', 'ftp://127.0.0.1:1', TypeError],
  ['without a port', 'http://127.0.0.1', TypeError],
  ['outside of loopback', 'http://192.0.2.1:8080', 'Unknown host: 192.0.2.1'],
])('a next proxy %s is refused at the start', async (_, upstreamProxy, error) => {
  await expect(startProxy({ upstreamProxy })).rejects.toThrow(error);
});

describe('connections to origins', () => {
  test('are kept for the requests of one client, and close with it', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wires = [await use(Wire.to(proxy)), await use(Wire.to(proxy))];
    for (const path of ['/1', '/2']) {
      for (const wire of wires) {
        wire.packets.length = 0;
        await wire.send(`GET ${origin.url}${path} HTTP/1.1`, '').until(/\}$/);
      }
    }
    expect(origin.requests.map(({ connection }) => connection)).toEqual([1, 2, 1, 2]);
    expect(origin.openSockets).toBe(2);
    for (const wire of wires) wire.socket.destroy();
    await Promise.all([proxy.waitUntilIdle(), origin.waitUntilIdle()]);
  });

  test('are closed with the proxy', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    await wire.send(`GET ${origin.url}/ HTTP/1.1`, '').until(/\}$/);
    expect(origin.openSockets).toBe(1);
    await proxy.close();
    await origin.waitUntilIdle();
  });

  test('are opened anew where the origin has closed them', async () => {
    const origin = await use(
      startOrigin({ handler: (request, response) => void response.end(`${request.url}`, () => request.socket.end()) }),
    );
    const proxy = await use(startProxy());
    const wire = await use(Wire.to(proxy));
    for (const path of ['/1', '/2', '/3']) {
      await wire.send(`GET ${origin.url}${path} HTTP/1.1`, '').until(new RegExp(`\r\n${path}$`));
    }
    expect(proxy.hops.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(origin.connectionCount).toBe(3);
  });

  test('are asked again by GET, and not by POST, when the origin breaks a kept one', async () => {
    const served = new Set<unknown>();
    const origin = await use(
      startOrigin({
        handler: (request, response) => {
          if (served.has(request.socket)) return void request.socket.destroy();
          served.add(request.socket);
          return void response.end('done');
        },
      }),
    );
    const wire = await use(Wire.to(await use(startProxy())));
    const answers: string[] = [];
    for (const method of ['GET', 'GET', 'POST']) {
      wire.packets.length = 0;
      await wire.send(`${method} ${origin.url}/ HTTP/1.1`, '').until(/(?:done|<\/html>\n)$/);
      answers.push(wire.text.slice(9, 12));
    }
    expect(answers).toEqual(['200', '200', '502']);
    expect(origin.requests.map(({ method, connection }) => [method, connection])).toEqual([
      ['GET', 1],
      ['GET', 1],
      ['GET', 2],
      ['POST', 2],
    ]);
  });

  test('are none of the proxy when it is idle', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    await wire.send(`GET ${origin.url}/ HTTP/1.1`, '').until(/\}$/);
    let idle = false;
    const waited = proxy.waitUntilIdle().then(() => {
      idle = true;
    });
    await wire.settled();
    expect(idle).toBe(false);
    wire.socket.destroy();
    await waited;
    await origin.waitUntilIdle();
  });
});
