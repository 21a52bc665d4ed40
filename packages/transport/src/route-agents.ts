import http, { type ClientRequest } from 'node:http';
import https from 'node:https';
import type { ProxyServer } from '@cloudlane/proxy';
import { HttpsProxyAgent } from 'hpagent';
import type { Attempt } from './attempt.ts';
import { dialDirect, dialProxy, dialTunnel } from './dial.ts';
import type { Origin } from './origin.ts';
import type { SocketPool } from './socket-pool.ts';
import type { TlsProfile } from './tls.ts';

/** Key under which a request's options carry what its agent needs to know. */
export const EXCHANGE: unique symbol = Symbol('cloudlane.exchange');

/** What a request tells its agent. */
export interface ExchangeContext {
  readonly origin: Origin;
  readonly attempt: Attempt;
}

interface AgentRequestOptions {
  readonly [EXCHANGE]: ExchangeContext;
}

/** The agent of one route. Node hands each request to `addRequest`; the pool gives it a socket. */
export interface RouteAgent extends http.Agent {
  readonly pool: SocketPool;
  addRequest(request: ClientRequest, options: AgentRequestOptions): void;
}

/** The proxy hop of a route, ready to dial. `headers` hold the credentials and go to nobody else. */
export interface ProxyHop {
  readonly server: ProxyServer;
  readonly tls: TlsProfile | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Straight to http origins. */
export class DirectAgent extends http.Agent implements RouteAgent {
  readonly pool: SocketPool;

  constructor(pool: SocketPool, keepAlive: boolean) {
    super({ keepAlive });
    this.pool = pool;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    const { origin, attempt } = options[EXCHANGE];
    this.pool.assign(request, { kind: 'direct', origin: origin.href }, attempt, dialDirect(origin, null));
  }
}

/** Straight to https origins. */
export class DirectTlsAgent extends https.Agent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #tls: TlsProfile;

  constructor(pool: SocketPool, keepAlive: boolean, tls: TlsProfile) {
    super({ keepAlive });
    this.pool = pool;
    this.#tls = tls;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    const { origin, attempt } = options[EXCHANGE];
    this.pool.assign(request, { kind: 'direct', origin: origin.href }, attempt, dialDirect(origin, this.#tls));
  }
}

/** Forwards requests for http origins through a proxy; one pool for all origins, as they share the connection. */
export class ForwardAgent extends http.Agent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #hop: ProxyHop;
  readonly #href: string;

  constructor(pool: SocketPool, keepAlive: boolean, hop: ProxyHop) {
    super({ keepAlive });
    this.pool = pool;
    this.#hop = hop;
    this.#href = proxyHref(hop.server);
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    const { origin, attempt } = options[EXCHANGE];
    // RFC 9112 §3.2.2: a proxy needs the absolute form. The request itself names the origin until here, so that what
    // looks at requests (nock, tracing) sees the origin and no proxy credentials.
    request.path = `http://${origin.hostHeader}${request.path}`;
    for (const [name, value] of Object.entries(this.#hop.headers)) {
      // What the request itself says wins; no caller's Proxy-… has come this far.
      if (!request.hasHeader(name)) request.setHeader(name, value);
    }
    this.pool.assign(
      request,
      { kind: 'forward', origin: this.#href },
      attempt,
      dialProxy(this.#hop.server, this.#hop.tls),
    );
  }
}

/** Tunnels to https origins through a proxy. hpagent's agent with the dialling and the pool replaced. */
export class TunnelAgent extends HttpsProxyAgent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #hop: ProxyHop;
  readonly #tls: TlsProfile;

  constructor(pool: SocketPool, keepAlive: boolean, hop: ProxyHop, tls: TlsProfile) {
    // Without credentials: hpagent keeps this URL in a public field.
    super({ keepAlive, proxy: proxyHref(hop.server) });
    this.pool = pool;
    this.#hop = hop;
    this.#tls = tls;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    const { origin, attempt } = options[EXCHANGE];
    const { server, tls, headers } = this.#hop;
    this.pool.assign(
      request,
      { kind: 'tunnel', origin: origin.href },
      attempt,
      dialTunnel(server, tls, headers, origin, this.#tls),
    );
  }
}

function proxyHref({ scheme, host, port }: ProxyServer): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
