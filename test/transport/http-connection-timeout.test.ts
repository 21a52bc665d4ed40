// One connection: deadlines that are set at the start or at any moment later, and signals.
import dns from 'node:dns';
import { getEventListeners } from 'node:events';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import { blackHole, type Misbehaviour, type OriginHandler } from '@cloudlane/testing';
import { type HttpConnection, TimeoutError, type Timeouts } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, failureOf, newTransport, origin, proxy, type Scheme, use } from './lab.ts';

/** Long enough for a handshake on a busy machine, short enough to wait for. */
const SHORT = 120;
/** Longer than any of the others. */
const LONG = 400;
const direct = { http_proxy: null } as const;

const silent: OriginHandler = () => {};
const slow: OriginHandler = (_, response) => void setTimeout(() => response.end('late'), LONG);
const half: OriginHandler = (_, response) => void response.writeHead(200, { 'Content-Length': 100 }).write('half');
/** Ten bytes, each well within SHORT of the one before, all of them not. */
const trickle: OriginHandler = (_, response) => {
  let sent = 0;
  const timer = setInterval(() => {
    response.write('x');
    sent += 1;
    if (sent === 10) response.end();
  }, SHORT / 4);
  response.on('close', () => clearInterval(timer));
};

async function ask(connection: HttpConnection): Promise<string> {
  await connection.request('GET', '/');
  return text((await connection.getResponse()).body);
}

describe('U3 a deadline for connecting', () => {
  const steps = [
    ['connect()', (connection: HttpConnection) => connection.connect()],
    ['request()', (connection: HttpConnection) => connection.request('GET', '/')],
  ] as const;
  const ways = [
    ['given', (url: string, timeout: number | Timeouts) => newTransport().open(url, { ...direct, timeout })],
    [
      'set',
      (url: string, timeout: number | Timeouts) =>
        Object.assign(newTransport({ timeout: 1 }).open(url, direct), { timeout: 0 }, { timeout }),
    ],
  ] as const;
  const both = ways.flatMap(([how, open]) => steps.map(([step, run]) => ({ how, open, step, run })));

  test.each(both)('$how covers TCP at $step', async ({ open, run }) => {
    const hole = await use(blackHole());
    for (const timeout of [{ connect: SHORT }, SHORT]) {
      const connection = open(`http://${hole.host}:${hole.port}`, timeout);
      const deadline = typeof timeout === 'number' ? 'total' : 'connect';
      const error = await failureOf(run(connection), TimeoutError);
      expect(error).toMatchObject({ deadline, milliseconds: SHORT, phase: 'origin-connect' });
      expect(connection.isClosed).toBe(true);
    }
  });

  test.each(both)('$how covers the name look-up at $step', async ({ open, run }) => {
    const { lookup } = dns;
    Object.assign(dns, { lookup: () => {} });
    await use({ [Symbol.asyncDispose]: async () => void Object.assign(dns, { lookup }) });
    for (const timeout of [{ connect: SHORT }, SHORT]) {
      const connection = open('http://slow.example', timeout);
      expect(await failureOf(run(connection), TimeoutError)).toMatchObject({ phase: 'origin-dns' });
      expect(connection.isClosed).toBe(true);
    }
  });

  test.each<[string, Scheme, Misbehaviour, string]>([
    ['TLS with the proxy', 'https', { kind: 'mute' }, 'proxy-tls'],
    ['CONNECT', 'http', { kind: 'hang' }, 'proxy-handshake'],
    ['CONNECT, answered byte by byte', 'http', { kind: 'drip', interval: 10 }, 'proxy-handshake'],
    ['TLS with the origin', 'http', { kind: 'silent-tunnel' }, 'origin-tls'],
  ])('covers %s', async (_, via, misbehaviour, phase) => {
    const through = await proxy(via, { misbehaviour });
    for (const { open, run } of both) {
      for (const timeout of [{ handshake: SHORT }, SHORT]) {
        const connection = open(through.url, timeout).setTunnel('a.example');
        const deadline = typeof timeout === 'number' ? 'total' : 'handshake';
        expect(await failureOf(run(connection), TimeoutError)).toMatchObject({ deadline, milliseconds: SHORT, phase });
        await through.waitUntilIdle();
      }
    }
  });
});

test('U3 a deadline that was kept holds nobody up', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const server = await origin();
  const connection = newTransport().open(server.url, { ...direct, timeout: 60_000 });
  const before = timers();
  const connecting = connection.connect();
  expect(timers()).toBeGreaterThan(before);
  await connecting;
  expect(timers()).toBe(before);
});

