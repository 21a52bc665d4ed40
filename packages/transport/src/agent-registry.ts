import { type HttpProxy, InvalidOptionError, listProxies, type ProxyServer, type Route } from '@cloudlane/proxy';
import type { Origin } from './origin.ts';
import { ConnectionRegister } from './pooled-connection.ts';
import { basicCredentials, findHeader } from './request-headers.ts';
import {
  DirectAgent,
  DirectTlsAgent,
  ForwardAgent,
  PlainTunnelAgent,
  type ProxyHop,
  type RouteAgent,
  SocksAgent,
  TunnelAgent,
} from './route-agents.ts';
import { type PoolLimits, SocketPool } from './socket-pool.ts';
import { LONGEST } from './timeouts.ts';
import { type TlsOptions, type TlsProfile, TlsProfiles } from './tls.ts';
import type { ResolvedTransportOptions } from './transport-options.ts';

/** What, beside route and origin, makes a pool a pool of its own. */
export interface AgentSettings {
  /** Instead of the transport's. */
  readonly tls?: TlsOptions | undefined;
  /** Instead of the transport's. */
  readonly proxyTls?: TlsOptions | undefined;
  /** The request's own `Proxy-Authorization`. */
  readonly proxyAuthorization: string | null;
  /** What CONNECT tells of this side. @defaultValue nothing, as requests that share a tunnel may differ in it */
  readonly userAgent?: string | undefined;
}

/** An agent that is not made yet, and what tells it apart. */
interface AgentRecipe {
  readonly key: unknown;
  readonly make: (pool: SocketPool, keepAlive: boolean) => RouteAgent;
}

/** The agents of one transport, one for each way: proxy, credentials, headers, TLS of both hops. */
export class AgentRegistry {
  readonly tlsProfiles: TlsProfiles = new TlsProfiles();
  readonly connections: ConnectionRegister = new ConnectionRegister();
  readonly #options: ResolvedTransportOptions;
  /** Those that have connections, by all that tells them apart. */
  readonly #agents = new Map<string, RouteAgent>();
  /** The same pools, and those of single connections, with the proxy they lead through. */
  readonly #pools = new Map<SocketPool, ProxyServer | null>();
  #isClosed = false;

  constructor(options: ResolvedTransportOptions) {
    this.#options = options;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The agent for a route, made if there is none. It is kept while it has connections. */
  get(route: Route, origin: Origin, settings: AgentSettings): RouteAgent {
    const recipe = this.#recipe(route, origin, settings);
    const key = JSON.stringify(recipe.key);
    const known = this.#agents.get(key);
    if (known) return known;
    const pool = this.#createPool(this.#options, route.kind === 'direct' ? null : route.proxy, {
      used: () => this.#agents.set(key, agent),
      emptied: () => this.#agents.get(key) === agent && this.#agents.delete(key),
    });
    const agent = recipe.make(pool, this.#options.keepAlive);
    return agent;
  }

  /** A pool of one connection, shared with nobody; to be passed to `make`. */
  createOwnPool(): SocketPool {
    const limits = { maxSockets: 1, maxIdleSockets: 1, idleTimeout: LONGEST, keepAlive: true };
    return this.#createPool(limits, null);
  }

  /** An agent over a pool of the caller's own, which is shared with nobody else. */
  make(route: Route, origin: Origin, settings: AgentSettings, pool: SocketPool): RouteAgent {
    return this.#recipe(route, origin, settings).make(pool, true);
  }

  /** Lets the connections through the proxies of a setting go soon, unless somebody uses them again. */
  retire(setting: HttpProxy): void {
    const proxies = listProxies(setting);
    for (const [pool, proxy] of this.#pools) {
      if (proxy !== null && proxies.some((each) => isSame(each, proxy))) pool.retire();
    }
  }

