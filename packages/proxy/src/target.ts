import { InvalidOptionError } from './errors.ts';
import { type IpAddress, parseIpAddress } from './ip-address.ts';
import { isUrl } from './proxy-url.ts';

/** Schemes of the URLs a route can be chosen for. */
export type TargetScheme = 'http' | 'https' | 'ws' | 'wss';

/** What of an URL decides over its route. */
export interface Target {
  readonly scheme: TargetScheme;
  /** Lower case, in ASCII, without brackets and without a trailing dot. */
  readonly host: string;
  /** Of the host, if it is an IP address: then names never match it. */
  readonly address: IpAddress | undefined;
  /** The URL's port, or its scheme's. */
  readonly port: number;
}

const DEFAULT_PORTS: Readonly<Record<string, readonly [TargetScheme, number]>> = {
  'http:': ['http', 80],
  'https:': ['https', 443],
  'ws:': ['ws', 80],
  'wss:': ['wss', 443],
};
/** `http://[fe80::1%eth0]/`: RFC 6874 allows it, the URL standard does not. A route does not depend on the zone. */
const ZONE = /^(\s*[a-z]+:\/\/[^/?#[\]]*\[[0-9a-f:.]*)%[^\]/?#]*(?=\])/i;

/** Reads the URL of a request. @throws InvalidOptionError if it has none of the four schemes */
export function parseTarget(url: string | URL): Target {
  const parsed = parseUrl(url);
  const known = Object.hasOwn(DEFAULT_PORTS, parsed.protocol) ? DEFAULT_PORTS[parsed.protocol] : undefined;
  if (!known) throw new InvalidOptionError('url', 'its scheme is not http, https, ws or wss');
  const [scheme, defaultPort] = known;
  const port = parsed.port === '' ? defaultPort : Number(parsed.port);
  return { scheme, port, ...parseHost(parsed.hostname) };
}

/** Reads a host as `URL.hostname` gives it. */
export function parseHost(hostname: string): Pick<Target, 'host' | 'address'> {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname.replace(/\.$/, '');
  return { host, address: parseIpAddress(host) };
}

function parseUrl(url: unknown): URL {
  if (url instanceof URL) return url;
  const text = isUrl(url) ? url.href : url;
  if (typeof text !== 'string') throw new InvalidOptionError('url', 'it is not a string or URL');
  try {
    return new URL(text.replace(ZONE, '$1'));
  } catch {
    // The error of `new URL()` would carry the whole text, credentials included.
    throw new InvalidOptionError('url', 'it is not an absolute URL');
  }
}
