import { inspect } from 'node:util';
import { closedPort, type LabSocks, startOrigin, startSocks } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { use } from './lab.ts';
import { Wire } from './wire.ts';

const LOOPBACK = [127, 0, 0, 1] as const;
const high = (port: number) => port >> 8;
const low = (port: number) => port & 0xff;
const port16 = (port: number) => [high(port), low(port)] as const;
const named = (name: string) => [3, name.length, name] as const;

/** Offers no authentication, is taken, and asks. */
async function ask5(
  proxy: LabSocks,
  port: number,
  address: readonly (number | string)[] = [1, ...LOOPBACK],
  command = 1,
) {
  const wire = await use(Wire.to(proxy));
  expect(await wire.write(5, 1, 0).next(2)).toEqual([5, 0]);
  return wire.write(5, command, 0, ...address, ...port16(port));
}

async function expectTunnel(wire: Wire): Promise<void> {
  await wire.send('GET /inside HTTP/1.1', '').until(/"target":"\/inside"/);
}

describe('SOCKS5', () => {
  test('grants a tunnel, and says where it comes from', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks({ localAddress: '127.0.0.2' }))];
    const wire = await ask5(proxy, origin.port);
    const reply = await wire.next(10);
    expect(reply.slice(0, 8)).toEqual([5, 0, 0, 1, 127, 0, 0, 2]);
    expect(wire.packets).toEqual([]);
    await expectTunnel(wire);
    expect(origin.requests[0]?.remoteAddress).toBe('127.0.0.2');
    expect(proxy.hops).toMatchObject([
      {
        kind: 'socks',
        version: 5,
        target: `127.0.0.1:${origin.port}`,
        addressType: 'ipv4',
        methods: [0],
        username: null,
        userId: null,
        authorized: true,
        reply: 0,
        sent: 12,
        connection: 1,
        remoteAddress: '127.0.0.1',
      },
    ]);
    expect([proxy.openSockets, proxy.openTunnels, proxy.connectionCount]).toEqual([1, 1, 1]);
    wire.socket.destroy();
    await Promise.all([proxy.waitUntilIdle(), origin.waitUntilIdle()]);
    expect([proxy.openSockets, proxy.openTunnels]).toEqual([0, 0]);
  });

  test('reaches IPv6, and answers with an address of it', async () => {
    const [origin, proxy] = [await use(startOrigin({ host: '::1' })), await use(startSocks({ host: '::1' }))];
    expect(proxy.url).toBe(`socks5h://[::1]:${proxy.port}`);
    const one = [...Array<number>(15).fill(0), 1];
    const wire = await ask5(proxy, origin.port, [4, ...one]);
    expect((await wire.next(22)).slice(0, 20)).toEqual([5, 0, 0, 4, ...one]);
    await expectTunnel(wire);
    expect(proxy.hops).toMatchObject([{ target: `[::1]:${origin.port}`, addressType: 'ipv6', reply: 0, sent: 24 }]);
  });

  test.each([
    ['a name of its own', 'PRIVATE.example', 'private.EXAMPLE'],
    ['localhost', 'unused.example', 'localhost'],
    ['an address written as a name', 'unused.example', '127.0.0.1'],
  ])('resolves %s', async (_, known, asked) => {
    const origin = await use(startOrigin());
    const proxy = await use(startSocks({ hosts: { [known]: '127.0.0.1' } }));
    const wire = await ask5(proxy, origin.port, named(asked));
    expect((await wire.next(10)).slice(0, 4)).toEqual([5, 0, 0, 1]);
    await expectTunnel(wire);
    expect(proxy.hops).toMatchObject([{ target: `${asked}:${origin.port}`, addressType: 'name' }]);
  });

  const refusals: [string, number, number, number, (number | string)[]][] = [
    ['a name that it does not know', 4, 80, 1, [...named('api.example')]],
    ['an address outside of loopback', 4, 80, 1, [1, 192, 0, 2, 1]],
    ['port 9', 2, 9, 1, [1, ...LOOPBACK]],
    ['BIND', 7, 80, 2, [1, ...LOOPBACK]],
    ['an address type that nobody knows', 8, 80, 1, [5]],
    ['a name that is none', 1, 80, 1, [...named('not:a name')]],
  ];
  test.each(refusals)('refuses %s with %i', async (_, code, port, command, address) => {
    const proxy = await use(startSocks());
    const wire = await ask5(proxy, port, address, command);
    expect(await wire.next(10)).toEqual([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect(await wire.ended).toBe('fin');
    expect(proxy.hops).toMatchObject([{ authorized: true, reply: code, sent: 12 }]);
    expect(proxy.hops[0]?.addressType).toBe(code === 8 ? null : address[0] === 3 ? 'name' : 'ipv4');
  });

  test('refuses a port where nobody listens with 5', async () => {
    const wire = await ask5(await use(startSocks()), await closedPort());
    expect((await wire.next(10)).slice(0, 2)).toEqual([5, 5]);
  });

  test('takes what comes byte by byte, and passes on what came with the request', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks())];
    const wire = await use(Wire.to(proxy));
    for (const byte of [5, 2, 0, 1, 5, 1, 0, 1, ...LOOPBACK, high(origin.port)]) {
      wire.write(byte);
      await wire.settled();
    }
    wire.write(low(origin.port), 'GET /eager HTTP/1.1\r\n\r\n');
    await wire.until(/"target":"\/eager"/);
    expect(proxy.hops).toMatchObject([{ methods: [0, 1], reply: 0 }]);
  });

  test('passes on an end as an end, so that the answer still arrives', async () => {
    const answer = 'z'.repeat(1_000_000);
    const origin = await use(
      startOrigin({ upgrade: (_, socket) => socket.resume().once('end', () => socket.end(answer)) }),
    );
    const proxy = await use(startSocks());
    const wire = await ask5(proxy, origin.port);
    await wire.next(10);
    wire.send('GET / HTTP/1.1', 'Connection: upgrade', 'Upgrade: raw', '');
    wire.socket.end();
    expect((await wire.all()).endsWith(answer)).toBe(true);
    await proxy.waitUntilIdle();
  });

  test.each([
    ['in the greeting', [5, 2, 0], 0],
    ['after the greeting', [5, 1, 0], 1],
    ['in the request', [5, 1, 0, 5, 1, 0, 1, 127], 1],
  ])('forgets a client that goes %s', async (_, bytes, hops) => {
    const proxy = await use(startSocks());
    const wire = await use(Wire.to(proxy));
    wire.write(...bytes).socket.end();
    await wire.ended;
    await proxy.waitUntilIdle();
    expect(proxy.hops.map(({ target, reply }) => [target, reply])).toEqual(hops === 0 ? [] : [['', null]]);
  });

  test.each([
    ['another protocol', ['G', 'ET / HTTP/1.1\r\n']],
    ['a request of another version', [5, 1, 0, 4, 1, 0, 1]],
    ['a password of another version', [5, 1, 2, 5, 1, 'u', 1, 'p']],
  ])('hangs up on %s', async (_, bytes) => {
    const proxy = await use(startSocks());
    const wire = (await use(Wire.to(proxy))).write(...bytes);
    expect(await wire.ended).toBe('fin');
    expect(wire.text.length).toBeLessThanOrEqual(2);
  });
});

