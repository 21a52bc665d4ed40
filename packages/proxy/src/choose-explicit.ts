import { BYPASS_FORMS, compileBypass, toBypassText } from './bypass.ts';
import type { Bypass, Candidate, Trace } from './candidate.ts';
import { InvalidOptionError, InvalidProxyUrlError } from './errors.ts';
import { findInMap, listEntries, type MapEntry } from './proxy-map.ts';
import { readProxyOptions } from './proxy-options.ts';
import { isUrl, readProxyUrl, toText } from './proxy-url.ts';
import type { HttpProxy, ProxyMap, ProxyOptions, RouteSettings } from './settings.ts';
import type { Target } from './target.ts';

/** What `http_proxy` says about a target, if anything. */
export function chooseExplicit(
  target: Target,
  { http_proxy: proxy }: RouteSettings,
  label: string,
  trace?: Trace,
): Candidate | undefined {
  if (proxy === undefined) {
    trace?.considered.push({ source: label, reason: 'is not given' });
    return undefined;
  }
  if (isProxyMap(proxy)) return chooseFromMap(target, proxy, label, trace);
  return readSingle(proxy, label);
}

/** All that `http_proxy` may say, whatever the target. */
export function listExplicit(proxy: HttpProxy | undefined, label: string): readonly Candidate[] {
  if (proxy === undefined) return [];
  if (!isProxyMap(proxy)) return [readSingle(proxy, label)];
  return listEntries(proxy).map((entry) => readEntry(entry, label));
}

/** The explicit lists of hosts that go direct: beside `http_proxy`, and inside it. */
export function readExplicitBypasses({ http_proxy: proxy, noProxy }: RouteSettings): readonly Bypass[] {
  const inside: unknown = isProxyOptions(proxy) || isProxyMap(proxy) ? proxy.noProxy : undefined;
  return [...readExplicitBypass(noProxy, 'noProxy'), ...readExplicitBypass(inside, 'http_proxy.noProxy')];
}

/** Whether a setting is one by scheme or host. */
export function isProxyMap(value: unknown): value is ProxyMap {
  return isPlain(value) && !('url' in value);
}

function chooseFromMap(target: Target, map: ProxyMap, label: string, trace?: Trace): Candidate | undefined {
  const found = findInMap(map, target);
  if (!found) {
    trace?.considered.push({
      source: label,
      reason: `has no key for ${target.scheme}://${target.host}:${target.port}`,
    });
    return undefined;
  }
  return readEntry(found, label);
}

function readSingle(proxy: Exclude<HttpProxy, ProxyMap>, label: string): Candidate {
  if (proxy === null) return { source: label, rule: 'null means direct', open: null };
  const rule = 'one proxy for every URL';
  if (typeof proxy === 'string' || isUrl(proxy)) {
    return { source: label, rule, open: () => readProxyUrl(proxy, label), text: toText(proxy) };
  }
  if (isProxyOptions(proxy)) {
    return { source: label, rule, open: () => readProxyOptions(proxy, label), text: toText(proxy.url) };
  }
  throw new InvalidProxyUrlError(label, 'it is not a string, URL, object or null; write null for direct');
}

function readEntry({ key, value }: MapEntry, label: string): Candidate {
  if (value === null) return { source: label, rule: `key '${key}': null means direct`, open: null };
  return {
    source: label,
    rule: `key '${key}'`,
    open: () => readProxyUrl(value, `${label}['${key}']`),
    text: toText(value),
  };
}

function readExplicitBypass(noProxy: unknown, option: string): Bypass[] {
  if (noProxy === undefined) return [];
  const list = compileBypass(toBypassText(noProxy, option));
  for (const { entry, reason } of list.unusable) {
    throw new InvalidOptionError(
      option,
      `the entry '${entry}' can never match, because ${reason}. An entry is ${BYPASS_FORMS}`,
    );
  }
  return [{ source: `option ${option}`, list }];
}

function isProxyOptions(value: unknown): value is ProxyOptions {
  return isPlain(value) && 'url' in value;
}

/** Not an URL, a Map, an array …, whose keys would say nothing. */
function isPlain(value: unknown): value is object {
  return typeof value === 'object' && Object.prototype.toString.call(value) === '[object Object]';
}
