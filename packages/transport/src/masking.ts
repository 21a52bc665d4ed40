import { isSecretField, isSecretHeader } from './secret-names.ts';

/** Placeholder for a secret in anything that may be printed. */
export const MASK = '***';

/**
 * A URL for messages and logs: no password, no user name without one, as that is usually an access token, and no value
 * of a query parameter that may be a secret.
 */
export function maskUrl(url: URL): string {
  const { username, password, search, hash } = url;
  if (username === '' && password === '' && search === '')
    return hash === '' ? url.href : url.href.slice(0, -hash.length);
  const masked = new URL(url);
  masked.hash = '';
  if (password !== '') masked.password = MASK;
  else if (username !== '') masked.username = MASK;
  for (const name of new Set(masked.searchParams.keys())) {
    if (isSecretField(name)) masked.searchParams.set(name, MASK);
  }
  return masked.href;
}

/**
 * URLs in a text, as headers have them, for messages and logs; all else stays as it was written.
 * @param hides whether the value of a parameter is masked
 */
export function maskUrlsIn(text: string, hides: (name: string) => boolean = isSecretField): string {
  const withoutPasswords = text.replaceAll(USERINFO, (_all, before, userinfo) => `${before}${hidePassword(userinfo)}@`);
  return replaceValues(withoutPasswords, PARAMETER, hides);
}

/** A form (application/x-www-form-urlencoded) for messages and logs; all else stays as it was written. */
export function maskForm(text: string, hides: (name: string) => boolean = isSecretField): string {
  return replaceValues(text, FIELD, hides);
}

/** Whether a header holds URLs, and these may be signed. */
export function hasUrls(header: string): boolean {
  return URL_HEADER.test(header);
}

/** Headers for messages and logs: values of headers that authorize are replaced, and the secrets of URLs in others. */
export function maskHeaders(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, maskHeader(name, value)]));
}

function maskHeader(name: string, value: unknown): unknown {
  if (isSecretHeader(name)) return MASK;
  if (!hasUrls(name)) return value;
  if (Array.isArray(value)) return value.map((each) => maskHeader(name, each));
  return typeof value === 'string' ? maskUrlsIn(value) : value;
}

const URL_HEADER = /^(location|content-location|referer|refresh|link)$/i;
// Of URLs at the start of a text, and those that follow < or =, as in Link and Refresh.
const USERINFO = /((?:^\s*|[<=]\s*["']?)(?:[a-z][a-z\d+.-]*:)?\/\/)([^/?#\s<>]*)@/gi;
// What OAuth hands over, it hands over in the fragment, too (RFC 6749 §4.2.2).
const PARAMETER = /([?&#])([^=&?#\s<>]*)=[^&#\s<>]*/g;
const FIELD = /(^|&)([^=&]*)=[^&]*/g;

function replaceValues(text: string, pattern: RegExp, hides: (name: string) => boolean): string {
  return text.replaceAll(pattern, (pair, separator, name) =>
    hides(decode(name)) ? `${separator}${name}=${MASK}` : pair,
  );
}

function hidePassword(userinfo: string): string {
  const colon = userinfo.indexOf(':');
  return colon === -1 || colon === userinfo.length - 1 ? MASK : `${userinfo.slice(0, colon)}:${MASK}`;
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    return name;
  }
}
