// What an origin says at once: glued to the answer of its handshake, or cut anywhere, it all comes, in order.
import { createHash } from 'node:crypto';
import { on, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ProtocolError } from '@cloudlane/transport';
import { connectWebSocket, type RoutedWebSocket } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { newGate } from '../support/gate.ts';
import { expectNothingLeft, failureOf, newTransport, origin, proxy, socks } from '../transport/lab.ts';
import { closeOf, connect, echoOf, SOCKET_SCHEMES, type SocketScheme, startEcho } from './lab.ts';

const WAYS = ['none', 'http', 'https', 'socks5h'] as const;
type Way = (typeof WAYS)[number];
const ROWS = SOCKET_SCHEMES.flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));

const startWay = (way: Way) => (way === 'none' ? null : way === 'socks5h' ? socks() : proxy(way));

/** A short frame from the origin (RFC 6455 §5.2): whole and not masked. */
function frame(opcode: number, payload: string | Buffer): Buffer {
  const content = Buffer.from(payload);
  return Buffer.concat([Buffer.of(0x80 | opcode, content.length), content]);
}

const TEXT = 1;
const CLOSE = 8;
const NORMAL = Buffer.of(1000 >> 8, 1000 & 0xff);

function switching({ headers }: IncomingMessage): Buffer {
  const key = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accepted = createHash('sha1').update(key).digest('base64');
  return Buffer.from(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accepted}\r\n\r\n`,
  );
}

/** An origin that writes 101 and a few frames as `write` does, the last of them a close. */
async function startSpeaking(scheme: SocketScheme, write: (socket: Duplex, all: Buffer, id: number) => unknown) {
  let count = 0;
  const server = await origin(scheme === 'ws' ? 'http' : 'https', {
    upgrade: (request, socket) => {
      // The client's part of the closing handshake.
      socket.on('error', () => {}).once('data', () => socket.end());
      const frames = [frame(TEXT, 'one'), frame(TEXT, 'zwei'), frame(CLOSE, NORMAL)];
      write(socket, Buffer.concat([switching(request), ...frames]), count);
      count += 1;
    },
  });
  return { server, url: server.url.replace(/^http/, 'ws') };
}

/** The messages until the close, and its code. */
async function heardBy(socket: RoutedWebSocket): Promise<(string | number)[]> {
  const closed = once(socket, 'close');
  const heard: (string | number)[] = [];
  for await (const [data] of on(socket, 'message', { close: ['close'] })) heard.push(String(data));
  const [code] = await closed;
  return [...heard, code];
}

const ALL = ['one', 'zwei', 1000];

test.each(ROWS)('frames glued to the 101 of a %s origin through the proxy "%s" come in order', async (scheme, way) => {
  const { server, url } = await startSpeaking(scheme, (socket, all) => socket.write(all));
  const [through, transport] = [await startWay(way), newTransport()];
  const socket = await connect(url, { http_proxy: through?.url ?? null, transport });
  expect(await heardBy(socket)).toEqual(ALL);
  await expectNothingLeft(transport, server, ...(through ? [through] : []));
});

// The second part is another packet, as the first has been read by then.
async function inTwo(socket: Duplex, all: Buffer, cut: number): Promise<void> {
  socket.write(all.subarray(0, cut));
  await nextTurn();
  await nextTurn();
  socket.write(all.subarray(cut));
}

async function byteByByte(socket: Duplex, all: Buffer): Promise<void> {
  for (const byte of all) {
    socket.write(Buffer.of(byte));
    await nextTurn();
    await nextTurn();
  }
}

describe.each([
  ['ws', 'none'],
  ['wss', 'none'],
  ['ws', 'http'],
  ['wss', 'socks5h'],
] as const)('101 and frames of a %s origin through the proxy "%s"', (scheme, way) => {
  // Everything that `startSpeaking` writes has the same length each time.
  const length = switching({ headers: {} } as IncomingMessage).length + 5 + 6 + 4;

  test('may be cut anywhere', async () => {
    const { server, url } = await startSpeaking(scheme, (socket, all, id) => inTwo(socket, all, id + 1));
    const [through, transport] = [await startWay(way), newTransport()];
    const heard: unknown[] = [];
    for (let cut = 1; cut < length; cut += 1)
      heard.push(await heardBy(await connect(url, { http_proxy: through?.url ?? null, transport })));
    expect(heard).toEqual(Array(length - 1).fill(ALL));
    await expectNothingLeft(transport, server, ...(through ? [through] : []));
  });

  test('may come byte by byte', async () => {
    const { url } = await startSpeaking(scheme, byteByByte);
    const through = await startWay(way);
    expect(await heardBy(await connect(url, { http_proxy: through?.url ?? null }))).toEqual(ALL);
  });
});

describe.each(['http', 'https', 'socks5h'] as const)('bytes glued to the reply of the %s proxy', (way) => {
  const start = (bytes: string) =>
    way === 'socks5h'
      ? socks({ misbehaviour: { kind: 'early-bytes', bytes } })
      : proxy(way, { misbehaviour: { kind: 'early-bytes', bytes } });

  test('are the origin’s: an interim answer', async () => {
    const through = await start('HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n');
    const [server, transport] = [await startEcho('ws'), newTransport()];
    const socket = await connect(server.url, { http_proxy: through.url, transport });
    expect(await echoOf(socket, 'größe')).toBe('größe');
    expect(await closeOf(socket)).toBe(1000);
    await expectNothingLeft(transport, server.origin, through);
  });

  test.each([
    ['garbage', 'SSH-2.0-x\r\n', 'is not valid HTTP'],
    ['101 before it was asked for', 'HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n', 'Accept'],
  ])('are the origin’s: %s', async (_, bytes, says) => {
    const [server, transport, through] = [await startEcho('ws'), newTransport(), await start(bytes)];
    const opened = connectWebSocket(server.url, { http_proxy: through.url, transport });
    const error = await failureOf(opened, ProtocolError);
    expect(error).toMatchObject({ hop: 'origin', hasConnectedToProxy: true, message: expect.stringContaining(says) });
    await expectNothingLeft(transport, server.origin, through);
  });
});

test.each(ROWS)(
  '1,000 messages at once and a close, from a %s origin through the proxy "%s", wait for whoever listens late',
  async (scheme, way) => {
    const sent = Array.from({ length: 1000 }, (__, index) => `message ${index}`);
    const server = await startEcho(scheme, {
      onSocket: (client) => {
        for (const message of sent) client.send(message);
        client.close(4000, 'that was all');
      },
    });
    const [gate, through, transport] = [newGate(), await startWay(way), newTransport()];
    const slow = await proxy('http', { misbehaviour: { kind: 'hang-until', until: gate.opened } });
    const both = Promise.all([
      connect(server.url, { http_proxy: through?.url ?? null, transport }),
      connect(server.url, { http_proxy: slow.url, transport }),
    ]);
    await server.origin.waitForRequests(1);
    // Another connection's whole life: what the first one was sent at once has come meanwhile.
    expect(await heardBy(await connect(server.url, { http_proxy: null, transport }))).toEqual([...sent, 4000]);
    gate.open();
    for (const socket of await both) expect(await heardBy(socket)).toEqual([...sent, 4000]);
    await expectNothingLeft(transport, server.origin, slow, ...(through ? [through] : []));
  },
);