  /** See `Transport.closeIdle`. */
  closeIdle(ids: ReadonlySet<number> | undefined): void {
    for (const pool of this.#pools.keys()) pool.closeIdle(ids);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#pools.keys()].map((pool) => pool.close()));
  }

  #createPool(
    limits: PoolLimits,
    proxy: ProxyServer | null,
    hooks?: { readonly used: () => unknown; readonly emptied: () => unknown },
  ): SocketPool {
    return new SocketPool(limits, this.connections, {
      isClosed: () => this.#isClosed,
      used: (pool) => {
        this.#pools.set(pool, proxy);
        hooks?.used();
      },
      emptied: (pool) => {
        this.#pools.delete(pool);
        hooks?.emptied();
      },
    });
  }

  #recipe(route: Route, origin: Origin, settings: AgentSettings): AgentRecipe {
    const tls = origin.secure ? this.tlsProfiles.get(settings.tls ?? this.#options.tls, 'tls') : null;
    if (route.kind === 'direct') {
      return {
        key: ['direct', tls?.key],
        make: (pool, keepAlive) =>
          tls === null ? new DirectAgent(pool, keepAlive) : new DirectTlsAgent(pool, keepAlive, tls),
      };
    }
    const { proxy } = route;
    if (route.kind === 'socks') {
      checkSocks(proxy, origin);
      const { username, password } = proxy.credentials ?? {};
      return {
        key: ['socks', proxy.scheme, proxy.host, proxy.port, username, password, tls?.key],
        make: (pool, keepAlive) => new SocksAgent(pool, keepAlive, proxy, tls),
      };
    }
    const hop = this.#proxyHop(proxy, settings);
    const hopKey = [proxy.scheme, proxy.host, proxy.port, Object.entries(hop.headers), hop.tls?.key];
    if (route.kind === 'forward') {
      const shared = this.#options.forwardReuse === 'proxy' ? null : origin.href;
      return {
        key: ['forward', hopKey, origin.secure, shared],
        make: (pool, keepAlive) => new ForwardAgent(pool, keepAlive, hop, origin.secure),
      };
    }
    return {
      key: ['tunnel', hopKey, tls?.key],
      make: (pool, keepAlive) =>
        tls === null ? new PlainTunnelAgent(pool, keepAlive, hop) : new TunnelAgent(pool, keepAlive, hop, tls),
    };
  }

  #proxyHop(proxy: ProxyServer, { proxyTls, proxyAuthorization, userAgent }: AgentSettings): ProxyHop {
    const headers: Record<string, string> = { ...proxy.headers };
    if (userAgent !== undefined && findHeader(headers, 'user-agent') === undefined) headers['User-Agent'] = userAgent;
    if (proxyAuthorization !== null) headers['Proxy-Authorization'] = proxyAuthorization;
    else if (proxy.credentials) {
      headers['Proxy-Authorization'] = basicCredentials(proxy.credentials.username, proxy.credentials.password);
    }
    const tls: TlsProfile | null =
      proxy.scheme === 'https' ? this.tlsProfiles.get(proxyTls ?? this.#options.proxyTls, 'proxyTls') : null;
    return { server: proxy, tls, headers };
  }
}

function checkSocks(proxy: ProxyServer, { host }: Origin): void {
  if (proxy.scheme.startsWith('socks4') && host.includes(':'))
    throw new InvalidOptionError(
      'http_proxy',
      `is a ${proxy.scheme}:// proxy, which cannot reach the IPv6 address ${host}; write socks5://`,
    );
  // RFC 1928 §4: one byte tells the length of a name.
  if (Buffer.byteLength(host) > 255)
    throw new InvalidOptionError('url', 'has a host name longer than the 255 bytes that SOCKS has room for');
}

/** Whether it is the same proxy, for the same user. */
function isSame(one: ProxyServer, other: ProxyServer): boolean {
  const facts = ({ scheme, host, port, credentials, headers = {} }: ProxyServer): unknown[] => {
    return [scheme, host, port, credentials?.username, credentials?.password, Object.entries(headers)];
  };
  return one === other || JSON.stringify(facts(one)) === JSON.stringify(facts(other));
}
