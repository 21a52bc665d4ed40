// What comes of each way in which the opening of a WebSocket fails: one typed error, and nothing left open.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { closedPort, type LabProxy, type Misbehaviour } from '@cloudlane/testing';
import {
  ConnectError,
  ProtocolError,
  ProxyAuthenticationError,
  ProxyConnectError,
  ProxyError,
  ProxyProtocolError,
  ProxyTlsError,
  ProxyTunnelError,
  ResetError,
  SocksError,
  TlsError,
  type TransportError,
} from '@cloudlane/transport';
import { connectWebSocket, type WebSocketOptions, WebSocketUpgradeError } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import {
  AUTH,
  ca,
  expectNoSecrets,
  expectNothingLeft,
  failureOf,
  newTransport,
  origin,
  proxy,
  socks,
  withCredentials,
} from '../transport/lab.ts';
import { answer, connect, SOCKET_SCHEMES, type SocketScheme, startEcho } from './lab.ts';

type ErrorClass = abstract new (...args: never[]) => TransportError;
type Facts = Readonly<Record<string, unknown>>;
type Row = readonly [name: string, misbehaviour: Misbehaviour, expected: ErrorClass, facts: Facts, says: string];

const QUERY = `/console?room=1&token=${SECRETS.token}`;
const MASKED_QUERY = '/console?room=1&token=***';
const handshake = { phase: 'proxy-handshake', hop: 'proxy', hasConnectedToProxy: true } as const;
const fromOrigin = { phase: 'response', hop: 'origin', retryable: false } as const;

const masked = ({ url }: Pick<LabProxy, 'url'>): string => url.replace('://', '://user:***@');

/** An origin that writes this in answer to a handshake and goes when the client does, not before. */
function answering(scheme: SocketScheme, text: (request: IncomingMessage) => string | Buffer) {
  return origin(scheme === 'ws' ? 'http' : 'https', {
    upgrade: (request, socket) => {
      socket.on('error', () => {}).once('end', () => socket.destroy());
      socket.resume().write(text(request));
    },
  });
}

const wsUrl = (url: string): string => url.replace(/^http/, 'ws');

const REFUSALS: readonly Row[] = [
  ['a reset', { kind: 'reset' }, ProxyError, { code: 'ERR_PROXY_RESET', retryable: true }, 'read ECONNRESET'],
  ['an end', { kind: 'end' }, ProxyError, { code: 'ERR_PROXY_RESET', retryable: true }, 'during CONNECT: it hung up'],
  [
    'half a header',
    { kind: 'half-header' },
    ProxyProtocolError,
    { code: 'ERR_PROXY_PROTOCOL' },
    'before it was complete',
  ],
  ['garbage', { kind: 'garbage' }, ProxyProtocolError, { code: 'ERR_PROXY_PROTOCOL' }, 'does not start with HTTP/'],
  ['a header without end', { kind: 'endless-header' }, ProxyProtocolError, { retryable: false }, 'is over 16 KiB'],
  [
    '407',
    {
      kind: 'reply',
      status: 407,
      headers: { 'Proxy-Authenticate': ['Negotiate', 'Basic realm="the lab"'], 'X-Rule': 'all' },
      body: 'who are you',
    },
    ProxyAuthenticationError,
    {
      code: 'ERR_PROXY_AUTHENTICATION',
      status: 407,
      schemes: ['negotiate', 'basic'],
      realm: 'the lab',
      headers: expect.objectContaining({ 'x-rule': 'all' }),
      body: Buffer.from('who are you'),
      retryable: false,
    },
    'was refused: 407, the credentials were not accepted (offered: negotiate, basic)',
  ],
  [
    '403',
    { kind: 'reply', status: 403, headers: { 'X-Rule': 'social' }, body: 'not from here' },
    ProxyTunnelError,
    {
      code: 'ERR_PROXY_TUNNEL',
      status: 403,
      headers: expect.objectContaining({ 'x-rule': 'social' }),
      body: Buffer.from('not from here'),
      retryable: false,
    },
    'was refused: 403 Forbidden',
  ],
  ['502', { kind: 'refuse-origin' }, ProxyTunnelError, { status: 502, retryable: true }, 'was refused: 502'],
  ['503', { kind: 'refuse-origin', status: 503 }, ProxyTunnelError, { status: 503, retryable: true }, 'refused: 503'],
  // RFC 9110 §9.3.6: only 2xx opens a tunnel.
  ['101', { kind: 'reply', status: 101 }, ProxyTunnelError, { status: 101, retryable: false }, 'was refused: 101'],
];

