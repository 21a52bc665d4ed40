// What the session of a connection is set to holds for its WebSockets: auth, cookies, TLS, behaviour, and what it records.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { type ConnectionOptions, InvalidCredentialsError } from '@cloudlane/connection';
import { type Auth, HarRecorder, HTTPBasicAuth, HTTPDigestAuth, type PreparedRequest } from '@cloudlane/session';
import { closedPort } from '@cloudlane/testing';
import { ConnectError, TlsError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { WebSocketServer } from 'ws';
import { RouteLab, writeFiles } from '../session/lab.ts';
import { lateWay } from '../session/late-way.ts';
import { expectWarning } from '../support/hygiene.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { ca, failureOf, newTransport, origin, proxy } from '../transport/lab.ts';
import {
  answer,
  closeOf,
  echoOf,
  expectNothingLeft,
  expectUpgraded,
  SOCKET_SCHEMES,
  startEcho,
} from '../websocket/lab.ts';
import { connectionTo, open, settingOf, station, WAYS } from './websocket-lab.ts';

const ROWS = SOCKET_SCHEMES.flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));
const BASIC = `Basic ${Buffer.from(`me:${SECRETS.originPassword}`).toString('base64')}`;

describe('auth', () => {
  test.each<[what: string, auth: Auth]>([
    ['a function', (request: PreparedRequest) => request.setHeader('Authorization', BASIC)],
    ['an async function', async (request: PreparedRequest) => request.setHeader('Authorization', BASIC)],
    ['HTTPBasicAuth', new HTTPBasicAuth('me', SECRETS.originPassword)],
    ['user name and password', ['me', SECRETS.originPassword]],
  ])('%s authorizes the handshake', async (_, auth) => {
    const server = await startEcho('ws');
    await open(connectionTo(server, { auth }));
    expect(server.origin.requests.map(({ headers }) => headers.authorization)).toEqual([BASIC]);
  });

  test('gives way to the call’s own header', async () => {
    const server = await startEcho('ws');
    const options = { headers: { authorization: `Bearer ${SECRETS.token}` } };
    const connection = connectionTo(server, { auth: () => {} });
    await open(connection, '/', options);
    expect(server.origin.requests[0]?.headers.authorization).toBe(`Bearer ${SECRETS.token}`);
  });

  test('that fails opens nothing', async () => {
    const server = await startEcho('ws');
    const auth = (): never => {
      throw new TypeError('no token');
    };
    await expect(connectionTo(server, { auth }).openWebSocket('/')).rejects.toThrow('no token');
    expect(server.origin.connectionCount).toBe(0);
  });
});

describe.each(ROWS)('Digest at a %s origin through the proxy "%s"', (scheme, way) => {
  const start = async (password: string) => {
    const server = await startEcho(scheme, { instead: challenging });
    const [through, transport] = [await station(way), newTransport()];
    const auth = new HTTPDigestAuth('Mufasa', password);
    const connection = connectionTo(server, { transport, http_proxy: settingOf(through), auth });
    return { server, transport, connection, stations: through ? [through] : [] };
  };

  test('answers the challenge for the handshake’s own target, and hands out one WebSocket', async () => {
    const { server, transport, connection, stations } = await start(SECRETS.originPassword);
    const socket = await open(connection, '/console', { params: { a: 'x y' } });
    const sent = server.origin.requests.map(({ target, headers }) => [target, digestOf(headers.authorization).uri]);
    const target = '/console?a=x%20y';
    expect(sent).toEqual([
      [target, undefined],
      [target, target],
    ]);
    expect(await echoOf(socket, 'hello')).toBe('hello');
    expect([server.clients.size, server.origin.openSockets]).toEqual([1, 1]);
    expectUpgraded(transport);
    // The nonce is known by now.
    await closeOf(await open(connection, '/next'));
    expect(server.origin.requests).toHaveLength(3);
    await closeOf(socket);
    await expectNothingLeft(transport, server.origin, ...stations);
  });

  test('with a wrong password is told as such, and leaves nothing open', async () => {
    const { server, transport, connection, stations } = await start(SECRETS.plainPassword);
    const error = await failureOf(connection.openWebSocket('/'), InvalidCredentialsError);
    expect(error.status).toBe(401);
    expect(server.origin.requests).toHaveLength(2);
    await expectNothingLeft(transport, server.origin, ...stations);
  });
});

