import type { Trace } from './candidate.ts';
import { decideRoute } from './decide.ts';
import type { Route, RouteExplanation } from './route.ts';
import type { RouteSettings } from './settings.ts';

/**
 * The route for one URL under the given settings: pure, without I/O, and the only place that chooses.
 *
 * The first of these that has an answer decides: `http_proxy`, the environment, `system`, direct. Hosts in `noProxy`
 * go direct whatever names the proxy; the environment's `no_proxy` applies to proxies from the environment and the
 * system. Variables: http `http_proxy`, `all_proxy`; https `https_proxy`, `all_proxy`, `http_proxy`; ws `ws_proxy`,
 * `socks_proxy`, `https_proxy`, `http_proxy`, `all_proxy`; wss `wss_proxy`, `socks_proxy`, `https_proxy`, `all_proxy`.
 * No host is direct by default, not even `localhost`. A WebSocket asks an HTTP proxy for a tunnel also without TLS
 * (RFC 6455 §4.1).
 *
 * Equal settings usually give the identical `proxy` object, so that pools can try it as a key first.
 *
 * @throws InvalidProxyUrlError if the proxy that this request would use cannot be used; it never goes direct instead
 * @throws InvalidOptionError if options contradict each other, have a wrong type or could never take effect, or the
 * URL's scheme is not http, https, ws or wss
 */
export function resolveRoute(url: string | URL, settings: RouteSettings = {}): Route {
  return decideRoute(url, settings).route;
}

/**
 * {@link resolveRoute} with its reasons: which setting decided, which were passed over and why, and what looks like a
 * mistake. Masked, so that it can be logged. Costs more than `resolveRoute`.
 *
 * @throws the same errors as `resolveRoute`
 */
export function explainRoute(url: string | URL, settings: RouteSettings = {}): RouteExplanation {
  const trace: Trace = { considered: [], warnings: [] };
  const { route, source, rule } = decideRoute(url, settings, trace);
  return { route, source, rule, considered: trace.considered, warnings: [...new Set(trace.warnings)] };
}