describe('SOCKS5 with a password', () => {
  const auth = { username: 'jürgen', password: 'p:w%@é' };
  const offer = (...methods: number[]) => [5, methods.length, ...methods];
  const credentials = (user: string, password: string) => [
    ...[1, Buffer.byteLength(user), user],
    ...[Buffer.byteLength(password), password],
  ];

  test('demands it, and lets the right one in', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks({ auth }))];
    const wire = await use(Wire.to(proxy));
    expect(await wire.write(...offer(0, 2)).next(2)).toEqual([5, 2]);
    expect(proxy.hops).toMatchObject([
      { methods: [0, 2], username: null, authorized: false, target: '', addressType: null, reply: null },
    ]);
    expect(await wire.write(...credentials(auth.username, auth.password)).next(2)).toEqual([1, 0]);
    wire.write(5, 1, 0, 1, ...LOOPBACK, ...port16(origin.port));
    expect((await wire.next(10))[1]).toBe(0);
    await expectTunnel(wire);
    expect(proxy.hops).toMatchObject([{ username: 'jürgen', authorized: true, target: `127.0.0.1:${origin.port}` }]);
  });

  test.each([
    ['a wrong password', 'jürgen', 'p'],
    ['a wrong user', 'jurgen', auth.password],
    ['nothing', '', ''],
  ])('refuses %s', async (_, user, password) => {
    const proxy = await use(startSocks({ auth }));
    const wire = await use(Wire.to(proxy));
    await wire.write(...offer(2)).next(2);
    expect(await wire.write(...credentials(user, password)).next(2)).toEqual([1, 1]);
    // Whoever goes on all the same is not heard.
    wire.write(5, 1, 0, 1, ...LOOPBACK, ...port16(9));
    expect([await wire.ended, wire.text]).toEqual(['fin', '']);
    await proxy.waitUntilIdle();
    expect(proxy.hops).toMatchObject([{ username: user, authorized: false, target: '', reply: null, sent: 4 }]);
  });

  test('finds no method acceptable but its own', async () => {
    const proxy = await use(startSocks({ auth }));
    const wire = (await use(Wire.to(proxy))).write(...offer(0, 1));
    expect(await wire.next(2)).toEqual([5, 0xff]);
    expect(await wire.ended).toBe('fin');
    expect(proxy.hops).toMatchObject([{ methods: [0, 1], authorized: false, username: null }]);
  });

  test('takes any password if it demands none and the client offers nothing else', async () => {
    const proxy = await use(startSocks());
    const wire = await use(Wire.to(proxy));
    expect(await wire.write(...offer(2)).next(2)).toEqual([5, 2]);
    expect(await wire.write(...credentials('any', 'thing')).next(2)).toEqual([1, 0]);
    expect(proxy.hops).toMatchObject([{ username: 'any', authorized: true }]);
  });

  test('keeps its password to itself, unless asked', async () => {
    const proxy = await use(startSocks({ auth, userId: 'me@home' }));
    const place = `127.0.0.1:${proxy.port}`;
    const wire = await use(Wire.to(proxy));
    await wire.write(...offer(2)).next(2);
    await wire.write(...credentials(auth.username, auth.password)).next(2);
    expect(proxy.url).toBe(`socks5h://${place}`);
    expect(proxy.urlWithCredentials).toBe(`socks5h://j%C3%BCrgen:p%3Aw%25%40%C3%A9@${place}`);
    expect(proxy.urlFor('socks5')).toBe(`socks5://${place}`);
    expect(proxy.urlFor('socks5', { credentials: true })).toBe(`socks5://j%C3%BCrgen:p%3Aw%25%40%C3%A9@${place}`);
    expect(proxy.urlFor('socks4')).toBe(`socks4://${place}`);
    expect(proxy.urlFor('socks4a', { credentials: true })).toBe(`socks4a://me%40home@${place}`);
    expect(inspect(proxy, { showHidden: true, getters: true, depth: 9 })).toBe(
      `LabSocks { url: '${proxy.url}', hops: 1, openSockets: 1, openTunnels: 0 }`,
    );
    expect(JSON.stringify([proxy, proxy.hops])).not.toMatch(/p:w|p%3Aw/);
    expect(inspect(proxy.hops, { depth: 9 })).not.toMatch(/p:w/);
  });
});

