import { toBypassText } from './bypass.ts';
import { isProxyMap, listExplicit, readExplicitBypasses } from './choose-explicit.ts';
import { listEntries } from './proxy-map.ts';
import type { ProxyServer } from './proxy-server.ts';
import { formatProxy, readProxyUrl } from './proxy-url.ts';
import type { HttpProxy } from './settings.ts';

/**
 * Reads all of a proxy setting, every key of a map included, so that what cannot be used is refused where it is made.
 * `resolveRoute` reads only what one request needs. `undefined` and `null` are fine.
 *
 * @param source how errors call the setting, such as `setHttpProxy`
 * @throws InvalidProxyUrlError if a proxy in it cannot be used
 * @throws InvalidOptionError if parts of it contradict each other, or could never take effect
 */
export function checkHttpProxy(value: HttpProxy | undefined, source: string): void {
  readExplicitBypasses({ http_proxy: value });
  readServers(value, source);
}

/**
 * Every proxy that a setting names: one, or those of a map in its order, or none. Which hosts go direct does not matter.
 *
 * @throws InvalidProxyUrlError or InvalidOptionError if one of them cannot be used
 */
export function listProxies(value: HttpProxy | undefined): readonly ProxyServer[] {
  return readServers(value, 'option http_proxy');
}

/**
 * A proxy setting for people and logs: each proxy as `formatProxy` shows it, a map with its keys and its `noProxy`. Of
 * `ProxyOptions` the proxy alone.
 *
 * @throws as `checkHttpProxy`, so that nothing is shown that only looks like a setting
 */
export function formatHttpProxy(value: HttpProxy | undefined): FormattedHttpProxy {
  checkHttpProxy(value, 'option http_proxy');
  if (value === undefined || value === null) return value;
  if (!isProxyMap(value)) return listProxies(value).map(formatProxy)[0];
  const shown: Record<string, string | null> = {};
  for (const { key, value: proxy } of listEntries(value)) {
    shown[key] = proxy === null ? null : formatProxy(readProxyUrl(proxy, key));
  }
  if (value.noProxy !== undefined) shown.noProxy = toBypassText(value.noProxy, 'http_proxy.noProxy');
  return shown;
}

/** What `formatHttpProxy` makes of a setting; `null` is direct, an object a map. */
export type FormattedHttpProxy = string | null | undefined | Readonly<Record<string, string | null>>;

function readServers(value: HttpProxy | undefined, source: string): readonly ProxyServer[] {
  return listExplicit(value, source).flatMap(({ open }) => (open ? [open()] : []));
}