const ROUTES = SOCKET_SCHEMES.flatMap((scheme) => (['http', 'https'] as const).map((via) => [scheme, via] as const));

describe.each(ROUTES)('a %s origin through an %s proxy', (scheme, via) => {
  async function start(misbehaviour: Misbehaviour) {
    const server = await startEcho(scheme);
    const through = await proxy(via, { auth: AUTH, misbehaviour });
    const transport = newTransport();
    const opened = connectWebSocket(`${server.url}${QUERY}`, { http_proxy: through.urlWithCredentials, transport });
    return { server, through, transport, opened };
  }

  test.each(REFUSALS)('CONNECT is answered with %s', async (_, misbehaviour, expected, facts, says) => {
    const { server, through, transport, opened } = await start(misbehaviour);
    const error = await failureOf(opened, expected);
    expect(error.constructor).toBe(expected);
    expect(error).toMatchObject({ ...handshake, ...facts, proxy: masked(through) });
    expect(error.url).toBe(`${server.url}${MASKED_QUERY}`);
    expect(error.message).toContain(`through ${masked(through)}`);
    expect(error.message).toContain(says);
    expect(error.explanation).toMatchObject({ route: { kind: 'tunnel' }, source: 'option http_proxy' });
    expectNoSecrets(error);
    await expectNothingLeft(transport, through);
    expect([server.origin.connectionCount, through.hops.length]).toEqual([0, 1]);
  });

  test.each(['end', 'reset'] as const)('the tunnel is opened and closed at once: %s', async (how) => {
    const { server, through, transport, opened } = await start({ kind: 'close-after-tunnel', how });
    const error = await failureOf(opened, ResetError);
    expect(error).toMatchObject({ hop: 'origin', hasConnectedToProxy: true, proxy: masked(through) });
    // Without TLS the handshake has been sent.
    if (scheme === 'wss') expect(error).toMatchObject({ phase: 'origin-tls', retryable: true });
    else expect(error).toMatchObject({ phase: expect.stringMatching(/^re(quest|sponse)$/), retryable: false });
    await expectNothingLeft(transport, through);
    expect(server.origin.connectionCount).toBe(0);
  });

  test('nobody listens at the proxy', async () => {
    const { server, transport, opened } = await start({ kind: 'refuse', how: 'close-listener' });
    const facts = { phase: 'proxy-connect', hop: 'proxy', hasConnectedToProxy: false, retryable: true };
    expect(await failureOf(opened, ProxyConnectError)).toMatchObject({ code: 'ERR_PROXY_CONNECT', ...facts });
    await expectNothingLeft(transport, server.origin);
  });
});

test.each(SOCKET_SCHEMES)('TLS with the proxy fails: a %s origin', async (scheme) => {
  const [server, secure, plain] = [await startEcho(scheme), await proxy('https'), await proxy('http')];
  const other = await proxy('https', { tls: await ca.issue({ names: ['other.example'] }) });
  const failing = async (http_proxy: string, options: WebSocketOptions = {}): Promise<ProxyTlsError> => {
    const error = await failureOf(connect(server.url, { http_proxy, ...options }), ProxyTlsError);
    expect(error).toMatchObject({ code: 'ERR_PROXY_TLS', phase: 'proxy-tls', hop: 'proxy', proxy: http_proxy });
    expect(error.hasConnectedToProxy).toBe(false);
    return error;
  };
  expect((await failing(secure.url, { proxyTls: {} })).message).toContain('give that in proxyTls.ca');
  expect((await failing(other.url)).message).toContain("does not match certificate's altnames");
  expect((await failing(plain.url.replace('http:', 'https:'))).message).toContain('write http:// for the proxy');
  await Promise.all([secure, other, plain].map((each) => each.waitUntilIdle()));
  expect(server.origin.connectionCount).toBe(0);
});

