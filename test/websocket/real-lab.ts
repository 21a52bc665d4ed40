// The table of WebSockets on servers of others: an origin, which is nginx in front of a server of `ws`, and what must hold
// on each way to it.
import { randomBytes } from 'node:crypto';
import { on, once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  ProxyAuthenticationError,
  type ProxyError,
  SocksError,
  type TlsOptions,
  Transport,
} from '@cloudlane/transport';
import { connectWebSocket, type RoutedWebSocket } from '@cloudlane/websocket';
import { describe, expect, jest, test } from '@jest/globals';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  type Credentials,
  type Logging,
  type RealNginx,
  type RealServer,
  startNginx,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';
import { type Echo, echoOf, expectNoSecrets, expectNothingLeft, failureOf, withCredentials } from '../transport/lab.ts';

// Other test files may keep the processors busy, and each byte passes four processes.
jest.setTimeout(60_000);

/** How a WebSocket was closed. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** The origin's end of one WebSocket. */
export interface ServerEnd {
  /** What nginx saw of its handshake. */
  readonly seen: Echo;
  /** Whoever begins it. */
  readonly closed: Promise<Closing>;
  close(code: number, reason: string): void;
}

/**
 * Sends back every message. Takes the last subprotocol that is offered, and compression. WebSockets are at any path
 * under `/ws/`.
 */
export interface RealWebSocketOrigin extends RealNginx {
  /** The other end of a client's WebSocket, the only one to its URL. */
  endOf(socket: Pick<WebSocket, 'url'>): ServerEnd;
  /** How many WebSockets were opened. */
  opened(): number;
}

export async function startWebSocketOrigin(): Promise<RealWebSocketOrigin> {
  const ends = new Map<string, ServerEnd>();
  const server = await startEcho(ends);
  const nginx = await startNginx(undefined, server.port);
  return {
    ...nginx,
    opened: () => ends.size,
    endOf: ({ url }) => {
      const { pathname, search } = new URL(url);
      const end = ends.get(`${pathname}${search}`);
      if (!end) throw new Error(`No WebSocket was opened to ${pathname}${search}`);
      return end;
    },
    stop: async () => {
      await Promise.all([nginx.stop(), server.stop()]);
    },
  };
}

interface Echoing extends RealServer {
  readonly port: number;
}

