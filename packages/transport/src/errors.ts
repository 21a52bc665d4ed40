// The tree of what can go wrong on the way:
//
//   CloudlaneError
//   └─ TransportError            phase, hop, proxy, url, retryable, hasConnectedToProxy
//      ├─ ConnectError           the origin could not be reached
//      ├─ TlsError               the origin's certificate or TLS was refused
//      ├─ TimeoutError           a deadline passed: deadline, milliseconds
//      ├─ ResetError             a connection broke that had been open
//      ├─ ProtocolError          what came, or what was to be sent, was not valid HTTP
//      ├─ ClosedError            the transport was closed
//      └─ ProxyError             the proxy is to blame
//         ├─ ProxyConnectError         the proxy could not be reached
//         ├─ ProxyTlsError             the proxy's certificate or TLS was refused
//         ├─ ProxyAuthenticationError  407: schemes, realm, status, headers, body
//         ├─ ProxyTunnelError          CONNECT refused: status, headers, body
//         ├─ SocksError                a SOCKS proxy refused: step, replyCode
//         ├─ ProxyResponseError        the proxy answered a forwarded request itself: status, headers, body
//         └─ ProxyProtocolError        the proxy's answer was not valid HTTP
//
// InvalidProxyUrlError and InvalidOptionError (@cloudlane/proxy) stand outside: they say that the call was
// wrong, not that the way failed.
import type { IncomingHttpHeaders } from 'node:http';
import type { Route, RouteExplanation } from '@cloudlane/proxy';
import type { Timings } from './timings.ts';

/** Where in a request's life something happened. `origin-*` also names the origin's TLS inside a tunnel. */
export type Phase =
  | 'proxy-dns'
  | 'proxy-connect'
  | 'proxy-tls'
  | 'proxy-handshake'
  | 'origin-dns'
  | 'origin-connect'
  | 'origin-tls'
  | 'request'
  | 'response'
  | 'body';

/** Whose end of the way it was. On a forward route the peer of every byte is the proxy. */
export type Hop = 'proxy' | 'origin';

/** What every transport error carries. `proxy` and `url` are masked: no password, token or signature. */
export interface TransportErrorInit {
  readonly code?: string;
  readonly phase: Phase;
  readonly hop: Hop;
  readonly proxy: string | null;
  readonly url: string | null;
  readonly retryable?: boolean;
  readonly hasConnectedToProxy?: boolean;
  readonly timings?: Timings | null;
  readonly reusedConnection?: boolean;
  readonly route?: Route | null;
  readonly explain?: () => RouteExplanation;
  readonly cause?: unknown;
}

/** Base of every error that Cloudlane raises once a call's options were accepted. */
export class CloudlaneError extends Error {
  /** Stable, for `switch`: `ERR_` and the class's words, such as `ERR_PROXY_TUNNEL`. */
  readonly code: string;

  constructor(message: string, code: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
  }

  /** The error as plain data, safe to log. */
  toJSON(): Record<string, unknown> {
    return { ...(this as object), name: this.name, message: this.message };
  }
}

/** A request did not get through. Says which hop failed, in which phase, and whether trying again is safe. */
export class TransportError extends CloudlaneError {
  readonly phase: Phase;
  readonly hop: Hop;
  /** The proxy of the route, masked, or null on a direct route. */
  readonly proxy: string | null;
  /** The URL that was asked for, masked. */
  readonly url: string | null;
  /** True if nothing of the request reached the origin and another try may succeed. */
  readonly retryable: boolean;
  /** True once the TCP (and, for an https proxy, TLS) connection to the proxy was up; false on a direct route. */
  readonly hasConnectedToProxy: boolean;
  /** Whether the request had gone out on a connection that had carried others. */
  readonly reusedConnection: boolean;
  /** The route it took. */
  declare readonly route: Route | null;
  /** Where the time went until it failed. */
  declare readonly timings: Timings | null;
  readonly #explain: (() => RouteExplanation) | undefined;

  constructor(message: string, init: TransportErrorInit) {
    super(message, init.code ?? 'ERR_TRANSPORT', init.cause);
    this.phase = init.phase;
    this.hop = init.hop;
    this.proxy = init.proxy;
    this.url = init.url;
    this.retryable = init.retryable ?? false;
    this.hasConnectedToProxy = init.hasConnectedToProxy ?? false;
    this.reusedConnection = init.reusedConnection ?? false;
    this.#explain = init.explain;
    hide(this, 'route', init.route ?? null);
    hide(this, 'timings', init.timings ?? null);
  }

  /** Why the request took its route; null where the error was not raised by a transport. */
  get explanation(): RouteExplanation | null {
    return this.#explain?.() ?? null;
  }
}

/** The origin's name did not resolve, or nothing accepted a connection there. */
export class ConnectError extends TransportError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_CONNECT', ...init });
  }
}

/** TLS with the origin failed: an untrusted, expired or misnamed certificate, or no common protocol. */
export class TlsError extends TransportError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_TLS', ...init });
  }
}

