import { explainRoute, InvalidOptionError, type Route, type RouteExplanation, resolveRoute } from '@cloudlane/proxy';
import type { AxiosInstance } from 'axios';
import { Attempt } from './attempt.ts';
import { createAxios } from './axios-adapter.ts';
import type { ConnectionInfo } from './connection-info.ts';
import { exchange } from './exchange.ts';
import { type Origin, originOf, parseUrl } from './origin.ts';
import { checkBody, isBuffered } from './request-body.ts';
import { basicCredentials, bodyLength, partHeaders } from './request-headers.ts';
import {
  DirectAgent,
  DirectTlsAgent,
  ForwardAgent,
  type ProxyHop,
  type RouteAgent,
  TunnelAgent,
} from './route-agents.ts';
import { ConnectionRegister, SocketPool } from './socket-pool.ts';
import { resolveTimeouts } from './timeouts.ts';
import { type TlsProfile, TlsProfiles } from './tls.ts';
import {
  type ResolvedTransportOptions,
  resolveTransportOptions,
  type TransportOptions,
  type TransportRequest,
} from './transport-options.ts';
import { TransportResponse } from './transport-response.ts';

/**
 * Carries requests over their routes, and keeps the connections. It decides nothing about a request but its way: no
 * redirects, no retries, no cookies.
 */
export class Transport {
  readonly #options: ResolvedTransportOptions;
  readonly #tlsProfiles = new TlsProfiles();
  readonly #register = new ConnectionRegister();
  readonly #agents = new Map<string, RouteAgent>();
  #axios: AxiosInstance | null = null;
  #closed = false;

  /** @throws InvalidOptionError if an option is unknown, of the wrong type, or cannot take effect */
  constructor(options: TransportOptions = {}) {
    this.#options = resolveTransportOptions(options);
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

  /** The connections open now, newest first. */
  get connections(): readonly ConnectionInfo[] {
    return this.#register.snapshot();
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
    const url = parseUrl(request.url);
    const origin = originOf(url);
    const { route, explain } = chooseRoute(url, request);
    const body = request.body ?? null;
    if (body !== null) checkBody(body);
    const method = request.method?.toUpperCase() || 'GET';
    const attempt = new Attempt(method, url, route, resolveTimeouts(request.timeout, this.#options.timeouts));
    if (this.#closed) throw attempt.closed();
    const headers = partHeaders(request.headers ?? {}, url, body, route);
    attempt.isAuthenticating = headers.showsCredentials;
    const plan = {
      origin,
      agent: this.#agentFor(route, origin, request, headers.proxyAuthorization),
      method,
      path: `${url.pathname}${url.search}`,
      headers: headers.origin,
      body,
      length: bodyLength(headers.origin),
      signal: request.signal,
      onUploadProgress: request.onUploadProgress,
    };
    const carry = async (one: Attempt): Promise<TransportResponse> => {
      const message = await exchange({ ...plan, attempt: one });
      return new TransportResponse(message, { url, route, explain, connection: one.connection?.() ?? null });
    };
    try {
      return await carry(attempt);
    } catch (error) {
      if (!attempt.isStale(error) || (body !== null && !isBuffered(body))) throw error;
      return await carry(attempt.again());
    }
  }

  /**
   * Says early what `send` would refuse, and makes TLS options ready for it. Opens nothing.
   * @throws InvalidOptionError naming the option that is unknown or cannot take effect
   */
  check({ tls, proxyTls, timeout }: Pick<TransportRequest, 'tls' | 'proxyTls' | 'timeout'>): void {
    resolveTimeouts(timeout, this.#options.timeouts);
    if (tls !== undefined) this.#tlsProfiles.get(tls, 'tls');
    if (proxyTls !== undefined) this.#tlsProfiles.get(proxyTls, 'proxyTls');
  }

  /** Ends every connection, idle or not; calls under way fail with `ClosedError`, and so do later ones. */
  async close(): Promise<void> {
    this.#closed = true;
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.pool.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #agentFor(route: Route, origin: Origin, request: TransportRequest, proxyAuthorization: string | null): RouteAgent {
    const tls = origin.secure ? this.#tlsProfiles.get(request.tls ?? this.#options.tls, 'tls') : null;
    if (route.kind === 'direct') {
      return this.#agent(JSON.stringify(['direct', tls?.key]), (pool, keepAlive) =>
        tls === null ? new DirectAgent(pool, keepAlive) : new DirectTlsAgent(pool, keepAlive, tls),
      );
    }
    if (route.kind === 'socks') {
      throw new InvalidOptionError(
        'http_proxy',
        'names a SOCKS proxy, which this version cannot use; write an http:// or https:// proxy',
      );
    }
    const hop = this.#proxyHop(route, request, proxyAuthorization);
    const hopKey = [hop.server.scheme, hop.server.host, hop.server.port, Object.entries(hop.headers), hop.tls?.key];
    if (tls === null) {
      const shared = this.#options.forwardReuse === 'proxy' ? null : origin.href;
      return this.#agent(
        JSON.stringify(['forward', hopKey, shared]),
        (pool, keepAlive) => new ForwardAgent(pool, keepAlive, hop),
      );
    }
    return this.#agent(
      JSON.stringify(['tunnel', hopKey, tls.key]),
      (pool, keepAlive) => new TunnelAgent(pool, keepAlive, hop, tls),
    );
  }

  #proxyHop(
    route: Exclude<Route, { kind: 'direct' }>,
    request: TransportRequest,
    authorization: string | null,
  ): ProxyHop {
    const { proxy } = route;
    const headers: Record<string, string> = { ...proxy.headers };
    if (authorization !== null) headers['Proxy-Authorization'] = authorization;
    else if (proxy.credentials) {
      headers['Proxy-Authorization'] = basicCredentials(proxy.credentials.username, proxy.credentials.password);
    }
    let tls: TlsProfile | null = null;
    if (proxy.scheme === 'https') tls = this.#tlsProfiles.get(request.proxyTls ?? this.#options.proxyTls, 'proxyTls');
    return { server: proxy, tls, headers };
  }

  // Pools are keyed by everything that tells routes apart: proxy, credentials, headers, TLS of both hops.
  #agent(key: string, make: (pool: SocketPool, keepAlive: boolean) => RouteAgent): RouteAgent {
    const known = this.#agents.get(key);
    if (known) return known;
    const agent = make(new SocketPool(this.#options, this.#register), this.#options.keepAlive);
    this.#agents.set(key, agent);
    return agent;
  }
}

// The environment may change while a call is under way, so what it said is noted at once; other settings are the
// caller's own, and their explanation waits until somebody looks.
function chooseRoute(url: URL, request: TransportRequest): { route: Route; explain: () => RouteExplanation } {
  const { http_proxy, noProxy, env, trustEnv, system, source } = request;
  const settings = { http_proxy, noProxy, env, trustEnv, system, source };
  if (http_proxy === undefined && trustEnv !== false) {
    const explanation = explainRoute(url, settings);
    return { route: explanation.route, explain: () => explanation };
  }
  return { route: resolveRoute(url, settings), explain: () => explainRoute(url, settings) };
}

let shared: Transport | null = null;

/** The process-wide transport that every driver uses unless it is given another: one set of pools, default options. */
export function sharedTransport(): Transport {
  shared ??= new Transport();
  return shared;
}