describe.each(SOCKET_SCHEMES)('a %s origin through a SOCKS proxy', (scheme) => {
  test.each([
    ['socks5h', 1, true, 'general failure'],
    ['socks5h', 2, false, 'not allowed by its rules'],
    ['socks5h', 3, true, 'network unreachable'],
    ['socks5h', 4, true, 'host unreachable, or its name unknown'],
    ['socks5h', 5, true, 'connection refused by the origin'],
    ['socks5', 8, false, 'address type not supported'],
    ['socks4a', 91, false, 'rejected or failed'],
  ] as const)('%s answers with %i', async (by, code, retryable, says) => {
    const [server, transport] = [await startEcho(scheme), newTransport()];
    const through = await socks({ misbehaviour: { kind: 'reply', code } });
    const opened = connectWebSocket(`${server.url}${QUERY}`, { http_proxy: through.urlFor(by), transport });
    const error = await failureOf(opened, SocksError);
    expect(error).toMatchObject({ ...handshake, code: 'ERR_SOCKS', step: 'request', replyCode: code, retryable });
    expect(error.message).toContain(`was refused by the SOCKS proxy: ${code}, ${says}`);
    expect(error.explanation).toMatchObject({ route: { kind: 'socks' } });
    expectNoSecrets(error);
    await expectNothingLeft(transport, through);
    expect(server.origin.connectionCount).toBe(0);
  });

  test('it does not accept the credentials, or is no SOCKS proxy at all', async () => {
    const [server, transport, through] = [await startEcho(scheme), newTransport(), await socks({ auth: AUTH })];
    const http_proxy = withCredentials(through.url, { username: 'user', password: SECRETS.plainPassword });
    const error = await failureOf(connectWebSocket(server.url, { http_proxy, transport }), SocksError);
    expect(error).toMatchObject({ ...handshake, code: 'ERR_SOCKS_AUTHENTICATION', step: 'authentication' });
    expectNoSecrets(error);
    through.misbehave({ kind: 'http-answer' });
    const answered = failureOf(connectWebSocket(server.url, { http_proxy, transport }), ProxyProtocolError);
    expect(await answered).toMatchObject({ ...handshake, message: expect.stringContaining('write http://') });
    await expectNothingLeft(transport, through);
    expect(server.origin.connectionCount).toBe(0);
  });
});

const WAYS = ['none', 'http', 'https', 'socks5h'] as const;
const start = (way: (typeof WAYS)[number]) =>
  way === 'none' ? null : way === 'socks5h' ? socks({ auth: AUTH }) : proxy(way, { auth: AUTH });

