import type { Environment } from './environment.ts';
import type { ProxyCredentials } from './proxy-server.ts';

/**
 * What `http_proxy` accepts: one proxy for every URL, a map by scheme or host, or `null` for a direct connection.
 * `undefined` means "inherit". An empty string is refused: write `null` for direct.
 */
export type HttpProxy = string | URL | ProxyOptions | ProxyMap | null;

/** One proxy for every URL, with what does not fit into an URL. */
export interface ProxyOptions {
  /** As for {@link HttpProxy}; without credentials if `auth` is given. */
  readonly url: string | URL;
  /** Credentials as they are, not percent-encoded. Contradicts credentials in `url`. */
  readonly auth?: ProxyCredentials | undefined;
  /**
   * Sent to the proxy alone: on CONNECT, or on each forwarded request. Not for SOCKS. `Host`, and headers that frame a
   * message or are about the connection, are refused.
   */
  readonly headers?: Record<string, string> | undefined;
  /** Hosts that go direct, in the syntax of `no_proxy`. Joined with `RouteSettings.noProxy`. */
  readonly noProxy?: string | readonly string[] | undefined;
}

/**
 * Proxies by URL. The first of these keys that is present decides: `scheme://host:port`, `scheme://host`, `scheme`,
 * `all://host`, `all`; the schemes are http, https, ws and wss, and hosts match exactly, without subdomains.
 * `null` = direct; an absent or `undefined` key = look further, at last in the environment. The key `noProxy` holds
 * hosts that go direct.
 */
export interface ProxyMap {
  readonly [key: string]: string | URL | null | undefined;
}

/**
 * Proxy settings of the operating system, read by somebody else: this package does no I/O. http URLs use `http`, then
 * `socks`; https URLs `https`, then `socks`; ws URLs `socks`, `https`, `http`; wss URLs `socks`, `https`.
 */
export interface SystemProxies {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  /** Taken as `socks5h` unless it has another SOCKS scheme. */
  readonly socks?: string | undefined;
  /** Hosts that go direct, in the syntax of `no_proxy`. Entries in another syntax never match and give a warning. */
  readonly bypass?: readonly string[] | undefined;
  /** How explanations and errors call these settings. @defaultValue 'system' */
  readonly source?: string | undefined;
}

/** Everything a route is chosen from. First of: `http_proxy`, environment, `system`, direct. */
export interface RouteSettings {
  /** Explicit setting; wins over the environment, and the environment's `no_proxy` does not apply to it. */
  readonly http_proxy?: HttpProxy | undefined;
  /**
   * Hosts that go direct, in the syntax of `no_proxy`. Applies to whichever proxy is chosen, and takes the place of the
   * environment's `no_proxy`; an empty list switches that off. Entries that could never match are refused.
   */
  readonly noProxy?: string | readonly string[] | undefined;
  /** Read when the route is chosen. @defaultValue process.env */
  readonly env?: Environment | undefined;
  /** Whether the environment is looked at. @defaultValue true */
  readonly trustEnv?: boolean | undefined;
  /** The operating system's settings, used where the environment names no proxy. */
  readonly system?: SystemProxies | undefined;
  /** How explanations and errors call `http_proxy`. @defaultValue 'option http_proxy' */
  readonly source?: string | undefined;
}
