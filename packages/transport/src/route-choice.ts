import {
  explainRoute,
  formatProxy,
  InvalidOptionError,
  type Route,
  type RouteExplanation,
  type RouteSettings,
  resolveRoute,
} from '@cloudlane/proxy';
import type { ResolvedTransportOptions } from './transport-options.ts';

/** A route, and the reasons for it. */
export interface ChosenRoute {
  readonly route: Route;
  readonly explain: () => RouteExplanation;
}

/**
 * The route of one request. The environment may change while a call is under way, so what it said is noted at once;
 * other settings are the caller's own, and their explanation waits until somebody looks.
 * @throws InvalidProxyUrlError if the proxy that applies cannot be used
 */
export function chooseRoute(url: URL, request: RouteSettings, options: ResolvedTransportOptions): ChosenRoute {
  const { http_proxy, noProxy, env, trustEnv, system, source } = request;
  const settings = { http_proxy, noProxy, env, trustEnv, system, source };
  if (http_proxy === undefined && trustEnv !== false) {
    const explanation = explainRoute(url, settings);
    const route = adaptRoute(url, explanation.route, options);
    return { route, explain: () => ({ ...explanation, route }) };
  }
  const route = adaptRoute(url, resolveRoute(url, settings), options);
  return { route, explain: () => ({ ...explainRoute(url, settings), route }) };
}

/** The proxy of a route for people, masked; null if it is direct. */
export function shownProxy(route: Route): string | null {
  return route.kind === 'direct' ? null : formatProxy(route.proxy);
}

/**
 * Whether requests to two URLs go to the same proxy, or both to none.
 * @throws InvalidProxyUrlError if one that applies cannot be used
 */
export function haveSameProxy(one: URL, other: URL, request: RouteSettings): boolean {
  const { http_proxy, noProxy, env, trustEnv, system, source } = request;
  const settings = { http_proxy, noProxy, env, trustEnv, system, source };
  return shownProxy(resolveRoute(one, settings)) === shownProxy(resolveRoute(other, settings));
}

/**
 * The way to use a proxy, where the transport's options want another than the usual one. Who carries the request is
 * decided; this is how.
 * @throws InvalidOptionError if `useForwardingForHttps` would show an https request to whoever listens
 */
export function adaptRoute(
  url: URL,
  route: Route,
  { useForwardingForHttps, tunnelHttp }: Pick<ResolvedTransportOptions, 'useForwardingForHttps' | 'tunnelHttp'>,
): Route {
  if (route.kind === 'forward' && tunnelHttp) return { kind: 'tunnel', proxy: route.proxy };
  if (route.kind === 'direct' || url.protocol !== 'https:' || !useForwardingForHttps) return route;
  if (route.proxy.scheme !== 'https') {
    throw new InvalidOptionError(
      'useForwardingForHttps',
      `needs https:// proxies, but this request's is ${route.proxy.scheme}://; leave it out to tunnel`,
    );
  }
  return { kind: 'forward', proxy: route.proxy };
}
