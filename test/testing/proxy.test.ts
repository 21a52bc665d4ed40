import { once } from 'node:events';
import http from 'node:http';
import { connect as connectTls } from 'node:tls';
import { inspect } from 'node:util';
import { createCa, type LabCa, startOrigin, startProxy } from '@cloudlane/testing';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

let ca: LabCa;

beforeAll(async () => {
  ca = await createCa();
});

const basic = (userinfo: string) => `Proxy-Authorization: Basic ${Buffer.from(userinfo).toString('base64')}`;

describe('a proxy that forwards', () => {
  test('sends origin form, its own Host and Via, and nothing that was meant for itself', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    wire.send(
      `DELETE ${origin.url}/a/../b?c=%20 HTTP/1.1`,
      'Host: liar.example',
      basic('user:pass'),
      'Proxy-Connection: keep-alive',
      'Connection: X-Named, keep-alive',
      'X-Named: hop',
      'TE: trailers',
      'Keep-Alive: timeout=5',
      'X-Kept: yes',
      '',
    );
    expect(await wire.until(/\}$/)).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(wire.text).toMatch(/Via: 1.1 cloudlane-lab\r\n/);
    expect(origin.requests[0]).toMatchObject({
      method: 'DELETE',
      target: '/a/../b?c=%20',
      rawHeaders: [
        ...['Host', `127.0.0.1:${origin.port}`, 'X-Kept', 'yes', 'Via', '1.1 cloudlane-lab'],
        ...['Content-Length', '0', 'Connection', 'keep-alive'],
      ],
    });
    expect(proxy.hops).toMatchObject([
      {
        kind: 'forward',
        method: 'DELETE',
        target: `${origin.url}/a/../b?c=%20`,
        headers: { host: 'liar.example', 'x-kept': 'yes' },
        connection: 1,
        authorized: true,
        username: 'user',
        status: 200,
      },
    ]);
  });

  test('keeps the connection to its client, and passes on repeated headers and errors', async () => {
    const origin = await use(
      startOrigin({
        handler: (_, response) =>
          void response.writeHead(404, 'Gone Fishing', ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']).end(),
      }),
    );
    const proxy = await use(startProxy());
    const wire = await use(Wire.to(proxy));
    const answer = /404 Gone Fishing\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n/;
    await wire.send(`GET ${origin.url}/1 HTTP/1.1`, '').until(answer);
    wire.packets.length = 0;
    await wire.send(`GET ${origin.url}/2 HTTP/1.1`, '').until(answer);
    expect(proxy.hops.map(({ connection, status }) => [connection, status])).toEqual([
      [1, 404],
      [1, 404],
    ]);
  });

  test.each([
    ['with a length', { 'content-length': '300000' }],
    ['chunked', { 'transfer-encoding': 'chunked' }],
  ])('streams bodies both ways, %s', async (_, headers) => {
    const origin = await use(
      startOrigin({ recordBodies: false, handler: (request, response) => void request.pipe(response) }),
    );
    const proxy = await use(startProxy());
    const request = http.request({ host: proxy.host, port: proxy.port, path: origin.url, method: 'POST', headers });
    request.write('x'.repeat(100_000));
    // The origin answers what it has got while the rest is still to come.
    const [response] = await once(request, 'response');
    request.end('y'.repeat(200_000));
    let length = 0;
    for await (const chunk of response) length += chunk.length;
    expect(length).toBe(300_000);
  });

  test('passes on that the origin broke off', async () => {
    const origin = await use(
      startOrigin({
        handler: (request, response) => {
          response.writeHead(200, { 'content-length': 10 }).write('half!', () => request.socket.destroy());
        },
      }),
    );
    const wire = await use(Wire.to(await use(startProxy())));
    expect(await wire.send(`GET ${origin.url}/ HTTP/1.1`, '').all()).toMatch(/\r\n\r\nhalf!$/);
  });

  test('gives up the origin when its client goes', async () => {
    const origin = await use(startOrigin({ handler: () => undefined }));
    const proxy = await use(startProxy());
    const wire = await use(Wire.to(proxy));
    wire.send(`GET ${origin.url}/ HTTP/1.1`, '');
    await origin.waitForRequests(1);
    wire.socket.destroy();
    await Promise.all([proxy.waitUntilIdle(), origin.waitUntilIdle()]);
  });

  test('forwards to an https origin whose authority it trusts', async () => {
    const origin = await use(startOrigin({ tls: await ca.issue({ names: ['origin.example'] }) }));
    const hosts = { 'origin.example': '127.0.0.1' };
    const target = `GET https://origin.example:${origin.port}/tls HTTP/1.1`;
    const trusting = await use(Wire.to(await use(startProxy({ hosts, ca: ca.certificate }))));
    await trusting.send(target, '').until(/"target":"\/tls"/);
    expect(origin.requests[0]?.servername).toBe('origin.example');
    const doubting = await use(Wire.to(await use(startProxy({ hosts }))));
    await doubting.send(target, '').until(/502 Bad Gateway[\s\S]*UNABLE_TO_VERIFY/);
  });

  test.each([
    ['origin form', 400, '/path'],
    ['a name that it does not know', 502, 'http://api.example/'],
    ['an address outside of loopback', 502, 'http://192.0.2.1/'],
    ['a port where nobody listens', 503, 'http://127.0.0.1:1/'],
  ])('answers %s with %i', async (_, status, target) => {
    const proxy = await use(startProxy());
    const wire = await use(Wire.to(proxy));
    await wire.send(`GET ${target} HTTP/1.1`, '').until(new RegExp(`^HTTP/1.1 ${status} .*</html>`, 's'));
    expect(proxy.hops[0]?.status).toBe(status);
  });
});

