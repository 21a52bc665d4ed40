// A jar as text: our JSON, and the cookies.txt that Netscape began and curl and wget keep.
import { readFile } from 'node:fs/promises';
import { InvalidOptionError } from '@cloudlane/proxy';
import { type CookieInfo, toSameSite } from './cookie-rules.ts';

/** Our JSON, or the cookies.txt of curl and wget. */
export type CookieFileFormat = 'json' | 'netscape';

export interface CookieEntry {
  readonly cookie: CookieInfo;
  /** Rises with every change of the jar, so that the later of two cookies can be told. */
  readonly changed: number;
}

const VERSION = 1;
const HTTP_ONLY = '#HttpOnly_';

export function formatJson(entries: readonly CookieEntry[]): string {
  // Spread, as a cookie by itself masks its value.
  const cookies = entries.map(({ cookie, changed }) => ({ ...cookie, changed }));
  return `${JSON.stringify({ version: VERSION, cookies }, null, 2)}\n`;
}

/** @throws InvalidOptionError if a cookie has no host, for which the format has no place */
export function formatNetscape(cookies: Iterable<CookieInfo>): string {
  return ['# Netscape HTTP Cookie File', '', ...[...cookies].map(formatLine), ''].join('\n');
}

/** Cookies of either format. @throws InvalidOptionError if the text is neither; it says where, and repeats nothing of it */
export function parseCookies(text: string): CookieEntry[] {
  const content = text.replace(/^\ufeff/, '');
  if (content.trimStart().startsWith('{')) return parseJson(content);
  return content.split(/\r?\n/).flatMap((line, index) => {
    const cookie = parseLine(line, index + 1);
    return cookie === null ? [] : [{ cookie, changed: index + 1 }];
  });
}

/** The text of either format. In cookies.txt a byte is a character, as in a header. */
export async function readCookieFile(path: string): Promise<string> {
  const bytes = await readFile(path);
  const text = bytes.toString('utf8');
  return /^\ufeff?\s*\{/.test(text) ? text : bytes.toString('latin1');
}

function formatLine({ name, value, domain, path, expires, secure, httpOnly, hostOnly }: CookieInfo): string {
  if (domain === null)
    throw new InvalidOptionError(
      'format',
      `cookies.txt has no place for ${name}, a cookie without a host; save as JSON, or set it with a url`,
    );
  const host = `${httpOnly ? HTTP_ONLY : ''}${hostOnly ? '' : '.'}${domain}`;
  const seconds = expires === null ? 0 : Math.floor(expires.getTime() / 1000);
  return [host, flag(!hostOnly), path, flag(secure), seconds, name, value].join('\t');
}

function parseLine(line: string, number: number): CookieInfo | null {
  const httpOnly = line.startsWith(HTTP_ONLY);
  if (line.trim() === '' || (line.startsWith('#') && !httpOnly)) return null;
  const fields = (httpOnly ? line.slice(HTTP_ONLY.length) : line).split('\t');
  const [domain = '', below, path = '', secure, expiry = '', name = '', value = ''] = fields;
  // Some programs leave out the tab before an empty value.
  if (fields.length < 6 || fields.length > 7 || !isFlag(below) || !isFlag(secure) || !/^-?\d*(?:\.\d+)?$/.test(expiry))
    throw new InvalidOptionError('cookies', `line ${number} is not one of a cookies.txt: seven fields divided by tabs`);
  const seconds = Number(expiry);
  const expires = seconds > 0 ? toDate(seconds * 1000) : null;
  const hostOnly = below.toUpperCase() === 'FALSE';
  return {
    name,
    value,
    domain,
    path,
    expires,
    secure: secure.toUpperCase() === 'TRUE',
    httpOnly,
    hostOnly,
    sameSite: null,
  };
}

function flag(value: boolean): string {
  return value ? 'TRUE' : 'FALSE';
}

function isFlag(text: string | undefined): text is string {
  return /^(?:TRUE|FALSE)$/i.test(text ?? '');
}

function parseJson(text: string): CookieEntry[] {
  const { version, cookies } = toRecord(parseOrNull(text));
  if (version !== VERSION || !Array.isArray(cookies))
    throw new InvalidOptionError('cookies', `is not the JSON of a cookie jar of version ${VERSION}`);
  return cookies.map((each, index) => {
    const entry = parseEntry(toRecord(each));
    if (entry === null)
      throw new InvalidOptionError('cookies', `entry ${index} is not a cookie of a cookie jar's JSON`);
    return entry;
  });
}

/** JSON.parse would say what stands where it fails, which may be a value. */
function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function parseEntry(fields: Readonly<Record<string, unknown>>): CookieEntry | null {
  const { name, value, domain, path, expires, secure, httpOnly, hostOnly, sameSite, changed } = fields;
  if (typeof name !== 'string' || typeof value !== 'string' || typeof path !== 'string') return null;
  if (domain !== null && typeof domain !== 'string') return null;
  if (typeof secure !== 'boolean' || typeof httpOnly !== 'boolean' || typeof hostOnly !== 'boolean') return null;
  if (sameSite !== null && typeof sameSite !== 'string') return null;
  if (expires !== null && (typeof expires !== 'string' || Number.isNaN(Date.parse(expires)))) return null;
  if (typeof changed !== 'number' || !Number.isSafeInteger(changed)) return null;
  const expiry = expires === null ? null : new Date(expires);
  const cookie = {
    name,
    value,
    domain,
    path,
    expires: expiry,
    secure,
    httpOnly,
    hostOnly,
    sameSite: toSameSite(sameSite),
  };
  return { cookie, changed };
}

function toRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** As far as Date goes. */
function toDate(milliseconds: number): Date {
  return new Date(Math.min(milliseconds, 8.64e15));
}
