import { InvalidOptionError } from '@cloudlane/proxy';

/** The server a URL names, taken apart once. */
export interface Origin {
  readonly secure: boolean;
  /** Without brackets, as sockets want it: `::1`. */
  readonly host: string;
  readonly port: number;
  /** `host:port`, IPv6 in brackets: what CONNECT names (RFC 9112 §3.2.3). */
  readonly authority: string;
  /** What the Host header says: without a default port (RFC 9112 §3.2). */
  readonly hostHeader: string;
  /** `https://host:port`, with the port always written: what pools and `connections` show. */
  readonly href: string;
}

/** @throws InvalidOptionError if the URL is not http or https */
export function originOf(url: URL): Origin {
  const secure = url.protocol === 'https:';
  if (!secure && url.protocol !== 'http:') {
    throw new InvalidOptionError('url', `${url.protocol}// cannot be requested; write an http:// or https:// URL`);
  }
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const authority = `${url.hostname}:${port}`;
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  // Without the final dot of a fully qualified name, which servers do not know themselves by.
  const hostHeader = url.host.replace(/\.(?=:|$)/, '');
  return { secure, host, port, authority, hostHeader, href: `${url.protocol}//${authority}` };
}

/** The http or https URL that a WebSocket's handshake asks for (RFC 6455 §4.1); any other URL as it is. */
export function handshakeUrl(url: URL): URL {
  return url.protocol === 'ws:' || url.protocol === 'wss:' ? new URL(url.href.replace(/^ws/, 'http')) : url;
}

/** The ws or wss URL of such a handshake. */
export function webSocketUrl({ href }: URL): URL {
  return new URL(href.replace(/^http/, 'ws'));
}

/**
 * Takes a URL as it is, and text for the URL it spells.
 * @throws InvalidOptionError if the text is no absolute URL
 */
export function parseUrl(value: string | URL): URL {
  const url = value instanceof URL ? value : readUrl(value);
  if (url === null)
    throw new InvalidOptionError('url', 'is not an absolute URL; write http://host/path or https://host/path');
  return url;
}

/** The URL that a text spells, seen from another if that is given; null if it spells none. */
export function readUrl(text: string, base?: URL): URL | null {
  // Not `URL.canParse`: in Node 20 and 22, once V8 has optimized the call, it takes hosts beyond ASCII for none.
  try {
    return new URL(text, base);
  } catch {
    // The error keeps the whole text, credentials included.
    return null;
  }
}