describe('a proxy that tunnels', () => {
  test('couples client and origin, byte for byte', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, 'Host: x', '');
    expect(await wire.until(/\r\n\r\n$/)).toBe('HTTP/1.1 200 Connection established\r\n\r\n');
    expect([proxy.openTunnels, proxy.openSockets]).toEqual([1, 1]);
    await wire.send('GET /inside HTTP/1.1', '').until(/"target":"\/inside"/);
    expect(origin.requests[0]?.headers).toEqual({});
    expect(proxy.hops).toMatchObject([
      { kind: 'connect', method: 'CONNECT', target: `127.0.0.1:${origin.port}`, status: 200, username: null },
    ]);
    wire.socket.destroy();
    await Promise.all([proxy.waitUntilIdle(), origin.waitUntilIdle()]);
    expect([proxy.openTunnels, proxy.openSockets]).toEqual([0, 0]);
  });

  test('passes on what came with the CONNECT', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '', 'GET /eager HTTP/1.1', '');
    await wire.until(/"target":"\/eager"/);
  });

  test('passes on an end as an end, so that the answer still arrives', async () => {
    const answer = 'z'.repeat(1_000_000);
    const origin = await use(
      startOrigin({ upgrade: (_, socket) => socket.resume().once('end', () => socket.end(answer)) }),
    );
    const proxy = await use(startProxy());
    const wire = await use(Wire.to(proxy));
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/\r\n\r\n$/);
    wire.send('GET / HTTP/1.1', 'Connection: upgrade', 'Upgrade: raw', '');
    wire.socket.end();
    expect((await wire.all()).endsWith(answer)).toBe(true);
    await proxy.waitUntilIdle();
  });

  test('closes the client when the origin breaks', async () => {
    const [origin, proxy] = [await use(startOrigin({ handler: () => undefined })), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/\r\n\r\n$/);
    wire.send('GET / HTTP/1.1', '');
    await origin.waitForRequests(1);
    await origin.close();
    await wire.ended;
    await proxy.waitUntilIdle();
  });

  test('carries TLS to the origin, also over TLS to itself', async () => {
    const tls = await ca.issue({ names: ['127.0.0.1', 'proxy.example', 'origin.example'] });
    const origin = await use(startOrigin({ tls }));
    const proxy = await use(startProxy({ tls, hosts: { 'origin.example': `127.0.0.1:${origin.port}` } }));
    expect(proxy.url).toBe(`https://127.0.0.1:${proxy.port}`);
    const outer = await use(Wire.to(proxy, { ca: ca.certificate, servername: 'proxy.example' }));
    await outer.send('CONNECT origin.example:443 HTTP/1.1', '').until(/\r\n\r\n$/);
    const { socket } = outer;
    socket.removeAllListeners('data');
    const inner = connectTls({ socket, servername: 'origin.example', ca: ca.certificate });
    const request = http.get({ createConnection: () => inner, path: '/deep' });
    const [response] = await once(request, 'response');
    expect(response.statusCode).toBe(200);
    expect(proxy.hops[0]?.servername).toBe('proxy.example');
    expect(origin.requests[0]).toMatchObject({ servername: 'origin.example', target: '/deep' });
    inner.destroy();
    await proxy.waitUntilIdle();
  });

  test('keeps the connection after it refused, and takes the next CONNECT on it', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    await wire.send('CONNECT nowhere.example:443 HTTP/1.1', '').until(/^HTTP\/1.1 502 [\s\S]*<\/html>\n$/);
    await wire.send('CONNECT ::1:443 HTTP/1.1', '').until(/HTTP\/1.1 400 [\s\S]*<\/html>\n$/);
    await wire.send('CONNECT 127.0.0.1:1 HTTP/1.1', '').until(/HTTP\/1.1 503 [\s\S]*<\/html>\n$/);
    await wire.send(`GET ${origin.url}/between HTTP/1.1`, '').until(/\/between/);
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/established\r\n\r\n$/);
    await wire.send('GET /inside HTTP/1.1', '').until(/\/inside/);
    expect(proxy.hops.map(({ connection, status }) => [connection, status])).toEqual([
      [1, 502],
      [1, 400],
      [1, 503],
      [1, 200],
      [1, 200],
    ]);
  });

  test('reaches IPv6 origins from an IPv6 port', async () => {
    const [origin, proxy] = [await use(startOrigin({ host: '::1' })), await use(startProxy({ host: '::1' }))];
    expect(proxy.url).toBe(`http://[::1]:${proxy.port}`);
    const wire = await use(Wire.to(proxy));
    await wire.send(`GET ${origin.url}/v6 HTTP/1.1`, '').until(/\/v6/);
    expect(origin.requests[0]?.headers.host).toBe(`[::1]:${origin.port}`);
    await wire.send(`CONNECT [::1]:${origin.port} HTTP/1.1`, '').until(/established\r\n\r\n$/);
    await wire.send('GET /inside HTTP/1.1', '').until(/\/inside/);
  });

  test('knows names that nobody else knows, and connects from its own address', async () => {
    const origin = await use(startOrigin());
    const proxy = await use(startProxy({ hosts: { 'PRIVATE.example': '127.0.0.1' }, localAddress: '127.0.0.2' }));
    const wire = await use(Wire.to(proxy));
    await wire.send(`GET http://Private.example:${origin.port}/1 HTTP/1.1`, '').until(/\/1"/);
    await wire.send(`CONNECT private.example:${origin.port} HTTP/1.1`, '').until(/established\r\n\r\n$/);
    await wire.send('GET /2 HTTP/1.1', '').until(/\/2"/);
    expect(origin.requests.map(({ remoteAddress }) => remoteAddress)).toEqual(['127.0.0.2', '127.0.0.2']);
    await expect(startProxy({ hosts: { 'a.example': '192.0.2.1' } })).rejects.toThrow('not a loopback address');
  });
});

