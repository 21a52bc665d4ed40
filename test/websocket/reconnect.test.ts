// One WebSocket after the other: how connections are handed out and left.
import { on, once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connectWebSocket, type RoutedWebSocket } from '@cloudlane/websocket';
import { describe, expect, jest, test } from '@jest/globals';
import { AUTH, failureOf, newTransport, proxy } from '../transport/lab.ts';
import { type EchoOrigin, echoOf, expectNothingLeft, nextMessage, startEcho } from './lab.ts';
import { counter, nextOf, noting, reconnect, reconnectBy, start, startLog, WAYS } from './reconnect-lab.ts';

const rows = (['ws', 'wss'] as const).flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));

describe.each(rows)('connections to a %s origin through the proxy "%s"', (scheme, way) => {
  test('follow each other when the origin has closed one, each fresh, and working', async () => {
    const { server, told } = await startLog(scheme);
    const [through, transport] = [await start(way), newTransport()];
    const seen = new Set<RoutedWebSocket>();
    for await (const socket of reconnect(server.url, { transport, http_proxy: through?.urlWithCredentials ?? null })) {
      seen.add(socket);
      expect(await echoOf(socket, 'größe')).toBe('größe');
      expect(transport.connections.map(({ state }) => state)).toEqual(['UPGRADED']);
      if (seen.size === 3) break;
      for (const client of server.clients) client.close(1012);
      expect(await once(socket, 'close')).toEqual([1012, expect.anything()]);
    }
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
    expect(told).toEqual(['1 opened', '1 closed 1012', '2 opened', '2 closed 1012', '3 opened', '3 closed 1005']);
    expect([server.origin.connectionCount, through?.hops.length ?? 3]).toEqual([3, 3]);
  });
});

describe('a connection that the loop has done with is closed', () => {
  test('before the next one is opened', async () => {
    const { server, told } = await startLog();
    const iterator = reconnect(server.url);
    const first = await nextOf(iterator);
    const second = await nextOf(iterator);
    expect([first.readyState, second.readyState]).toEqual([first.CLOSED, first.OPEN]);
    expect(told).toEqual(['1 opened', '1 closed 1005', '2 opened']);
  });

  const leave: Readonly<Record<string, (server: EchoOrigin) => Promise<unknown>>> = {
    break: async ({ url }) => {
      for await (const socket of reconnect(url, { transport })) if (socket.readyState === socket.OPEN) break;
    },
    throw: async ({ url }) => {
      const reason = new Error('of the loop');
      const loop = async (): Promise<void> => {
        for await (const _ of reconnect(url, { transport })) throw reason;
      };
      await expect(loop()).rejects.toBe(reason);
    },
    'return()': async ({ url }) => {
      const iterator = reconnect(url, { transport });
      await nextOf(iterator);
      expect(await iterator.return()).toEqual({ done: true, value: undefined });
      expect(await iterator.next()).toEqual({ done: true, value: undefined });
    },
    'throw()': async ({ url }) => {
      const iterator = reconnect(url, { transport });
      await nextOf(iterator);
      const reason = new Error('thrown in');
      await expect(iterator.throw(reason)).rejects.toBe(reason);
    },
    'a socket that the loop itself has closed': async ({ url }) => {
      for await (const socket of reconnect(url, { transport })) {
        socket.close();
        await once(socket, 'close');
        break;
      }
    },
  };
  let transport = newTransport();

  test.each(Object.keys(leave))('with a proper handshake: %s', async (how) => {
    transport = newTransport();
    const { server, told } = await startLog();
    await leave[how]?.(server);
    // No more than the origin's own end is still to be heard of.
    expect(transport.connections).toEqual([]);
    await expectNothingLeft(transport, server.origin);
    expect(told).toEqual(['1 opened', '1 closed 1005']);
  });

  test('though the loop has paused it: the origin’s answer is read', async () => {
    const { server, told } = await startLog();
    const transport = newTransport();
    const iterator = reconnect(server.url, { transport });
    const socket = await nextOf(iterator);
    socket.pause();
    const forced = jest.spyOn(socket, 'terminate');
    await iterator.return();
    expect([socket.closeCode, forced.mock.calls]).toEqual([1005, []]);
    await expectNothingLeft(transport, server.origin);
    expect(told).toEqual(['1 opened', '1 closed 1005']);
  });

  test('though an origin never answers to that: then by force', async () => {
    const [came, transport] = [[] as Buffer[], newTransport()];
    const silent = await startEcho('ws', {
      // Its ws does not read, and so does not answer; what comes is looked at beside it.
      onSocket: (client) => client.pause(),
    });
    const iterator = reconnect(silent.url, { transport });
    await nextOf(iterator);
    await iterator.return();
    expect(transport.connections).toEqual([]);
    for (const client of silent.clients) {
      const closed = once(client, 'close');
      client.resume();
      // The closing frame had come; nothing could be sent back.
      came.push(Buffer.from(String((await closed)[0])));
    }
    expect(came.map(String)).toEqual(['1005']);
    await expectNothingLeft(transport, silent.origin);
  });

  test('and an iterator that nobody has asked for a connection opens none', async () => {
    const { server } = await startLog();
    const iterator = reconnect(server.url);
    await iterator.return();
    expect([await iterator.next(), server.origin.connectionCount]).toEqual([{ done: true, value: undefined }, 0]);
  });
});