const NONCE = 'dcd98b7102dd2f0e8b11d0f600bfb0c093';
const md5 = (...parts: readonly unknown[]): string => createHash('md5').update(parts.join(':')).digest('hex');

/** Lets in who knows the password (RFC 7616 §3.4.1), for exactly this request. */
function challenging({ method, url, headers }: IncomingMessage): string | null {
  const { uri, nc, cnonce, qop, response } = digestOf(headers.authorization);
  const secret = md5('Mufasa', 'lab', SECRETS.originPassword);
  const isRight = uri === url && response === md5(secret, NONCE, nc, cnonce, qop, md5(method, uri));
  const challenge = `Digest realm="lab", nonce="${NONCE}", qop="auth", algorithm=MD5`;
  return isRight ? null : answer(401, { 'WWW-Authenticate': challenge }, 'who?');
}

function digestOf(header: string | readonly string[] | undefined): Record<string, string | undefined> {
  const parts = String(header).matchAll(/(\w+)=(?:"([^"]*)"|([^\s,]*))/g);
  return Object.fromEntries([...parts].map(([, name = '', quoted, plain]) => [name, quoted ?? plain]));
}

test('cookies of the session go along, and those of the 101 are kept', async () => {
  const sockets = new WebSocketServer({ noServer: true });
  sockets.on('headers', (headers) => headers.push(`Set-Cookie: given=${SECRETS.token}; Path=/; HttpOnly; Secure`));
  const server = await origin('https', {
    upgrade: (request, socket, head) => sockets.handleUpgrade(request, socket, head, () => {}),
  });
  const connection = connectionTo({ origin: server }, { cookies: { sid: '1' } });
  const socket = await open(connection);
  expect(connection.session.cookies.get('given', server.url)).toBe(SECRETS.token);
  await open(connection);
  const [first, second] = server.requests.map(({ headers }) => String(headers.cookie).split('; ').toSorted());
  expect(first).toEqual(['sid=1']);
  expect(second).toEqual([`given=${SECRETS.token}`, 'sid=1']);
  expect(secretsIn([String(socket), JSON.stringify(socket)].join('\n'))).toEqual([]);
});

describe('the session says whom to trust', () => {
  const withoutTrust = () => newTransport({ tls: {}, proxyTls: {} });

  test('nobody it does not know', async () => {
    const [server, transport] = [await startEcho('wss'), withoutTrust()];
    await failureOf(connectionTo(server, { transport }).openWebSocket('/'), TlsError);
    await expectNothingLeft(transport, server.origin);
    expect(server.origin.requests).toEqual([]);
  });

  test.each<[what: string, options: (path: string) => ConnectionOptions]>([
    ['verify, a path', (verify) => ({ verify })],
    ['REQUESTS_CA_BUNDLE', (path) => ({ env: { REQUESTS_CA_BUNDLE: path } })],
    ['tls', () => ({ tls: { ca: ca.certificate } })],
  ])('by %s, also inside the tunnel of a proxy', async (_, options) => {
    const [path = ''] = await writeFiles({ 'ca.pem': ca.certificate });
    const [server, through] = [await startEcho('wss'), await proxy()];
    for (const http_proxy of [null, through.url]) {
      const socket = await open(connectionTo(server, { transport: withoutTrust(), http_proxy, ...options(path) }));
      expect(await echoOf(socket, 'hello')).toBe('hello');
    }
    expect(through.hops).toHaveLength(1);
  });

  test('anybody, with a warning, by verify: false', async () => {
    const server = await startEcho('wss');
    expectWarning('CLOUDLANE_INSECURE', server.origin.url);
    const socket = await open(connectionTo(server, { transport: withoutTrust(), verify: false }));
    expect(await echoOf(socket, 'hello')).toBe('hello');
  });
});

