// In a file of its own: the warning that must not come is given once in a process, and would be told of this file.
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { reconnectWebSocket } from '@cloudlane/websocket';
import { expect, test } from '@jest/globals';
import { newTransport } from '../transport/lab.ts';
import { connect, expectNothingLeft, startEcho } from './lab.ts';

/** An origin that says more than an unheard WebSocket keeps. */
const startLoud = () =>
  startEcho('ws', {
    onSocket: (client) => {
      for (let count = 0; count < 100; count += 1) client.send(Buffer.alloc(16 * 1024));
    },
  });

test('who closes a WebSocket that is held back, and waits for its end, is warned of nothing', async () => {
  const echo = await startLoud();
  const socket = await connect(echo.url, { http_proxy: null });
  while (!socket.isPaused) await nextTurn();
  socket.close();
  const [code] = await once(socket, 'close');
  expect(code).toBe(1005);
});

test('nor is who leaves the loop of connections', async () => {
  const echo = await startLoud();
  const transport = newTransport();
  for await (const socket of reconnectWebSocket(echo.url, { transport, http_proxy: null })) {
    while (!socket.isPaused) await nextTurn();
    break;
  }
  await expectNothingLeft(transport, echo.origin);
});
