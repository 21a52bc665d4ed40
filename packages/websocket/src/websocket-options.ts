import type { RouteSettings } from '@cloudlane/proxy';
import type { RequestHeaders, Timeouts, TlsOptions, Transport } from '@cloudlane/transport';
import type { ClientOptions } from 'ws';
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

export const PROTOCOL_NAMES: readonly (keyof ProtocolOptions)[] = [
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