describe('behaviour', () => {
  test.each<[options: ConnectionOptions]>([
    [{ safeMode: true }],
    [{ dangerMode: true }],
    [{ prefetch: true }],
    [{ encodeUri: false }],
    [{ keepAlive: false }],
    [{ safeMode: true, dangerMode: true, prefetch: true, hooks: { args: () => {} } }],
  ])('%j has no effect', async (options) => {
    const server = await startEcho('ws', { instead: ({ url }) => (url === '/no' ? answer(403, {}, 'no') : null) });
    const transport = newTransport();
    const connection = connectionTo(server, { transport, ...options });
    expect(await echoOf(await open(connection), 'hello')).toBe('hello');
    await expect(connection.openWebSocket('/no')).rejects.toMatchObject({ status: 403, code: 'ERR_PROVIDER' });
    const http_proxy = `http://127.0.0.1:${await closedPort()}`;
    await expect(connection.openWebSocket('/', { http_proxy })).rejects.toMatchObject({ hop: 'proxy' });
    expectUpgraded(transport);
  });

  test('maxRetries tries again what has not reached the origin', async () => {
    const server = await startEcho('ws');
    const { url, options, tries } = await lateWay(new RouteLab('tunnel', 'https'), server.origin, 3);
    const socket = await open(connectionTo({ origin: { ...server.origin, url } }, { ...options, maxRetries: 2 }));
    expect(await echoOf(socket, 'hello')).toBe('hello');
    expect([tries(), server.origin.requests.length]).toEqual([3, 1]);
  });

  test('without it there is one try', async () => {
    const server = await startEcho('ws');
    const { url, options, tries } = await lateWay(new RouteLab('direct', 'http'), server.origin, 2);
    const connection = connectionTo({ origin: { ...server.origin, url } }, options);
    await failureOf(connection.openWebSocket('/'), ConnectError);
    expect(tries()).toBe(1);
  });
});

describe('what is recorded shows the handshake, and no secret:', () => {
  const action = `/console?token=${SECRETS.token}`;
  const secrets = { auth: ['me', SECRETS.originPassword], cookies: { sid: SECRETS.token } } as const;

  test.each(WAYS)('lines of verbose, through the proxy "%s"', async (way) => {
    const [server, through, to] = [await startEcho('wss'), await station(way), new PassThrough()];
    const options = { http_proxy: settingOf(through), verbose: { to, showRoute: true }, ...secrets };
    const { route } = await open(connectionTo(server, options), action);
    const lines = String(to.read()).trimEnd().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/Z {3}GET {3}\w+:\/\/127\.0\.0\.1:\d+\/console\?token=\*\*\* {3}\w+/),
    ]);
    expect(lines[0]).toContain(`   ${route.kind}`);
    expect(secretsIn(lines.join('\n'))).toEqual([]);
  });

  test.each(WAYS)('entries of a HAR, through the proxy "%s"', async (way) => {
    const server = await startEcho('wss', { instead: ({ url }) => (url === '/no' ? answer(403, {}, 'no') : null) });
    const [through, har] = [await station(way), new HarRecorder({ content: true })];
    const connection = connectionTo(server, { http_proxy: settingOf(through), har, ...secrets });
    const socket = await open(connection, action);
    await expect(connection.openWebSocket('/no')).rejects.toThrow();
    const { entries } = har.toJSON().log;
    expect(entries.map(({ request, response }) => [request.method, response.status])).toEqual([
      ['GET', 101],
      ['GET', 403],
    ]);
    expect(entries[0]).toMatchObject({ _route: socket.route.kind, connection: String(socket.connection?.id) });
    expect(secretsIn(JSON.stringify(har))).toEqual([]);
  });
});