test.each(['forward', 'tunnel'])('back-pressure reaches the origin: %s', async (way) => {
  const size = 64 * 1024 * 1024;
  const chunk = Buffer.alloc(1024 * 1024);
  let written = 0;
  const origin = await use(
    startOrigin({
      handler: async (_, response) => {
        response.writeHead(200, { 'content-length': size });
        for (; written < size; written += chunk.length) if (!response.write(chunk)) await once(response, 'drain');
        response.end();
      },
    }),
  );
  const wire = await use(Wire.to(await use(startProxy())));
  if (way === 'tunnel') await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/established\r\n\r\n$/);
  wire.packets.length = 0;
  wire.socket.pause();
  wire.send(`GET ${way === 'tunnel' ? '' : origin.url}/big HTTP/1.1`, '');
  await origin.waitForRequests(1);
  for (let before = -1; before !== written; ) {
    before = written;
    for (let turn = 0; turn < 20; turn++) await wire.settled();
  }
  expect(written).toBeLessThan(size / 2);
  wire.socket.resume();
  while (wire.packets.reduce((sum, { length }) => sum + length, 0) < size) await once(wire.socket, 'data');
});

describe('a proxy with credentials', () => {
  const auth = { username: 'jürgen', password: 'p:w%@é' };

  test.each([
    ['none', [], false, null],
    ['a wrong password', [basic('jürgen:p')], false, 'jürgen'],
    ['no colon', [basic('jürgen')], false, null],
    ['another scheme', ['Proxy-Authorization: Bearer abc'], false, null],
    ['the right ones', [basic('jürgen:p:w%@é')], true, 'jürgen'],
  ])('given %s', async (_, lines, authorized, username) => {
    const origin = await use(startOrigin());
    const proxy = await use(startProxy({ auth, realm: 'the "lab"' }));
    const wire = await use(Wire.to(proxy));
    const refused = /HTTP\/1.1 407 .*\r\nProxy-Authenticate: Basic realm="the \\"lab\\""\r\n[\s\S]*<\/html>\n$/;
    await wire.send(`GET ${origin.url}/ HTTP/1.1`, ...lines, '').until(authorized ? /\}$/ : refused);
    wire.packets.length = 0;
    await wire
      .send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, ...lines, '')
      .until(authorized ? /established\r\n\r\n$/ : refused);
    const seen = { authorized, username, status: authorized ? 200 : 407, connection: 1 };
    expect(proxy.hops).toMatchObject([seen, seen]);
    expect(origin.requests).toHaveLength(authorized ? 1 : 0);
  });

  test('challenges with the schemes it was given', async () => {
    const schemes = ['Negotiate', 'Digest realm="d", nonce="n"'];
    const wire = await use(Wire.to(await use(startProxy({ auth, schemes }))));
    await wire.send('CONNECT 127.0.0.1:1 HTTP/1.1', basic('jürgen:p:w%@é'), '').until(/<\/html>/);
    expect(wire.text).toContain(
      'Proxy-Authenticate: Negotiate realm="lab"\r\nProxy-Authenticate: Digest realm="d", nonce="n"\r\n',
    );
  });

  test('prints its URL without them, unless asked', async () => {
    const proxy = await use(startProxy({ auth }));
    expect(proxy.urlWithCredentials).toBe(`http://j%C3%BCrgen:p%3Aw%25%40%C3%A9@127.0.0.1:${proxy.port}`);
    expect(proxy.url).toBe(`http://127.0.0.1:${proxy.port}`);
    expect(inspect(proxy, { showHidden: true, getters: true, depth: 9 })).toBe(
      `LabProxy { url: '${proxy.url}', hops: 0, openSockets: 0, openTunnels: 0 }`,
    );
    expect(JSON.stringify(proxy)).not.toMatch(/p:w|p%3Aw/);
  });

  test('records which client certificate it was shown', async () => {
    const tls = { ...(await ca.issue({ names: ['127.0.0.1'] })), clientCa: ca.certificate };
    const proxy = await use(startProxy({ tls }));
    const mine = await ca.issue({ names: ['client.example'], client: true });
    for (const shown of [mine, {}]) {
      const wire = await use(Wire.to(proxy, { ca: ca.certificate, ...shown }));
      await wire.send('CONNECT 127.0.0.1:1 HTTP/1.1', '').until(/503/);
    }
    expect(proxy.hops.map(({ clientCertificate }) => clientCertificate)).toEqual(['client.example', null]);
  });
});

