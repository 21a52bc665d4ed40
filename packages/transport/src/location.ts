import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http';
import { readUrl } from './origin.ts';
import { isSecretHeader } from './secret-names.ts';

/** Whether an answer names another place for what was asked (RFC 9110 §15.4). */
export function isRedirect({
  status,
  headers,
}: {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}): boolean {
  // An empty one would lead to itself.
  return REDIRECTS.has(status) && (headers.location ?? '') !== '';
}

// 300 leaves the choice to a human, 304 is no redirect, 305 and 306 are history.
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * The URL that a `Location` names, seen from the URL that was asked for; null if it is none. It inherits that one's
 * fragment, and on the same origin its credentials.
 */
export function resolveLocation(location: string, base: URL): URL | null {
  const url = readUrl(decodeLocation(location), base);
  if (url === null) return null;
  // RFC 9110 §10.2.2: a fragment is inherited.
  if (url.hash === '') url.hash = base.hash;
  // Credentials of a URL are for its origin; a relative Location inherits them anyway.
  if (url.origin === base.origin && url.username + url.password === '') {
    url.username = base.username;
    url.password = base.password;
  }
  return url;
}

/**
 * Whether a header, its name in lower case, goes along with a redirect: what authorizes is for its origin. Whether the proxy
 * is still the same, for `Proxy-Authorization`, is for the caller to say.
 */
export function survivesRedirect(name: string, isSameOrigin: boolean): boolean {
  return isSameOrigin || name === 'proxy-authorization' || (name !== 'host' && !isSecretHeader(name));
}

// Node reads headers as latin1. What servers send beyond ASCII is UTF-8; other bytes go back to them as they came.
function decodeLocation(location: string): string {
  const bytes = Buffer.from(location, 'latin1');
  if (isUtf8(bytes)) return bytes.toString('utf8');
  return location.replaceAll(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}
