// The table of routes for WebSockets: every scheme of URL, over every kind of proxy, with every kind of credentials.
import { createHash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import type { LabProxy, LabSocks, OriginRequest } from '@cloudlane/testing';
import { ProxyAuthenticationError, SocksError, type TransportError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import {
  AUTH,
  expectNoSecrets,
  failureOf,
  isSocks,
  looksUp,
  newTransport,
  proxy,
  SOCKS_SCHEMES,
  socks,
} from '../transport/lab.ts';
import {
  closeOf,
  connect,
  type EchoOrigin,
  echoOf,
  expectNothingLeft,
  expectUpgraded,
  nextMessage,
  SOCKET_SCHEMES,
  type SocketScheme,
  startEcho,
  type Wiretap,
  wiretap,
} from './lab.ts';

const ROUTES = ['direct', 'http', 'https', ...SOCKS_SCHEMES] as const;
/** `open`: the proxy asks for none. The others meet a proxy that wants credentials, in SOCKS4 a user id. */
const AUTHS = ['open', 'right', 'wrong', 'none'] as const;

interface Row {
  readonly scheme: SocketScheme;
  readonly route: (typeof ROUTES)[number];
  readonly auth: (typeof AUTHS)[number];
}

const rows: Row[] = SOCKET_SCHEMES.flatMap((scheme) =>
  ROUTES.flatMap((route) =>
    AUTHS.filter((auth) => route !== 'direct' || auth === 'open').map((auth) => ({ scheme, route, auth })),
  ),
);
const allowed = rows.filter(({ auth }) => auth === 'open' || auth === 'right');
const refused = rows.filter(({ auth }) => auth === 'wrong' || auth === 'none');

/** A name that only the SOCKS proxies know, and the certificate of the origin. */
const PRIVATE = 'origin.example';
/** The addresses that proxies go out from: the origin tells by it who came. */
const [PROXY_ADDRESS, OTHER_ADDRESS] = ['127.0.0.7', '127.0.0.8'] as const;
const TARGET = '/chat?room=1&q=%20';
const HEADERS = { Authorization: `Bearer ${SECRETS.token}`, Cookie: 'room=1', 'Proxy-Trace': SECRETS.token } as const;
/** More than sockets, streams and the smaller lengths of frames take. */
const BYTES = randomBytes(2 ** 20 + 7);

interface Way {
  readonly echo: EchoOrigin;
  readonly authority: string;
  readonly url: string;
  readonly http_proxy: string | null;
  readonly station: LabProxy | LabSocks | null;
  /** What goes to the proxy. */
  readonly tap: Wiretap | null;
}

/** What a row goes through, and where to: names where names can be looked up on either side. */
async function wayOf({ scheme, route, auth }: Row): Promise<Way> {
  const echo = await startEcho(scheme);
  const demanding = auth === 'open' ? {} : { auth: AUTH };
  const host = isSocks(route) ? (looksUp(route) ? 'localhost' : PRIVATE) : '127.0.0.1';
  const url = `${echo.urlFor(host)}${TARGET}`;
  const way = { echo, url, authority: new URL(url).host };
  if (route === 'direct') return { ...way, http_proxy: null, station: null, tap: null };
  if (!isSocks(route)) {
    const station = await proxy(route, { ...demanding, localAddress: PROXY_ADDRESS });
    const tap = await wiretap(station.port);
    return { ...way, station, tap, http_proxy: settingOf(station.url, station.urlWithCredentials, auth, tap) };
  }
  const userId = auth === 'open' ? {} : { userId: AUTH.username };
  const station = await socks({
    ...demanding,
    ...userId,
    localAddress: PROXY_ADDRESS,
    hosts: { [PRIVATE]: '127.0.0.1' },
  });
  const tap = await wiretap(station.port);
  const [bare, right] = [station.urlFor(route), station.urlFor(route, { credentials: true })];
  return { ...way, station, tap, http_proxy: settingOf(bare, right, auth, tap) };
}

function settingOf(bare: string, right: string, auth: Row['auth'], { port }: Wiretap): string {
  const wrong = bare.replace(
    '://',
    bare.startsWith('socks4') ? '://mallory@' : `://${AUTH.username}:${SECRETS.plainPassword}@`,
  );
  const chosen = auth === 'right' ? right : auth === 'wrong' ? wrong : bare;
  return chosen.replace(/\d+$/, String(port));
}

/** jest compares buffers far too slowly. */
function digest(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe.each(allowed)('$scheme, $route route, $auth credentials', (row) => {
  test('text and bytes come back, by that route only', async () => {
    const { echo, url, authority, http_proxy, station, tap } = await wayOf(row);
    const transport = newTransport();
    const socket = await connect(url, { transport, http_proxy, headers: HEADERS });
    expect(await echoOf(socket, 'größe')).toBe('größe');
    const returned = await echoOf(socket, BYTES);
    expect([Buffer.isBuffer(returned), digest(returned)]).toEqual([true, digest(BYTES)]);

    expect(echo.origin.requests).toMatchObject([{ method: 'GET', target: TARGET, ...seenFrom(row, authority) }]);
    for (const request of echo.origin.requests) expectOwnHeaders(request, authority);
    if (station)
      expect(station.hops).toMatchObject([isSocks(row.route) ? socksHop(row, authority) : connectHop(row, authority)]);
    if (station) for (const hop of station.hops) if (hop.kind === 'connect') expectConnectHeaders(hop.rawHeaders, row);
    if (tap) expectWire(row, tap.bytes());

    expect(socket.route).toMatchObject(routeOf(row, http_proxy));
    expect(socket.explanation).toMatchObject({
      route: { kind: socket.route.kind },
      source: 'option http_proxy',
      rule: http_proxy === null ? 'null means direct' : 'one proxy for every URL',
    });
    expect(transport.connections.map(String)).toEqual([printed(row, authority)]);
    const shown = [socket, socket.route, socket.explanation, socket.connection, transport.connections];
    expect(secretsIn([inspect(shown, { depth: 9 }), JSON.stringify(shown.slice(1))].join('\n'))).toEqual([]);
    expect(await closeOf(socket)).toBe(1000);
    await expectNothingLeft(transport, echo.origin, ...(station ? [station] : []));
    expect([echo.origin.connectionCount, station?.connectionCount ?? 1]).toEqual([1, 1]);
  });
});

/** The origin's account of who came. */
function seenFrom({ scheme, route }: Row, authority: string) {
  const servername = scheme === 'wss' && isSocks(route) ? authority.split(':')[0] : null;
  return {
    remoteAddress: route === 'direct' ? '127.0.0.1' : PROXY_ADDRESS,
    servername,
    tlsVersion: scheme === 'wss' ? 'TLSv1.3' : null,
  };
}

/** What the handshake must carry, and nothing besides: nothing that is for proxies. */
function expectOwnHeaders({ headers, rawHeaders }: OriginRequest, authority: string): void {
  expect(headers).toMatchObject({
    host: authority,
    upgrade: 'websocket',
    connection: 'Upgrade',
    authorization: HEADERS.Authorization,
    cookie: HEADERS.Cookie,
  });
  expect(
    rawHeaders
      .filter((_, index) => index % 2 === 0)
      .map((name) => name.toLowerCase())
      .sort(),
  ).toEqual([
    ...['authorization', 'connection', 'cookie', 'host', 'sec-websocket-extensions', 'sec-websocket-key'],
    ...['sec-websocket-version', 'upgrade', 'user-agent'],
  ]);
  expect(rawHeaders.filter((text) => text.includes(basic(AUTH.password)))).toEqual([]);
}

function basic(password: string): string {
  return Buffer.from(`${AUTH.username}:${password}`).toString('base64');
}

/** What an HTTP proxy sees of a row that it lets through. */
function connectHop({ route, auth }: Row, authority: string) {
  const username = auth === 'right' ? AUTH.username : null;
  const tlsVersion = route === 'https' ? 'TLSv1.3' : null;
  return { kind: 'connect', method: 'CONNECT', target: authority, status: 200, authorized: true, username, tlsVersion };
}

/** The proxy gets what is for it, and nothing of the handshake. */
function expectConnectHeaders(rawHeaders: readonly string[], { auth }: Row): void {
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  const own = ['host', 'user-agent'];
  expect(names.sort()).toEqual((auth === 'right' ? [...own, 'proxy-authorization'] : own).sort());
}

/** What a SOCKS proxy sees of a row that it lets through. */
function socksHop({ route, auth }: Row, authority: string) {
  const isRight = auth === 'right';
  const address = looksUp(route)
    ? { target: authority.replace('localhost', '127.0.0.1'), addressType: 'ipv4' }
    : { target: authority, addressType: 'name' };
  const version = route.startsWith('socks4')
    ? { version: 4, username: null, userId: isRight ? AUTH.username : '', reply: 90 }
    : { version: 5, username: isRight ? AUTH.username : null, userId: null, reply: 0 };
  return { kind: 'socks', authorized: true, ...address, ...version };
}

/** What passes the wire to the proxy begins in the proxy's protocol, and shows of the rest only what it must. */
function expectWire({ scheme, route }: Row, bytes: Buffer): void {
  const first = { http: 0x43, https: 0x16, socks4: 4, socks4a: 4, socks5: 5, socks5h: 5, direct: null }[route];
  expect(bytes[0]).toBe(first);
  expect(bytes.includes('CONNECT ')).toBe(route === 'http');
  for (const text of [`GET ${TARGET}`, SECRETS.token, 'Sec-WebSocket-Key'])
    expect([text.slice(0, 5), bytes.includes(text)]).toEqual([text.slice(0, 5), scheme === 'ws' && route !== 'https']);
}

function routeOf({ route }: Row, http_proxy: string | null) {
  if (http_proxy === null) return { kind: 'direct' };
  const server = { scheme: route, host: '127.0.0.1', port: Number(new URL(http_proxy).port) };
  return { kind: isSocks(route) ? 'socks' : 'tunnel', proxy: server };
}

/** How `transport.connections` prints it. */
function printed({ scheme, route }: Row, authority: string): string {
  const origin = `${scheme === 'ws' ? 'http' : 'https'}://${authority}`;
  const version = route.startsWith('socks4') ? 'Socks4' : 'Socks5';
  const kind = route === 'direct' ? 'HTTP' : isSocks(route) ? version : 'TunnelHTTP';
  return `<${kind}Connection ['${origin}', HTTP/1.1, UPGRADED, Request Count: 1]>`;
}

describe.each(refused.filter(({ route }) => !isSocks(route)))('$scheme, $route route, $auth credentials', (row) => {
  test('are refused by the proxy, and the origin sees nothing', async () => {
    const { error, hops } = await refusalOf(row, ProxyAuthenticationError);
    const isWrong = row.auth === 'wrong';
    expect(error).toMatchObject({ code: 'ERR_PROXY_AUTHENTICATION', status: 407, schemes: ['basic'] });
    expect(error.message).toContain(
      isWrong ? 'the credentials were not accepted' : 'it wants credentials; write http://user:password@',
    );
    expect(hops).toMatchObject([{ status: 407, authorized: false, username: isWrong ? AUTH.username : null }]);
  });
});

describe.each(refused.filter(({ route }) => isSocks(route)))('$scheme, $route route, $auth credentials', (row) => {
  test('are refused by the proxy, and the origin sees nothing', async () => {
    const { error, hops } = await refusalOf(row, SocksError);
    const isWrong = row.auth === 'wrong';
    const [facts, says, hop] = row.route.startsWith('socks4')
      ? [{ step: 'request', replyCode: 93 }, 'the user id is not', { reply: 93, userId: isWrong ? 'mallory' : '' }]
      : isWrong
        ? [{ step: 'authentication', replyCode: 1 }, 'the credentials were not accepted', { username: AUTH.username }]
        : [{ step: 'greeting', replyCode: 255 }, 'it wants credentials; write socks5h://', { username: null }];
    expect(error).toMatchObject({ code: 'ERR_SOCKS_AUTHENTICATION', ...facts });
    expect(error.message).toContain(says);
    expect(hops).toMatchObject([{ authorized: false, ...hop }]);
  });
});

async function refusalOf<E extends TransportError>(row: Row, Class: abstract new (...args: never[]) => E) {
  const { echo, url, http_proxy, station } = await wayOf(row);
  const transport = newTransport();
  const error = await failureOf(connect(url, { transport, http_proxy, headers: HEADERS }), Class);
  expect(error).toMatchObject({ phase: 'proxy-handshake', hop: 'proxy', url, hasConnectedToProxy: true });
  expect(error).toMatchObject({ retryable: false, route: routeOf(row, http_proxy) });
  expectNoSecrets(error);
  await expectNothingLeft(transport, echo.origin, ...(station ? [station] : []));
  expect([echo.origin.connectionCount, station?.connectionCount]).toEqual([0, 1]);
  return { error, hops: station?.hops };
}

test.each(SOCKET_SCHEMES)('%s: sockets at once, each over the proxy that its call names', async (scheme) => {
  const echo = await startEcho(scheme, { onSocket: (client, { socket }) => client.send(String(socket.remoteAddress)) });
  const other = { username: 'other', password: SECRETS.plainPassword };
  const tunnel = await proxy('http', { auth: AUTH, localAddress: PROXY_ADDRESS });
  const bastion = await socks({ auth: other, localAddress: OTHER_ADDRESS });
  const ways = [
    [tunnel.urlWithCredentials, PROXY_ADDRESS],
    [bastion.urlWithCredentials, OTHER_ADDRESS],
    [null, '127.0.0.1'],
  ] as const;
  const transport = newTransport();
  const options = { transport, http_proxy: null };
  const opened = Array.from({ length: 12 }, async (_, index) => {
    const [http_proxy = null, address] = ways[index % 3] ?? [];
    const socket = await connect(`${echo.url}/${index}`, { ...options, http_proxy });
    return { socket, address, from: await nextMessage(socket) };
  });
  const all = await Promise.all(opened);
  expect(all.map(({ from }) => from)).toEqual(all.map(({ address }) => address));
  expectUpgraded(transport, 12);
  expect(tunnel.hops).toMatchObject(Array(4).fill({ kind: 'connect', authorized: true, username: AUTH.username }));
  expect(bastion.hops).toMatchObject(Array(4).fill({ kind: 'socks', authorized: true, username: other.username }));
  await Promise.all(all.map(({ socket }) => closeOf(socket)));
  await expectNothingLeft(transport, echo.origin, tunnel, bastion);
});
