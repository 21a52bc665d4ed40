import { type OutgoingHttpHeaders, validateHeaderValue } from 'node:http';
import { InvalidOptionError, type ProxyServer, type Route } from '@cloudlane/proxy';
import { isBuffered, type RequestBody } from './request-body.ts';
import type { RequestHeaders } from './transport-options.ts';

/** A request's headers, parted by who may see them. */
export interface PartedHeaders {
  /** For the origin. */
  readonly origin: OutgoingHttpHeaders;
  /** The caller's own `Proxy-Authorization`; for the proxy alone. */
  readonly proxyAuthorization: string | null;
  /** Whether the proxy is shown credentials, the caller's or the setting's. */
  readonly showsCredentials: boolean;
  /** Whether `Expect: 100-continue` was among them; it is not in `origin`. */
  readonly expectsContinue: boolean;
}

/**
 * Takes the caller's `Proxy-…` headers off what the origin sees, and gives the body its framing.
 * @throws InvalidOptionError if a header is given twice, contradicts the body or the proxy's credentials, or is an
 * `Expect` of anything but `100-continue`
 */
export function partHeaders(headers: RequestHeaders, url: URL, body: RequestBody | null, route: Route): PartedHeaders {
  const origin: Record<string, string | number | string[]> = {};
  const names = new Set<string>();
  let proxyAuthorization: string | null = null;
  let expectsContinue = false;
  for (const [name, value] of Object.entries(headers)) {
    if (value === null || value === undefined) continue;
    const lower = name.toLowerCase();
    if (names.has(lower)) throw new InvalidOptionError(`headers.${name}`, 'is given twice in different spellings');
    names.add(lower);
    if (lower === 'expect') expectsContinue = isExpectation(name, value);
    else if (lower === 'proxy-authorization') proxyAuthorization = checkedValue(name, value);
    else if (!lower.startsWith('proxy-')) origin[name] = Array.isArray(value) ? [...value] : (value as string | number);
  }
  const hasOwn = route.kind !== 'direct' && hasCredentials(route.proxy);
  if (proxyAuthorization !== null && hasOwn) {
    throw new InvalidOptionError(
      'headers.Proxy-Authorization',
      'contradicts the credentials of the proxy; give one of them',
    );
  }
  if (url.username + url.password !== '' && !names.has('authorization')) {
    origin.Authorization = basicCredentials(decodeUserinfo(url.username), decodeUserinfo(url.password));
  }
  frameBody(origin, names, body);
  const forProxy = route.kind === 'direct' ? null : proxyAuthorization;
  return { origin, proxyAuthorization: forProxy, showsCredentials: hasOwn || forProxy !== null, expectsContinue };
}

// RFC 9110 §10.1.1 knows no other.
function isExpectation(name: string, value: unknown): true {
  if (String(value).toLowerCase() === '100-continue') return true;
  throw new InvalidOptionError(`headers.${name}`, 'must be 100-continue; leave it out if the body need not wait');
}

function hasCredentials({ credentials, headers = {} }: ProxyServer): boolean {
  return credentials !== undefined || Object.keys(headers).some((name) => name.toLowerCase() === 'proxy-authorization');
}

/**
 * A header's value for CONNECT, which is written by us, so that Node does not see it.
 * @throws InvalidOptionError if no header can carry it
 */
export function checkedValue(name: string, value: unknown): string {
  try {
    validateHeaderValue(name, String(value));
  } catch {
    throw new InvalidOptionError(`headers.${name}`, 'contains a character that no header can carry');
  }
  return String(value);
}

function decodeUserinfo(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new InvalidOptionError('url', 'has a malformed percent escape in its credentials; % itself is written %25');
  }
}

/** The declared or known length of a body, in bytes; null if it is sent in chunks. */
export function bodyLength(headers: OutgoingHttpHeaders): number | null {
  const length = findHeader(headers, 'content-length');
  return length === undefined ? null : Number(length);
}

/** A header's value, whatever its spelling. @param wanted its name in lower case */
export function findHeader<T>(headers: Readonly<Record<string, T>>, wanted: string): T | undefined {
  const name = Object.keys(headers).find((each) => each.toLowerCase() === wanted);
  return name === undefined ? undefined : headers[name];
}

/** RFC 7617; UTF-8 as every server of today expects it. */
export function basicCredentials(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

// Said outright, as Node leaves out both for a streamed body with GET or DELETE (RFC 9112 §6).
function frameBody(origin: OutgoingHttpHeaders, names: ReadonlySet<string>, body: RequestBody | null): void {
  const declared = bodyLength(origin);
  if (declared !== null && !(Number.isSafeInteger(declared) && declared >= 0)) {
    throw new InvalidOptionError('headers.Content-Length', 'must be a whole number of bytes');
  }
  if (declared !== null && names.has('transfer-encoding')) {
    throw new InvalidOptionError('headers.Content-Length', 'contradicts Transfer-Encoding; give one of them');
  }
  if (body === null) {
    if (declared !== null && declared > 0)
      throw new InvalidOptionError('headers.Content-Length', `says ${declared}, but there is no body`);
    return;
  }
  if (isBuffered(body)) {
    const length = Buffer.byteLength(body);
    if (names.has('transfer-encoding')) return;
    if (declared === null) origin['Content-Length'] = length;
    else if (declared !== length)
      throw new InvalidOptionError('headers.Content-Length', `says ${declared}, but the body has ${length} bytes`);
  } else if (declared === null && !names.has('transfer-encoding')) origin['Transfer-Encoding'] = 'chunked';
}
