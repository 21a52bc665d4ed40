import { InvalidOptionError } from '@cloudlane/proxy';
import { printAs, serializeAs } from '@cloudlane/transport';
import {
  type CookieEntry,
  type CookieFileFormat,
  formatJson,
  formatNetscape,
  parseCookies,
  readCookieFile,
} from './cookie-file.ts';
import {
  type CookieInfo,
  canonicalHost,
  checkCookie,
  cookieTarget,
  goesTo,
  hasSecurePrefix,
  isExpired,
  isSecure,
  ownCookie,
  parseCookieUrl,
  receivedCookie,
  restoredCookie,
  type SetCookieOptions,
  standsInFor,
} from './cookie-rules.ts';
import { checkRecord } from './given-values.ts';
import { replaceFile } from './replace-file.ts';
import type { Cookies } from './session-options.ts';

/**
 * The cookies of a session (RFC 6265): those that answers set, each for its host or domain, path, scheme and time, and
 * those that the caller gives. Cookies are shared between the ports of a host, not between hosts. SameSite is kept but
 * not obeyed, as a session is no browser: it has no page that another site could have opened. `Secure` cookies go over
 * https and wss only, on loopback as well. Values are sent as they came, without decoding. Prints without values.
 */
export class CookieJar implements Iterable<CookieInfo> {
  // In the order in which the cookies first came, which is the order among equal paths (RFC 6265 §5.4).
  readonly #entries = new Map<string, CookieEntry>();
  #changes = 0;

  /**
   * @param cookies without a host: they go to the origin of each call, and to no other that it redirects to. A name
   * that begins with `__Secure-` or `__Host-` goes over https only.
   * @throws InvalidOptionError naming the cookie that cannot be sent, or if they are no object of cookies
   */
  constructor(cookies: Cookies = {}) {
    checkRecord(cookies, 'cookies', 'an object of names and values, or a CookieJar');
    for (const [name, value] of Object.entries(cookies)) if (value != null) this.set(name, value);
  }

  /** How many cookies there are that have not expired. */
  get size(): number {
    return [...this].length;
  }

  /**
   * The value that a request to that URL would send. Without a URL: the given cookie of that name, or the only other one.
   * @throws InvalidOptionError if there are several others; its message names their hosts
   */
  get(name: string, url?: string | URL): string | undefined {
    if (url !== undefined) return this.#select(parseCookieUrl(url), true).find((cookie) => cookie.name === name)?.value;
    const found = [...this].filter((cookie) => cookie.name === name);
    const given = found.find(({ domain }) => domain === null);
    if (given !== undefined || found.length < 2) return (given ?? found[0])?.value;
    const places = found.map(({ domain, path }) => `${domain}${path}`).join(', ');
    throw new InvalidOptionError(`cookies.${name}`, `is there for several places, ${places}; give the url as well`);
  }

  /**
   * Sets a cookie for a host (`url`), for a domain and all below it (`domain`), or, without both, for the origin of each
   * call. If an answer sets one of the same name, the later of the two counts.
   * @throws InvalidOptionError if it cannot be sent, or RFC 6265 would refuse it
   */
  set(name: string, value: string, options: SetCookieOptions = {}): this {
    this.#put(ownCookie(name, value, options));
    return this;
  }

