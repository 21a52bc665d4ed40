import type { OutgoingHttpHeaders } from 'node:http';
import {
  formatProxy,
  InvalidOptionError,
  type ProxyServer,
  parseProxyUrl,
  type Route,
  resolveRoute,
} from '@cloudlane/proxy';
import type { AgentRegistry } from './agent-registry.ts';
import { Attempt } from './attempt.ts';
import type { ConnectionInfo } from './connection-info.ts';
import { Exchange } from './exchange.ts';
import { HttpConnectionResponse } from './http-connection-response.ts';
import { maskUrl } from './masking.ts';
import { type Origin, originOf, parseUrl } from './origin.ts';
import { printAs } from './printing.ts';
import { checkBody, type RequestBody, type UploadProgress } from './request-body.ts';
import { basicCredentials, bodyLength, type PartedHeaders, partHeaders } from './request-headers.ts';
import type { RouteAgent } from './route-agents.ts';
import { adaptRoute, chooseRoute } from './route-choice.ts';
import type { SocketPool } from './socket-pool.ts';
import { type ResolvedTimeouts, resolveTimeouts, type Timeouts } from './timeouts.ts';
import type { OpenOptions, RequestHeaders, ResolvedTransportOptions } from './transport-options.ts';

/** Options of {@link HttpConnection.setTunnel}. */
export interface TunnelOptions {
  /** @defaultValue 443, or 80 with `secure: false` */
  readonly port?: number;
  /** For the proxy alone, with CONNECT. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether to speak TLS with the origin inside the tunnel. @defaultValue true */
  readonly secure?: boolean;
}

/** Options of {@link HttpConnection.request}. */
export interface HttpConnectionRequest {
  readonly headers?: RequestHeaders | undefined;
  readonly body?: RequestBody | null | undefined;
  /** Ends the request at once, whatever it is doing, and its connection. */
  readonly signal?: AbortSignal | undefined;
  readonly onUploadProgress?: UploadProgress | undefined;
}

/**
 * One connection in the hands of its user, step by step, as urllib3's `HTTPConnection`: shared with nobody, not pooled,
 * opened at the first request or by `connect()`, and usable again after `close()`. Made by `Transport.open`.
 *
 * It leads to the URL that it was opened with by the route that the settings choose. To name the first hop yourself,
 * open the proxy's URL with `http_proxy: null`, and call `setTunnel`, or request absolute URLs of other origins.
 */
export class HttpConnection {
  /** The URL it was opened with. */
  readonly url: URL;
  readonly #options: OpenOptions;
  readonly #defaults: ResolvedTransportOptions;
  readonly #registry: AgentRegistry;
  readonly #timeouts: ResolvedTimeouts;
  readonly #route: Route;
  #tunnel: { readonly origin: Origin; readonly url: URL; readonly route: Route } | null = null;
  #pool: SocketPool;
  #attempt: Attempt | null = null;
  #exchange: Exchange | null = null;
  #response: HttpConnectionResponse | null = null;

  constructor(url: string | URL, options: OpenOptions, defaults: ResolvedTransportOptions, registry: AgentRegistry) {
    this.url = parseUrl(url);
    originOf(this.url);
    this.#options = options;
    this.#defaults = defaults;
    this.#registry = registry;
    this.#timeouts = { ...resolveTimeouts(options.timeout, defaults.timeouts) };
    this.#route = chooseRoute(this.url, options, defaults).route;
    this.#pool = this.#registry.createOwnPool();
    // Refuses now what cannot work: TLS options, SOCKS with what it cannot carry.
    this.#agent(this.#way(this.url), null);
  }

  /** Host of the first hop: the proxy, or else the origin; without brackets. */
  get host(): string {
    const { route } = this.#way(this.url);
    return route.kind === 'direct' ? originOf(this.url).host : route.proxy.host;
  }

  /** Port of the first hop. */
  get port(): number {
    const { route } = this.#way(this.url);
    return route.kind === 'direct' ? originOf(this.url).port : route.proxy.port;
  }

