import type { ProxyServer } from './proxy-server.ts';

/**
 * How one request leaves the building. `forward`: absolute-form request to an HTTP(S) proxy (RFC 9112 §3.2.2);
 * `tunnel`: CONNECT through it (RFC 9110 §9.3.6); `socks`: a stream through a SOCKS proxy.
 */
export type Route =
  | { readonly kind: 'direct' }
  | { readonly kind: 'forward' | 'tunnel' | 'socks'; readonly proxy: ProxyServer };

/** A setting which was looked at and did not decide. */
export interface ConsideredSetting {
  /** Named as in {@link RouteExplanation.source}. */
  readonly source: string;
  /** Why it did not decide, such as `is not set`. */
  readonly reason: string;
}

/** A route and the reasons for it. Safe to print and to turn into JSON: passwords and proxy header values are masked. */
export interface RouteExplanation {
  /** The very route that `resolveRoute` gives for the same arguments. */
  readonly route: Route;
  /**
   * The setting that decided: `option http_proxy` (or the caller's label), `option noProxy`, `env:https_proxy`,
   * `env:no_proxy` (both in the spelling found), `system`, or `none`.
   */
  readonly source: string;
  /** What in that setting decided, as half a sentence for people. */
  readonly rule: string;
  /** Every setting looked at before the one that decided, in order. */
  readonly considered: readonly ConsideredSetting[];
  /** Things that are probably not what somebody meant. */
  readonly warnings: readonly string[];
}
