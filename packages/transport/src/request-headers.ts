import type { OutgoingHttpHeaders } from 'node:http';
import { InvalidOptionError, type Route } from '@cloudlane/proxy';
import { isBuffered, type RequestBody } from './request-body.ts';
import type { RequestHeaders } from './transport-options.ts';

/** A request's headers, parted by who may see them. */
export interface PartedHeaders {
  /** For the origin. */
  readonly origin: OutgoingHttpHeaders;
  /** The caller's own `Proxy-Authorization`; for the proxy alone. */
  readonly proxyAuthorization: string | null;
}

/**
 * Takes the caller's `Proxy-…` headers off what the origin sees, and gives the body its framing.
 * @throws InvalidOptionError if a header is given twice, contradicts the body, or contradicts the proxy's credentials
 */
export function partHeaders(headers: RequestHeaders, url: URL, body: RequestBody | null, route: Route): PartedHeaders {
  const origin: Record<string, string | number | string[]> = {};
  const names = new Set<string>();
  let proxyAuthorization: string | null = null;
  for (const [name, value] of Object.entries(headers)) {
    if (value === null || value === undefined) continue;
    const lower = name.toLowerCase();
    if (names.has(lower)) throw new InvalidOptionError(`headers.${name}`, 'is given twice in different spellings');
    names.add(lower);
    if (lower === 'proxy-authorization') proxyAuthorization = String(value);
    else if (!lower.startsWith('proxy-')) origin[name] = Array.isArray(value) ? [...value] : (value as string | number);
  }
  if (proxyAuthorization !== null && route.kind !== 'direct' && route.proxy.credentials !== undefined) {
    throw new InvalidOptionError(
      'headers.Proxy-Authorization',
      'contradicts the credentials of the proxy; give one of them',
    );
  }
  if (url.username !== '' && !names.has('authorization')) {
    origin.Authorization = basicCredentials(decodeURIComponent(url.username), decodeURIComponent(url.password));
  }
  frameBody(origin, names, body);
  return { origin, proxyAuthorization: route.kind === 'direct' ? null : proxyAuthorization };
}

/** The declared or known length of a body, in bytes; null if it is sent in chunks. */
export function bodyLength(headers: OutgoingHttpHeaders): number | null {
  const name = Object.keys(headers).find((each) => each.toLowerCase() === 'content-length');
  return name === undefined ? null : Number(headers[name]);
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
  if (body === null) return;
  if (isBuffered(body)) {
    const length = Buffer.byteLength(body);
    if (declared === null && !names.has('transfer-encoding')) origin['Content-Length'] = length;
    else if (declared !== length)
      throw new InvalidOptionError('headers.Content-Length', `says ${declared}, but the body has ${length} bytes`);
  } else if (declared === null && !names.has('transfer-encoding')) origin['Transfer-Encoding'] = 'chunked';
}
