import { once } from 'node:events';
import type { ForeignAgents } from '@cloudlane/transport';
import { expect, test } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { SECRETS } from '../support/secrets.ts';
import { reasonOf } from './agents-faults.ts';
import { BYTES, digest, stationOf, WAYS } from './agents-lab.ts';
import { AUTH, expectNothingLeft, newTransport, origin, proxy, type Scheme } from './lab.ts';

/** Sends everything back. */
function startEcho(scheme: Scheme) {
  const server = new WebSocketServer({ noServer: true });
  server.on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  return origin(scheme, {
    upgrade: (request, socket, head) =>
      server.handleUpgrade(request, socket, head, (client) => server.emit('connection', client, request)),
  });
}

function connect(agents: ForeignAgents, url: string, options: WebSocket.ClientOptions = {}): WebSocket {
  const agent = url.startsWith('https:') ? agents.https : agents.http;
  return new WebSocket(`${url.replace('http', 'ws')}/chat?room=1`, { agent, ...options });
}

async function echoOf(socket: WebSocket, message: string | Buffer): Promise<Buffer> {
  if (socket.readyState === WebSocket.CONNECTING) await once(socket, 'open');
  const echoed = once(socket, 'message');
  socket.send(message);
  const [data] = await echoed;
  return data;
}

async function close(socket: WebSocket): Promise<void> {
  const closed = once(socket, 'close');
  socket.close();
  await closed;
}

const rows = (['http', 'https'] as const).flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));

// RFC 6455 §4.1: also without TLS it asks an HTTP proxy for a tunnel.
test.each(rows)('a WebSocket to an %s origin, %s: text and bytes come back', async (scheme, way) => {
  const [server, station] = [await startEcho(scheme), await stationOf(way)];
  const transport = newTransport();
  const agents = transport.agents({ http_proxy: station?.urlWithCredentials ?? null });
  const socket = connect(agents, server.url, { headers: { Authorization: `Bearer ${SECRETS.token}` } });
  expect(String(await echoOf(socket, 'größe'))).toBe('größe');
  expect(digest(await echoOf(socket, BYTES))).toBe(digest(BYTES));
  expect(server.requests).toMatchObject([
    { target: '/chat?room=1', headers: { upgrade: 'websocket', authorization: `Bearer ${SECRETS.token}` } },
  ]);
  const kind = way === 'socks proxy' ? 'socks' : 'connect';
  const hop = { kind, target: `127.0.0.1:${server.port}`, authorized: true, username: AUTH.username };
  expect(station?.hops ?? [hop]).toMatchObject([hop]);
  // Its connection is the WebSocket's now.
  expect(transport.connections).toEqual([]);
  await close(socket);
  await expectNothingLeft(transport, server, ...(station ? [station] : []));
});

test('20 WebSockets at once, and further ones over maxSockets: 2, which counts only those being opened', async () => {
  const [server, station] = [await startEcho('https'), await stationOf('http proxy')];
  const transport = newTransport({ maxSockets: 2 });
  const agents = transport.agents({ http_proxy: station?.urlWithCredentials ?? null });
  const sockets = Array.from({ length: 20 }, () => connect(agents, server.url));
  expect((await Promise.all(sockets.map((socket) => echoOf(socket, 'hello')))).map(String)).toEqual(
    Array(20).fill('hello'),
  );
  expect(station?.hops).toHaveLength(20);
  await Promise.all(sockets.map(close));
  await expectNothingLeft(transport, server, ...(station ? [station] : []));
});

test('the variables of WebSockets are read: ws_proxy, wss_proxy', async () => {
  const [plain, secure, through, other] = [
    await startEcho('http'),
    await startEcho('https'),
    await proxy(),
    await proxy(),
  ];
  const env = { ws_proxy: through.url, wss_proxy: through.url, http_proxy: other.url };
  const agents = newTransport().agents({ env });
  for (const { url } of [plain, secure]) {
    const socket = connect(agents, url);
    expect(String(await echoOf(socket, 'hello'))).toBe('hello');
    await close(socket);
  }
  expect([through.hops.length, other.hops.length]).toEqual([2, 0]);
});

test('a refused tunnel is told once, by our error itself', async () => {
  const [server, through] = [
    await startEcho('https'),
    await proxy('http', { misbehaviour: { kind: 'reply', status: 403 } }),
  ];
  const transport = newTransport();
  const socket = connect(transport.agents({ http_proxy: through.url }), server.url);
  const errors: Error[] = [];
  socket.on('error', (error) => errors.push(error));
  await new Promise((resolve) => socket.once('close', resolve));
  expect(errors).toMatchObject([{ name: 'ProxyTunnelError', code: 'ERR_PROXY_TUNNEL', status: 403 }]);
  expect(through.hops).toHaveLength(1);
  await expectNothingLeft(transport, through);
});

test.each([
  ['handshakeTimeout', { handshakeTimeout: 100 }, { code: 'ERR_TIMEOUT', deadline: 'handshake', milliseconds: 100 }],
  ['terminate', {}, { message: 'WebSocket was closed before the connection was established' }],
] as const)('a proxy that never answers CONNECT: %s ends the wait', async (what, options, expected) => {
  const [server, through] = [await startEcho('https'), await proxy('http', { misbehaviour: { kind: 'hang' } })];
  const transport = newTransport();
  const socket = connect(transport.agents({ http_proxy: through.url }), server.url, options);
  const failed = reasonOf(once(socket, 'open'));
  await through.waitForHops(1);
  if (what === 'terminate') socket.terminate();
  expect(await failed).toMatchObject(expected);
  await expectNothingLeft(transport, through);
});