describe('the life of a proxy', () => {
  test('it waits for hops and connections, forgets them, and is idle when its clients are gone', async () => {
    const proxy = await use(startProxy());
    const connected = proxy.waitForConnections(2);
    const asked = proxy.waitForHops(1);
    const wires = [await use(Wire.to(proxy)), await use(Wire.to(proxy))];
    await connected;
    wires[1]?.send('GET /x HTTP/1.1', '');
    await asked;
    expect([proxy.connectionCount, proxy.openSockets, proxy.hops.length]).toEqual([2, 2, 1]);
    proxy.reset();
    expect([proxy.connectionCount, proxy.openSockets, proxy.hops.length]).toEqual([0, 2, 0]);
    await (await use(Wire.to(proxy))).send('GET /y HTTP/1.1', '').until(/400/);
    expect([proxy.connectionCount, proxy.hops[0]?.connection]).toEqual([1, 3]);
    for (const wire of wires) wire.socket.destroy();
    expect(proxy.openSockets).toBe(3);
  });

  test('it answers after its delay, unless the client has gone', async () => {
    const proxy = await use(startProxy({ delay: 30 }));
    const [patient, hasty] = [await use(Wire.to(proxy)), await use(Wire.to(proxy))];
    hasty.send('CONNECT 127.0.0.1:1 HTTP/1.1', '');
    await proxy.waitForHops(1);
    hasty.socket.destroy();
    const asked = performance.now();
    await patient.send('CONNECT 127.0.0.1:1 HTTP/1.1', '').until(/503/);
    expect(performance.now() - asked).toBeGreaterThan(25);
    expect(proxy.hops.map(({ status }) => status)).toEqual([null, 503]);
  });

  test('it closes with tunnels open, and again', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
    const wire = await use(Wire.to(proxy));
    await wire.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1`, '').until(/\r\n\r\n$/);
    await Promise.all([proxy.close(), proxy.close()]);
    expect([proxy.openSockets, proxy.openTunnels]).toEqual([0, 0]);
    await wire.ended;
    await origin.waitUntilIdle();
    await expect(Wire.to(proxy)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
