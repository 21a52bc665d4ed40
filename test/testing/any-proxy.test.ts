import { inspect } from 'node:util';
import { createCa, type LabAnyProxy, startAnyProxy, startOrigin } from '@cloudlane/testing';
import { expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

const ca = await createCa();
const tls = await ca.issue({ names: ['127.0.0.1'] });
const LOOPBACK = [127, 0, 0, 1] as const;
const port16 = (port: number) => [port >> 8, port & 0xff] as const;

/** Says what a client says to get a tunnel, and waits until it has it. */
const tunnels: Readonly<Record<string, (wire: Wire, port: number) => Promise<void>>> = {
  http: async (wire, port) => {
    await wire.send(`CONNECT 127.0.0.1:${port} HTTP/1.1`, '').until(/established\r\n\r\n$/);
  },
  socks4: async (wire, port) => {
    expect((await wire.write(4, 1, ...port16(port), ...LOOPBACK, 0).next(8))[1]).toBe(90);
  },
  socks5: async (wire, port) => {
    expect(await wire.write(5, 1, 0).next(2)).toEqual([5, 0]);
    expect((await wire.write(5, 1, 0, 1, ...LOOPBACK, ...port16(port)).next(10))[1]).toBe(0);
  },
};

const trusting = { ca: ca.certificate, minVersion: 'TLSv1.3' } as const;

test.each([
  ['plain', undefined],
  ['over TLS', trusting],
])('one port speaks every protocol, %s', async (_, secure) => {
  const [origin, proxy] = [await use(startOrigin()), await use(startAnyProxy({ tls }))];
  for (const open of Object.values(tunnels)) {
    const wire = await use(Wire.to(proxy, secure));
    await open(wire, origin.port);
    await wire.send('GET /inside HTTP/1.1', '').until(/"target":"\/inside"/);
  }
  const wire = await use(Wire.to(proxy, secure));
  await wire.send(`GET ${origin.url}/1 HTTP/1.1`, '').until(/"target":"\/1"/);
  wire.packets.length = 0;
  await wire.send(`GET ${origin.url}/2 HTTP/1.1`, '').until(/"target":"\/2"/);
  const tlsVersion = secure ? 'TLSv1.3' : null;
  expect(proxy.hops).toMatchObject([
    { kind: 'connect', connection: 1, status: 200, tlsVersion },
    { kind: 'socks', connection: 2, version: 4, reply: 90, tlsVersion },
    { kind: 'socks', connection: 3, version: 5, reply: 0, tlsVersion },
    { kind: 'forward', connection: 4, status: 200, tlsVersion },
    { kind: 'forward', connection: 4, status: 200, tlsVersion },
  ]);
  expect([proxy.openTunnels, proxy.openSockets]).toEqual([3, 4]);
  await proxy.close();
  await origin.waitUntilIdle();
});

test('one port takes a first byte that comes alone', async () => {
  const [origin, proxy] = [await use(startOrigin()), await use(startAnyProxy({ tls }))];
  const socks = await use(Wire.to(proxy));
  socks.write(5);
  await socks.settled();
  expect(await socks.write(1, 0).next(2)).toEqual([5, 0]);
  const http = await use(Wire.to(proxy));
  http.write('G');
  await http.settled();
  await http.send(`ET ${origin.url}/slow HTTP/1.1`, '').until(/\/slow/);
});

test.each([
  ['plain', {}],
  ['with TLS', { tls }],
])('nobody waits for clients that go before they have said anything, %s', async (_, options) => {
  const proxy = await use(startAnyProxy(options));
  const wire = await use(Wire.to(proxy));
  wire.socket.end();
  await proxy.waitUntilIdle();
  expect([proxy.connectionCount, proxy.hops.length]).toEqual([1, 0]);
});

test('one password is for both protocols', async () => {
  const proxy = await use(startAnyProxy({ auth: { username: 'user', password: 'p@ss' }, userId: 'me', tls }));
  const place = `127.0.0.1:${proxy.port}`;
  expect(proxy.url).toBe(`http://${place}`);
  expect(proxy.urlWithCredentials).toBe(`http://user:p%40ss@${place}`);
  expect(proxy.urlFor('https', { credentials: true })).toBe(`https://user:p%40ss@${place}`);
  expect(proxy.urlFor('socks5h', { credentials: true })).toBe(`socks5h://user:p%40ss@${place}`);
  expect(proxy.urlFor('socks4', { credentials: true })).toBe(`socks4://me@${place}`);
  expect(proxy.urlFor('socks4a')).toBe(`socks4a://${place}`);
  expect(inspect(proxy, { showHidden: true, getters: true, depth: 9 })).toBe(
    `LabAnyProxy { url: '${proxy.url}', hops: 0, openSockets: 0, openTunnels: 0 }`,
  );
  await (await use(Wire.to(proxy))).send('CONNECT 127.0.0.1:1 HTTP/1.1', '').until(/^HTTP\/1.1 407/);
  expect(await (await use(Wire.to(proxy))).write(5, 1, 0).next(2)).toEqual([5, 0xff]);
  expect(proxy.hops).toMatchObject([{ authorized: false }, { authorized: false }]);
});

test('without TLS there is no URL for it', async () => {
  const proxy = await use(startAnyProxy());
  expect(() => proxy.urlFor('https')).toThrow(TypeError);
});

async function answers(proxy: LabAnyProxy): Promise<[http: string, socks: string]> {
  const [http, socks] = [await use(Wire.to(proxy)), await use(Wire.to(proxy))];
  http.send('CONNECT 127.0.0.1:1 HTTP/1.1', '').socket.end();
  socks.write(5, 1, 0).socket.end();
  return [await http.all(), await socks.all()];
}

test('each protocol misbehaves on its own', async () => {
  const proxy = await use(startAnyProxy({ misbehaviour: { http: { kind: 'garbage', bytes: 'no HTTP' } } }));
  const wire = await use(Wire.to(proxy));
  expect(await wire.write(5, 1, 0).next(2)).toEqual([5, 0]);
  expect((await answers(proxy))[0]).toBe('no HTTP');
  proxy.misbehave({ socks: { kind: 'garbage', in: 'greeting', bytes: 'no SOCKS' } });
  expect((await answers(proxy))[1]).toBe('no SOCKS');
  await (await use(Wire.to(proxy))).send('CONNECT 127.0.0.1:1 HTTP/1.1', '').until(/^HTTP\/1.1 503/);
  proxy.misbehave({ socks: { kind: 'refuse', how: 'close-listener' } });
  await expect(Wire.to(proxy)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  proxy.misbehave({ socks: { kind: 'mute' } });
  expect(await (await use(Wire.to(proxy))).send('CONNECT 127.0.0.1:1 HTTP/1.1', '').settled()).toBe('');
  proxy.misbehave(null);
  await (await use(Wire.to(proxy))).send('CONNECT 127.0.0.1:1 HTTP/1.1', '').until(/^HTTP\/1.1 503/);
});
