import { InvalidOptionError } from '@cloudlane/proxy';
import type { RequestHeaders, Timeouts } from '@cloudlane/transport';
import type { RequestContent } from './request-content.ts';
import type { QueryParams } from './session-options.ts';

/** Lays headers over others without regard to spelling. null takes one away. */
export function mergeHeaders(...layers: readonly (RequestHeaders | undefined)[]): Record<string, string> {
  const merged = new Map<string, [name: string, value: string]>();
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer ?? {})) {
      if (value === undefined) continue;
      if (value === null) merged.delete(name.toLowerCase());
      else merged.set(name.toLowerCase(), [name, Array.isArray(value) ? value.join(', ') : String(value)]);
    }
  }
  return Object.fromEntries(merged.values());
}

/**
 * The headers of a request: the session's, those that tell of the body, the call's.
 * @throws InvalidOptionError if the call's name a form's type without the boundary that only its maker knows
 */
export function mergeContentHeaders(
  defaults: RequestHeaders,
  content: RequestContent,
  call: RequestHeaders | undefined,
): Record<string, string> {
  const merged = mergeHeaders(defaults, content.headers, call);
  const type = content.headers['Content-Type'] ?? '';
  if (type.startsWith('multipart/') && !Object.values(merged).includes(type)) {
    throw new InvalidOptionError(
      'headers.Content-Type',
      'contradicts the form, whose parts are told apart by a boundary of its own; leave it out',
    );
  }
  return merged;
}

/** A new URL with query parameters beside its own; later layers win, null leaves one out, undefined says nothing. */
export function withParams(url: URL, ...layers: readonly (QueryParams | undefined)[]): URL {
  const pairs = listParams(layers);
  const result = new URL(url);
  if (pairs.length === 0) return result;
  // RFC 3986 §2.1: %20, not the plus of HTML forms, which signers and some providers take for a plus.
  const query = pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  result.search = result.search === '' ? query : `${result.search}&${query}`;
  return result;
}

function listParams(layers: readonly (QueryParams | undefined)[]): [name: string, value: string][] {
  const merged = new Map<string, QueryParams[string]>();
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer ?? {})) if (value !== undefined) merged.set(name, value);
  }
  return [...merged].flatMap(([name, value]) =>
    [value ?? []].flat().map((each): [string, string] => [name, String(each)]),
  );
}

/** The request target as it was written, byte for byte, with parameters that are not encoded either. */
export function rawTarget(url: string | URL, ...layers: readonly (QueryParams | undefined)[]): string {
  const [, written = ''] = /^[^:]+:\/\/[^/?#]*([^#]*)/.exec(String(url)) ?? [];
  const path = written.startsWith('/') ? written : `/${written}`;
  const query = listParams(layers)
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  if (query === '') return path;
  return `${path}${path.includes('?') ? '&' : '?'}${query}`;
}

/** Lays deadlines over others. */
export function mergeTimeouts(
  base: number | Timeouts | undefined,
  over: number | Timeouts | undefined,
): number | Timeouts | undefined {
  if (base === undefined || over === undefined) return over ?? base;
  return { ...asTimeouts(base), ...asTimeouts(over) };
}

function asTimeouts(timeout: number | Timeouts): Timeouts {
  return typeof timeout === 'number' ? { total: timeout } : timeout;
}