async function startEcho(ends: Map<string, ServerEnd>): Promise<Echoing> {
  const handleProtocols = (offered: Set<string>) => [...offered].at(-1) ?? false;
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true, handleProtocols });
  server.on('connection', (socket, { url = '', headers }) => {
    ends.set(url, {
      seen: JSON.parse(String(headers['x-seen'])),
      closed: closingOf(socket),
      close: (code, reason) => socket.close(code, reason),
    });
    socket.on('error', () => {}); // Its end is told by what comes next.
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no port');
  const stop = async (): Promise<void> => {
    for (const client of server.clients) client.terminate();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port: address.port, stop };
}

/** How it is closed in the end, whoever begins that. */
export function closingOf(socket: WebSocket): Promise<Closing> {
  return new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
}

/** How many entries with these fields a server's log has. */
export async function countOf<E extends object>({ log }: Logging<E>, fields: Partial<E>): Promise<number> {
  const wanted = Object.entries(fields);
  const entries = await log();
  return entries.filter((entry) => wanted.every(([name, value]) => Reflect.get(entry, name) === value)).length;
}

/** By how much a count has grown, once it has. */
async function growthOf(count: () => Promise<number>, before: number): Promise<number> {
  for (;;) {
    const now = await count();
    if (now > before) return now - before;
    await nextTurn();
  }
}

export type Scheme = 'ws' | 'wss';
type OriginNow = () => RealWebSocketOrigin;

/** One way to the origin. */
export interface Way {
  /** Of the proxy, without credentials; null: direct. */
  readonly url: string | null;
  /** What the proxy wants. @defaultValue nothing */
  readonly credentials?: Credentials;
  /** Where the origin sees it come from. */
  readonly from: string;
  /** The origin's name on this way. @defaultValue 127.0.0.1 */
  readonly host?: string;
  readonly proxyTls?: TlsOptions;
  /** Signs what the proxy shows as the certificate of origins. @defaultValue it does not look into TLS */
  readonly interceptor?: string;
  /** How many tunnels of this way to there its proxy has logged. */
  readonly logged?: (host: string, port: string) => Promise<number>;
}

type Ways = Readonly<Record<string, () => Way>>;

export const portOf = (url: string): number => Number(new URL(url).port);

let calls = 0;

/** A URL that no other WebSocket has. */
export function urlOf(origin: RealWebSocketOrigin, scheme: Scheme, host = '127.0.0.1'): URL {
  calls += 1;
  const url = new URL(`${scheme === 'ws' ? origin.wsUrl : origin.wssUrl}/ws/chat?call=${calls}`);
  url.hostname = host;
  return url;
}

export function newTransport({ ca }: { readonly ca: string }, proxyTls?: TlsOptions): Transport {
  return closeAfterTest(new Transport({ tls: { ca }, ...(proxyTls && { proxyTls }) }));
}

/** What a proxy may see that does not want it, and an origin never. */
const FOR_A_PROXY = { 'Proxy-Authorization': basicOf({ username: 'mine', password: SECRETS.proxyPassword }) };

/** The value of a `Proxy-Authorization`. */
export function basicOf({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** The next messages of a WebSocket. */
async function messagesOf(socket: RoutedWebSocket, count: number): Promise<[data: Buffer, isBinary: boolean][]> {
  const messages: [Buffer, boolean][] = [];
  for await (const [data, isBinary] of on(socket, 'message')) {
    if (messages.push([data, isBinary]) === count) break;
  }
  return messages;
}

/** The serial number of a connection that nginx gets now. Two that differ by one have had none between them. */
export async function serialOf(origin: RealWebSocketOrigin): Promise<number> {
  const fresh = newTransport(origin);
  return (await echoOf(fresh, { url: `${origin.httpUrl}/echo`, http_proxy: null })).connection;
}

/** The table for some ways to one origin. Those with `password` in their names want credentials. */
export function testWays(origin: OriginNow, ways: Ways): void {
  const rows = Object.entries(ways).flatMap(([name, way]) =>
    (['ws', 'wss'] as const).map((scheme) => ({ name, way, scheme })),
  );

  describe.each(rows)('$scheme, $name', ({ way, scheme }) => {
    function open() {
      const known = way();
      const { url: proxyUrl, credentials, host, proxyTls, interceptor } = known;
      const transport = newTransport({ ca: interceptor ?? origin().ca }, proxyTls);
      const http_proxy = proxyUrl !== null && credentials ? withCredentials(proxyUrl, credentials) : proxyUrl;
      return { ...known, transport, http_proxy, url: urlOf(origin(), scheme, host) };
    }

    test('the handshake comes that way, and nothing for the proxy with it', async () => {
      const { transport, http_proxy, url, from, credentials, proxyTls, logged = async () => 0 } = open();
      const count = () => logged(url.hostname, url.port);
      const before = await count();
      const socket = await connectWebSocket(url, {
        ...{ transport, http_proxy, protocols: ['chat.v2', 'chat.v1'] },
        headers: { Authorization: `Bearer ${SECRETS.token}`, ...(credentials === undefined && FOR_A_PROXY) },
      });

      expect(origin().endOf(socket).seen).toMatchObject({
        uri: `${url.pathname}${url.search}`,
        host: url.host,
        scheme: scheme === 'ws' ? 'http' : 'https',
        sni: scheme === 'wss' && url.hostname !== '127.0.0.1' ? url.hostname : '',
        ...{ from, via: '', proxyAuthorization: '', proxyConnection: '' },
        authorization: `Bearer ${SECRETS.token}`,
      });
      expect(socket).toMatchObject({ url: url.href, protocol: 'chat.v1', extensions: 'permessage-deflate' });

      const proxyScheme = http_proxy === null ? null : new URL(http_proxy).protocol.slice(0, -1);
      const kind = proxyScheme === null ? 'direct' : proxyScheme.startsWith('socks') ? 'socks' : 'tunnel';
      expect(socket.route).toMatchObject(proxyScheme === null ? { kind } : { kind, proxy: { scheme: proxyScheme } });
      const facts = {
        ...{ kind, proxyScheme, requestCount: 1, state: 'UPGRADED' },
        origin: `${scheme === 'ws' ? 'http' : 'https'}://${url.host}`,
        tls: scheme === 'ws' ? null : { isVerified: true },
        proxyTls: proxyTls ? { isVerified: true } : null,
      };
      expect(transport.connections).toMatchObject([facts]);
      expect(socket.connection).toMatchObject({ ...facts, state: expect.any(String) });

      const closed = closingOf(socket);
      socket.close(1000);
      await closed;
      await expectNothingLeft(transport);
      if (http_proxy !== null) expect(await growthOf(count, before)).toBe(1);
    });

    test('messages come back: text, 1 MiB of bytes, and 200 in their order', async () => {
      const { transport, http_proxy, url } = open();
      const socket = await connectWebSocket(url, { transport, http_proxy });
      const bytes = randomBytes(1024 * 1024);
      socket.send('größe 😀');
      socket.send(bytes);
      const [[text, isText] = [], [echoed, isBinary] = []] = await messagesOf(socket, 2);
      expect([String(text), isText, isBinary, echoed?.equals(bytes)]).toEqual(['größe 😀', false, true, true]);

      const many = Array.from({ length: 200 }, (_, at) => `${at} ${'x'.repeat(at * 50)}`);
      for (const [at, one] of many.entries()) socket.send(at % 2 === 0 ? one : Buffer.from(one));
      const back = await messagesOf(socket, 200);
      expect(back.map(([data]) => String(data))).toEqual(many);
      expect(back.map(([, binary]) => binary)).toEqual(many.map((_, at) => at % 2 === 1));

      socket.terminate();
      await expectNothingLeft(transport);
    });

    test.each(['client', 'origin'] as const)('the closing handshake that the %s begins is kept', async (by) => {
      const { transport, http_proxy, url } = open();
      const socket = await connectWebSocket(url, { transport, http_proxy });
      const end = origin().endOf(socket);
      const ends = Promise.all([closingOf(socket), end.closed]);
      const closing = { code: 4321, reason: 'genug für heute' };
      (by === 'client' ? socket : end).close(closing.code, closing.reason);
      expect(await ends).toEqual([closing, closing]);
      await expectNothingLeft(transport);
    });
  });

  testCredentials(origin, rows);
}

interface Row {
  readonly name: string;
  readonly way: () => Way;
  readonly scheme: Scheme;
}

/** Who lacks what the proxy wants reaches no origin. */
function testCredentials(origin: OriginNow, rows: readonly Row[]): void {
  const wanting = rows
    .filter(({ name }) => name.includes('password'))
    .flatMap((row) => (['none', 'wrong'] as const).map((auth) => ({ ...row, auth })));
  if (wanting.length === 0) return;

  test.each(wanting)('$scheme, $name, is refused with credentials: $auth', async ({ way, scheme, auth }) => {
    const { url: proxyUrl, credentials, host, proxyTls, interceptor } = way();
    if (proxyUrl === null || !credentials) throw new Error('This way wants no credentials');
    const http_proxy = auth === 'none' ? proxyUrl : withCredentials(proxyUrl, { ...credentials, password: 'wrong' });
    const transport = newTransport({ ca: interceptor ?? origin().ca }, proxyTls);
    const [serial, opened] = [await serialOf(origin()), origin().opened()];

    const connecting = connectWebSocket(urlOf(origin(), scheme, host), { transport, http_proxy });
    const isSocks = proxyUrl.startsWith('socks');
    const error = await failureOf<ProxyError>(connecting, isSocks ? SocksError : ProxyAuthenticationError);
    const says = auth === 'none' ? 'it wants credentials' : 'the credentials were not accepted';
    expect(error).toMatchObject({
      hop: 'proxy',
      phase: 'proxy-handshake',
      hasConnectedToProxy: true,
      retryable: false,
    });
    expect(error).toMatchObject(
      isSocks
        ? { code: 'ERR_SOCKS_AUTHENTICATION', step: auth === 'none' ? 'greeting' : 'authentication' }
        : { status: 407, schemes: ['basic'], message: expect.stringContaining(says) },
    );
    expectNoSecrets(error);

    await expectNothingLeft(transport);
    expect([await serialOf(origin()), origin().opened()]).toEqual([serial + 1, opened]);
  });
}
