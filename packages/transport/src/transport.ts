import type { HttpProxy, RouteSettings } from '@cloudlane/proxy';
import type { AxiosInstance } from 'axios';
import { AgentRegistry } from './agent-registry.ts';
import { Attempt } from './attempt.ts';
import { createAxios } from './axios-adapter.ts';
import type { ConnectionInfo } from './connection-info.ts';
import { publishError, publishStart } from './diagnostics.ts';
import { type BeginRequest, exchange } from './exchange.ts';
import { createForeignAgents, type ForeignAgents } from './foreign-agents.ts';
import { HttpConnection } from './http-connection.ts';
import { handshakeUrl, originOf, parseUrl } from './origin.ts';
import { bodyAfter, checkBody, isBuffered } from './request-body.ts';
import { bodyLength, checkedValue, findHeader, partHeaders } from './request-headers.ts';
import { writeTarget } from './request-target.ts';
import { chooseRoute } from './route-choice.ts';
import { resolveTimeouts, type Timeouts } from './timeouts.ts';
import type { TlsOptions } from './tls.ts';
import {
  checkCall,
  checkKeepAlive,
  checkNames,
  type OpenOptions,
  type ResolvedTransportOptions,
  resolveTransportOptions,
  type TransportOptions,
  type TransportRequest,
  type UpgradeRequest,
} from './transport-options.ts';
import { TransportResponse } from './transport-response.ts';

/**
 * Carries requests over their routes, and keeps the connections. It decides nothing about a request but its way: no
 * redirects, no retries, no cookies.
 */
export class Transport {
  readonly #options: ResolvedTransportOptions;
  readonly #agents: AgentRegistry;
  #axios: AxiosInstance | null = null;

