import {
  handshakeUrl,
  haveSameProxy,
  isRedirect,
  maskUrl,
  type RequestHeaders,
  resolveLocation,
  sharedTransport,
  survivesRedirect,
  type Transport,
  type TransportResponse,
  type UpgradeRequest,
  VERSION,
  webSocketUrl,
  withoutIdentity,
} from '@cloudlane/transport';
import { openWebSocket } from './open-websocket.ts';
import type { RoutedWebSocket } from './routed-websocket.ts';
import { checkWebSocketOptions, parseWebSocketUrl } from './websocket-checks.ts';
import { redirectRefusalOf, refusalOf } from './websocket-errors.ts';
import type { WebSocketOptions } from './websocket-options.ts';

/**
 * Opens a WebSocket by the route that is chosen for it exactly as for a request, and resolves with it once it is
 * connected. HTTP and HTTPS proxies are asked for a tunnel (CONNECT), for ws URLs too.
 *
 * Of the environment the first of these counts that has a value, unless `no_proxy` excludes the host: for ws `ws_proxy`,
 * `socks_proxy`, `https_proxy`, `http_proxy`, `all_proxy`; for wss `wss_proxy`, `socks_proxy`, `https_proxy`, `all_proxy`.
 *
 * @param url ws or wss; http and https stand for them. Its credentials become Basic authorization.
 * @throws InvalidOptionError, InvalidProxyUrlError if the URL, an option or the proxy cannot be used
 * @throws TransportError that names the hop and the phase, if it does not get through; `signal.reason` if aborted
 * @throws WebSocketUpgradeError if the origin answers something else than 101, WebSocketRedirectError if it redirects to
 * where it must not be followed: from wss to ws, too often, or to what is no URL
 */
export async function connectWebSocket(url: string | URL, options: WebSocketOptions = {}): Promise<RoutedWebSocket> {
  const target = parseWebSocketUrl(url);
  checkWebSocketOptions(target, options);
  const { transport = sharedTransport(), maxRedirects = MOST_REDIRECTS } = options;
  let request = firstRequest(target, options);
  for (let redirects = 0; ; redirects += 1) {
    const { response, socket } = await openWebSocket(transport, request, options);
    if (socket !== null) return socket;
    try {
      if (maxRedirects === 0 || !isRedirect(response)) throw await refusalOf(response);
      if (redirects === maxRedirects)
        throw await redirectRefusalOf(response, 'it is one more than maxRedirects allows');
      request = await follow(response, request, transport);
    } catch (error) {
      // An answer that was cut short by the abort is none.
      options.signal?.throwIfAborted();
      throw error;
    }
  }
}

const MOST_REDIRECTS = 10;

function firstRequest(url: URL, options: WebSocketOptions): UpgradeRequest {
  const { http_proxy, noProxy, env, trustEnv, system, tls, proxyTls, timeout, signal } = options;
  return {
    url,
    headers: withUserAgent(options.headers),
    ...{ http_proxy, noProxy, env, trustEnv, system },
    ...{ tls, proxyTls, timeout, signal },
    startedAt: performance.now(),
  };
}

function withUserAgent(headers: WebSocketOptions['headers'] = {}): RequestHeaders {
  const given: RequestHeaders = headers instanceof Headers ? Object.fromEntries(headers) : headers;
  const hasOwn = Object.keys(given).some((name) => name.toLowerCase() === 'user-agent');
  return hasOwn ? given : { 'User-Agent': `cloudlane/${VERSION}`, ...given };
}

/**
 * The handshake that a redirect asks for. Its route is chosen anew. What authorizes, the client certificate included, is
 * for the origin it was meant for; once a redirect has left that, it is gone.
 * @throws WebSocketRedirectError if it must not be followed
 */
async function follow(
  response: TransportResponse,
  request: UpgradeRequest,
  transport: Transport,
): Promise<UpgradeRequest> {
  const current = new URL(request.url);
  const url = targetOf(response, current);
  if (typeof url === 'string') throw await redirectRefusalOf(response, url);
  response.body.destroy();
  const isSameOrigin = url.origin === current.origin;
  const keeps = (name: string): boolean =>
    name === 'proxy-authorization' ? haveSameProxy(url, current, request) : survivesRedirect(name, isSameOrigin);
  const headers = Object.entries(request.headers ?? {}).filter(([name]) => keeps(name.toLowerCase()));
  const tls = isSameOrigin ? request.tls : withoutIdentity(request.tls ?? transport.tls);
  return { ...request, url, headers: Object.fromEntries(headers), tls };
}

/** Where a redirect leads, or why it must not be followed. */
function targetOf({ headers }: TransportResponse, current: URL): URL | string {
  // Servers write http and https; ws and wss are the same places.
  const text = (headers.location ?? '').replace(/^ws(?=s?:)/i, 'http');
  const location = resolveLocation(text, handshakeUrl(current));
  if (location === null) return 'it leads to something that is no URL';
  if (!/^https?:$/.test(location.protocol)) return `it leads to ${location.protocol}, which is no WebSocket's`;
  const url = webSocketUrl(location);
  if (url.protocol === 'ws:' && current.protocol === 'wss:') return `it leads from wss to ${maskUrl(url)}, without TLS`;
  url.hash = '';
  return url;
}