describe.each(WAYS)('through the proxy "%s"', (way) => {
  test.each(SOCKET_SCHEMES)('nobody listens at the %s origin', async (scheme) => {
    const [through, transport] = [await start(way), newTransport()];
    const http_proxy = through?.urlWithCredentials ?? null;
    const opened = connectWebSocket(`${scheme}://127.0.0.1:${await closedPort()}`, { http_proxy, transport });
    const [expected, facts] =
      way === 'none'
        ? ([ConnectError, { code: 'ERR_CONNECT', phase: 'origin-connect', hop: 'origin', retryable: true }] as const)
        : way === 'socks5h'
          ? ([SocksError, { ...handshake, replyCode: 5 }] as const)
          : ([ProxyTunnelError, { ...handshake, status: 503 }] as const);
    expect(await failureOf<TransportError>(opened, expected)).toMatchObject(facts);
    await expectNothingLeft(transport, ...(through ? [through] : []));
  });

  test.each<[string, WebSocketOptions, string]>([
    ['nobody trusts', { tls: {} }, 'if you trust its authority, give that in tls.ca'],
    ['is for another name', { tls: { ca: ca.certificate, servername: 'x.example' } }, 'does not match certificate'],
  ])('the wss origin has a certificate that %s', async (_, options, says) => {
    const [server, through, transport] = [await startEcho('wss'), await start(way), newTransport()];
    const http_proxy = through?.urlWithCredentials ?? null;
    const error = await failureOf(connectWebSocket(server.url, { http_proxy, transport, ...options }), TlsError);
    const facts = { code: 'ERR_TLS', phase: 'origin-tls', hop: 'origin', url: `${server.url}/`, retryable: false };
    expect(error).toMatchObject({ ...facts, hasConnectedToProxy: way !== 'none' });
    expect(error.message).toContain(says);
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
    expect(server.origin.requests).toEqual([]);
  });

  test.each([
    ...SOCKET_SCHEMES.map(
      (scheme) => [scheme, 'garbage', 'nothing to see', ProtocolError, 'is not valid HTTP'] as const,
    ),
    ...SOCKET_SCHEMES.map(
      (scheme) => [scheme, 'an end', '', ResetError, 'broke while waiting for the answer'] as const,
    ),
  ])('the %s origin answers with %s', async (scheme, _, text, expected, says) => {
    const [through, transport] = [await start(way), newTransport()];
    const server = await startEcho(scheme, { instead: () => text });
    const http_proxy = through?.urlWithCredentials ?? null;
    const opened = connectWebSocket(`${server.url}${QUERY}`, { http_proxy, transport });
    const error = await failureOf<TransportError>(opened, expected);
    expect(error).toMatchObject({
      ...fromOrigin,
      hasConnectedToProxy: way !== 'none',
      proxy: through && expect.any(String),
    });
    expect(error.message).toContain(says);
    expectNoSecrets(error);
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
  });

  test.each([200, 401, 403, 404, 426, 500, 503])('the origin answers with %i', async (status) => {
    const headers = { 'Set-Cookie': `sid=${SECRETS.token}`, 'Retry-After': '3', 'X-Note': 'a' };
    const server = await startEcho('ws', { instead: () => answer(status, headers, `why not: ${SECRETS.secretKey}`) });
    const [through, transport] = [await start(way), newTransport()];
    const http_proxy = through?.urlWithCredentials ?? null;
    const opened = connectWebSocket(`${server.url}${QUERY}`, { http_proxy, transport });
    const error = await failureOf(opened, WebSocketUpgradeError);
    expect(error.constructor).toBe(WebSocketUpgradeError);
    const said = { status, statusText: 'Lab', retryAfter: 3000, retryable: status === 503 };
    expect(error).toMatchObject({ ...fromOrigin, ...said, code: 'ERR_WEBSOCKET_UPGRADE' });
    expect(error.hasConnectedToProxy).toBe(way !== 'none');
    expect(error.headers).toMatchObject({ 'set-cookie': [`sid=${SECRETS.token}`], 'x-note': 'a' });
    expect(String(error.body)).toBe(`why not: ${SECRETS.secretKey}`);
    expect(error.message).toContain(`the origin did not open a WebSocket: ${status} Lab`);
    expect(error.explanation?.route.kind).toBe(way === 'none' ? 'direct' : way === 'socks5h' ? 'socks' : 'tunnel');
    // The headers and the body can be read, but are not printed.
    expect(secretsIn(`${inspect(error, { depth: null })} ${JSON.stringify(error)} ${error.stack}`)).toEqual([]);
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
  });
});

