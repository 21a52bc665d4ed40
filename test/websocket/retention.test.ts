import { setImmediate as nextTurn } from 'node:timers/promises';
import { Connection } from '@cloudlane/connection';
import { expect, test } from '@jest/globals';
import { collectGarbage } from '../support/garbage.ts';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, newTransport, proxy } from '../transport/lab.ts';
import { connect, echoOf, startEcho } from './lab.ts';

/** Whether it is gone, given time and no other reason to stay. */
async function isCollected(reference: WeakRef<object>): Promise<boolean> {
  for (let turns = 0; turns < 50 && reference.deref() !== undefined; turns += 1) {
    await nextTurn();
    collectGarbage();
  }
  return reference.deref() === undefined;
}

test.each(['direct', 'through a proxy'])('an open WebSocket keeps nothing of its opening: %s', async (way) => {
  const [echo, through] = [await startEcho('wss'), await proxy('https', { auth: AUTH })];
  const http_proxy = way === 'direct' ? null : through.urlWithCredentials;
  const transport = newTransport();
  const open = async (): Promise<[Awaited<ReturnType<typeof connect>>, WeakRef<object>]> => {
    // The request knows its signal; who keeps one keeps the other, headers and all.
    const { signal } = new AbortController();
    const headers = { Authorization: `Bearer ${SECRETS.token}` };
    return [await connect(echo.url, { transport, http_proxy, headers, signal }), new WeakRef(signal)];
  };
  const [socket, signal] = await open();
  expect(await isCollected(signal)).toBe(true);
  expect(await echoOf(socket, 'still open')).toBe('still open');
});

test('nor does one of a connection', async () => {
  const echo = await startEcho('wss');
  const transport = newTransport();
  const connection = new Connection({ baseUrl: echo.origin.url, transport, http_proxy: null });
  const open = async () => {
    const { signal } = new AbortController();
    return [await connection.openWebSocket('/', { signal }), new WeakRef(signal)] as const;
  };
  const [socket, signal] = await open();
  expect(await isCollected(signal)).toBe(true);
  expect(await echoOf(socket, 'still open')).toBe('still open');
  socket.terminate();
});