describe('SOCKS4', () => {
  async function ask4(proxy: LabSocks, port: number, ...rest: readonly (number | string)[]): Promise<Wire> {
    return (await use(Wire.to(proxy))).write(4, 1, ...port16(port), ...rest);
  }

  test('grants a tunnel', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks())];
    const wire = await ask4(proxy, origin.port, ...LOOPBACK, 'me', 0);
    const reply = await wire.next(8);
    expect([reply.slice(0, 2), reply.slice(4)]).toEqual([[0, 90], [...LOOPBACK]]);
    expect(reply.slice(2, 4)).not.toEqual([0, 0]);
    await expectTunnel(wire);
    expect(proxy.hops).toMatchObject([
      {
        kind: 'socks',
        version: 4,
        target: `127.0.0.1:${origin.port}`,
        addressType: 'ipv4',
        methods: [],
        username: null,
        userId: 'me',
        authorized: true,
        reply: 90,
        sent: 8,
      },
    ]);
  });

  test('4a resolves names', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks({ hosts: { 'o.example': '127.0.0.1' } }))];
    const wire = await ask4(proxy, origin.port, 0, 0, 0, 7, 0, 'o.example', 0, 'GET /eager HTTP/1.1\r\n\r\n');
    await wire.until(/"target":"\/eager"/);
    expect(proxy.hops).toMatchObject([
      { version: 4, target: `o.example:${origin.port}`, addressType: 'name', userId: '' },
    ]);
  });

  test('takes 0.0.0.0 for an address, as only 0.0.0.1 to 0.0.0.255 announce a name', async () => {
    const proxy = await use(startSocks());
    const wire = await ask4(proxy, 80, 0, 0, 0, 0, 0);
    expect((await wire.next(8)).slice(0, 2)).toEqual([0, 91]);
    expect(proxy.hops).toMatchObject([{ target: '0.0.0.0:80', addressType: 'ipv4' }]);
  });

  test.each([
    ['an unknown name', 80, [0, 0, 0, 1, 0, 'api.example', 0]],
    ['port 9', 9, [...LOOPBACK, 0]],
  ])('refuses %s with 91', async (_, port, rest) => {
    const wire = await ask4(await use(startSocks()), port, ...rest);
    expect(await wire.next(8)).toEqual([0, 91, 0, 0, 0, 0, 0, 0]);
    expect(await wire.ended).toBe('fin');
  });

  test('refuses BIND and a port where nobody listens with 91', async () => {
    const proxy = await use(startSocks());
    const bind = (await use(Wire.to(proxy))).write(4, 2, 0, 80, ...LOOPBACK, 0);
    expect((await bind.next(8))[1]).toBe(91);
    expect((await (await ask4(proxy, await closedPort(), ...LOOPBACK, 0)).next(8))[1]).toBe(91);
  });

  const auth = { username: 'user', password: 'right' };
  test.each([
    ['the user id that it demands', { userId: 'me' }, 'me', true, 90],
    ['another user id', { userId: 'me' }, 'you', false, 93],
    ['no user id', { userId: 'me' }, '', false, 93],
    ['any user id, where a password is demanded', { auth }, 'user', false, 91],
    ['the user id, where a password is demanded too', { auth, userId: 'me' }, 'me', true, 90],
    ['another user id, where a password is demanded too', { auth, userId: 'me' }, 'you', false, 93],
  ])('given %s', async (_, options, userId, authorized, code) => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks(options))];
    const wire = await ask4(proxy, origin.port, ...LOOPBACK, userId, 0);
    expect((await wire.next(8))[1]).toBe(code);
    expect(proxy.hops).toMatchObject([{ userId, authorized, reply: code }]);
    expect(origin.connectionCount).toBe(authorized ? 1 : 0);
  });

  test('does not read a user id without end', async () => {
    const wire = await ask4(await use(startSocks()), 80, ...LOOPBACK, 'x'.repeat(5000));
    expect(await wire.ended).toBe('fin');
  });
});

