import { BoundedCache } from './bounded-cache.ts';
import { createCredentials, findCredentialsFault, maskUsername } from './credentials.ts';
import { InvalidProxyUrlError } from './errors.ts';
import { toAsciiHost } from './host-name.ts';
import { maskProxyText } from './mask.ts';
import type { ProxyCredentials, ProxyScheme, ProxyServer } from './proxy-server.ts';

/** `socks` says nothing about who looks names up; the proxy can always do it. */
const SCHEMES: Readonly<Record<string, ProxyScheme>> = {
  http: 'http',
  https: 'https',
  socks: 'socks5h',
  socks4: 'socks4',
  socks4a: 'socks4a',
  socks5: 'socks5',
  socks5h: 'socks5h',
};
const DEFAULT_PORTS: Readonly<Record<ProxyScheme, number>> = {
  http: 80,
  https: 443,
  socks4: 1080,
  socks4a: 1080,
  socks5: 1080,
  socks5h: 1080,
};
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i;

/** Servers by text, so that an unchanged setting gives the identical object, which pools may use as a key. */
const cache: BoundedCache<ProxyServer> = new BoundedCache();

/**
 * Reads the address of a proxy: `scheme://user:password@host:port` (RFC 3986), of which only the host is required.
 *
 * Without a scheme it is an HTTP proxy. The schemes are http, https, socks4, socks4a, socks5, socks5h, and `socks`,
 * which means `socks5h`; the ports default to 80, 443 and 1080. User name and password are percent-decoded; `user@`
 * has an empty password. International host names come out in ASCII. A path, query or fragment is refused, and so are
 * an empty port and port 0. Blanks around the value are ignored.
 *
 * @throws InvalidProxyUrlError whose `source` is `parseProxyUrl`; nothing in it shows the password
 */
export function parseProxyUrl(value: string | URL): ProxyServer {
  return readProxyUrl(value, 'parseProxyUrl');
}

/**
 * A proxy for people and logs: `http://user:***@proxy:3128`. The port is always there, IPv6 hosts are in brackets, and
 * the password is always `***`. A user name without a password is masked too, as it is usually an access token.
 */
export function formatProxy(proxy: ProxyServer): string {
  const { scheme, host, port, credentials } = proxy;
  const userinfo = credentials ? `${formatUserinfo(credentials)}@` : '';
  return `${scheme}://${userinfo}${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * {@link parseProxyUrl} for a value from a named source.
 *
 * @param implied the scheme of a value without one. With `socks5h` a value that says `http://` is a SOCKS proxy too.
 */
export function readProxyUrl(value: unknown, source: string, implied: 'http' | 'socks5h' = 'http'): ProxyServer {
  const text = toText(value);
  if (text === undefined) throw new InvalidProxyUrlError(source, `${describeType(value)} is not a string or URL`);
  return cache.getOrMake(`${implied} ${text}`, () => parse(text, source, implied));
}

/** The text of a string or URL, or `undefined` for anything else. */
export function toText(value: unknown): string | undefined {
  if (typeof value === 'string') return value.trim();
  return isUrl(value) ? value.href : undefined;
}

/** Whether the value is an URL object, also one of another realm. */
export function isUrl(value: unknown): value is URL {
  if (value instanceof URL) return true;
  return Object.prototype.toString.call(value) === '[object URL]' && typeof Object(value).href === 'string';
}

/** Whether a text names its scheme. */
export function hasScheme(text: string): boolean {
  return SCHEME.test(text);
}

function parse(text: string, source: string, implied: 'http' | 'socks5h'): ProxyServer {
  const refuse: Refuse = (reason) => {
    throw new InvalidProxyUrlError(source, reason, maskProxyText(text));
  };
  if (text === '') throw new InvalidProxyUrlError(source, 'it is empty; write null for direct');
  if (/\p{Cc}/u.test(text)) refuse('it contains a control character');
  const [prefix = '', name = implied] = SCHEME.exec(text) ?? [];
  const scheme = toScheme(name, implied) ?? refuse('its scheme is unknown');
  const [authority = ''] = /^[^/?#]*/.exec(text.slice(prefix.length)) ?? [];
  const rest = text.slice(prefix.length + authority.length);
  if (rest !== '' && rest !== '/') {
    refuse('it has a path, query or fragment; a /, ? or # in the user name or password is written %2F, %3F or %23');
  }
  // The WHATWG URL parser takes a backslash for a slash, others do not: nobody shall dial the wrong half.
  if (authority.includes('\\')) refuse('it contains a backslash, which in a user name or password is written %5C');
  const at = authority.lastIndexOf('@');
  const credentials = readCredentials(authority.slice(0, Math.max(at, 0)), scheme, refuse);
  const { host, port } = readHostAndPort(authority.slice(at + 1), refuse);
  return Object.freeze({ scheme, host, port: port ?? DEFAULT_PORTS[scheme], ...(credentials && { credentials }) });
}

type Refuse = (reason: string) => never;

function toScheme(name: string, implied: 'http' | 'socks5h'): ProxyScheme | undefined {
  const lowerCase = name.toLowerCase();
  if (implied === 'socks5h' && lowerCase === 'http') return 'socks5h';
  return Object.hasOwn(SCHEMES, lowerCase) ? SCHEMES[lowerCase] : undefined;
}

function readCredentials(userinfo: string, scheme: ProxyScheme, refuse: Refuse): ProxyCredentials | undefined {
  if (userinfo === '' || userinfo === ':') return undefined;
  const colon = userinfo.indexOf(':');
  const username = decode(colon === -1 ? userinfo : userinfo.slice(0, colon), refuse);
  const password = decode(colon === -1 ? '' : userinfo.slice(colon + 1), refuse);
  const credentials = createCredentials(username, password);
  const fault = findCredentialsFault(scheme, credentials);
  if (fault) refuse(fault);
  return credentials;
}

function decode(text: string, refuse: Refuse): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse('a percent escape in the user name or password is malformed; % itself is written %25');
  }
}

function readHostAndPort(text: string, refuse: Refuse): { host: string; port: number | undefined } {
  const [, bracketed, name = '', portText] = /^(?:(\[[^\]]*\])|([^:]*))(?::(.*))?$/u.exec(text) ?? refuse(NO_HOST);
  if (bracketed === undefined && name === '') refuse(NO_HOST);
  const host = bracketed === undefined ? toAsciiHost(name) : toIpv6Host(bracketed);
  if (host === undefined)
    refuse(bracketed === undefined ? 'its host is not a host name' : 'its IPv6 address is malformed');
  return { host, port: portText === undefined ? undefined : readPort(portText, refuse) };
}

const NO_HOST = 'it has no host, or an IPv6 address without brackets';

function toIpv6Host(bracketed: string): string | undefined {
  try {
    return new URL(`http://${bracketed}/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
}

function readPort(text: string, refuse: Refuse): number {
  const port = /^\d+$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : refuse('its port is not a number from 1 to 65535');
}

function formatUserinfo(credentials: ProxyCredentials): string {
  const username = maskUsername(credentials);
  if (credentials.password === '') return username;
  // encodeURIComponent throws on halves of surrogate pairs.
  return `${encodeURIComponent(username.replace(/\p{Surrogate}/gu, '\ufffd'))}:***`;
}

function describeType(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}
