import { InvalidOptionError, type RouteSettings } from '@cloudlane/proxy';
import {
  checkOptionNames,
  checkProxyTls,
  parseUrl,
  type RequestHeaders,
  type Timeouts,
  type TlsOptions,
  type Transport,
} from '@cloudlane/transport';
import type { ClientOptions } from 'ws';
import { checkDelay } from './back-off.ts';
import type { KeepAliveOptions } from './keep-alive.ts';

/** How the protocol is spoken once the way is open. */
export interface ProtocolOptions extends KeepAliveOptions {
  /** Subprotocols to offer, the preferred one first; `socket.protocol` is what the origin chose. */
  readonly protocols?: string | readonly string[] | undefined;
  /** Compression of messages (RFC 7692), offered or not. @defaultValue true */
  readonly perMessageDeflate?: ClientOptions['perMessageDeflate'] | undefined;
  /** The longest message that is taken, in bytes; a longer one ends the connection. 0: any. @defaultValue 100 MiB */
  readonly maxPayload?: number | undefined;
  /** Whether pings are answered by themselves. @defaultValue true */
  readonly autoPong?: boolean | undefined;
  /** Milliseconds that `close()` waits for the origin's part of the closing handshake. @defaultValue 30_000 */
  readonly closeTimeout?: number | undefined;
  /** Whether text is taken without a look at its encoding. @defaultValue false */
  readonly skipUTF8Validation?: boolean | undefined;
  /** Whether several messages may be told in one turn of the event loop. @defaultValue true */
  readonly allowSynchronousEvents?: boolean | undefined;
}

/** Options of `connectWebSocket`. The route settings choose the way, as that of a request; by default the environment. */
export interface WebSocketOptions extends Omit<RouteSettings, 'source'>, ProtocolOptions {
  /**
   * Of the handshake; `User-Agent: null` leaves that out. `Proxy-Authorization` goes to the proxy only. What the handshake
   * itself consists of (`Upgrade`, `Connection`, `Sec-WebSocket-…`) is refused.
   */
  readonly headers?: RequestHeaders | Headers | undefined;
  /** TLS with the origin. Only for wss URLs. @defaultValue the transport's */
  readonly tls?: TlsOptions | undefined;
  /** TLS with the proxy. Not together with an `http_proxy` that is no https:// proxy. @defaultValue the transport's */
  readonly proxyTls?: TlsOptions | undefined;
  /**
   * Milliseconds; a number is `total`: the whole opening, from the first look-up to the origin's answer, redirects
   * included. An open WebSocket has no deadline. @defaultValue the transport's, and 30_000 for `total`
   */
  readonly timeout?: number | Timeouts | undefined;
  /** Gives up the opening, with its reason; has no effect on the open WebSocket. */
  readonly signal?: AbortSignal | undefined;
  /** How many redirects are followed. 0: none. @defaultValue 10 */
  readonly maxRedirects?: number | undefined;
  /** Carries the connection. @defaultValue sharedTransport() */
  readonly transport?: Transport | undefined;
}

/** Milliseconds for the whole opening, where nobody says otherwise. */
export const OPEN_TIMEOUT = 30_000;

const PROTOCOL_NAMES: readonly (keyof ProtocolOptions)[] = [
  'protocols',
  'perMessageDeflate',
  'maxPayload',
  'autoPong',
  'closeTimeout',
  'skipUTF8Validation',
  'allowSynchronousEvents',
  'pingInterval',
  'pingTimeout',
];

const OPTION_NAMES: ReadonlySet<string> = new Set([
  ...PROTOCOL_NAMES,
  ...([
    'http_proxy',
    'noProxy',
    'env',
    'trustEnv',
    'system',
    'headers',
    'tls',
    'proxyTls',
    'timeout',
    'signal',
    'maxRedirects',
    'transport',
  ] satisfies (keyof WebSocketOptions)[]),
]);

/** @throws InvalidOptionError naming the option that is unknown, cannot be used, or contradicts URL or proxy */
export function checkWebSocketOptions(url: URL, options: WebSocketOptions): void {
  checkOptionNames(options, OPTION_NAMES);
  if (options.tls !== undefined && url.protocol === 'ws:')
    throw new InvalidOptionError('tls', 'has no effect on a ws:// URL; write wss://');
  if (options.proxyTls !== undefined) {
    if (options.http_proxy === null) throw new InvalidOptionError('proxyTls', 'has no effect, as http_proxy is null');
    checkProxyTls(options.http_proxy, 'option http_proxy');
  }
  const { maxRedirects = 0 } = options;
  if (!Number.isSafeInteger(maxRedirects) || maxRedirects < 0)
    throw new InvalidOptionError('maxRedirects', 'must be a whole number from 0 (none)');
}

/**
 * The ws or wss URL of a WebSocket. http and https stand for them.
 * @throws InvalidOptionError if it is none
 */
export function parseWebSocketUrl(value: string | URL): URL {
  const url = new URL(parseUrl(value));
  if (url.protocol === 'http:' || url.protocol === 'https:') return parseWebSocketUrl(url.href.replace(/^http/, 'ws'));
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:')
    throw new InvalidOptionError('url', `${url.protocol}// is no WebSocket's; write a ws:// or wss:// URL`);
  // RFC 6455 §3.
  if (url.hash !== '')
    throw new InvalidOptionError('url', 'has a fragment, which a WebSocket cannot have; leave out #…');
  return url;
}

/** @throws InvalidOptionError naming the option that cannot be used; `ws` would say so too late, or not at all */
export function checkProtocolOptions(options: ProtocolOptions): void {
  const names = protocolList(options.protocols);
  const isToken = (name: unknown): boolean => typeof name === 'string' && /^[!#$%&'*+\-.\w^`|~]+$/.test(name);
  if (!names.every(isToken) || new Set(names).size < names.length)
    throw new InvalidOptionError('protocols', 'must be names without spaces or commas, each of them once');
  const { maxPayload } = options;
  if (maxPayload !== undefined && !(Number.isSafeInteger(maxPayload) && maxPayload >= 0))
    throw new InvalidOptionError('maxPayload', 'must be a whole number of bytes from 0 (any)');
  for (const name of ['closeTimeout', 'pingInterval', 'pingTimeout'] as const)
    if (options[name] !== undefined) checkDelay(name, options[name]);
  for (const name of ['autoPong', 'skipUTF8Validation', 'allowSynchronousEvents'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && typeof value !== 'boolean') throw new InvalidOptionError(name, 'must be true or false');
  }
  const { perMessageDeflate }: { readonly perMessageDeflate?: unknown } = options;
  if (
    perMessageDeflate !== undefined &&
    typeof perMessageDeflate !== 'boolean' &&
    typeof perMessageDeflate !== 'object'
  )
    throw new InvalidOptionError('perMessageDeflate', 'must be true, false, or the options of it that ws describes');
}

/** Those of the protocol that are given, of options that may be more. */
export function protocolOf(options: ProtocolOptions): ProtocolOptions {
  return Object.fromEntries(
    PROTOCOL_NAMES.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  );
}

/** Subprotocols as a list. */
export function protocolList(protocols: ProtocolOptions['protocols']): string[] {
  return protocols === undefined ? [] : typeof protocols === 'string' ? [protocols] : [...protocols];
}
