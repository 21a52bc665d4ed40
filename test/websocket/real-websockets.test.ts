// WebSockets over every route, on proxies and an origin of others: the table of real-lab.ts, and what each does in its
// own way.
import {
  ProxyAuthenticationError,
  ProxyTlsError,
  ProxyTunnelError,
  SocksError,
  TlsError,
  type TlsOptions,
  Transport,
} from '@cloudlane/transport';
import { connectWebSocket, WebSocketRedirectError, WebSocketUpgradeError } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { WebSocket } from 'ws';
import {
  type Credentials,
  describeReal,
  needs,
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
import { expectNoSecrets, expectNothingLeft, failureOf, looksUp, withCredentials } from '../transport/lab.ts';
import {
  basicOf,
  closingOf,
  countOf,
  newTransport,
  portOf,
  serialOf,
  startWebSocketOrigin,
  testWays,
  urlOf,
  type Way,
} from './real-lab.ts';

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
    logged: (host, to) => countOf(squid, { user, method: 'CONNECT', url: `${host}:${to}`, status: 200, port }),
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

  test.each(['ws', 'wss'] as const)('%s: credentials in a header of the handshake are for it alone', async (scheme) => {
    const [url, transport] = [urlOf(origin(), scheme), newTransport(origin())];
    const headers = { 'Proxy-Authorization': basicOf(credentials()) };
    const socket = await connectWebSocket(url, { transport, headers, http_proxy: squid().basicUrl });
    expect(origin().endOf(socket).seen).toMatchObject({ from: squid().outgoingAddress, proxyAuthorization: '' });
    await transport.close();
    await squid().logged({ user: credentials().username, method: 'CONNECT', url: url.host, status: 200 });
  });

  test.each(['ws', 'wss'] as const)('%s: it logs whom it refused', async (scheme) => {
    const [url, transport] = [urlOf(origin(), scheme), newTransport(origin())];
    await failureOf(connectWebSocket(url, { transport, http_proxy: squid().basicUrl }), ProxyAuthenticationError);
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
    const server = dante();
    const host = looksUp(by) ? 'localhost' : server.privateHost;
    const user = withPassword ? server.credentials.username : null;
    return {
      ...{ from: server.outgoingAddress, host, url: server[withPassword ? 'basicUrlFor' : 'openUrlFor'](by) },
      ...(withPassword && { credentials: server.credentials }),
      // It logs the address that it was given or has resolved.
      logged: (_, port) => countOf(server, { user, target: `127.0.0.1:${port}` }),
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
    logged: (host, port) => countOf(ssh(), { user: null, target: `${looksUp(by) ? '127.0.0.1' : host}:${port}` }),
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
      logged: (host, port) => countOf(server, { user, method: 'CONNECT', url: `${host}:${port}` }),
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
