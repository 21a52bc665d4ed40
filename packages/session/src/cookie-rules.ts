// What of RFC 6265 concerns one cookie: who may set it, for whom, and who is sent it. Set-Cookie's grammar, its dates and
// the public suffix list are tough-cookie's. Its jar is not used: there a Max-Age begins anew each time the cookie is
// sent, a path with a percent sign matches nothing, and a host such as `http://test/` ends in an error.
import { createRequire } from 'node:module';
import { domainToASCII } from 'node:url';
import { InvalidOptionError } from '@cloudlane/proxy';
import { readUrl } from '@cloudlane/transport';

export type SameSite = 'strict' | 'lax' | 'none';

/** A cookie of a jar. `value` is there to be read, but printing one and its JSON mask it. */
export interface CookieInfo {
  readonly name: string;
  readonly value: string;
  /** Canonical: lower case, Punycode, without brackets and dots around it. null: the origin of each call. */
  readonly domain: string | null;
  readonly path: string;
  /** null: when the session ends. */
  readonly expires: Date | null;
  readonly secure: boolean;
  readonly httpOnly: boolean;
  /** Whether hosts below `domain` are left out. */
  readonly hostOnly: boolean;
  readonly sameSite: SameSite | null;
}

/** Where and how long a cookie counts that the caller sets. */
export interface SetCookieOptions {
  /** For the host of this URL alone, unless `domain` is given too. */
  readonly url?: string | URL | undefined;
  /** For this host and all below it; an IP address or a name without a dot stands for itself alone. */
  readonly domain?: string | undefined;
  /** For this path and all below it. @defaultValue '/' */
  readonly path?: string | undefined;
  /** @defaultValue none: as long as the session, or its file, is there */
  readonly expires?: Date | undefined;
  /** Seconds; 0 takes the cookie away. Not together with `expires`. */
  readonly maxAge?: number | undefined;
  /** For https and wss only. @defaultValue false */
  readonly secure?: boolean | undefined;
  /** Kept in files; no difference to a session. @defaultValue false */
  readonly httpOnly?: boolean | undefined;
  /** Kept in files; no difference to a session, which has no other site to come from. */
  readonly sameSite?: SameSite | undefined;
}

