import { InvalidOptionError } from './errors.ts';
import { maskEntry } from './mask.ts';
import type { ProxyMap } from './settings.ts';
import { parseTarget, type Target } from './target.ts';

/** The entry of a map that decides for one target. */
export interface MapEntry {
  /** As the caller wrote it. */
  readonly key: string;
  readonly value: unknown;
}

/**
 * Looks a target up: `scheme://host:port`, `scheme://host`, `scheme`, `all://host`, `all`. Values that are `undefined` do
 * not count.
 *
 * @throws InvalidOptionError for a key that could never match, and for two keys that mean the same
 */
export function findInMap(map: ProxyMap, target: Target): MapEntry | undefined {
  const entries = readMap(map);
  for (const key of listKeys(target)) {
    const entry = entries.get(key);
    if (entry) return entry;
  }
  return undefined;
}

/** Every entry that may decide. @throws as `findInMap` */
export function listEntries(map: ProxyMap): readonly MapEntry[] {
  return [...readMap(map).values()];
}

function listKeys({ scheme, host, address, port }: Target): string[] {
  const name = address ? address.join('.') : host;
  return [`${scheme}://${name}:${port}`, `${scheme}://${name}`, scheme, `all://${name}`, 'all'];
}

function readMap(map: ProxyMap): Map<string, MapEntry> {
  const entries = new Map<string, MapEntry>();
  for (const [key, value] of Object.entries(map)) {
    if (key === 'noProxy') continue;
    const normal = normalizeKey(key);
    if (value === undefined) continue;
    const twin = entries.get(normal);
    if (twin)
      throw new InvalidOptionError('http_proxy', `the keys ${showKey(twin.key)} and ${showKey(key)} mean the same`);
    entries.set(normal, { key, value });
  }
  return entries;
}

function normalizeKey(key: string): string {
  const lowerCase = key.toLowerCase();
  if (/^(?:https?|wss?|all)$/.test(lowerCase)) return lowerCase;
  const [, scheme = '', host = '', port] =
    /^(https?|wss?|all):\/\/([^/?#@\\\s]+?)(?::(\d{1,5}))?$/.exec(lowerCase) ?? [];
  if (scheme === '') return refuseKey(key);
  if (scheme === 'all' && port !== undefined) return refuseKey(key);
  const target = parseKeyHost(
    `${scheme === 'all' ? 'http' : scheme}://${host}${port === undefined ? '' : `:${port}`}`,
    key,
  );
  const name = target.address ? target.address.join('.') : target.host;
  return `${scheme}://${name}${port === undefined ? '' : `:${target.port}`}`;
}

function parseKeyHost(url: string, key: string): Target {
  try {
    return parseTarget(url);
  } catch {
    return refuseKey(key);
  }
}

function refuseKey(key: string): never {
  const forms = 'http, https, ws, wss, all, scheme://host, scheme://host:port, all://host and noProxy';
  throw new InvalidOptionError('http_proxy', `the key ${showKey(key)} can never match; the keys are ${forms}`);
}

/** Keys may be misplaced values, so that only what looks like a key is shown. */
function showKey(key: string): string {
  return /^[a-z_]{1,20}$/i.test(key) || key.includes('://') ? `'${maskEntry(key)}'` : "'…'";
}