const chunked = (body: string): string =>
  `HTTP/1.1 403 No\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
const zipped = gzipSync('as it is');

describe.each(SOCKET_SCHEMES)('the page of a refusal of a %s origin', (scheme) => {
  test.each<[string, string | Buffer, Buffer]>([
    ['in chunks is put together', chunked('in chunks'), Buffer.from('in chunks')],
    [
      'in gzip is left as it is',
      Buffer.concat([
        Buffer.from(
          `HTTP/1.1 403 No\r\nContent-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\nConnection: close\r\n\r\n`,
        ),
        zipped,
      ]),
      zipped,
    ],
    ['is kept up to 64 KiB', answer(403, {}, 'x'.repeat(100_000)), Buffer.alloc(65_536, 'x')],
    ['that never ends is not waited for', 'HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nhalf', Buffer.from('half')],
  ])('%s', async (_, text, body) => {
    const [server, transport] = [await answering(scheme, () => text), newTransport()];
    const opened = connectWebSocket(wsUrl(server.url), { http_proxy: null, transport });
    const error = await failureOf(opened, WebSocketUpgradeError);
    expect(error.status).toBe(403);
    expect([error.body.length, error.body.equals(body)]).toEqual([body.length, true]);
    await expectNothingLeft(transport, server);
  });
});

test('a connection that a refusal leaves usable is kept for requests, not for the next WebSocket', async () => {
  const transport = newTransport();
  const refusing = await answering('ws', () => answer(404, { Connection: 'keep-alive' }));
  for (const connections of [1, 2]) {
    const opened = connectWebSocket(wsUrl(refusing.url), { http_proxy: null, transport });
    await failureOf(opened, WebSocketUpgradeError);
    expect(refusing.connectionCount).toBe(connections);
    expect(transport.connections).toEqual(Array(connections).fill(expect.objectContaining({ state: 'IDLE' })));
  }
});

const accepted = ({ headers }: IncomingMessage): string =>
  createHash('sha1').update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** 101 as it should be, except for these. */
function switching(request: IncomingMessage, headers: Readonly<Record<string, string>>): string {
  const all = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Accept': accepted(request), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`;
}

describe.each(['none', 'http', 'socks5h'] as const)('101 that is no WebSocket’s, through the proxy "%s"', (way) => {
  test.each<[string, Record<string, string>, WebSocketOptions, string]>([
    ['a wrong Sec-WebSocket-Accept', { 'Sec-WebSocket-Accept': 'x' }, {}, 'Invalid Sec-WebSocket-Accept header'],
    ['another protocol', { Upgrade: 'h2c' }, {}, 'Invalid Upgrade header'],
    ['an extension not offered', { 'Sec-WebSocket-Extensions': 'x-mux' }, {}, 'an extension that was not requested'],
    [
      'compression not offered',
      { 'Sec-WebSocket-Extensions': 'permessage-deflate' },
      { perMessageDeflate: false },
      'Server sent a Sec-WebSocket-Extensions header but no extension was requested',
    ],
    ['a subprotocol, none offered', { 'Sec-WebSocket-Protocol': 'a' }, {}, 'subprotocol but none was requested'],
    ['another subprotocol', { 'Sec-WebSocket-Protocol': 'b' }, { protocols: 'a' }, 'sent an invalid subprotocol'],
    ['no subprotocol of those offered', {}, { protocols: ['a', 'b'] }, 'Server sent no subprotocol'],
  ])('%s', async (_, headers, options, says) => {
    const [through, transport] = [await start(way), newTransport()];
    const server = await answering('ws', (request) => switching(request, headers));
    const http_proxy = through?.urlWithCredentials ?? null;
    const opened = connectWebSocket(`${wsUrl(server.url)}${QUERY}`, { http_proxy, transport, ...options });
    const error = await failureOf(opened, ProtocolError);
    expect(error).toMatchObject({ ...fromOrigin, code: 'ERR_PROTOCOL', hasConnectedToProxy: way !== 'none' });
    expect(error.cause).toMatchObject({ message: expect.stringContaining(says) });
    expect(error.message).toContain('the answer is not that of a WebSocket: ');
    expect(error.message).toContain(says);
    expectNoSecrets(error);
    await expectNothingLeft(transport, server, ...(through ? [through] : []));
  });

  test('the same without a fault opens one', async () => {
    const through = await start(way);
    const server = await answering('ws', (request) => switching(request, {}));
    const socket = await connect(wsUrl(server.url), { http_proxy: through?.urlWithCredentials ?? null });
    expect(socket.readyState).toBe(socket.OPEN);
  });
});