// RFC 6265 §4.1.1.
const NAME = /^[\x21\x23-\x27*+\-.0-9A-Z^-z|~]+$/;
const VALUE = /^(?:[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*|"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")$/;
/** What a header can carry; a Set-Cookie may hold more than the grammar allows, and servers rely on it. */
const SENDABLE = /^[\x20-\x7e\x80-\xff]*$/;
/** The end of the year 9999, which is as far as cookies.txt and Date agree. */
const LATEST = Date.UTC(9999, 11, 31);

/**
 * Checks what a caller gives, without printing the value.
 * @throws InvalidOptionError if RFC 6265 §4.1.1 has no way to send it
 */
export function checkCookie(name: string, value: string): void {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new InvalidOptionError(
      'cookies',
      `the name ${JSON.stringify(name)} is empty or has a character that no token has`,
    );
  if (typeof value !== 'string') throw new InvalidOptionError(`cookies.${name}`, `is ${typeof value}; give text`);
  if (!VALUE.test(value))
    throw new InvalidOptionError(
      `cookies.${name}`,
      'has a blank, comma, semicolon, quote, backslash, control character or non-ASCII character; encode it, for instance with encodeURIComponent',
    );
}

/** A cookie that the caller sets. @throws InvalidOptionError naming what contradicts RFC 6265 */
export function ownCookie(name: string, value: string, options: SetCookieOptions): CookieInfo {
  checkCookie(name, value);
  const option = `cookies.${name}`;
  const url = options.url === undefined ? null : parseCookieUrl(options.url);
  const { path = '/', secure = false, httpOnly = false, sameSite = null } = options;
  if (url === null && options.domain === undefined) {
    const [extra] = Object.entries(options).find(([, given]) => given !== undefined) ?? [];
    if (extra !== undefined) throw new InvalidOptionError(option, `${extra} needs a url or a domain beside it`);
    return { name, value, domain: null, path, expires: null, secure, httpOnly, hostOnly: true, sameSite };
  }
  if (!path.startsWith('/') || path.includes(';') || !isPlain(path))
    throw new InvalidOptionError(
      option,
      'has a path that does not begin with a slash, or holds a semicolon or control character',
    );
  const scope = scopeOf(options.domain ?? '', url && hostOf(url));
  if ('refused' in scope) throw new InvalidOptionError(option, scope.refused);
  const cookie = { name, value, ...scope, path, expires: expiryOf(option, options), secure, httpOnly, sameSite };
  const reason =
    prefixFault(cookie) ?? (secure && url !== null && !isSecure(url) ? 'is secure, but its url is not https' : null);
  if (reason !== null) throw new InvalidOptionError(option, reason);
  return cookie;
}

/** What a Set-Cookie header makes; null where RFC 6265 §5.3 ignores it. */
export function receivedCookie(text: string, url: URL): CookieInfo | null {
  const { Cookie, defaultPath } = toughCookie();
  const parsed = Cookie.parse(text);
  const [name, value] = splitPair(text);
  if (parsed === undefined || !SENDABLE.test(name) || !SENDABLE.test(value)) return null;
  const scope = scopeOf(parsed.domain ?? '', hostOf(url));
  if ('refused' in scope || (parsed.secure && !isSecure(url))) return null;
  const { secure, httpOnly } = parsed;
  const path = parsed.path ?? defaultPath(url.pathname);
  const cookie = {
    name,
    value,
    ...scope,
    path,
    expires: null,
    secure,
    httpOnly,
    sameSite: toSameSite(parsed.sameSite),
  };
  // A prefix asks for `Path=/` in so many words.
  if (!isPlain(path) || prefixFault({ ...cookie, path: parsed.path ?? '' }) !== null) return null;
  return { ...cookie, expires: receivedExpiry(parsed) };
}

/** A cookie of a file, as this jar would keep it; null if it would not. */
export function restoredCookie(cookie: CookieInfo): CookieInfo | null {
  if (!SENDABLE.test(cookie.name) || !SENDABLE.test(cookie.value) || cookie.name === '' || !isPlain(cookie.path))
    return null;
  if (cookie.domain === null) return NAME.test(cookie.name) && VALUE.test(cookie.value) ? cookie : null;
  const host = canonicalHost(cookie.domain);
  const scope = cookie.hostOnly ? scopeOf('', host) : scopeOf(cookie.domain, null);
  if (host === '' || 'refused' in scope) return null;
  const restored = { ...cookie, ...scope };
  return prefixFault(restored) === null ? restored : null;
}

/** What of a request's URL decides on its cookies. */
export interface CookieTarget {
  readonly host: string;
  readonly path: string;
  readonly isSecure: boolean;
}

export function cookieTarget(url: URL): CookieTarget {
  return { host: hostOf(url), path: url.pathname, isSecure: isSecure(url) };
}

/** Whether a request is sent the cookie (RFC 6265 §5.4), if it has not expired and names a domain. */
export function goesTo(cookie: CookieInfo, { host, path, isSecure }: CookieTarget): boolean {
  const { domain, hostOnly, secure } = cookie;
  if (domain === null || (secure && !isSecure)) return false;
  return (host === domain || (!hostOnly && isBelow(host, domain))) && isWithin(path, cookie.path);
}

/** Whether a cookie set over http would stand in for one that https alone may set (RFC 6265bis §5.7 step 16). */
export function standsInFor(cookie: CookieInfo, secure: CookieInfo): boolean {
  if (!secure.secure || secure.name !== cookie.name || secure.domain === null || cookie.domain === null) return false;
  const related =
    secure.domain === cookie.domain || isBelow(secure.domain, cookie.domain) || isBelow(cookie.domain, secure.domain);
  return related && isWithin(cookie.path, secure.path);
}

/** Whether a name promises that https alone carries it (RFC 6265bis §4.1.3). */
export function hasSecurePrefix(name: string): boolean {
  return /^__(?:secure|host)-/i.test(name);
}

export function isExpired(cookie: CookieInfo, now: number): boolean {
  return cookie.expires !== null && cookie.expires.getTime() <= now;
}

export function isSecure(url: URL): boolean {
  return url.protocol === 'https:' || url.protocol === 'wss:';
}

/** @throws InvalidOptionError if it is no absolute URL of a host */
export function parseCookieUrl(url: string | URL): URL {
  const parsed = readUrl(String(url));
  if (parsed === null || parsed.hostname === '')
    throw new InvalidOptionError('url', 'is not an absolute URL with a host; write for instance https://api.example/');
  return parsed;
}

/** '' if it is no host name. */
export function canonicalHost(domain: string): string {
  const bare = domain
    .trim()
    .replace(/^\.|\.$/g, '')
    .replace(/^\[|\]$/g, '');
  if (/[\s/?#@\\%]/.test(bare)) return '';
  return domainToASCII(bare.includes(':') ? `[${bare}]` : bare).replace(/^\[|\]$/g, '');
}

export function toSameSite(text: string | null | undefined): SameSite | null {
  return text === 'strict' || text === 'lax' || text === 'none' ? text : null;
}

type Scope = { readonly domain: string; readonly hostOnly: boolean } | { readonly refused: string };

/** RFC 6265 §5.3 steps 4 to 6. host: where the cookie comes from; null: the caller names the domain alone. */
function scopeOf(attribute: string, host: string | null): Scope {
  if (attribute === '') return host === null ? { refused: 'has no domain' } : { domain: host, hostOnly: true };
  const domain = canonicalHost(attribute);
  if (domain === '') return { refused: 'has a domain that is not a host name' };
  if (host !== null && host !== domain && !isBelow(host, domain))
    return { refused: `has a domain that ${host} is not part of` };
  if (publicSuffixBelow(domain) !== undefined) return { domain, hostOnly: false };
  if (host === domain || (host === null && (isIpAddress(domain) || !domain.includes('.'))))
    return { domain, hostOnly: true };
  return {
    refused: `has the domain ${domain}, below which hosts belong to different owners; give the url of one host`,
  };
}

/** The registrable name of a domain, or undefined of a public suffix, a single word and an address. */
function publicSuffixBelow(domain: string): string | undefined {
  return toughCookie().getPublicSuffix(domain, { ignoreError: true });
}

function prefixFault({ name, secure, hostOnly, path }: Omit<CookieInfo, 'expires'>): string | null {
  if (!hasSecurePrefix(name)) return null;
  if (!secure) return 'has a name that asks for secure: true';
  if (/^__host-/i.test(name) && (!hostOnly || path !== '/'))
    return 'has a name that asks for a url, no domain, and the path /';
  return null;
}

function expiryOf(option: string, { expires, maxAge }: SetCookieOptions): Date | null {
  if (expires !== undefined && maxAge !== undefined)
    throw new InvalidOptionError(option, 'has both expires and maxAge');
  if (maxAge !== undefined && (typeof maxAge !== 'number' || Number.isNaN(maxAge)))
    throw new InvalidOptionError(option, 'has a maxAge that is not a number of seconds');
  if (maxAge !== undefined) return dateIn(maxAge);
  if (expires === undefined) return null;
  if (!(expires instanceof Date) || Number.isNaN(expires.getTime()))
    throw new InvalidOptionError(option, 'has an expires that is not a valid Date');
  return new Date(expires);
}

/** Names and values that an answer's `Set-Cookie` fields tell. Those without a name are no cookies to RFC 6265 §5.2. */
export function namedPairs(setCookie: readonly string[]): Record<string, string> {
  return Object.fromEntries(setCookie.map(splitPair).filter(([name]) => name !== ''));
}

/** Name and value of a `Set-Cookie` field, as they stand there; without an equals sign all of it is the value. */
function splitPair(setCookie: string): [name: string, value: string] {
  const [pair = ''] = setCookie.split(';', 1);
  const equals = pair.indexOf('=');
  return [trimBlanks(pair.slice(0, Math.max(equals, 0))), trimBlanks(pair.slice(equals + 1))];
}

/** tough-cookie would trim what Unicode calls a blank, also the byte A0 that ends an à in UTF-8. */
function trimBlanks(text: string): string {
  let [start, end] = [0, text.length];
  while (isBlank(text[start])) start += 1;
  while (end > start && isBlank(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

function receivedExpiry({
  maxAge,
  expires,
}: {
  maxAge: number | string | null;
  expires: Date | string | null;
}): Date | null {
  if (maxAge !== null) return dateIn(Number(maxAge));
  return expires instanceof Date ? expires : null;
}

/** So many seconds from now. */
function dateIn(seconds: number): Date {
  return new Date(seconds <= 0 ? 0 : Math.min(Date.now() + seconds * 1000, LATEST));
}

/** A final dot says the same host to DNS. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$|\.$/g, '');
}

/** Of canonical names, of which no address ends in another. */
function isBelow(host: string, domain: string): boolean {
  return host.endsWith(domain) && host[host.length - domain.length - 1] === '.';
}

/** Of a canonical host: URLs write every IPv4 address with four numbers. */
function isIpAddress(host: string): boolean {
  return host.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** RFC 6265 §5.1.4. */
function isWithin(path: string, cookiePath: string): boolean {
  return (
    path.startsWith(cookiePath) &&
    (path.length === cookiePath.length || cookiePath.endsWith('/') || path[cookiePath.length] === '/')
  );
}

/** Without control characters: a tab would be a column in cookies.txt. */
function isPlain(text: string): boolean {
  return SENDABLE.test(text);
}

type ToughCookie = typeof import('tough-cookie');
let loaded: ToughCookie | undefined;

/** At first need: the public suffix list in it takes as long to load as the rest of this package together. */
function toughCookie(): ToughCookie {
  if (loaded !== undefined) return loaded;
  const module: ToughCookie = createRequire(import.meta.url)('tough-cookie');
  loaded = module;
  return module;
}
