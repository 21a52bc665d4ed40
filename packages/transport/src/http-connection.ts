import type { IncomingMessage } from 'node:http';
import { formatProxy, InvalidOptionError } from '@cloudlane/proxy';
import type { AgentRegistry } from './agent-registry.ts';
import { Attempt } from './attempt.ts';
import type { ConnectionInfo } from './connection-info.ts';
import { publishEnd, publishError, publishStart } from './diagnostics.ts';
import { ClosedError } from './errors.ts';
import {
  draftRequest,
  type HttpConnectionRequest,
  type PendingRequest,
  startRequest,
} from './http-connection-request.ts';
import { HttpConnectionResponse } from './http-connection-response.ts';
import type { TunnelOptions } from './http-connection-tunnel.ts';
import { type ConnectionWay, ConnectionWays } from './http-connection-way.ts';
import { maskUrl } from './masking.ts';
import { onAbort } from './on-abort.ts';
import { parseUrl } from './origin.ts';
import { printAs } from './printing.ts';
import type { RouteAgent } from './route-agents.ts';
import type { SocketPool } from './socket-pool.ts';
import { type ResolvedTimeouts, resolveTimeouts, startDeadline, type Timeouts } from './timeouts.ts';
import type { OpenOptions, ResolvedTransportOptions } from './transport-options.ts';

export type { HttpConnectionRequest } from './http-connection-request.ts';
export type { TunnelOptions } from './http-connection-tunnel.ts';

/**
 * One connection in the hands of its user, step by step, as urllib3's `HTTPConnection`: shared with nobody, not pooled,
 * opened at the first request or by `connect()`, and usable again after `close()` and after every failure. Made by
 * `Transport.open`. One step at a time: a step that comes before the one before is over is refused.
 *
 * It leads to the URL that it was opened with by the route that the settings choose. To name the first hop yourself,
 * open the proxy's URL with `http_proxy: null`, and call `setTunnel`, or request absolute URLs of other origins. The
 * latter is an ordinary exchange with the server that was opened: `tls` is for that, and its refusals are answers.
 */
export class HttpConnection {
  /** The URL it was opened with; its credentials are for that server alone. */
  readonly url: URL;
  readonly #options: OpenOptions;
  readonly #registry: AgentRegistry;
  readonly #timeouts: ResolvedTimeouts;
  readonly #ways: ConnectionWays;
  #pool: SocketPool;
  /** The latest try, under way or over. */
  #attempt: Attempt | null = null;
  #pending: PendingRequest | null = null;
  #response: HttpConnectionResponse | null = null;
  /** Whether the connection has carried a request that its other end was to forward, at the caller's word. */
  #hasForwardedByHand = false;
  /** A request's own `Proxy-Authorization` that the connection was opened with. */
  #shownAuthorization: string | null = null;

  /** For `Transport.open`, which says what it throws. */
  constructor(url: string | URL, options: OpenOptions, defaults: ResolvedTransportOptions, registry: AgentRegistry) {
    this.url = new URL(parseUrl(url));
    this.#options = options;
    this.#registry = registry;
    this.#timeouts = { ...resolveTimeouts(options.timeout, defaults.timeouts) };
    this.#ways = new ConnectionWays(this.url, options, defaults);
    this.#pool = registry.createOwnPool();
    // Refuses now what cannot work: TLS options, SOCKS with what it cannot carry.
    this.#agent(this.#ways.main, null);
  }

  /** Host of the first hop, the proxy or else the origin: without brackets, and without the final dot of a full name. */
  get host(): string {
    const { route, origin } = this.#ways.main;
    return (route.kind === 'direct' ? origin.host : route.proxy.host).replace(/\.$/, '');
  }

  /** Port of the first hop. */
  get port(): number {
    const { route, origin } = this.#ways.main;
    return route.kind === 'direct' ? origin.port : route.proxy.port;
  }

