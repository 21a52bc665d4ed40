import http, { type ClientRequest } from 'node:http';
import https from 'node:https';
import { formatProxy, type ProxyServer } from '@cloudlane/proxy';
import { HttpProxyAgent, HttpsProxyAgent } from 'hpagent';
import { SocksProxyAgent } from 'socks-proxy-agent';
import type { Attempt } from './attempt.ts';
import { type Dial, dialDirect, dialProxy, dialSocks, dialTunnel } from './dial.ts';
import { addProxyHeaders, toAbsoluteForm } from './forward-request.ts';
import type { Origin } from './origin.ts';
import type { LaneKey } from './pooled-connection.ts';
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

/** The connections that lead to an origin, and how to open one. */
export interface Way {
  readonly key: LaneKey;
  readonly dial: Dial;
}

/** The agent of one route. Node hands each request to `addRequest`; the pool gives it a socket. */
export interface RouteAgent extends http.Agent {
  readonly pool: SocketPool;
  way(origin: Origin): Way;
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

  way(origin: Origin): Way {
    return wayDirect(origin, null);
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    assign(this, request, options);
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

  way(origin: Origin): Way {
    return wayDirect(origin, this.#tls);
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    assign(this, request, options);
  }
}

/** Forwards requests through a proxy; one pool for all origins, as they share the connection. */
export class ForwardAgent extends http.Agent implements RouteAgent {
  readonly pool: SocketPool;
  readonly #hop: ProxyHop;
  readonly #way: Way;

  /** @param secure whether for https origins (`useForwardingForHttps`), whose requests want an agent that says so */
  constructor(pool: SocketPool, keepAlive: boolean, hop: ProxyHop, secure: boolean) {
    super({ keepAlive });
    if (secure) Object.assign(this, { protocol: 'https:', defaultPort: 443 });
    this.pool = pool;
    this.#hop = hop;
    this.#way = wayToProxy(hop);
  }

  way(): Way {
    return this.#way;
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    // The request itself names the origin until here, so that what looks at requests (nock, tracing) sees the origin and
    // no proxy credentials.
    toAbsoluteForm(request, options[EXCHANGE].origin);
    addProxyHeaders(request, this.#hop.headers);
    assign(this, request, options);
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

  way(origin: Origin): Way {
    return wayThrough(this.#hop, origin, this.#tls);
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    assign(this, request, options);
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

  way(origin: Origin): Way {
    return wayThrough(this.#hop, origin, null);
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    assign(this, request, options);
  }
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

  way(origin: Origin): Way {
    const dialect = { version: this.proxy.type === 4 ? 4 : 5, looksUp: this.shouldLookup } as const;
    return {
      key: { kind: 'socks', origin: origin.href, proxyScheme: this.#server.scheme },
      dial: dialSocks(this.#server, dialect, origin, this.#tls),
    };
  }

  addRequest(request: ClientRequest, options: AgentRequestOptions): void {
    assign(this, request, options);
  }
}

function assign(agent: RouteAgent, request: ClientRequest, options: AgentRequestOptions): void {
  const { origin, attempt } = options[EXCHANGE];
  const { key, dial } = agent.way(origin);
  agent.pool.assign(request, key, attempt, dial);
}

function wayDirect(origin: Origin, tls: TlsProfile | null): Way {
  return { key: { kind: 'direct', origin: origin.href, proxyScheme: null }, dial: dialDirect(origin, tls) };
}

function wayToProxy({ server, tls }: ProxyHop): Way {
  const key = { kind: 'forward', origin: proxyHref(server), proxyScheme: server.scheme } as const;
  return { key, dial: dialProxy(server, tls) };
}

function wayThrough({ server, tls: proxyTls, headers }: ProxyHop, origin: Origin, tls: TlsProfile | null): Way {
  const key = { kind: 'tunnel', origin: origin.href, proxyScheme: server.scheme } as const;
  return { key, dial: dialTunnel(server, proxyTls, headers, origin, tls) };
}

/** Without credentials. */
function proxyHref({ scheme, host, port }: ProxyServer): string {
  return formatProxy({ scheme, host, port });
}