describe('a SOCKS proxy', () => {
  test.each([
    [4, [5, 1, 0], [4, 1, 0, 9, ...LOOPBACK, 0], [0, 91]],
    [5, [4, 1, 0, 9, ...LOOPBACK, 0], [5, 1, 0], [5, 0]],
  ] as const)('that speaks only %i closes on the other', async (version, wrong, right, answer) => {
    const proxy = await use(startSocks({ versions: [version] }));
    const other = (await use(Wire.to(proxy))).write(...wrong);
    expect([await other.ended, other.text]).toEqual(['fin', '']);
    const own = (await use(Wire.to(proxy))).write(...right);
    expect(await own.next(2)).toEqual(answer);
    expect(proxy.hops.map((hop) => [hop.version, hop.sent > 0])).toEqual([
      [version === 4 ? 5 : 4, false],
      [version, true],
    ]);
  });

  test('waits, forgets, and closes with tunnels open', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks())];
    const [connected, asked] = [proxy.waitForConnections(2), proxy.waitForHops(1)];
    const wire = await ask5(proxy, origin.port);
    await wire.next(10);
    await use(Wire.to(proxy));
    await Promise.all([connected, asked]);
    expect([proxy.connectionCount, proxy.openSockets, proxy.openTunnels, proxy.hops.length]).toEqual([2, 2, 1, 1]);
    proxy.reset();
    expect([proxy.connectionCount, proxy.openSockets, proxy.openTunnels, proxy.hops.length]).toEqual([0, 2, 1, 0]);
    await Promise.all([proxy.close(), proxy.close()]);
    expect([proxy.openSockets, proxy.openTunnels]).toEqual([0, 0]);
    await Promise.all([wire.ended, origin.waitUntilIdle()]);
    await expect(Wire.to(proxy)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('answers a request after its delay', async () => {
    const proxy = await use(startSocks({ delay: 30 }));
    const asked = performance.now();
    await (await ask5(proxy, 9)).next(10);
    expect(performance.now() - asked).toBeGreaterThan(25);
  });

  test.each(['the client', 'the origin'])('lets nobody wait when %s breaks', async (who) => {
    const [origin, proxy] = [await use(startOrigin({ handler: () => undefined })), await use(startSocks())];
    const wire = await ask5(proxy, origin.port);
    await wire.next(10);
    wire.send('GET / HTTP/1.1', '');
    await origin.waitForRequests(1);
    if (who === 'the client') wire.socket.resetAndDestroy();
    else await origin.close();
    await Promise.all([wire.ended, proxy.waitUntilIdle(), origin.waitUntilIdle()]);
  });

  test('gives up a client that goes before its reply', async () => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks({ delay: 60_000 }))];
    const wire = await ask5(proxy, origin.port);
    while (proxy.hops[0]?.target === '') await wire.settled();
    wire.socket.end();
    await proxy.waitUntilIdle();
    expect([proxy.hops[0]?.reply, origin.connectionCount]).toEqual([null, 0]);
  });
});
