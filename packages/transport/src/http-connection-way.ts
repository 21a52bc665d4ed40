import {
  InvalidOptionError,
  type ProxyServer,
  parseProxyUrl,
  type Route,
  type RouteExplanation,
} from '@cloudlane/proxy';
import { parseTunnel, type TunnelOptions } from './http-connection-tunnel.ts';
import { type Origin, originOf, parseUrl } from './origin.ts';
import { adaptRoute, type ChosenRoute, chooseRoute } from './route-choice.ts';
import type { OpenOptions, ResolvedTransportOptions } from './transport-options.ts';

/** How a request leaves on an `HttpConnection`. */
export interface ConnectionWay {
  /** What is asked for; of the connection as a whole, where it leads. */
  readonly url: URL;
  readonly route: Route;
  readonly explain: () => RouteExplanation;
  /** The server that this side speaks HTTP with, or on a forward route the one behind the proxy. */
  readonly origin: Origin;
  /** The server that was opened, if it shall forward the request although no setting calls it a proxy; else null. */
  readonly forwarder: ProxyServer | null;
}

/** Where one `HttpConnection` leads, and which requests can go there on it. */
export class ConnectionWays {
  readonly #url: URL;
  readonly #options: OpenOptions;
  readonly #defaults: ResolvedTransportOptions;
  readonly #chosen: ChosenRoute;
  #tunnel: ConnectionWay | null = null;

  /** @throws InvalidProxyUrlError or InvalidOptionError if the URL cannot be opened, or the proxy not be used */
  constructor(url: URL, options: OpenOptions, defaults: ResolvedTransportOptions) {
    originOf(url);
    this.#url = url;
    this.#options = options;
    this.#defaults = defaults;
    this.#chosen = chooseRoute(url, options, defaults);
  }

  /** The way of the connection itself: to the URL that was opened, or through the tunnel. */
  get main(): ConnectionWay {
    const [url, { route, explain }] = [this.#url, this.#chosen];
    return this.#tunnel ?? { url, route, explain, origin: originOf(url), forwarder: null };
  }

  /**
   * Makes a tunnel the way of the connection, through the server that was opened.
   * @throws InvalidOptionError if there is a proxy already, or the tunnel cannot be asked for
   */
  setTunnel(host: string, options: TunnelOptions): void {
    if (this.#chosen.route.kind !== 'direct')
      throw new InvalidOptionError('setTunnel', 'contradicts the proxy that is set; open with http_proxy: null');
    this.#tunnel = parseTunnel(withoutPath(this.#url), host, options);
  }

  /**
   * The way of one request.
   *
   * @param target a path, or an absolute URL
   * @throws InvalidOptionError if the connection does not lead there
   */
  to(target: string | URL): ConnectionWay {
    const { main } = this;
    const url = resolveTarget(target, main.url);
    if (originOf(url).href === main.origin.href) return { ...main, url };
    if (main.route.kind === 'direct' && this.#options.http_proxy === null) return this.#byHand(url);
    const chosen = main.route.kind === 'forward' ? chooseRoute(url, this.#options, this.#defaults) : null;
    if (
      chosen?.route.kind === 'forward' &&
      main.route.kind === 'forward' &&
      isSame(chosen.route.proxy, main.route.proxy)
    )
      return { ...chosen, url, origin: originOf(url), forwarder: null };
    const hint = main.route.kind === 'direct' ? ', with http_proxy: null if it is a proxy' : '';
    throw new InvalidOptionError(
      'target',
      `leads to ${originOf(url).href}, but this connection to ${main.origin.href}; open another${hint}`,
    );
  }

  #byHand(url: URL): ConnectionWay {
    const forwarder = parseProxyUrl(withoutPath(this.#url));
    const usual: Route = { kind: url.protocol === 'https:' ? 'tunnel' : 'forward', proxy: forwarder };
    const { useForwardingForHttps } = this.#defaults;
    if (adaptRoute(url, usual, { useForwardingForHttps, tunnelHttp: false }).kind !== 'forward') {
      throw new InvalidOptionError(
        'target',
        'is an https URL, which the proxy would see and could change; call setTunnel, or set useForwardingForHttps',
      );
    }
    return { ...this.main, url, forwarder };
  }
}

function resolveTarget(target: string | URL, base: URL): URL {
  if (target instanceof URL || !target.startsWith('/')) return parseUrl(target);
  // Not by the rules of references: a path such as //x is a path here.
  const url = parseUrl(`${base.origin}${target}`);
  url.username = base.username;
  url.password = base.password;
  return url;
}

function isSame(one: ProxyServer, other: ProxyServer): boolean {
  return one.scheme === other.scheme && one.host === other.host && one.port === other.port;
}

function withoutPath(url: URL): URL {
  const bare = new URL(url);
  bare.pathname = '/';
  bare.search = '';
  bare.hash = '';
  return bare;
}
