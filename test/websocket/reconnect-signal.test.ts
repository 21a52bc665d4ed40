// A signal ends the iteration over WebSockets, whatever it is doing.
import { once } from 'node:events';
import { connectWebSocket } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { newGate } from '../support/gate.ts';
import { newTransport, origin } from '../transport/lab.ts';
import { answer, echoOf, expectNothingLeft, startEcho } from './lab.ts';
import { FOREVER, nextOf, noting, reconnect, reconnectBy, start, startLog, WAYS } from './reconnect-lab.ts';

describe('a signal ends the iteration with its reason', () => {
  const REASON = { what: 'enough' };

  test('that was aborted before', async () => {
    const { server } = await startLog();
    const iterator = reconnect(server.url, { signal: AbortSignal.abort(REASON) });
    await expect(iterator.next()).rejects.toBe(REASON);
    expect([await iterator.next(), server.origin.connectionCount]).toEqual([{ done: true, value: undefined }, 0]);
  });

  test('that was aborted before: a function is not called', async () => {
    const called: unknown[] = [];
    const open = (signal: AbortSignal | undefined): Promise<never> => {
      called.push(signal);
      return Promise.reject(new Error('was called'));
    };
    await expect(reconnectBy(open, { signal: AbortSignal.abort(REASON) }).next()).rejects.toBe(REASON);
    expect(called).toEqual([]);
  });

  test.each(WAYS)('while a connection is opened through the proxy "%s"', async (way) => {
    const [through, transport, controller] = [await start(way), newTransport(), new AbortController()];
    const server = await origin('http', {
      upgrade: (_, socket) => void socket.once('end', () => socket.end()).resume(),
    });
    const url = server.url.replace('http', 'ws');
    const { failures, onFailure } = noting();
    const options = {
      transport,
      http_proxy: through?.urlWithCredentials ?? null,
      signal: controller.signal,
      onFailure,
    };
    const opening = reconnect(url, options).next();
    await server.waitForRequests(1);
    controller.abort(REASON);
    await expect(opening).rejects.toBe(REASON);
    await expectNothingLeft(transport, server, ...(through ? [through] : []));
    expect([failures, server.connectionCount]).toEqual([[], 1]);
  });

  test('in a pause after a failure', async () => {
    const server = await startEcho('ws', { instead: () => answer(503) });
    const [transport, controller] = [newTransport(), new AbortController()];
    const iterator = reconnect(server.url, {
      transport,
      signal: controller.signal,
      onFailure: () => {
        setImmediate(() => controller.abort(REASON));
        return FOREVER;
      },
    });
    await expect(iterator.next()).rejects.toBe(REASON);
    await expectNothingLeft(transport, server.origin);
    expect(server.origin.connectionCount).toBe(1);
  });

  test('in a pause after a connection', async () => {
    const { server, told } = await startLog();
    const [transport, controller] = [newTransport(), new AbortController()];
    const iterator = reconnect(server.url, {
      transport,
      signal: controller.signal,
      initialDelay: FOREVER,
      maxDelay: FOREVER,
    });
    await nextOf(iterator);
    const next = iterator.next();
    await server.origin.waitUntilIdle();
    controller.abort(REASON);
    await expect(next).rejects.toBe(REASON);
    expect(told).toEqual(['1 opened', '1 closed 1005']);
    await expectNothingLeft(transport, server.origin);
  });

  test('while onFailure thinks, though it never comes to an end', async () => {
    const server = await startEcho('ws', { instead: () => answer(503) });
    const [controller, asked] = [new AbortController(), newGate()];
    const onFailure = (): Promise<number> => {
      asked.open();
      return new Promise(() => {});
    };
    const next = reconnect(server.url, { signal: controller.signal, onFailure }).next();
    await asked.opened;
    controller.abort(REASON);
    await expect(next).rejects.toBe(REASON);
    expect(server.origin.connectionCount).toBe(1);
  });

  test.each(WAYS)('while the loop has a connection through the proxy "%s", which ends', async (way) => {
    const { server, told } = await startLog('wss');
    const [through, transport, controller] = [await start(way), newTransport(), new AbortController()];
    const messages: string[] = [];
    const loop = async (): Promise<void> => {
      const { signal } = controller;
      const http_proxy = through?.urlWithCredentials ?? null;
      for await (const socket of reconnect(server.url, { transport, http_proxy, signal })) {
        messages.push(String(await echoOf(socket, 'hello')));
        setImmediate(() => controller.abort(REASON));
        expect(await once(socket, 'close')).toEqual([1006, expect.anything()]);
      }
    };
    await expect(loop()).rejects.toBe(REASON);
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
    expect([messages, told]).toEqual([['hello'], ['1 opened', '1 closed 1006']]);
  });

  test('but not a connection that the loop has left', async () => {
    const { server } = await startLog();
    const controller = new AbortController();
    const iterator = reconnect(server.url, { signal: controller.signal });
    await nextOf(iterator);
    await iterator.return();
    controller.abort(REASON);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  test('and a function that opens one nevertheless has it ended', async () => {
    const { server, told } = await startLog();
    const [transport, controller] = [newTransport(), new AbortController()];
    const iterator = reconnectBy(
      async () => {
        const socket = await connectWebSocket(server.url, { transport, http_proxy: null });
        controller.abort(REASON);
        return socket;
      },
      { signal: controller.signal },
    );
    await expect(iterator.next()).rejects.toBe(REASON);
    await expectNothingLeft(transport, server.origin);
    expect(told).toEqual(['1 opened', '1 closed 1006']);
  });
});