describe('U10 the timeout', () => {
  test('can be read, and set as a whole or in part; what is none is refused', async () => {
    const connection = newTransport({ timeout: { idle: 7 } }).open('http://a.example', { timeout: { connect: 5 } });
    const before = connection.timeout;
    expect(before).toEqual({ connect: 5, handshake: 15_000, firstByte: 60_000, idle: 7, total: 0 });
    connection.timeout = { firstByte: 3 };
    connection.timeout = 9;
    expect(connection.timeout).toEqual({ ...before, firstByte: 3, total: 9 });
    for (const wrong of [-1, Number.NaN, { read: 5 }, { idle: 'x' }, null] as number[]) {
      const set = async () => {
        connection.timeout = wrong;
      };
      await failureOf(set(), InvalidOptionError);
    }
    expect(connection.timeout).toEqual({ ...before, firstByte: 3, total: 9 });
    expect(before.total).toBe(0);
  });

  test.each<[string, number | Timeouts, string]>([
    ['the first byte', { firstByte: SHORT }, 'firstByte'],
    ['everything', SHORT, 'total'],
  ])('can become one for %s once it is connected', async (_, timeout, deadline) => {
    const server = await origin('https', { handler: silent });
    const transport = newTransport();
    const connection = transport.open(server.url, direct);
    await connection.connect();
    connection.timeout = timeout;
    await connection.request('GET', '/');
    expect(await failureOf(connection.getResponse(), TimeoutError)).toMatchObject({
      deadline,
      milliseconds: SHORT,
      phase: 'response',
    });
    expect(connection.isClosed).toBe(true);
    await expectNothingLeft(transport, server);
  });

  test('can be shortened between a request and its answer', async () => {
    const server = await origin('http', { handler: silent });
    const connection = newTransport().open(server.url, direct);
    await connection.request('GET', '/');
    const failure = failureOf(connection.getResponse(), TimeoutError);
    connection.timeout = { firstByte: SHORT };
    expect(await failure).toMatchObject({ deadline: 'firstByte', milliseconds: SHORT });
  });

  test.each([0, 60_000])('can be lengthened between a request and its answer, to %i', async (firstByte) => {
    const server = await origin('http', { handler: slow });
    const connection = newTransport().open(server.url, { ...direct, timeout: { firstByte: SHORT } });
    await connection.request('GET', '/');
    connection.timeout = { firstByte };
    expect(await text((await connection.getResponse()).body)).toBe('late');
    connection.timeout = { firstByte: SHORT };
    await failureOf(ask(connection), TimeoutError);
  });

  test('can be changed while a body comes', async () => {
    const server = await origin('http', { handler: half });
    const connection = newTransport().open(server.url, direct);
    await connection.request('GET', '/');
    const { body } = await connection.getResponse();
    const failure = failureOf(text(body), TimeoutError);
    connection.timeout = { idle: SHORT };
    expect(await failure).toMatchObject({ deadline: 'idle', phase: 'body' });
  });

  test('of silence spares a body that trickles, the total one does not', async () => {
    const server = await origin('http', { handler: trickle });
    const connection = newTransport().open(server.url, { ...direct, timeout: { idle: SHORT } });
    expect(await ask(connection)).toBe('x'.repeat(10));
    connection.timeout = SHORT;
    expect(await failureOf(ask(connection), TimeoutError)).toMatchObject({ deadline: 'total', phase: 'body' });
    connection.timeout = 0;
    expect(await ask(connection)).toBe('x'.repeat(10));
    expect(server.connectionCount).toBe(2);
  });
});

describe('a signal', () => {
  const reason = new Error('enough');

  test.each<[string, Misbehaviour, OriginHandler, 'connect' | 'answer' | 'body']>([
    ['CONNECT', { kind: 'hang' }, silent, 'connect'],
    ['TLS with the origin', { kind: 'silent-tunnel' }, silent, 'connect'],
    ['the wait for an answer', { kind: 'status', status: 200 }, silent, 'answer'],
    ['a body', { kind: 'status', status: 200 }, half, 'body'],
  ])('ends %s, and the connection', async (_, misbehaviour, handler, until) => {
    const server = await origin('https', { handler });
    const through = await proxy('http', { misbehaviour });
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: through.url });
    const runs: ((signal: AbortSignal) => Promise<unknown>)[] = [
      async (signal) => {
        await connection.request('GET', '/', { signal });
        return text((await connection.getResponse()).body);
      },
      ...(until === 'connect' ? [(signal: AbortSignal) => connection.connect({ signal })] : []),
    ];
    for (const [index, run] of runs.entries()) {
      const controller = new AbortController();
      const failure = run(controller.signal).catch((error: unknown) => error);
      await (until === 'connect' ? through.waitForHops(index + 1) : server.waitForRequests(1));
      controller.abort(reason);
      expect(await failure).toBe(reason);
      expect([connection.isConnected, connection.isClosed]).toEqual([false, true]);
      expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
      await expectNothingLeft(transport, through);
    }
  });

  test('that is given already opens nothing, and costs nothing', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, direct);
    const signal = AbortSignal.abort(reason);
    await expect(connection.connect({ signal })).rejects.toBe(reason);
    await expect(connection.request('GET', '/', { signal })).rejects.toBe(reason);
    expect(server.connectionCount).toBe(0);
    await ask(connection);
    await expect(connection.request('GET', '/', { signal })).rejects.toBe(reason);
    await ask(connection);
    expect(server.connectionCount).toBe(1);
  });

  test('is left alone once a connection is open', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, direct);
    const controller = new AbortController();
    await connection.connect({ signal: controller.signal });
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    controller.abort(reason);
    await ask(connection);
    expect(server.connectionCount).toBe(1);
  });
});

describe('the total deadline of a request under way', () => {
  test('can be shortened', async () => {
    const server = await origin('http', { handler: () => {} });
    const connection = newTransport().open(server.url, { http_proxy: null });
    await connection.request('GET', '/');
    const failure = failureOf(connection.getResponse(), TimeoutError);
    connection.timeout = 100;
    expect(await failure).toMatchObject({ deadline: 'total', milliseconds: 100 });
  });

  test('can be lengthened', async () => {
    const server = await origin('http', {
      handler: (_, response) => void setTimeout(() => response.end('late'), 400),
    });
    const connection = newTransport().open(server.url, { http_proxy: null, timeout: 200 });
    await connection.request('GET', '/');
    connection.timeout = 0;
    expect(await text((await connection.getResponse()).body)).toBe('late');
  });

  test('is told by getResponse() also if it has passed before the call', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, { ...direct, timeout: { total: 100 } });
    await connection.request('HEAD', '/');
    await new Promise((resolve) => setTimeout(resolve, LONG));
    expect(await failureOf(connection.getResponse(), TimeoutError)).toMatchObject({ deadline: 'total' });
  });
});
