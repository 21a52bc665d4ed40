import { listExplicit, readExplicitBypasses } from './choose-explicit.ts';
import type { ProxyServer } from './proxy-server.ts';
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

function readServers(value: HttpProxy | undefined, source: string): readonly ProxyServer[] {
  return listExplicit(value, source).flatMap(({ open }) => (open ? [open()] : []));
}