  /** Takes the cookies of that name away, or those of exactly that domain and path. Returns whether there was one. */
  delete(name: string, where: { readonly domain?: string; readonly path?: string } = {}): boolean {
    const domain = where.domain === undefined ? undefined : canonicalHost(where.domain);
    return this.#remove(
      (cookie) =>
        cookie.name === name &&
        (domain === undefined || cookie.domain === domain) &&
        (where.path === undefined || cookie.path === where.path),
    );
  }

  /** Takes all cookies away, or those of exactly that domain. */
  clear(domain?: string): void {
    const host = domain === undefined ? undefined : canonicalHost(domain);
    this.#remove((cookie) => host === undefined || cookie.domain === host);
  }

  /** Cookies that have not expired, in the order in which they first came. */
  *[Symbol.iterator](): IterableIterator<CookieInfo> {
    for (const { cookie } of this.#current()) yield cookie;
  }

  /**
   * Keeps what an answer sets. What RFC 6265 refuses is left out without a word: another domain, a public suffix,
   * `Secure` over http, a broken promise of a `__Host-` name, a malformed one.
   */
  store(url: URL, setCookie: readonly string[]): void {
    for (const text of setCookie) {
      const cookie = receivedCookie(text, url);
      if (cookie !== null && !this.#isReserved(cookie, url)) this.#put(cookie);
    }
  }

  /**
   * Value of the `Cookie` header of a request, longest paths first and the call's own last; null: none.
   * @param options given: cookies of the call, laid over all others by name; null leaves one out, wherever it comes from.
   * isOwnOrigin: whether the URL has the origin that the caller asked for; only then cookies without a host are sent
   * @throws InvalidOptionError naming the cookie that cannot be sent
   */
  header(url: URL, options: { readonly given?: Cookies | undefined; readonly isOwnOrigin: boolean }): string | null {
    const { given, isOwnOrigin } = options;
    if (given === undefined && this.#entries.size === 0) return null;
    const laid = Object.entries(given ?? {}).filter(([name, value]) => isLaidOver(name, value, url, isOwnOrigin));
    const names = new Set(laid.map(([name]) => name));
    const kept = this.#select(url, isOwnOrigin).filter(({ name }) => !names.has(name));
    const all = [
      ...kept.map(({ name, value }) => `${name}=${value}`),
      ...laid.flatMap(([name, value]) => (value == null ? [] : [`${name}=${value}`])),
    ];
    return all.length === 0 ? null : all.join('; ');
  }

  /**
   * All cookies as JSON, **with their values**: for a place as safe as they need. Those of the session, without an
   * expiry, are part of it; expired ones are not.
   */
  serialize(): string {
    return formatJson(this.#current());
  }

  /**
   * A jar of what `serialize()` wrote. Expired cookies are left out, and those that RFC 6265 would refuse.
   * @throws InvalidOptionError if the text is something else
   */
  static deserialize(text: string): CookieJar {
    const jar = new CookieJar();
    for (const { cookie, changed } of parseCookies(text)) {
      const restored = restoredCookie(cookie);
      if (restored !== null) jar.#put(restored, changed);
    }
    return jar;
  }

  /**
   * Writes the cookies, with their values, to a file that its owner alone may read (mode 0600). The file is replaced as
   * a whole or, on a failure, not at all.
   * @param options format: 'netscape' is the cookies.txt of curl and wget, and the default for a path that ends in
   * .txt; it knows no SameSite, whole seconds only, and no cookies without a host
   * @throws InvalidOptionError if a cookie does not fit the format
   */
  async save(path: string, options: { readonly format?: CookieFileFormat | undefined } = {}): Promise<void> {
    const { format = path.endsWith('.txt') ? 'netscape' : 'json' } = options;
    if (format !== 'json' && format !== 'netscape')
      throw new InvalidOptionError('format', "is neither 'json' nor 'netscape'");
    await replaceFile(
      path,
      format === 'json' ? Buffer.from(this.serialize()) : Buffer.from(formatNetscape(this), 'latin1'),
    );
  }

  /**
   * A jar of a file that `save()` wrote, or of a cookies.txt; its content tells which.
   * @throws InvalidOptionError if the file is neither; the system's error if it cannot be read
   */
  static async load(path: string): Promise<CookieJar> {
    return CookieJar.deserialize(await readCookieFile(path));
  }

  /** `<CookieJar [sid of api.example, lang of every origin]>` */
  toString(): string {
    return `<CookieJar [${[...this].map(({ name, domain }) => `${name} of ${domain ?? 'every origin'}`).join(', ')}]>`;
  }

  /** Names and places, without values: `serialize()` is for keeping them. */
  toJSON(): Record<string, unknown> {
    return { size: this.size, cookies: [...this].map(({ name, domain, path }) => ({ name, domain, path })) };
  }

  /** Longest path first; of a received and a given cookie of one name, the later. */
  #select(url: URL, isOwnOrigin: boolean): CookieInfo[] {
    const target = cookieTarget(url);
    const found = this.#current().filter(({ cookie }) =>
      cookie.domain === null ? isOwnOrigin && mayGoBare(cookie.name, url) : goesTo(cookie, target),
    );
    return withoutOutdated(found)
      .map(({ cookie }) => cookie)
      .sort((one, other) => other.path.length - one.path.length);
  }

  /** Forgets what has expired. */
  #current(): CookieEntry[] {
    const now = Date.now();
    for (const [key, { cookie }] of this.#entries) if (isExpired(cookie, now)) this.#entries.delete(key);
    return [...this.#entries.values()];
  }

  #isReserved(cookie: CookieInfo, url: URL): boolean {
    return !isSecure(url) && [...this].some((kept) => standsInFor(cookie, kept));
  }

  #put(cookie: CookieInfo, changed: number = this.#changes + 1): void {
    const key = `${cookie.domain ?? ''}\n${cookie.path}\n${cookie.name}`;
    this.#entries.set(key, { cookie: masked(cookie), changed });
    this.#changes = Math.max(this.#changes, changed);
  }

  #remove(matches: (cookie: CookieInfo) => boolean): boolean {
    const keys = [...this.#entries].filter(([, { cookie }]) => matches(cookie)).map(([key]) => key);
    for (const key of keys) this.#entries.delete(key);
    return keys.length > 0;
  }

  static {
    printAs<CookieJar>(CookieJar.prototype, String);
  }
}

/** Of a received cookie and one without a host that have a name in common, the later takes the other's place. */
function withoutOutdated(entries: readonly CookieEntry[]): readonly CookieEntry[] {
  const bare = entries.filter(({ cookie }) => cookie.domain === null);
  if (bare.length === 0) return entries;
  return entries.filter((entry) => {
    const rivals = entry.cookie.domain === null ? entries.filter(({ cookie }) => cookie.domain !== null) : bare;
    return !rivals.some(({ cookie, changed }) => cookie.name === entry.cookie.name && changed > entry.changed);
  });
}

/** Whether a cookie of the call counts at that URL. */
function isLaidOver(name: string, value: string | null | undefined, url: URL, isOwnOrigin: boolean): boolean {
  if (value == null) return value === null;
  checkCookie(name, value);
  return isOwnOrigin && mayGoBare(name, url);
}

/** Whether a cookie without a host, and so without attributes, may go to that URL. */
function mayGoBare(name: string, url: URL): boolean {
  return isSecure(url) || !hasSecurePrefix(name);
}

function masked(cookie: CookieInfo): CookieInfo {
  const copy = { ...cookie };
  const show = () => ({ ...cookie, value: '***' });
  printAs(copy, show);
  serializeAs(copy, show);
  return Object.freeze(copy);
}