  /** The deadlines, in milliseconds. Setting some changes them from the next phase on; a number is `total`. */
  get timeout(): Timeouts {
    return { ...this.#timeouts };
  }

  set timeout(timeout: number | Timeouts) {
    Object.assign(this.#timeouts, resolveTimeouts(timeout, this.#timeouts));
    this.#attempt?.onTimeoutsChanged();
  }

  /**
   * From now on reaches this origin by CONNECT through the server that the connection was opened with, with `proxyTls`
   * for that and `tls` for the origin. Stays in force when the connection is closed and opened again.
   *
   * @throws InvalidOptionError if the connection is open, or has a proxy already; if host, port or a header cannot be sent
   */
  setTunnel(host: string, options: TunnelOptions = {}): this {
    const { port, headers, secure = true } = options;
    if (this.#pool.current !== null)
      throw new InvalidOptionError('setTunnel', 'comes too late: the connection is open');
    if (this.#route.kind !== 'direct')
      throw new InvalidOptionError('setTunnel', 'contradicts the proxy that is set; open with http_proxy: null');
    const url = originUrl(host, port, secure);
    const http_proxy = { url: withoutPath(this.url), ...(headers === undefined ? {} : { headers: { ...headers } }) };
    const route = resolveRoute(url, { http_proxy, trustEnv: false, source: 'setTunnel' });
    if (route.kind !== 'direct') this.#tunnel = { url, origin: originOf(url), route: { ...route, kind: 'tunnel' } };
    return this;
  }

  /**
   * Opens the connection now, up to TLS with the origin; a request would do so by itself.
   * @throws TransportError, as `Transport.send`
   */
  async connect({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.isConnected) return;
    signal?.throwIfAborted();
    const way = this.#way(this.url);
    const attempt = this.#newAttempt('CONNECT', way);
    const { key, dial } = this.#agent(way, null).way(way.origin);
    const abort = (): void => this.#pool.abandon(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await this.#pool.connect(key, attempt, dial);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * Sends a request, opening the connection if need be. Resolves when it is sent; also if the other end has stopped
   * reading before that, as an answer may still come (see `getResponse`).
   *
   * @param target a path, or an absolute URL: of the origin, or of any when the first hop forwards
   * @throws InvalidOptionError if the answer before has not been read to its end
   * @throws TransportError if it does not get that far; the connection is closed then
   */
  async request(method: string, target: string | URL, options: HttpConnectionRequest = {}): Promise<void> {
    if (this.#exchange !== null || this.#response?.httpConnection === this)
      throw new InvalidOptionError('request', 'comes too early: read or destroy the body of the answer before');
    const url = resolveTarget(target, this.#tunnel?.url ?? this.url);
    const body = options.body ?? null;
    if (body !== null) checkBody(body);
    const way = this.#way(url);
    const attempt = this.#newAttempt(method.toUpperCase(), way);
    const byHand = way.isForwardedByHand ? parseProxyUrl(withoutPath(this.url)) : null;
    const route: Route = byHand === null ? way.route : { kind: 'forward', proxy: byHand };
    const headers = partHeaders(options.headers ?? {}, url, body, route);
    attempt.isAuthenticating = headers.showsCredentials;
    const exchange = new Exchange({
      attempt,
      agent: this.#agent(way, headers.proxyAuthorization),
      origin: way.origin,
      method: attempt.method,
      path: `${byHand === null ? '' : url.origin}${url.pathname}${url.search}`,
      headers: byHand === null ? headers.origin : { ...headers.origin, ...forwardHeaders(url, byHand, headers) },
      body,
      length: bodyLength(headers.origin),
      signal: options.signal,
      onUploadProgress: options.onUploadProgress,
    });
    this.#exchange = exchange;
    exchange.answer.catch(() => {});
    try {
      await Promise.race([exchange.sent, exchange.answer]);
    } catch (error) {
      this.#exchange = null;
      throw error;
    }
  }

  /**
   * The answer to the request that was sent: its head, and its body as a stream. Until that has been read to its end or
   * destroyed, `response.httpConnection` is this connection, and it takes no other request.
   *
   * @throws InvalidOptionError if no request was sent
   * @throws TransportError if no answer comes; the connection is closed then
   */
  async getResponse(): Promise<HttpConnectionResponse> {
    const [exchange, attempt] = [this.#exchange, this.#attempt];
    if (exchange === null || attempt === null)
      throw new InvalidOptionError('getResponse', 'comes too early: send a request first');
    try {
      this.#response = new HttpConnectionResponse(await exchange.answer, attempt, this);
      return this.#response;
    } finally {
      this.#exchange = null;
    }
  }

  /** Closes the connection. It can be used again: the next request opens it anew, a tunnel included. */
  async close(): Promise<void> {
    const pool = this.#pool;
    this.#pool = this.#registry.createOwnPool();
    this.#exchange = null;
    this.#response = null;
    this.#attempt = null;
    await pool.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The connection as it is now; null while there is none. */
  get info(): ConnectionInfo | null {
    return this.#pool.current;
  }

  /** Whether the whole way to the origin is open. */
  get isConnected(): boolean {
    const state = this.#pool.current?.state;
    return state === 'IDLE' || state === 'ACTIVE';
  }

  get isClosed(): boolean {
    return this.#pool.current === null;
  }

  /**
   * Whether the proxy was reached, TLS with it included: after a failure it tells whose fault it was. Always false on a
   * direct route, and after `close()`.
   */
  get hasConnectedToProxy(): boolean {
    return this.#attempt?.hasConnectedToProxy ?? false;
  }

  /** Whether the origin's certificate was verified, by this side: never when a proxy forwards. */
  get isVerified(): boolean {
    return this.info?.tls?.isVerified ?? false;
  }

  /** Whether the proxy's certificate was verified; null while there is no connection, or no proxy. */
  get proxyIsVerified(): boolean | null {
    const { info } = this;
    if (info === null || info.kind === 'direct' || !this.isConnected) return null;
    return info.proxyTls?.isVerified ?? false;
  }

  /** The same as `proxyIsVerified`. */
  get isProxyVerified(): boolean | null {
    return this.proxyIsVerified;
  }

  /** Whether requests go to a proxy in absolute form. */
  get proxyIsForwarding(): boolean {
    return this.#way(this.url).route.kind === 'forward';
  }

  /** Whether requests go through a CONNECT tunnel. */
  get proxyIsTunneling(): boolean {
    return this.#way(this.url).route.kind === 'tunnel';
  }

  toString(): string {
    const { route } = this.#way(this.url);
    const through = route.kind === 'direct' ? '' : ` through ${formatProxy(route.proxy)}`;
    return this.info === null
      ? `<HttpConnection to ${maskUrl(this.#tunnel?.url ?? new URL(this.url.origin))}${through}, closed>`
      : String(this.info);
  }

  static {
    printAs<HttpConnection>(HttpConnection.prototype, String);
  }

  #newAttempt(method: string, { url, route }: ConnectionWay): Attempt {
    const explain = chooseRoute(this.url, this.#options, this.#defaults).explain;
    const timeouts = this.#timeouts;
    // On its one connection there is nothing else to send a request on.
    const attempt = new Attempt({ method, url, route, explain, timeouts, isRepeatable: true });
    if (this.#registry.isClosed) throw attempt.closed();
    this.#registry.track(this.#pool);
    this.#attempt = attempt;
    return attempt;
  }

  #agent({ route, origin }: ConnectionWay, proxyAuthorization: string | null): RouteAgent {
    const { tls, proxyTls } = this.#options;
    return this.#registry.make(route, origin, { tls, proxyTls, proxyAuthorization }, this.#pool);
  }

  #way(url: URL): ConnectionWay {
    if (this.#tunnel !== null) return { ...this.#tunnel, isForwardedByHand: false };
    const first = originOf(this.url);
    const origin = originOf(url);
    const isElsewhere = origin.href !== first.href;
    if (this.#route.kind === 'direct') {
      return { url, route: this.#route, origin: first, isForwardedByHand: isElsewhere };
    }
    const usual: Route = { kind: origin.secure ? 'tunnel' : 'forward', proxy: this.#route.proxy };
    const route = this.#route.kind === 'socks' ? this.#route : adaptRoute(url, usual, this.#defaults);
    if (isElsewhere && route.kind !== 'forward')
      throw new InvalidOptionError(
        'url',
        `leads to ${origin.href}, but this connection to ${first.href}; open another`,
      );
    return { url, route, origin, isForwardedByHand: false };
  }
}

interface ConnectionWay {
  readonly url: URL;
  readonly route: Route;
  readonly origin: Origin;
  /** Whether the caller named the first hop and sends it the URL of another: it is a proxy then. */
  readonly isForwardedByHand: boolean;
}

function resolveTarget(target: string | URL, base: URL): URL {
  if (target instanceof URL || !target.startsWith('/')) return parseUrl(target);
  // Not by the rules of references: a path such as //x is a path here.
  return parseUrl(`${base.origin}${target}`);
}

/** What an agent for the route would have added. */
function forwardHeaders(url: URL, { credentials }: ProxyServer, given: PartedHeaders): OutgoingHttpHeaders {
  const own = credentials === undefined ? null : basicCredentials(credentials.username, credentials.password);
  const authorization = given.proxyAuthorization ?? own;
  return { Host: url.host, ...(authorization === null ? {} : { 'Proxy-Authorization': authorization }) };
}

function originUrl(host: string, port: number | undefined, secure: boolean): URL {
  const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const text = `${secure ? 'https' : 'http'}://${name}${port === undefined ? '' : `:${port}`}/`;
  // The URL parser would take these out, or for parts of another kind.
  if (/[\s/?#@\\]|\p{Cc}/u.test(host) || !URL.canParse(text))
    throw new InvalidOptionError('setTunnel', 'needs a host name or address, and a port from 1 to 65535');
  return new URL(text);
}

function withoutPath(url: URL): URL {
  const bare = new URL(url);
  bare.pathname = '/';
  bare.search = '';
  bare.hash = '';
  return bare;
}
