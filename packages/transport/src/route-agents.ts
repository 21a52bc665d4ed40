import http, { type ClientRequest } from 'node:http';
import https from 'node:https';
import type { ProxyServer } from '@cloudlane/proxy';
import { HttpProxyAgent, HttpsProxyAgent } from 'hpagent';
import { SocksProxyAgent } from 'socks-proxy-agent';
import type { Attempt } from './attempt.ts';
import { dialDirect, dialProxy, dialSocks, dialTunnel } from './dial.ts';
import { addProxyHeaders, toAbsoluteForm } from './forward-request.ts';
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

export interface AgentRequestOptions {
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
    this.pool.assign(request, directLane(origin), attempt, dialDirect(origin, null));
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
    this.pool.assign(request, directLane(origin), attempt, dialDirect(origin, this.#tls));
  }
}

/** Forwards requests for http origins through a proxy; one pool for all origins, as they share the connection. */
export class ForwardAgent extends http.Agent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #hop: ProxyHop;

  constructor(pool: SocketPool, keepAlive: boolean, hop: ProxyHop) {
    super({ keepAlive });
    this.pool = pool;
    this.#hop = hop;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    forward(this.pool, this.#hop, request, options[EXCHANGE]);
  }
}

/** Forwards requests for https origins (`useForwardingForHttps`). Node wants another class for them, no more. */
export class SecureForwardAgent extends https.Agent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #hop: ProxyHop;

  constructor(pool: SocketPool, keepAlive: boolean, hop: ProxyHop) {
    super({ keepAlive });
    this.pool = pool;
    this.#hop = hop;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    forward(this.pool, this.#hop, request, options[EXCHANGE]);
  }
}

function forward(pool: SocketPool, hop: ProxyHop, request: ClientRequest, { origin, attempt }: ExchangeContext): void {
  // The request itself names the origin until here, so that what looks at requests (nock, tracing) sees the origin and
  // no proxy credentials.
  toAbsoluteForm(request, origin);
  addProxyHeaders(request, hop.headers);
  const key = { kind: 'forward', origin: proxyHref(hop.server), proxyScheme: hop.server.scheme } as const;
  pool.assign(request, key, attempt, dialProxy(hop.server, hop.tls));
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
    tunnel(this.pool, this.#hop, this.#tls, request, options[EXCHANGE]);
  }
}

/** Tunnels to http origins (`tunnelHttp`), the same way. */
export class PlainTunnelAgent extends HttpProxyAgent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #hop: ProxyHop;

  constructor(pool: SocketPool, keepAlive: boolean, hop: ProxyHop) {
    super({ keepAlive, proxy: proxyHref(hop.server) });
    this.pool = pool;
    this.#hop = hop;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    tunnel(this.pool, this.#hop, null, request, options[EXCHANGE]);
  }
}

function tunnel(
  pool: SocketPool,
  { server, tls: proxyTls, headers }: ProxyHop,
  tls: TlsProfile | null,
  request: ClientRequest,
  { origin, attempt }: ExchangeContext,
): void {
  const key = { kind: 'tunnel', origin: origin.href, proxyScheme: server.scheme } as const;
  pool.assign(request, key, attempt, dialTunnel(server, proxyTls, headers, origin, tls));
}

/**
 * Through a SOCKS proxy. socks-proxy-agent's agent, which knows what its schemes mean, with the dialling, the handshake
 * and the pool replaced.
 */
export class SocksAgent extends SocksProxyAgent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #server: ProxyServer;
  readonly #tls: TlsProfile | null;

  constructor(pool: SocketPool, keepAlive: boolean, server: ProxyServer, tls: TlsProfile | null) {
    // Without credentials: socks-proxy-agent keeps this URL in a public field.
    super(new URL(proxyHref(server)), { keepAlive });
    // It would look for the scheme in the stack of its caller.
    this.protocol = tls === null ? 'http:' : 'https:';
    this.pool = pool;
    this.#server = server;
    this.#tls = tls;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    const { origin, attempt } = options[EXCHANGE];
    const key = { kind: 'socks', origin: origin.href, proxyScheme: this.#server.scheme } as const;
    const dialect = { version: this.proxy.type === 4 ? 4 : 5, looksUp: this.shouldLookup } as const;
    this.pool.assign(request, key, attempt, dialSocks(this.#server, dialect, origin, this.#tls));
  }
}

function directLane(origin: Origin): { kind: 'direct'; origin: string; proxyScheme: null } {
  return { kind: 'direct', origin: origin.href, proxyScheme: null };
}

function proxyHref({ scheme, host, port }: ProxyServer): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
