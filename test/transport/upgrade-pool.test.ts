// What an upgraded connection is to the transport that opened it: its pool, its ends, its deadlines. See upgrade.test.ts.
import { getEventListeners, once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { OriginOptions } from '@cloudlane/testing';
import { ClosedError, TimeoutError, type Transport, type UpgradeRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { newGate } from '../support/gate.ts';
import { expectNothingLeft, failureOf, newTransport, origin, proxy, until } from './lab.ts';
import { listen } from './listen.ts';
import { openWay, WAYS } from './ways.ts';

const SWITCHED = 'HTTP/1.1 101 Now tcp\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';

/** Sends everything back; `/silent` gets no answer, and whoever asks for no upgrade gets `ok`. */
const ECHO: OriginOptions = {
  handler: (_, response) => void response.end('ok'),
  upgrade: ({ url }, socket) => {
    socket.on('error', () => {});
    if (url === '/silent') return void socket.resume().on('end', () => socket.end());
    socket.write(SWITCHED);
    socket.pipe(socket);
  },
};

/** Opens the protocol `tcp`. */
async function upgrade(transport: Transport, request: UpgradeRequest): Promise<Duplex> {
  const opened: Duplex[] = [];
  const { request: begin } = /^(https|wss):/.test(String(request.url)) ? https : http;
  const { status } = await transport.upgrade(request, (options) =>
    begin({ ...options, headers: { ...options.headers, Connection: 'Upgrade', Upgrade: 'tcp' } }).once(
      'upgrade',
      (_, socket: Duplex) => opened.push(socket),
    ),
  );
  const [socket] = opened;
  if (socket === undefined) throw new TypeError(`status ${status}, and no socket`);
  return socket;
}

/** It still carries bytes both ways. */
async function expectOpen(socket: Duplex): Promise<void> {
  const echoed = once(socket, 'data');
  socket.write('alive?');
  expect(String(await echoed)).toBe('alive?');
}

async function send(transport: Transport, request: UpgradeRequest): Promise<string> {
  return text((await transport.send(request)).body);
}

const states = ({ connections }: Transport): string[] => connections.map(({ state }) => state);

describe.each(WAYS)('upgraded connections to an %s origin by %s', (scheme, via) => {
  test('are fresh, also beside an idle one, and not counted by maxSockets', async () => {
    const { first, request } = await openWay(scheme, via, { origin: ECHO });
    const transport = newTransport({ maxSockets: 2, tunnelHttp: true });
    expect(await send(transport, request)).toBe('ok');
    await until(() => states(transport)[0] === 'IDLE');
    const sockets = [await upgrade(transport, request)];
    expect([states(transport), first.connectionCount]).toEqual([['UPGRADED', 'IDLE'], 2]);
    for (let more = 0; more < 4; more += 1) sockets.push(await upgrade(transport, request));
    expect(await send(transport, request)).toBe('ok');
    expect(states(transport).filter((state) => state === 'UPGRADED')).toHaveLength(5);
    // The idle one is still the one for requests.
    expect(first.connectionCount).toBe(6);
    for (const socket of sockets) await expectOpen(socket);
    for (const socket of sockets) socket.destroy();
    await until(() => states(transport).join() === 'IDLE');
  });

  test('leave their place to others, with maxSockets: 1', async () => {
    const { first, request } = await openWay(scheme, via, { origin: ECHO });
    const transport = newTransport({ maxSockets: 1, tunnelHttp: true });
    const sockets = [];
    // Each finds the place taken by an idle connection, which it may not use.
    for (let round = 0; round < 3; round += 1) {
      sockets.push(await upgrade(transport, request));
      expect(await send(transport, request)).toBe('ok');
    }
    for (const socket of sockets) await expectOpen(socket);
    await transport.close();
    await expectNothingLeft(transport, first);
  });

  test('serve those that wait in the queue, the moment they are upgraded', async () => {
    const gate = newGate();
    const { server, request } = await openWay(scheme, via, {
      origin: {
        ...ECHO,
        upgrade: async (_, socket) => {
          await gate.opened;
          socket.write(SWITCHED);
          socket.pipe(socket);
        },
      },
    });
    const transport = newTransport({ maxSockets: 1, tunnelHttp: true });
    const first = upgrade(transport, request);
    await server.waitForRequests(1);
    const others = [upgrade(transport, request), send(transport, request), upgrade(transport, request)] as const;
    expect([transport.connections.length, server.connectionCount]).toEqual([1, 1]);
    gate.open();
    const [second, answer, third] = await Promise.all(others);
    expect(answer).toBe('ok');
    for (const socket of [await first, second, third]) await expectOpen(socket);
  });

  test('are left alone by closeIdle and retire, and ended by close, which the other end sees', async () => {
    const { server, first, request } = await openWay(scheme, via, { origin: ECHO });
    const transport = newTransport({ idleTimeout: 1 });
    const sockets = [await upgrade(transport, request), await upgrade(transport, request)];
    transport.closeIdle();
    transport.closeIdle(new Set(transport.connections.map(({ id }) => id)));
    transport.retire(request.http_proxy);
    for (const socket of sockets) await expectOpen(socket);
    const ended = Promise.all(sockets.map((socket) => once(socket, 'close')));
    await transport.close();
    expect([transport.connections, sockets.map(({ destroyed }) => destroyed)]).toEqual([[], [true, true]]);
    await ended;
    await Promise.all([server.waitUntilIdle(), first.waitUntilIdle()]);
  });

  // A connection of HTTP is kept readable for a moment then, or for as long as its reader pauses: see broken-pipe.ts.
  test('tell at once that the other end is gone, also while nothing is read', async () => {
    const { first, request } = await openWay(scheme, via, {
      origin: { upgrade: (_, socket) => void socket.on('error', () => {}).write(SWITCHED + 'x'.repeat(4_000_000)) },
    });
    const socket = (await upgrade(newTransport(), request)).pause();
    await until(() => socket.readableLength >= socket.readableHighWaterMark);
    const failed = once(socket, 'error');
    await first.close();
    while (!socket.destroyed) await new Promise((resolve) => socket.write('x'.repeat(1000), resolve));
    const [error] = await failed;
    expect(['EPIPE', 'ECONNRESET']).toContain(error.code);
  });
});

test('their end frees no second place of those that maxSockets allows', async () => {
  const gate = newGate();
  const handler = async (_: unknown, response: http.ServerResponse): Promise<void> => {
    await gate.opened;
    response.end('ok');
  };
  const { server, request } = await openWay('https', 'http', { origin: { ...ECHO, handler } });
  const transport = newTransport({ maxSockets: 2 });
  const answers = [send(transport, request)];
  await server.waitForRequests(1);
  const socket = await upgrade(transport, request);
  socket.destroy();
  await until(() => states(transport).join() === 'ACTIVE');
  answers.push(send(transport, request), send(transport, request));
  expect(transport.connections).toHaveLength(2);
  gate.open();
  expect(await Promise.all(answers)).toEqual(['ok', 'ok', 'ok']);
});

test('after close() none is begun', async () => {
  const transport = newTransport();
  await transport.close();
  const { told } = listen('request:start');
  const begin = (): never => {
    throw new Error('was begun');
  };
  await failureOf(transport.upgrade({ url: 'ws://origin.example', http_proxy: null }, begin), ClosedError);
  expect(told).toEqual([]);
});

// The second, asked later, never gets an answer: when its deadline has passed, so have those of the first.
test.each([
  ['total', ['total']],
  ['firstByte', ['firstByte']],
  // Until an answer comes, silence is for firstByte.
  ['firstByte', ['idle', 'firstByte']],
] as const)('timeout.%s ends a handshake without an answer; %j do not reach into the protocol', async (ends, names) => {
  const { first, server, request } = await openWay('https', 'http', { origin: ECHO });
  const transport = newTransport();
  const timed = { ...request, timeout: Object.fromEntries(names.map((name) => [name, 150])) };
  const socket = await upgrade(transport, timed);
  const silences: string[] = [];
  socket.on('timeout', () => silences.push('timeout'));
  const hanging = upgrade(transport, { ...timed, url: `${request.url}/silent` });
  const expected = { deadline: ends, milliseconds: 150, phase: 'response' };
  expect(await failureOf(hanging, TimeoutError)).toMatchObject(expected);
  await until(() => states(transport).join() === 'UPGRADED');
  expect(silences).toEqual([]);
  await expectOpen(socket);
  await transport.close();
  await expectNothingLeft(transport, server, first);
});

test.each([
  ['handshake', 'proxy-handshake'],
  ['total', 'proxy-handshake'],
] as const)('timeout.%s ends a dial that hangs', async (deadline, phase) => {
  const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
  const transport = newTransport({ timeout: { [deadline]: 100 } });
  const asked = upgrade(transport, { url: 'ws://origin.example', http_proxy: through.url });
  expect(await failureOf(asked, TimeoutError)).toMatchObject({ deadline, phase });
  await expectNothingLeft(transport, through);
});

test('timeout.total counts from startedAt, and while the upgrade waits in the queue', async () => {
  const server = await origin('http', ECHO);
  const transport = newTransport({ maxSockets: 1 });
  const silent = { url: `${server.url}/silent`, http_proxy: null };
  const ahead = failureOf(upgrade(transport, silent), ClosedError);
  await server.waitForRequests(1);
  const startedAt = performance.now() - 3_600_000;
  const error = await failureOf(upgrade(transport, { ...silent, startedAt, timeout: 3_500_000 }), TimeoutError);
  expect(error.message).toContain('waiting for a free connection took longer');
  await transport.close();
  await ahead;
});

describe.each(['signal', 'close'] as const)('an upgrade is ended by %s', (means) => {
  const reason = new Error('enough');

  /** Ends what is under way, and sees it end. */
  async function expectEnded(transport: Transport, request: UpgradeRequest, reached: () => Promise<unknown>) {
    const controller = new AbortController();
    const asked = upgrade(transport, { ...request, signal: controller.signal });
    const failed = means === 'close' ? failureOf(asked, ClosedError) : expect(asked).rejects.toBe(reason);
    await reached();
    if (means === 'close') await transport.close();
    else controller.abort(reason);
    await failed;
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  }

  test('while the proxy is asked for a tunnel', async () => {
    const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
    const transport = newTransport();
    const request = { url: 'wss://origin.example', http_proxy: through.url };
    await expectEnded(transport, request, () => through.waitForHops(1));
    await expectNothingLeft(transport, through);
  });

  test.each(WAYS)('while an %s origin, by %s, does not answer', async (scheme, via) => {
    const { server, first, request } = await openWay(scheme, via, { origin: ECHO });
    const transport = newTransport();
    await expectEnded(transport, { ...request, url: `${request.url}/silent` }, () => server.waitForRequests(1));
    await expectNothingLeft(transport, server, first);
  });

  test('while it waits in the queue', async () => {
    const server = await origin('http', ECHO);
    const transport = newTransport({ maxSockets: 1 });
    const silent = { url: `${server.url}/silent`, http_proxy: null };
    const ahead = failureOf(upgrade(transport, silent), ClosedError);
    await server.waitForRequests(1);
    await expectEnded(transport, silent, async () => {});
    expect(server.requests).toHaveLength(1);
    await transport.close();
    await ahead;
  });
});

test('a signal that is aborted before has nothing opened, and one that is aborted after has no effect', async () => {
  const server = await origin('http', ECHO);
  const transport = newTransport();
  const request = { url: server.url, http_proxy: null };
  const reason = new Error('too late');
  await expect(upgrade(transport, { ...request, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(server.connectionCount).toBe(0);
  const controller = new AbortController();
  const socket = await upgrade(transport, { ...request, signal: controller.signal });
  expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  controller.abort();
  await expectOpen(socket);
});

// With ws, and through proxies: see agents-ws.test.ts.
test.each(['http', 'https'] as const)('what another client upgrades is its own: %s origin', async (scheme) => {
  const server = await origin(scheme, ECHO);
  const transport = newTransport({ maxSockets: 1 });
  const headers = { Connection: 'Upgrade', Upgrade: 'tcp' };
  const options = { agent: transport.agents({ http_proxy: null })[scheme], headers };
  const [, socket] = await once((scheme === 'https' ? https : http).get(server.url, options), 'upgrade');
  expect(transport.connections).toEqual([]);
  await transport.close();
  await expectOpen(socket);
  socket.destroy();
  await server.waitUntilIdle();
});
