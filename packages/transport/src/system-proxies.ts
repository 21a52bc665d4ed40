import { InvalidOptionError, type SystemProxies } from '@cloudlane/proxy';
import { messageOf } from './foreign-error.ts';

/** What `mac-system-proxy` reads from `scutil --proxy`; `'1'` is on. */
interface MacSettings {
  readonly HTTPEnable?: string;
  readonly HTTPProxy?: string;
  readonly HTTPPort?: string;
  readonly HTTPSEnable?: string;
  readonly HTTPSProxy?: string;
  readonly HTTPSPort?: string;
  readonly SOCKSEnable?: string;
  readonly SOCKSProxy?: string;
  readonly SOCKSPort?: string;
  readonly ExceptionsList?: readonly string[];
  readonly ProxyAutoConfigEnable?: string;
  readonly ProxyAutoDiscoveryEnable?: string;
}

/** What `windows-system-proxy` reads from the registry; undefined if the proxy is switched off. */
type WindowsSettings = { readonly proxyUrl: string; readonly noProxy: readonly string[] } | undefined;

/** Loads a package; for tests, and for bundlers that cannot see a dynamic import. */
export type LoadPackage = (name: string) => Promise<unknown>;

/**
 * Reads the proxy settings of macOS or Windows, to be given to sessions and connections as `system`. Elsewhere the
 * environment is the system's setting, and the answer is undefined.
 *
 * Needs the optional package `mac-system-proxy` (runs `scutil`) or `windows-system-proxy` (reads the registry).
 *
 * @throws InvalidOptionError if that package is not installed, or the system leaves the choice to a PAC script, which
 * cannot be run here: going direct instead would not be what it says
 */
export async function readSystemProxies(
  platform: NodeJS.Platform = process.platform,
  load: LoadPackage = loadPackage,
): Promise<SystemProxies | undefined> {
  if (platform === 'darwin') return fromMac(await call<MacSettings>(load, 'mac-system-proxy', 'getMacSystemProxy'));
  if (platform === 'win32')
    return fromWindows(await call<WindowsSettings>(load, 'windows-system-proxy', 'getWindowsSystemProxy'));
  return undefined;
}

function loadPackage(name: string): Promise<unknown> {
  return name === 'mac-system-proxy' ? import('mac-system-proxy') : import('windows-system-proxy');
}

async function call<T>(load: LoadPackage, name: string, read: string): Promise<T> {
  let loaded: unknown;
  try {
    loaded = await load(name);
  } catch {
    throw new InvalidOptionError('system', `needs the package ${name}; run: npm install ${name}`);
  }
  try {
    // An optional package has no types here; what it gives is checked by what is made of it.
    return (await (loaded as Record<string, () => Promise<T>>)[read]?.call(loaded)) as T;
  } catch (error) {
    throw new InvalidOptionError('system', `could not be read: ${messageOf(error)}; write http_proxy`);
  }
}

function fromMac(settings: MacSettings): SystemProxies | undefined {
  const at = (enabled: string | undefined, host: string | undefined, port: string | undefined): string | undefined =>
    enabled === '1' && host ? `http://${host.includes(':') ? `[${host}]` : host}:${port ?? '80'}` : undefined;
  const http = at(settings.HTTPEnable, settings.HTTPProxy, settings.HTTPPort);
  const https = at(settings.HTTPSEnable, settings.HTTPSProxy, settings.HTTPSPort);
  const socks = at(settings.SOCKSEnable, settings.SOCKSProxy, settings.SOCKSPort)?.replace('http:', 'socks5h:');
  if (http === undefined && https === undefined && socks === undefined) {
    if (settings.ProxyAutoConfigEnable === '1' || settings.ProxyAutoDiscoveryEnable === '1') {
      throw new InvalidOptionError(
        'system',
        'leaves the choice to a PAC script, which is not supported; write http_proxy',
      );
    }
    return undefined;
  }
  return { http, https, socks, bypass: (settings.ExceptionsList ?? []).map(toBypassEntry), source: 'system (macOS)' };
}

function fromWindows(settings: WindowsSettings): SystemProxies | undefined {
  if (settings === undefined) return undefined;
  const { proxyUrl, noProxy } = settings;
  const bypass = noProxy.map(toBypassEntry);
  const source = 'system (Windows)';
  // The registry's `socks=` means SOCKS 4 there; its names are looked up by the client.
  if (proxyUrl.startsWith('socks')) return { socks: proxyUrl.replace(/^socks:/, 'socks4:'), bypass, source };
  return { http: proxyUrl, https: proxyUrl, bypass, source };
}

/** Rewrites what these systems abbreviate in the syntax of `no_proxy`: `169.254/16` (macOS), `10.*` (Windows). */
function toBypassEntry(entry: string): string {
  const block = /^(\d+(?:\.\d+){0,3})\/(\d+)$/.exec(entry);
  if (block) return `${fourParts(block[1] ?? '')}/${block[2]}`;
  const wildcard = /^(\d+(?:\.\d+){0,2})\.\*(?:\.\*)*$/.exec(entry);
  if (wildcard) return `${fourParts(wildcard[1] ?? '')}/${(wildcard[1] ?? '').split('.').length * 8}`;
  return entry;
}

function fourParts(address: string): string {
  return [...address.split('.'), '0', '0', '0'].slice(0, 4).join('.');
}