  /**
   * The deadlines, in milliseconds; a number is `total`. Setting some changes them from now on: `connect` and
   * `handshake` for the next time that it connects, `firstByte` and `idle` also for what is under way, counted anew.
   * `total` covers a call of `connect()`, or a request from the call to the last byte of its answer, also one under way.
   *
   * @throws InvalidOptionError when set to what is no deadline
   */
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
    if (!this.isClosed) throw new InvalidOptionError('setTunnel', 'comes too late: the connection is open');
    this.#ways.setTunnel(host, options);
    return this;
  }

  /**
   * Opens the connection now, up to TLS with the origin; a request would do so by itself. Does nothing if it is open.
   *
   * @param options `signal` gives up, and the call fails with its reason
   * @throws InvalidOptionError if it is being opened already
   * @throws TransportError if it cannot be opened, as `Transport.send`; `timeout.total` covers the call
   */
  async connect({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.isConnected) return;
    if (!this.isClosed) throw new InvalidOptionError('connect', 'comes too late: the connection is being opened');
    if (this.#isSpent) void this.#discard(this.#pool);
    const { main } = this.#ways;
    const attempt = this.#newAttempt('CONNECT', main);
    attempt.isAuthenticating = draftRequest('GET', main, {}).showsCredentials;
    const { key, dial } = this.#agent(main, null).way(main.origin);
    this.#attempt = attempt;
    this.#hasForwardedByHand = false;
    const pool = this.#pool;
    publishStart(attempt);
    const stopTotal = startDeadline(attempt.totalLeft, () => pool.abandon(attempt.timedOut('total')));
    const stopListening = onAbort(signal, () => pool.abandon(signal?.reason));
    try {
      await pool.connect(key, attempt, dial);
      attempt.finish();
      publishEnd(attempt, 0, true);
    } catch (error) {
      publishError(attempt, error);
      throw error;
    } finally {
      stopTotal();
      stopListening();
    }
  }

  /**
   * Sends a request, opening the connection if need be. Resolves when it is sent; also if the other end has stopped
   * reading before that, as an answer may still come (see `getResponse`).
   *
   * @param target a path, which with the credentials of the opened URL is its origin's; or an absolute URL: of the
   * origin, or of any other that the settings would have the same proxy forward. With `http_proxy: null` the server
   * that was opened is asked to forward the others. https URLs are forwarded with `useForwardingForHttps` alone.
   * @throws InvalidOptionError if the step before is not over, or the request cannot be sent on this connection
   * @throws TransportError if it does not get that far; the connection is closed then. `signal.reason` if aborted
   */
  async request(method: string, target: string | URL, options: HttpConnectionRequest = {}): Promise<void> {
    this.#checkFree();
    if (this.#isSpent) void this.#discard(this.#pool);
    const way = this.#ways.to(target);
    const { plan, proxyAuthorization, showsCredentials } = draftRequest(method, way, options);
    const attempt = this.#newAttempt(plan.method, way);
    attempt.isAuthenticating = showsCredentials;
    this.#checkAuthorization(proxyAuthorization);
    const [pool, wasConnected] = [this.#pool, this.isConnected];
    const pending = startRequest({ ...plan, attempt, agent: this.#agent(way, proxyAuthorization) });
    this.#attempt = attempt;
    this.#pending = pending;
    this.#response = null;
    this.#hasForwardedByHand = way.forwarder !== null || (this.#hasForwardedByHand && wasConnected);
    const { sent, answer } = pending.exchange;
    try {
      await Promise.race([sent, answer]);
    } catch (error) {
      await this.#fail(pending, pool);
      throw error;
    }
  }

  /**
   * The answer to the request that was sent: its head, and its body as a stream. Until that has been read to its end or
   * destroyed, `response.httpConnection` is this connection, and it takes no other request.
   *
   * @throws InvalidOptionError if no request was sent, or its answer is asked for already
   * @throws TransportError if no answer comes; the connection is closed then
   */
  async getResponse(): Promise<HttpConnectionResponse> {
    const pending = this.#pending;
    if (pending === null) throw new InvalidOptionError('getResponse', 'comes too early: send a request first');
    if (pending.isAwaited) throw new InvalidOptionError('getResponse', 'comes twice: the answer is waited for already');
    pending.isAwaited = true;
    const pool = this.#pool;
    try {
      const message = await pending.exchange.answer;
      if (message.errored) throw message.errored;
      const response = new HttpConnectionResponse(message, pending.attempt, this);
      if (this.#pending === pending) {
        this.#pending = null;
        this.#response = response;
      }
      if (isBodiless(message)) await endOf(message);
      return response;
    } catch (error) {
      await this.#fail(pending, pool);
      throw error;
    }
  }

  /**
   * Closes the connection; what is under way fails with `ClosedError`. May be called again. It can be used again: the
   * next request opens it anew, a tunnel included.
   */
  async close(): Promise<void> {
    const attempt = this.#attempt;
    attempt?.stop(new ClosedError(`${attempt}: the connection was closed`, attempt.facts()));
    this.#attempt = null;
    this.#pending = null;
    await this.#discard(this.#pool);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The connection as it is now; null while there is none. */
  get info(): ConnectionInfo | null {
    return this.#isSpent ? null : this.#pool.current;
  }

  /** Whether the whole way to the origin is open. */
  get isConnected(): boolean {
    const state = this.info?.state;
    return state === 'IDLE' || state === 'ACTIVE';
  }

  /** Whether there is no connection, and none is being opened. */
  get isClosed(): boolean {
    return this.info === null;
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
    return !this.#hasForwardedByHand && (this.info?.tls?.isVerified ?? false);
  }

  /** Whether the proxy's certificate was verified; null while there is no connection, or no proxy. */
  get proxyIsVerified(): boolean | null {
    const { info } = this;
    if (info === null || !this.isConnected) return null;
    if (this.#hasForwardedByHand) return info.tls?.isVerified ?? false;
    return info.kind === 'direct' ? null : (info.proxyTls?.isVerified ?? false);
  }

  /** The same as `proxyIsVerified`. */
  get isProxyVerified(): boolean | null {
    return this.proxyIsVerified;
  }

  /** Whether requests go to a proxy in absolute form. */
  get proxyIsForwarding(): boolean {
    return this.#hasForwardedByHand || this.#ways.main.route.kind === 'forward';
  }

  /** Whether requests go through a CONNECT tunnel. */
  get proxyIsTunneling(): boolean {
    return this.#ways.main.route.kind === 'tunnel';
  }

  /** `<HttpConnection to https://api.example/ through http://user:***@proxy:3128, closed>`, or what `info` shows. */
  toString(): string {
    const { route } = this.#ways.main;
    const through = route.kind === 'direct' ? '' : ` through ${formatProxy(route.proxy)}`;
    return this.info === null ? `<HttpConnection to ${this.#destination}${through}, closed>` : String(this.info);
  }

  toJSON(): Record<string, unknown> {
    return { url: this.#destination, route: this.#ways.main.route, connection: this.info };
  }

  static {
    printAs<HttpConnection>(HttpConnection.prototype, String);
  }

  get #destination(): string {
    return maskUrl(new URL(this.#ways.main.url.origin));
  }

  /** Whether a body was given up, by either end: nothing else can come on its connection, which is about to close. */
  get #isSpent(): boolean {
    const { destroyed = false, readableEnded = false } = this.#response?.body ?? {};
    return destroyed && !readableEnded;
  }

  #checkFree(): void {
    if (this.#pending !== null)
      throw new InvalidOptionError('request', 'comes too early: get the answer to the request before, and read it');
    if (this.#response?.httpConnection === this)
      throw new InvalidOptionError('request', 'comes too early: read or destroy the body of the answer before');
    if (!this.isClosed && !this.isConnected)
      throw new InvalidOptionError('request', 'comes too early: connect() is not over');
  }

  // CONNECT shows the credentials once, when the tunnel is opened.
  #checkAuthorization(proxyAuthorization: string | null): void {
    if (!this.isConnected) this.#shownAuthorization = proxyAuthorization;
    else if (this.proxyIsTunneling && proxyAuthorization !== null && proxyAuthorization !== this.#shownAuthorization)
      throw new InvalidOptionError('headers.Proxy-Authorization', 'comes too late: the tunnel is open');
  }

  /** @throws ClosedError if the transport is closed */
  #newAttempt(method: string, { url, route, explain }: ConnectionWay): Attempt {
    // On its one connection there is nothing else to send a request on.
    const attempt = new Attempt({ method, url, route, explain, timeouts: this.#timeouts, isRepeatable: true });
    if (this.#registry.isClosed) throw attempt.closed();
    return attempt;
  }

  #agent({ route, origin }: ConnectionWay, proxyAuthorization: string | null): RouteAgent {
    const { tls, proxyTls } = this.#options;
    return this.#registry.make(route, origin, { tls, proxyTls, proxyAuthorization }, this.#pool);
  }

  async #fail(pending: PendingRequest, pool: SocketPool): Promise<void> {
    if (this.#pending === pending) this.#pending = null;
    await this.#discard(pool);
  }

  /** Ends the connections of the current pool; the next request gets one of another. Others are being ended already. */
  async #discard(pool: SocketPool): Promise<void> {
    if (this.#pool !== pool) return;
    this.#pool = this.#registry.createOwnPool();
    this.#response = null;
    this.#hasForwardedByHand = false;
    await pool.close();
  }
}

/** Whether the answer is over with its head. */
function isBodiless({ complete, readableLength }: IncomingMessage): boolean {
  return complete && readableLength === 0;
}

function endOf(message: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    if (message.closed) resolve();
    else message.once('close', resolve).resume();
  });
}
