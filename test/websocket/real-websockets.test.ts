// WebSockets over every route, on proxies and an origin of others: what they saw, told by themselves.
import { randomBytes } from 'node:crypto';
import { on } from 'node:events';
import {
  ProxyAuthenticationError,
  type ProxyError,
  ProxyTlsError,
  ProxyTunnelError,
  SocksError,
  TlsError,
  type TlsOptions,
  Transport,
} from '@cloudlane/transport';
import {
  connectWebSocket,
  type RoutedWebSocket,
  WebSocketRedirectError,
  WebSocketUpgradeError,
} from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { WebSocket } from 'ws';
import {
  type Credentials,
  describeReal,
  needs,
  type RealDante,
  type RealMitmproxy,
  type RealSquid,
  running,
  SOCKS_SCHEMES,
  type SocksScheme,
  startDante,
  startMitmproxy,
  startSquid,
  startSshSocks,
  startStunnel,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';
import { echoOf, expectNoSecrets, expectNothingLeft, failureOf, looksUp, withCredentials } from '../transport/lab.ts';
import { closingOf, countOf, growthOf, type RealWebSocketOrigin, startWebSocketOrigin } from './real-lab.ts';

type Scheme = 'ws' | 'wss';
type OriginNow = () => RealWebSocketOrigin;

/** One way to the origin. */
interface Way {
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
  /** How many tunnels to an authority of 127.0.0.1 or of `host` the proxy has logged as it should log this one. */
  readonly logged?: (port: string, host: string) => Promise<number>;
}

type Ways = Readonly<Record<string, () => Way>>;

const portOf = (url: string): number => Number(new URL(url).port);

let calls = 0;

/** A URL that no other WebSocket has. */
function urlOf(origin: RealWebSocketOrigin, scheme: Scheme, host = '127.0.0.1'): URL {
  calls += 1;
  const url = new URL(`${scheme === 'ws' ? origin.wsUrl : origin.wssUrl}/ws/chat?call=${calls}`);
  url.hostname = host;
  return url;
}

function newTransport({ ca }: { readonly ca: string }, proxyTls?: TlsOptions): Transport {
  return closeAfterTest(new Transport({ tls: { ca }, ...(proxyTls && { proxyTls }) }));
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
async function serialOf(origin: RealWebSocketOrigin): Promise<number> {
  const fresh = newTransport(origin);
  return (await echoOf(fresh, { url: `${origin.httpUrl}/echo`, http_proxy: null })).connection;
}

/** The table for some ways to one origin. */
function testWays(origin: OriginNow, ways: Ways): void {
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
      const { transport, http_proxy, url, from, proxyTls, logged = async () => 0 } = open();
      const count = () => logged(url.port, url.hostname);
      const before = await count();
      const socket = await connectWebSocket(url, {
        ...{ transport, http_proxy, protocols: ['chat.v2', 'chat.v1'] },
        headers: { Authorization: `Bearer ${SECRETS.token}` },
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

describeReal('nginx in front of a WebSocket server', needs.nginx, () => {
  const origin = running(startWebSocketOrigin);
  testWays(origin, { direct: () => ({ url: null, from: '127.0.0.1' }) });

  // Without this the table could not fail.
  test('tells credentials that are for a proxy', async () => {
    const leak = { 'Proxy-Authorization': 'Basic bGVhaw==', 'Proxy-Connection': 'keep-alive' };
    const socket = new WebSocket(urlOf(origin(), 'ws'), { headers: leak });
    await new Promise((resolve) => socket.once('open', resolve));
    const { seen } = origin().endOf(socket);
    expect(seen).toMatchObject({ proxyAuthorization: leak['Proxy-Authorization'], proxyConnection: 'keep-alive' });
    const closed = closingOf(socket);
    socket.close();
    await closed;
  });
});

/** The ways in to Squid; `port` is what its log names. */
function wayThroughSquid(squid: RealSquid, url: string, rest: Omit<Way, 'url' | 'from'> & { port?: number } = {}): Way {
  const { port = portOf(url), ...way } = rest;
  const user = way.credentials?.username ?? null;
  return {
    ...{ url, from: squid.outgoingAddress, host: squid.privateHost },
    logged: (to, host) => countOf(squid, { user, method: 'CONNECT', url: `${host}:${to}`, status: 200, port }),
    ...way,
  };
}

describeReal('Squid in front of nginx', [...needs.squid, ...needs.nginx], () => {
  const [origin, squid] = [running(startWebSocketOrigin), running(startSquid)];
  const credentials = (): Credentials => squid().credentials;
  const proxyTls = (): TlsOptions => ({ ca: squid().ca });

  testWays(origin, {
    'through an open http proxy': () => wayThroughSquid(squid(), squid().openUrl),
    'through an http proxy with a password': () =>
      wayThroughSquid(squid(), squid().basicUrl, { credentials: credentials() }),
    'through an open https proxy': () => wayThroughSquid(squid(), squid().tlsUrl, { proxyTls: proxyTls() }),
    'through an https proxy with a password': () =>
      wayThroughSquid(squid(), squid().tlsBasicUrl, { proxyTls: proxyTls(), credentials: credentials() }),
  });

  test.each(['ws', 'wss'] as const)('%s: it logs whom it refused', async (scheme) => {
    const url = urlOf(origin(), scheme);
    await failureOf(connectWebSocket(url, { http_proxy: squid().basicUrl }), ProxyAuthenticationError);
    await squid().logged({ user: null, method: 'CONNECT', url: url.host, status: 407 });
  });

  test.each(['ws', 'wss'] as const)('%s: the answer of an origin that refuses is told', async (scheme) => {
    const transport = newTransport(origin());
    const http_proxy = withCredentials(squid().basicUrl, credentials());
    for (const status of [401, 403, 404, 429, 503]) {
      const url = new URL(`/status/${status}`, urlOf(origin(), scheme));
      const error = await failureOf(connectWebSocket(url, { transport, http_proxy }), WebSocketUpgradeError);
      const hasToWait = status === 429 || status === 503;
      expect(error).toMatchObject({
        ...{ code: 'ERR_WEBSOCKET_UPGRADE', status, hop: 'origin', phase: 'response', hasConnectedToProxy: true },
        ...{ retryAfter: hasToWait ? 1_000 : null, retryable: status === 503 },
        headers: { server: expect.stringMatching(/^nginx/), ...(hasToWait && { 'retry-after': '1' }) },
      });
      expect(String(error.body)).toBe(`status ${status}\n`);
      expectNoSecrets(error);
    }
    await transport.close();
    await expectNothingLeft(transport);
  });

  test('a redirect from ws to wss is followed in a tunnel of its own', async () => {
    const transport = newTransport(origin());
    const url = new URL('/to-ws', urlOf(origin(), 'ws', squid().privateHost));
    const http_proxy = withCredentials(squid().basicUrl, credentials());
    const socket = await connectWebSocket(url, { transport, http_proxy });
    const secure = `${squid().privateHost}:${portOf(origin().wssUrl)}`;
    expect(socket.url).toBe(`wss://${secure}/ws/`);
    expect(origin().endOf(socket).seen).toMatchObject({ from: squid().outgoingAddress, sni: squid().privateHost });
    await transport.close();
    for (const to of [url.host, secure]) await squid().logged({ user: 'alice', method: 'CONNECT', url: to });
  });

  test('a redirect from wss to ws is not followed', async () => {
    const [url, opened] = [new URL('/to-http', urlOf(origin(), 'wss')), origin().opened()];
    const connecting = connectWebSocket(url, { transport: newTransport(origin()), http_proxy: squid().openUrl });
    expect(await failureOf(connecting, WebSocketRedirectError)).toMatchObject({ status: 307 });
    expect(origin().opened()).toBe(opened);
  });

  describe.each(['ws', 'wss'] as const)('%s to', (scheme) => {
    test.each<[string, () => string, RegExp]>([
      ['a host that it cannot resolve', () => `${scheme}://nowhere.invalid/`, /^50[023] /],
      ['a port that its rules forbid', () => `${scheme}://127.0.0.1:${squid().refusedPort}/`, /^403 /],
    ])('%s: its refusal of the tunnel is told', async (_, url, status) => {
      const transport = newTransport(origin(), proxyTls());
      for (const http_proxy of [squid().openUrl, squid().tlsUrl]) {
        const error = await failureOf(connectWebSocket(url(), { transport, http_proxy }), ProxyTunnelError);
        expect(error).toMatchObject({ hop: 'proxy', phase: 'proxy-handshake', hasConnectedToProxy: true });
        expect(`${error.status} `).toMatch(status);
        expect(error.headers['x-squid-error']).toMatch(/^ERR_/);
        expect(String(error.body)).toContain('<html>');
      }
      await expectNothingLeft(transport);
    });
  });

  test('TLS with the proxy and TLS with the origin fail each by itself', async () => {
    const http_proxy = squid().tlsUrl;
    const blind = closeAfterTest(new Transport({ proxyTls: proxyTls() }));
    const inner = await failureOf(connectWebSocket(urlOf(origin(), 'wss'), { transport: blind, http_proxy }), TlsError);
    expect(inner).toMatchObject({ hop: 'origin', phase: 'origin-tls', hasConnectedToProxy: true });
    for (const scheme of ['ws', 'wss'] as const) {
      const transport = newTransport(origin());
      const outer = await failureOf(
        connectWebSocket(urlOf(origin(), scheme), { transport, http_proxy }),
        ProxyTlsError,
      );
      expect(outer).toMatchObject({ hop: 'proxy', phase: 'proxy-tls', hasConnectedToProxy: false });
      await expectNothingLeft(transport);
    }
    await expectNothingLeft(blind);
  });

  describeReal('behind stunnel', needs.stunnel, () => {
    const stunnel = running(() => startStunnel({ targetPort: portOf(squid().basicUrl) }));
    const strict = running(() => startStunnel({ targetPort: portOf(squid().openUrl), clientCa: origin().ca }));
    const shown = (): TlsOptions => ({ ca: strict().ca, ...origin().client });

    testWays(origin, {
      'through an https proxy with a password': () => {
        const rest = { port: portOf(squid().basicUrl), credentials: credentials(), proxyTls: { ca: stunnel().ca } };
        return wayThroughSquid(squid(), stunnel().url, rest);
      },
      'through an https proxy that wants a client certificate': () =>
        wayThroughSquid(squid(), strict().url, { port: portOf(squid().openUrl), proxyTls: shown() }),
    });

    test.each(['ws', 'wss'] as const)('%s: who shows it no certificate is refused', async (scheme) => {
      const transport = newTransport(origin(), { ca: strict().ca });
      const serial = await serialOf(origin());
      const connecting = connectWebSocket(urlOf(origin(), scheme), { transport, http_proxy: strict().url });
      const error = await failureOf(connecting, ProxyTlsError);
      expect(error).toMatchObject({ code: 'ERR_PROXY_TLS', hop: 'proxy', proxy: strict().url, retryable: false });
      await expectNothingLeft(transport);
      expect(await serialOf(origin())).toBe(serial + 1);
    });

    test('each hop is shown the certificate of its own options', async () => {
      const url = new URL(`${origin().mtlsUrl.replace('https', 'wss')}/ws/both`);
      const options = { http_proxy: strict().url, proxyTls: shown() };
      const transport = newTransport(origin());
      const tls = { ca: origin().ca, ...origin().client };
      const socket = await connectWebSocket(url, { ...options, transport, tls });
      expect(origin().endOf(socket).seen).toMatchObject({ client: expect.stringMatching(/^CN=client,/) });
      const error = await failureOf(connectWebSocket(url, { ...options, transport }), WebSocketUpgradeError);
      expect(error.status).toBe(400);
      expect(String(error.body)).toContain('No required SSL certificate was sent');
      await transport.close();
      await expectNothingLeft(transport);
    });
  });
});

describeReal('Dante in front of nginx', [...needs.dante, ...needs.nginx], () => {
  const [origin, dante] = [running(startWebSocketOrigin), running(startDante)];

  function way(by: SocksScheme, withPassword: boolean): Way {
    const server: RealDante = dante();
    const host = looksUp(by) ? 'localhost' : server.privateHost;
    const user = withPassword ? server.credentials.username : null;
    return {
      ...{ from: server.outgoingAddress, host, url: server[withPassword ? 'basicUrlFor' : 'openUrlFor'](by) },
      ...(withPassword && { credentials: server.credentials }),
      // It logs the address that it was given or has resolved.
      logged: (port) => countOf(server, { user, target: `127.0.0.1:${port}` }),
    };
  }
  testWays(origin, {
    ...Object.fromEntries(SOCKS_SCHEMES.dante.map((by) => [`through open ${by}`, () => way(by, false)])),
    'through socks5 with a password': () => way('socks5', true),
    'through socks5h with a password': () => way('socks5h', true),
  });

  test.each<[string, SocksScheme, () => string, number]>([
    ['a name that it does not know', 'socks5h', () => 'nowhere.invalid', 4],
    ['a port that its rules forbid', 'socks5', () => `127.0.0.1:${dante().refusedPort}`, 2],
    ['a port that its rules forbid', 'socks4', () => `127.0.0.1:${dante().refusedPort}`, 91],
    // It takes the marker 0.0.0.1 for the address.
    ['a name of SOCKS4a, which it does not speak', 'socks4a', () => dante().privateHost, 91],
  ])('its answer to %s, by %s, is told', async (_, by, host, replyCode) => {
    for (const scheme of ['ws', 'wss'] as const) {
      const transport = newTransport(origin());
      const connecting = connectWebSocket(`${scheme}://${host()}`, { transport, http_proxy: dante().openUrlFor(by) });
      expect(await failureOf(connecting, SocksError)).toMatchObject({ step: 'request', hop: 'proxy', replyCode });
      await expectNothingLeft(transport);
    }
  });

  test.each(['ws', 'wss'] as const)('%s by socks4 gets no way in where a password is wanted', async (scheme) => {
    const http_proxy = withCredentials(dante().basicUrlFor('socks4'), dante().credentials);
    const transport = newTransport(origin());
    const error = await failureOf(connectWebSocket(urlOf(origin(), scheme), { transport, http_proxy }), SocksError);
    expect(error).toMatchObject({ step: 'request', replyCode: 91 });
    expectNoSecrets(error);
    await expectNothingLeft(transport);
  });
});

// The one that speaks SOCKS4a.
describeReal('OpenSSH in front of nginx', [...needs.sshSocks, ...needs.nginx], () => {
  const [origin, ssh] = [running(startWebSocketOrigin), running(startSshSocks)];
  const way = (by: SocksScheme): Way => ({
    ...{ url: ssh().openUrlFor(by), from: ssh().outgoingAddress },
    host: looksUp(by) ? 'localhost' : ssh().privateHost,
    logged: (port, host) => countOf(ssh(), { user: null, target: `${looksUp(by) ? '127.0.0.1' : host}:${port}` }),
  });
  testWays(origin, Object.fromEntries(SOCKS_SCHEMES.ssh.map((by) => [`through ${by}`, () => way(by)])));
});

describeReal('mitmproxy in front of nginx', [...needs.mitmproxy, ...needs.nginx], () => {
  const origin = running(startWebSocketOrigin);
  const [open, closed] = [running(startMitmproxy), running(() => startMitmproxy({ withPassword: true }))];

  function way(server: RealMitmproxy, credentials?: Credentials): Way {
    const user = credentials?.username ?? null;
    return {
      ...{ url: server.url, from: server.outgoingAddress, interceptor: server.ca, ...(credentials && { credentials }) },
      logged: (port, host) => countOf(server, { user, method: 'CONNECT', url: `${host}:${port}` }),
    };
  }
  testWays(origin, {
    'through a proxy that looks into it': () => way(open()),
    'through a proxy with a password that looks into it': () => way(closed(), closed().credentials),
  });

  test.each(['ws', 'wss'] as const)('%s: it has seen the handshake itself', async (scheme) => {
    const transport = newTransport(open());
    const url = urlOf(origin(), scheme);
    await connectWebSocket(url, { transport, http_proxy: open().url });
    await transport.close();
    await open().logged({ method: 'GET', url: url.href.replace('ws', 'http'), status: 101 });
  });

  test('a client that does not trust it is told whom it would have to trust', async () => {
    const connecting = connectWebSocket(urlOf(origin(), 'wss'), {
      transport: newTransport(origin()),
      http_proxy: open().url,
    });
    const error = await failureOf(connecting, TlsError);
    expect(error).toMatchObject({ phase: 'origin-tls', hop: 'origin', hasConnectedToProxy: true });
    expect(error.message).toContain('if you trust its authority, give that in tls.ca');
  });
});