  /** @throws InvalidOptionError if an option is unknown, of the wrong type, or cannot take effect */
  constructor(options: TransportOptions = {}) {
    this.#options = resolveTransportOptions(options);
    this.#agents = new AgentRegistry(this.#options);
    this.check(this.#options);
  }

  /**
   * A real axios whose every request goes through this transport. Takes `http_proxy` and the other route settings in a
   * request's config; refuses axios' own `proxy`, agents, adapters and redirects, as they would choose another way.
   */
  get axios(): AxiosInstance {
    this.#axios ??= createAxios(this);
    return this.#axios;
  }

  /** TLS with https origins, as it was given; a request's own takes its place. */
  get tls(): TlsOptions {
    return this.#options.tls;
  }

  /** TLS with https proxies, as it was given; a request's own takes its place. */
  get proxyTls(): TlsOptions {
    return this.#options.proxyTls;
  }

  /** Its deadlines; those of a request are laid over them. */
  get timeouts(): Required<Timeouts> {
    return this.#options.timeouts;
  }

  /** The connections open now, newest first. */
  get connections(): readonly ConnectionInfo[] {
    return this.#agents.connections.snapshot();
  }

  /**
   * Sends one request and resolves with the head of its answer, whatever its status; see `TransportResponse.body`.
   *
   * If a kept connection turns out to have been closed by its other end, the request is sent once more on a fresh one;
   * only if its method is idempotent, its body is in memory, and nothing of an answer has come.
   *
   * @throws InvalidProxyUrlError if the proxy that applies cannot be used; nothing is sent by another way
   * @throws InvalidOptionError if an option of the request cannot be used
   * @throws TransportError (see the tree in errors.ts) if it does not get through; `signal.reason` if aborted
   */
  async send(request: TransportRequest): Promise<TransportResponse> {
    checkNames(request, 'send');
    checkCall(request);
    const url = parseUrl(request.url);
    const origin = originOf(url);
    const { route, explain } = chooseRoute(url, request, this.#options);
    const body = request.body ?? null;
    if (body !== null) checkBody(body);
    const method = request.method?.toUpperCase() || 'GET';
    const timeouts = resolveTimeouts(request.timeout, this.#options.timeouts);
    const isRepeatable = body === null || isBuffered(body);
    const isAlone = request.keepAlive === false;
    if (request.keepAlive !== undefined) checkKeepAlive(request);
    const { startedAt } = request;
    const attempt = new Attempt({ method, url, route, explain, timeouts, startedAt, isRepeatable, isAlone });
    if (this.#agents.isClosed) throw attempt.closed();
    const headers = partHeaders(request.headers ?? {}, url, body, route);
    attempt.isAuthenticating = headers.showsCredentials;
    const { tls, proxyTls, target } = request;
    const length = bodyLength(headers.origin);
    const plan = {
      origin,
      agent: this.#agents.get(route, origin, { tls, proxyTls, proxyAuthorization: headers.proxyAuthorization }),
      method,
      path: target === undefined ? `${url.pathname}${url.search}` : writeTarget(target, method),
      headers: headers.origin,
      body: bodyAfter(target, headers.origin, body),
      length,
      // RFC 9110 §10.1.1: not said of a request without content.
      expectsContinue: headers.expectsContinue && body !== null && length !== 0,
      signal: request.signal,
      onUploadProgress: request.onUploadProgress,
    };
    const carry = async (one: Attempt): Promise<TransportResponse> => {
      try {
        return new TransportResponse(await exchange({ ...plan, attempt: one }), one);
      } catch (error) {
        // A second try has a fresh connection, which cannot be stale.
        if (one.isStale(error)) return await carry(one.again());
        publishError(one, error);
        throw error;
      }
    };
    publishStart(attempt);
    return await carry(attempt);
  }

  /**
   * Carries a request that asks for another protocol, on a fresh connection, and resolves with the head of its answer:
   * with 101 the connection is whoever's who made the request (Node's 'upgrade' event has its socket); `connections`
   * shows it, `maxSockets` does not count it, `close()` ends it. Any other answer is as that of `send`.
   *
   * @param begin makes the request, with the options it is given
   * @throws the errors of `send`
   */
  async upgrade(request: UpgradeRequest, begin: BeginRequest): Promise<TransportResponse> {
    checkNames(request, 'upgrade');
    checkCall(request);
    const named = parseUrl(request.url);
    const url = handshakeUrl(named);
    const origin = originOf(url);
    // RFC 9110 §7.8: a proxy that forwards takes `Upgrade` for its own.
    const { route, explain } = chooseRoute(named, request, { ...this.#options, ...TUNNELLING });
    const timeouts = resolveTimeouts(request.timeout, this.#options.timeouts);
    const { startedAt, tls, proxyTls, signal } = request;
    const attempt = new Attempt({
      method: 'GET',
      url: named,
      route,
      explain,
      timeouts,
      startedAt,
      isRepeatable: false,
      needsFresh: true,
    });
    if (this.#agents.isClosed) throw attempt.closed();
    const headers = partHeaders(request.headers ?? {}, url, null, route);
    attempt.isAuthenticating = headers.showsCredentials;
    const { proxyAuthorization } = headers;
    const agentName = findHeader(headers.origin, 'user-agent');
    const userAgent = agentName === undefined ? undefined : checkedValue('User-Agent', agentName);
    const plan = {
      attempt,
      origin,
      agent: this.#agents.get(route, origin, { tls, proxyTls, proxyAuthorization, userAgent }),
      method: attempt.method,
      path: `${url.pathname}${url.search}`,
      headers: headers.origin,
      body: null,
      length: null,
      expectsContinue: false,
      signal,
      onUploadProgress: undefined,
      begin,
    };
    publishStart(attempt);
    try {
      return new TransportResponse(await exchange(plan), attempt);
    } catch (error) {
      publishError(attempt, error);
      throw error;
    }
  }

  /**
   * Says early what `send` would refuse, and makes TLS options ready for it. Opens nothing.
   * @throws InvalidOptionError naming the option that is unknown or cannot take effect
   */
  check({ tls, proxyTls, timeout }: Pick<TransportRequest, 'tls' | 'proxyTls' | 'timeout'>): void {
    resolveTimeouts(timeout, this.#options.timeouts);
    if (tls !== undefined) this.#agents.tlsProfiles.get(tls, 'tls');
    if (proxyTls !== undefined) this.#agents.tlsProfiles.get(proxyTls, 'proxyTls');
  }

  /**
   * Agents for other clients (AWS SDK, got, ws, axios of others …): each request they are given takes the route that
   * these settings choose for it, over the connections of this transport.
   *
   * Of a request's own TLS options those of `TlsOptions` count, under Node's names (`rejectUnauthorized`, `ca`, `cert`,
   * `key`, `passphrase`, `servername`, `minVersion`, `maxVersion`). Its `timeout` bounds connecting and the handshakes
   * too. It fails with the errors of `send` as long as it has no connection, then with Node's own.
   *
   * @throws InvalidProxyUrlError if the settings name a proxy that cannot be used
   * @throws InvalidOptionError if a setting is unknown or contradicts another
   */
  agents(settings: RouteSettings = {}): ForeignAgents {
    return createForeignAgents(settings, this.#options, this.#agents);
  }

  /**
   * A connection of the caller's own, to be used step by step; see `HttpConnection`. Opens nothing yet.
   *
   * @throws InvalidProxyUrlError or InvalidOptionError if the URL, the proxy or an option cannot be used
   */
  open(url: string | URL, options: OpenOptions = {}): HttpConnection {
    checkNames(options, 'open');
    return new HttpConnection(url, options, this.#options, this.#agents);
  }

  /**
   * Lets the connections through the proxies of a setting go that is no longer used: they are closed when nobody has
   * used them for a second, whatever `idleTimeout` says. Calls under way are not touched.
   */
  retire(setting: HttpProxy): void {
    this.#agents.retire(setting);
  }

  /**
   * Closes the connections that are idle now: all, or those with these ids (`ConnectionInfo.id`). One of those ids that
   * is busy is closed once its request is over, its body read. Calls under way are not touched, later ones connect anew.
   */
  closeIdle(ids?: ReadonlySet<number>): void {
    this.#agents.closeIdle(ids);
  }

  /**
   * Ends every connection, idle or not, upgraded ones too; calls under way fail with `ClosedError`, and so do later ones.
   * What other clients have upgraded (see `agents`) is their own.
   */
  async close(): Promise<void> {
    await this.#agents.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const TUNNELLING = { tunnelHttp: true, useForwardingForHttps: false } as const;

let shared: Transport | null = null;

/** The process-wide transport that every driver uses unless it is given another: one set of pools, default options. */
export function sharedTransport(): Transport {
  shared ??= new Transport();
  return shared;
}