/** A deadline of `Timeouts` passed. */
export class TimeoutError extends TransportError {
  /** Which one: `connect`, `handshake`, `firstByte`, `idle` or `total`. */
  readonly deadline: string;
  readonly milliseconds: number;

  constructor(
    message: string,
    init: TransportErrorInit & { readonly deadline: string; readonly milliseconds: number },
  ) {
    super(message, { code: 'ERR_TIMEOUT', ...init });
    this.deadline = init.deadline;
    this.milliseconds = init.milliseconds;
  }
}

/** An open connection ended before the answer was complete. */
export class ResetError extends TransportError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_RESET', ...init });
  }
}

/** The answer was not valid HTTP, or a request body did not keep to its declared length. */
export class ProtocolError extends TransportError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_PROTOCOL', ...init });
  }
}

/** The transport was closed while the request was under way, or before it. */
export class ClosedError extends TransportError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_CLOSED', ...init });
  }
}

/** The proxy is to blame. */
export class ProxyError extends TransportError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_PROXY', ...init });
  }
}

/** The proxy's name did not resolve, or nothing accepted a connection there. */
export class ProxyConnectError extends ProxyError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_PROXY_CONNECT', ...init });
  }
}

/** TLS with an https proxy failed. */
export class ProxyTlsError extends ProxyError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_PROXY_TLS', ...init });
  }
}

/** The answer of a proxy that refused. `body` holds at most the first 64 KiB. */
export interface ProxyAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** The proxy answered 407 (RFC 9110 §15.5.8): credentials are missing, wrong, or of a scheme it does not take. */
export class ProxyAuthenticationError extends ProxyError {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Names of the offered schemes in the proxy's order, in lower case, such as `['negotiate', 'basic']`. */
  readonly schemes: readonly string[];
  /** The realm of the first challenge that names one. */
  readonly realm: string | null;

  constructor(
    message: string,
    init: TransportErrorInit & ProxyAnswer & { readonly schemes: readonly string[]; readonly realm: string | null },
  ) {
    super(message, { code: 'ERR_PROXY_AUTHENTICATION', ...init });
    this.status = init.status;
    this.headers = init.headers;
    this.schemes = init.schemes;
    this.realm = init.realm;
    hideBody(this, init.body);
  }

  declare readonly body: Buffer;
}

/** The proxy refused to open a tunnel (any answer to CONNECT but 2xx and 407). */
export class ProxyTunnelError extends ProxyError {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;

  constructor(message: string, init: TransportErrorInit & ProxyAnswer) {
    super(message, { code: 'ERR_PROXY_TUNNEL', ...init });
    this.status = init.status;
    this.headers = init.headers;
    hideBody(this, init.body);
  }

  declare readonly body: Buffer;
}

/**
 * The proxy answered a forwarded request itself instead of the origin, and said so: with `Proxy-Status` and an error
 * (RFC 9209) or with Squid's `X-Squid-Error`.
 */
export class ProxyResponseError extends ProxyError {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;

  constructor(message: string, init: TransportErrorInit & ProxyAnswer) {
    super(message, { code: 'ERR_PROXY_RESPONSE', ...init });
    this.status = init.status;
    this.headers = init.headers;
    hideBody(this, init.body);
  }

  declare readonly body: Buffer;
}

/** The proxy's answer to CONNECT was not valid HTTP, too large, or broke off; or what a SOCKS proxy said was not SOCKS. */
export class ProxyProtocolError extends ProxyError {
  constructor(message: string, init: TransportErrorInit) {
    super(message, { code: 'ERR_PROXY_PROTOCOL', ...init });
  }
}

/** The step of a SOCKS handshake: the choice of a method, the password (RFC 1929), or the request itself. */
export type SocksStep = 'greeting' | 'authentication' | 'request';

/**
 * A SOCKS proxy refused (RFC 1928, RFC 1929, SOCKS4). `code` is `ERR_SOCKS_AUTHENTICATION` if credentials are what it
 * wants or does not accept, else `ERR_SOCKS`.
 */
export class SocksError extends ProxyError {
  readonly step: SocksStep;
  /**
   * What the proxy answered: the method (255: none is acceptable), the status of the password, or the reply code of
   * the request (SOCKS5: 1 to 8, SOCKS4: 91 to 93). Null if it closed the connection instead, as OpenSSH does.
   */
  readonly replyCode: number | null;

  constructor(
    message: string,
    init: TransportErrorInit & { readonly step: SocksStep; readonly replyCode: number | null },
  ) {
    super(message, { code: 'ERR_SOCKS', ...init });
    this.step = init.step;
    this.replyCode = init.replyCode;
  }
}

// A proxy's HTML page belongs in a debugger, not in every log line: readable, but not printed.
function hideBody(error: Error, body: Buffer): void {
  hide(error, 'body', body);
}

/** Gives an error what can be read, but is not printed. */
export function hide(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, enumerable: false, configurable: true });
}
