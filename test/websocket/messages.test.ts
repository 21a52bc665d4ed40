import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { AUTH, newTransport, proxy } from '../transport/lab.ts';
import { closeOf, connect, echoOf, expectNothingLeft, startEcho } from './lab.ts';

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

test('a loop gives every message, text as a string and bytes as a Buffer, and ends with the WebSocket', async () => {
  const echo = await startEcho('wss', {
    onSocket: (client) => {
      client.send('größe');
      client.send(Buffer.from([0, 255]));
      client.send('');
      client.close(4001, 'that was it');
    },
  });
  const through = await proxy('http', { auth: AUTH });
  const transport = newTransport();
  const socket = await connect(echo.url, { transport, http_proxy: through.urlWithCredentials });
  expect([socket.closeCode, socket.closeReason]).toEqual([null, null]);
  const seen: (string | Buffer)[] = [];
  for await (const message of socket) seen.push(message);
  expect(seen).toEqual(['größe', Buffer.from([0, 255]), '']);
  expect([socket.closeCode, socket.closeReason]).toEqual([4001, 'that was it']);
  await expectNothingLeft(transport, echo.origin, through);
});

test('a loop that begins when all is over has the messages all the same', async () => {
  const echo = await startEcho('ws', {
    onSocket: (client) => {
      for (const number of numbers(100)) client.send(number);
      client.close();
    },
  });
  const socket = await connect(echo.url, { http_proxy: null });
  await once(socket, 'close');
  const seen: (string | Buffer)[] = [];
  for await (const message of socket) seen.push(message);
  expect(seen).toEqual(numbers(100));
  for await (const message of socket) seen.push(message);
  expect(seen).toHaveLength(100);
});

test('a slow loop holds the origin back, and loses nothing', async () => {
  const size = 64 * 1024;
  const echo = await startEcho('ws', {
    server: { perMessageDeflate: false },
    onSocket: (client) => {
      for (const number of numbers(200)) client.send(Buffer.alloc(size, number));
      client.close();
    },
  });
  const socket = await connect(echo.url, { http_proxy: null });
  let count = 0;
  for await (const message of socket) {
    while (count === 0 && !socket.isPaused) await nextTurn();
    expect(Buffer.alloc(size, String(count)).equals(Buffer.from(message))).toBe(true);
    count += 1;
    await nextTurn();
  }
  expect([count, socket.closeCode]).toEqual([200, 1005]);
});

test('leaving the loop leaves the WebSocket open, and the next loop goes on', async () => {
  const echo = await startEcho('ws', {
    onSocket: (client) => numbers(5).forEach((number) => void client.send(number)),
  });
  const socket = await connect(echo.url, { http_proxy: null });
  const seen: (string | Buffer)[] = [];
  for await (const message of socket) {
    seen.push(message);
    if (message === '1') break;
  }
  for await (const message of socket) {
    seen.push(message);
    if (message === '4') break;
  }
  expect(seen).toEqual(numbers(5));
  expect(await closeOf(socket)).toBe(1000);
});

test('the loop fails with the error of the WebSocket', async () => {
  const echo = await startEcho('ws', { onSocket: (client) => client.send('x'.repeat(1000)) });
  const socket = await connect(echo.url, { http_proxy: null, maxPayload: 100 });
  const reading = (async () => {
    for await (const message of socket) throw new TypeError(`got ${message.length}`);
  })();
  await expect(reading).rejects.toMatchObject({ code: 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' });
  await once(socket, 'close');
  expect(socket.closeCode).toBe(1006);
});

test.each(['nodebuffer', 'arraybuffer', 'fragments', 'blob'] as const)(
  'bytes come as a Buffer, whatever binaryType is: %s',
  async (binaryType) => {
    const echo = await startEcho('ws');
    const socket = await connect(echo.url, { http_proxy: null });
    // The published types do not know blob.
    Reflect.set(socket, 'binaryType', binaryType);
    socket.send(Buffer.from('bytes'));
    for await (const message of socket) {
      expect(Buffer.isBuffer(message) && message.toString()).toBe('bytes');
      break;
    }
    expect(await closeOf(socket)).toBe(1000);
  },
);

test.each(['ws', 'wss'] as const)('an origin that closes as soon as it opens: %s', async (scheme) => {
  const echo = await startEcho(scheme, {
    onSocket: (client) => {
      client.send('bye');
      client.close(1008, 'policy');
    },
  });
  const transport = newTransport();
  for (let times = 0; times < 5; times += 1) {
    const socket = await connect(echo.url, { transport, http_proxy: null, timeout: 5_000 });
    const seen: (string | Buffer)[] = [];
    for await (const message of socket) seen.push(message);
    expect([seen, socket.closeCode, socket.closeReason]).toEqual([['bye'], 1008, 'policy']);
  }
  await expectNothingLeft(transport, echo.origin);
});

test('removeAllListeners() takes them away, and what comes from then on waits again', async () => {
  const echo = await startEcho('ws');
  const socket = await connect(echo.url, { http_proxy: null });
  const taken: string[] = [];
  socket.on('message', (data) => void taken.push(String(data)));
  expect(await echoOf(socket, 'one')).toBe('one');
  socket.removeAllListeners();
  socket.send('two');
  const pong = once(socket, 'pong');
  socket.ping();
  await pong;
  expect(taken).toEqual(['one']);
  const [data] = await once(socket, 'message');
  expect(String(data)).toBe('two');
});

test('reading by listeners and by loops can take turns', async () => {
  const echo = await startEcho('ws');
  const socket = await connect(echo.url, { http_proxy: null });
  expect(await echoOf(socket, 'one')).toBe('one');
  socket.send('two');
  for await (const message of socket) {
    expect(message).toBe('two');
    break;
  }
  expect(await echoOf(socket, 'three')).toBe('three');
});
