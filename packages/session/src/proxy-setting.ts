import { checkHttpProxy, type HttpProxy, InvalidOptionError, type ProxyMap } from '@cloudlane/proxy';

/** A proxy setting that was found usable, and who made it. */
export interface ProxySetting {
  readonly value: HttpProxy;
  readonly source: string;
}

/**
 * Refuses what cannot be used where it is made, not at the first request. undefined: the environment decides.
 * @throws InvalidProxyUrlError or InvalidOptionError naming `source`
 */
export function readSetting(value: HttpProxy | undefined, source: string): ProxySetting | null {
  checkHttpProxy(value, source);
  return value === undefined ? null : { value: copyOf(value), source };
}

/** The setting of a call: its own, or its `proxies` laid over the session's key by key, or the session's. */
export function chooseSetting(
  session: ProxySetting | null,
  call: { readonly http_proxy?: HttpProxy | undefined; readonly proxies?: ProxyMap | undefined },
): ProxySetting | null {
  const { http_proxy, proxies } = call;
  if (proxies === undefined)
    return http_proxy === undefined ? session : { value: http_proxy, source: 'call http_proxy' };
  refuseBoth(call);
  return { value: { ...asMap(session), ...proxies }, source: 'call proxies' };
}

/** @throws InvalidOptionError if both names of the one setting are given */
export function refuseBoth({
  http_proxy,
  proxies,
}: {
  readonly http_proxy?: HttpProxy | undefined;
  readonly proxies?: ProxyMap | undefined;
}): void {
  if (proxies === undefined) return;
  if (http_proxy !== undefined)
    throw new InvalidOptionError('proxies', 'is another name for a map in http_proxy; give one of them');
  if (typeof proxies !== 'object' || proxies === null || proxies instanceof URL || 'url' in proxies)
    throw new InvalidOptionError('proxies', "must be a map such as { http: 'http://proxy.example:3128' }");
}

/** Whether `http_proxy` is a map by scheme or host. */
export function isMap(value: HttpProxy | undefined): value is ProxyMap {
  return typeof value === 'object' && value !== null && !(value instanceof URL) && !('url' in value);
}

function asMap(setting: ProxySetting | null): ProxyMap {
  if (setting === null) return {};
  const { value, source } = setting;
  if (isMap(value)) return value;
  if (typeof value === 'object' && value !== null && !(value instanceof URL))
    throw new InvalidOptionError(
      'proxies',
      `cannot be laid over ${source}, which has more than a URL; give http_proxy`,
    );
  return { all: value };
}

/** A copy that stays as it is when the caller's own object changes. */
function copyOf(value: HttpProxy): HttpProxy {
  if (value === null || typeof value === 'string') return value;
  if (value instanceof URL) return new URL(value);
  const copy = { ...value };
  for (const [name, part] of Object.entries(copy)) Reflect.set(copy, name, copyPart(part));
  return copy;
}

function copyPart(part: unknown): unknown {
  // What parseProxyUrl has made is frozen, and would not survive a copy.
  if (typeof part !== 'object' || part === null || Object.isFrozen(part)) return part;
  if (part instanceof URL) return new URL(part);
  return Array.isArray(part) ? [...part] : { ...part };
}
