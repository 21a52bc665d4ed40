import { once } from 'node:events';
import type { Socket } from 'node:net';
import { TimeoutError } from '@cloudlane/transport';
import { expect, test } from '@jest/globals';
import { newGate } from '../support/gate.ts';
import { AUTH, newTransport, proxy } from '../transport/lab.ts';
import { closeOf, connect, echoOf, expectNothingLeft, startEcho } from './lab.ts';

test('an open WebSocket is pinged again and again, through a proxy too', async () => {
  const pinged = newGate();
  let pings = 0;
  const echo = await startEcho('wss', {
    onSocket: (client) => {
      client.on('ping', () => {
        pings += 1;
        if (pings === 3) pinged.open();
      });
    },
  });
  const through = await proxy('http', { auth: AUTH });
  const socket = await connect(echo.url, { pingInterval: 10, http_proxy: through.urlWithCredentials });
  await pinged.opened;
  expect(await closeOf(socket)).toBe(1000);
});

test('without an interval there are no pings', async () => {
  const [silent, pinged] = [await startEcho('ws'), await startEcho('ws')];
  const socket = await connect(silent.url, { http_proxy: null, pingInterval: 0, pingTimeout: 10 });
  const other = await connect(pinged.url, { http_proxy: null, pingInterval: 10 });
  let pings = 0;
  for (const client of silent.clients) {
    client.on('ping', () => {
      pings += 1;
    });
  }
  for (let pongs = 0; pongs < 5; pongs += 1) await once(other, 'pong');
  expect(await echoOf(socket, 'still there')).toBe('still there');
  expect(pings).toBe(0);
});

test('an origin that is gone without a word: the error names the wait, and the WebSocket is closed', async () => {
  const echo = await startEcho('wss', { server: { autoPong: false } });
  const through = await proxy('http', { auth: AUTH });
  const transport = newTransport();
  const http_proxy = through.urlWithCredentials;
  const url = `${echo.url}/logs?token=abc`;
  const socket = await connect(url, { transport, http_proxy, pingInterval: 5, pingTimeout: 50 });
  const [error] = await once(socket, 'error');
  expect(error).toBeInstanceOf(TimeoutError);
  expect(error).toMatchObject({ deadline: 'pingTimeout', milliseconds: 50, hop: 'origin', hasConnectedToProxy: true });
  expect(error.message).toBe(
    `wss://${echo.authority}/logs?token=*** through http://user:***@127.0.0.1:${through.port}: ` +
      'nothing moved for 50 ms after a ping (pingTimeout)',
  );
  const [code] = await once(socket, 'close');
  expect(code).toBe(1006);
  await expectNothingLeft(transport, echo.origin, through);
});

test('a message that takes long is a sign of life, though no pong comes', async () => {
  let wire: Socket | null = null;
  const echo = await startEcho('ws', {
    server: { autoPong: false, perMessageDeflate: false },
    onSocket: (_client, request) => {
      wire = request.socket;
    },
  });
  const socket = await connect(echo.url, { http_proxy: null, pingInterval: 5, pingTimeout: 200 });
  const received = once(socket, 'message');
  // A text frame of 100 bytes (RFC 6455 §5.2), a byte at a time: longer than the wait for a pong, with no pause that long.
  const frame = Buffer.from(`\x81\x64${'x'.repeat(100)}`, 'latin1');
  let sent = 0;
  const drip = setInterval(() => {
    wire?.write(frame.subarray(sent, sent + 1));
    sent += 1;
    if (sent === frame.length) clearInterval(drip);
  }, 5);
  const [data] = await received;
  expect(String(data)).toHaveLength(100);
});

test('a paused WebSocket is not given up: nothing is read of it', async () => {
  const echo = await startEcho('ws', { server: { autoPong: false } });
  const paused = await connect(echo.url, { http_proxy: null, pingInterval: 5, pingTimeout: 20 });
  paused.pause();
  const other = await connect(echo.url, { http_proxy: null, pingInterval: 5, pingTimeout: 60 });
  // Three times as long as the paused one would have had.
  await once(other, 'error');
  expect(paused.readyState).toBe(paused.OPEN);
});

test('a process is not kept running by pings', async () => {
  const echo = await startEcho('ws');
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const socket = await connect(echo.url, { http_proxy: null, pingInterval: 60_000 });
  // It lists those that keep it running only.
  expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout')).toHaveLength(before);
  await closeOf(socket);
});