test('messages that come before the loop listens are not lost', async () => {
  const number = counter();
  const server = await startEcho('ws', {
    onSocket: (client) => {
      for (let index = 0; index < 3; index += 1) client.send(String(number()));
      client.once('message', () => client.close(1001));
    },
  });
  const seen: string[] = [];
  for await (const socket of reconnect(server.url)) {
    socket.send('that is all');
    await server.origin.waitUntilIdle();
    for await (const [data] of on(socket, 'message', { close: ['close'] })) seen.push(String(data));
    if (seen.length >= 9) break;
  }
  expect(seen).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9']);
});

test('a function opens each connection, and goes on where the last one ended; its signal is aborted with the loop’s end', async () => {
  const server = await startEcho('ws', {
    onSocket: (client, { url = '' }) => {
      const since = Number(new URL(url, 'ws://origin.example').searchParams.get('since'));
      client.send(String(since + 1));
    },
  });
  const transport = newTransport();
  const signals: AbortSignal[] = [];
  let last = 0;
  const open = (signal: AbortSignal): Promise<RoutedWebSocket> => {
    signals.push(signal);
    return connectWebSocket(`${server.url}/?since=${last}`, { transport, http_proxy: null, signal });
  };
  for await (const socket of reconnectBy(open)) {
    expect(signals.map(({ aborted }) => aborted)).toEqual(signals.map(() => false));
    last = Number(await nextMessage(socket));
    if (last === 4) break;
  }
  expect(server.origin.requests.map(({ target }) => target)).toEqual([0, 1, 2, 3].map((since) => `/?since=${since}`));
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true, true]);
  await expectNothingLeft(transport, server.origin);
});

test('several at once do not know of each other', async () => {
  const { server } = await startLog('wss');
  const [through, transport, controller] = [
    await proxy('https', { auth: AUTH }),
    newTransport(),
    new AbortController(),
  ];
  const options = { transport, http_proxy: through.urlWithCredentials };
  const iterators = Array.from({ length: 12 }, (_, index) =>
    reconnect(server.url, { ...options, ...(index === 0 && { signal: controller.signal }) }),
  );
  const [doomed, ...others] = await Promise.all(iterators.map(nextOf));
  controller.abort('enough');
  await expect(iterators[0]?.next()).rejects.toBe('enough');
  expect([doomed?.readyState, ...others.map(({ readyState }) => readyState)]).toEqual([3, ...Array(11).fill(1)]);
  await iterators[1]?.return();
  const seconds = await Promise.all(iterators.slice(2).map(nextOf));
  expect(await Promise.all(seconds.map((socket, index) => echoOf(socket, String(index))))).toEqual(
    seconds.map((_, index) => String(index)),
  );
  expect(transport.connections).toHaveLength(10);
  await Promise.all(iterators.map((iterator) => iterator.return()));
  await expectNothingLeft(transport, server.origin, through);
});

test('one that is asked for several connections at once opens one after the other', async () => {
  const { server, told } = await startLog();
  const iterator = reconnect(server.url);
  const [first, second] = await Promise.all([nextOf(iterator), nextOf(iterator)]);
  expect([first.readyState, second.readyState]).toEqual([3, 1]);
  await nextTurn();
  expect(told).toEqual(['1 opened', '1 closed 1005', '2 opened']);
});

test('a function that fails is told as it is, not worth another try', async () => {
  const reason = new Error('no token');
  const { failures, onFailure } = noting(() => undefined);
  const iterator = reconnectBy(() => Promise.reject(reason), { onFailure });
  expect(await failureOf(iterator.next(), Error)).toBe(reason);
  expect(failures).toEqual([{ error: reason, failures: 1, delay: 0, isTransient: false }]);
});
