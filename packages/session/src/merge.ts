import { InvalidOptionError } from '@cloudlane/proxy';
import type { RequestHeaders, Timeouts } from '@cloudlane/transport';
import { isFieldValue, whatIs } from './form.ts';
import { checkRecord } from './given-values.ts';
import { headerRecord } from './header-record.ts';
import type { RequestContent } from './request-content.ts';
import type { QueryParams } from './session-options.ts';

/**
 * Lays headers over others without regard to spelling. null takes one away.
 * @throws InvalidOptionError naming the header whose value no header can carry
 */
export function mergeHeaders(
  ...layers: readonly (RequestHeaders | Headers | null | undefined)[]
): Record<string, string> {
  const merged = new Map<string, [name: string, value: string]>();
  for (const layer of layers) {
    if (layer === undefined || layer === null) continue;
    for (const [name, value] of Object.entries(readHeaders(layer))) {
      if (value === undefined) continue;
      if (value === null) merged.delete(name.toLowerCase());
      else merged.set(name.toLowerCase(), [name, headerText(name, value)]);
    }
  }
  const record = headerRecord<string>({});
  for (const [name, value] of merged.values()) record[name] = value;
  return record;
}

/** Headers as a plain object. @throws InvalidOptionError if they are neither that nor the platform's Headers */
export function readHeaders(headers: RequestHeaders | Headers): RequestHeaders {
  if (isHeaders(headers)) return Object.fromEntries(headers);
  checkRecord(headers, 'headers', "an object such as { Accept: 'text/plain' }, or Headers");
  return headers;
}

// Also those of the package undici.
function isHeaders(headers: object): headers is Headers {
  return headers instanceof Headers || Object.prototype.toString.call(headers) === '[object Headers]';
}

function headerText(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((each) => headerText(name, each)).join(', ');
  if (isFieldValue(value)) return String(value);
  throw new InvalidOptionError(`headers.${name}`, `${whatIs(value)}; write text, a number, or a list of them`);
}

/**
 * The headers of a request: the session's, those that tell of the body, the call's.
 * @throws InvalidOptionError if the call's name a form's type without the boundary that only its maker knows
 */
export function mergeContentHeaders(
  defaults: RequestHeaders,
  content: RequestContent,
  call: RequestHeaders | Headers | null | undefined,
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

/** What a call's headers themselves say of one, its name in lower case; null takes it away, undefined says nothing. */
export function ownHeader(headers: RequestHeaders | Headers | undefined, wanted: string): string | null | undefined {
  if (headers === undefined) return undefined;
  const own = Object.entries(readHeaders(headers)).find(
    ([name, value]) => value !== undefined && name.toLowerCase() === wanted,
  );
  return own === undefined || own[1] === null ? own && null : String(own[1]);
}

/** A new URL with query parameters beside its own; later layers win, null leaves one out, undefined says nothing. */
export function withParams(url: URL, ...layers: readonly ParamLayer[]): URL {
  const pairs = listParams(layers);
  const result = new URL(url);
  if (pairs.length === 0) return result;
  // RFC 3986 §2.1: %20, not the plus of HTML forms, which signers and some providers take for a plus.
  const query = pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  result.search = result.search === '' ? query : `${result.search}&${query}`;
  return result;
}

function listParams(layers: readonly ParamLayer[]): [name: string, value: string][] {
  const merged = new Map<string, unknown>();
  for (const layer of layers) {
    if (layer === undefined || layer === null) continue;
    for (const [name, value] of Object.entries(readParams(layer))) if (value !== undefined) merged.set(name, value);
  }
  return [...merged].flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((each) => each !== null && each !== undefined)
      .map((each: unknown): [string, string] => [name, paramText(name, each)]),
  );
}

type ParamLayer = QueryParams | URLSearchParams | null | undefined;

/** Query parameters as a plain object. @throws InvalidOptionError if they are neither that nor URLSearchParams */
export function readParams(params: QueryParams | URLSearchParams): QueryParams {
  if (params instanceof URLSearchParams)
    return Object.fromEntries([...new Set(params.keys())].map((name) => [name, params.getAll(name)]));
  checkRecord(params, 'params', "an object such as { page: 2 }, or URLSearchParams, which take text: 'page=2'");
  return params;
}

function paramText(name: string, value: unknown): string {
  if (isFieldValue(value) || typeof value === 'bigint') return String(value);
  const hint = value instanceof Date ? ', a date for instance as toISOString()' : '';
  throw new InvalidOptionError(
    `params.${name}`,
    `${whatIs(value)}; write text, a number, a boolean, or a list of them${hint}`,
  );
}

/** The request target as it was written, byte for byte, with parameters that are not encoded either. */
export function rawTarget(url: string | URL, ...layers: readonly ParamLayer[]): string {
  const [, written = ''] = /^[^:]+:\/\/[^/?#]*([^#]*)/.exec(String(url)) ?? [];
  const path = written.startsWith('/') ? written : `/${written}`;
  const query = listParams(layers)
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  if (query === '') return path;
  return `${path}${path.includes('?') ? '&' : '?'}${query}`;
}

/** Lays deadlines over others. @throws InvalidOptionError if they are null, which could mean several things */
export function mergeTimeouts(
  base: number | Timeouts | undefined,
  over: number | Timeouts | undefined,
): number | Timeouts | undefined {
  if (base === null || over === null)
    throw new InvalidOptionError('timeout', 'is null; it must be milliseconds, or an object of them; 0 is no deadline');
  if (base === undefined || over === undefined) return over ?? base;
  return { ...asTimeouts(base), ...asTimeouts(over) };
}

function asTimeouts(timeout: number | Timeouts): Timeouts {
  return typeof timeout === 'number' ? { total: timeout } : timeout;
}
