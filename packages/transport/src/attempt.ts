import { formatProxy, type Route, type RouteExplanation } from '@cloudlane/proxy';
import type { ConnectionInfo } from './connection-info.ts';
import { publishPhase } from './diagnostics.ts';
import {
  ClosedError,
  ConnectError,
  type Hop,
  type Phase,
  ProtocolError,
  ProxyConnectError,
  ProxyError,
  ProxyTlsError,
  ResetError,
  TimeoutError,
  TlsError,
  TransportError,
  type TransportErrorInit,
} from './errors.ts';
import { isError, messageOf } from './foreign-error.ts';
import { maskUrl } from './masking.ts';
import type { ResolvedTimeouts } from './timeouts.ts';
import { Stopwatch, type Timings } from './timings.ts';

/** What a try is about. */
export interface AttemptInit {
  readonly method: string;
  readonly url: URL;
  readonly route: Route;
  readonly explain: () => RouteExplanation;
  readonly timeouts: ResolvedTimeouts;
  /** Whether its body, if any, can be sent a second time. */
  readonly isRepeatable: boolean;
  /** Whether somebody else's client makes the request, through `Transport.agents`. @defaultValue false */
  readonly isForeign?: boolean;
}

/** One try to get one request through: where it has got to, and the errors that say so. */
export class Attempt {
  /** Number of the request within this process; a second try keeps it. */
  readonly id: number;
  readonly method: string;
  readonly url: URL;
  readonly route: Route;
  readonly explain: () => RouteExplanation;
  readonly timeouts: ResolvedTimeouts;
  /** Whether only a connection that has carried nothing will do. */
  readonly needsFresh: boolean;
  /** Whether the request may be sent twice: its method is idempotent (RFC 9110 §9.2.2), and its body in memory. */
  readonly isRepeatable: boolean;
  /** Whether somebody else's client makes it, which hears of failures by Node's events alone. */
  readonly isForeign: boolean;
  hasConnectedToProxy = false;
  /** Whether the proxy is shown credentials. */
  isAuthenticating = false;
  /** Whether anything has come on a connection that had carried others before. */
  hasHeard = false;
  /** To be called when `timeouts` has changed under the request's feet. */
  onTimeoutsChanged: () => void = () => {};
  /** The connection that carries the request, once there is one. */
  connection: (() => ConnectionInfo) | null = null;
  readonly #init: AttemptInit;
  readonly #stopwatch: Stopwatch;
  #phase: Phase;
  #isQueued = false;
  #stopReason: unknown;

  /** @param before the try that this one repeats; the total deadline goes on from there */
  constructor(init: AttemptInit, before?: Attempt) {
    lastId += before === undefined ? 1 : 0;
    this.id = before === undefined ? lastId : before.id;
    this.method = init.method;
    this.url = init.url;
    this.route = init.route;
    this.explain = init.explain;
    this.timeouts = init.timeouts;
    this.needsFresh = before !== undefined;
    this.isRepeatable = init.isRepeatable && IDEMPOTENT.has(init.method);
    this.isForeign = init.isForeign ?? false;
    this.#init = init;
    this.#stopwatch = new Stopwatch(before === undefined ? undefined : before.#stopwatch.started);
    this.#phase = init.route.kind === 'direct' ? 'origin-dns' : 'proxy-dns';
  }

  /** Where the try is now. Whoever moves it on sets it first, so that a failure is blamed on the right phase. */
  get phase(): Phase {
    return this.#phase;
  }

  set phase(phase: Phase) {
    this.#phase = phase;
    this.#stopwatch.enter(phase);
    publishPhase(this);
  }

  /** Whether it waits for a connection because all that `maxSockets` allows are taken. */
  get isQueued(): boolean {
    return this.#isQueued;
  }

  set isQueued(isQueued: boolean) {
    this.#isQueued = isQueued;
    if (isQueued) this.#stopwatch.enter('queue');
  }

  /** Where the time went so far. */
  get timings(): Timings {
    return this.#stopwatch.read();
  }

  /** Whether the request went, or goes, over a connection that had carried others. */
  get reusedConnection(): boolean {
    return (this.connection?.().requestCount ?? 0) > 1;
  }

  /** The body has been read to its end, or will not be read. */
  finish(): void {
    this.#stopwatch.end();
  }

  get hop(): Hop {
    if (this.phase.startsWith('proxy-')) return 'proxy';
    if (this.phase.startsWith('origin-')) return 'origin';
    return this.route.kind === 'forward' ? 'proxy' : 'origin';
  }

  /** `http://user:***@proxy:3128`, or null on a direct route. */
  get proxy(): string | null {
    return this.route.kind === 'direct' ? null : formatProxy(this.route.proxy);
  }

  /** `GET https://api.example/v1 through http://user:***@proxy:3128`, for messages. */
  toString(): string {
    const url = maskUrl(this.url);
    return this.proxy === null ? `${this.method} ${url}` : `${this.method} ${url} through ${this.proxy}`;
  }

  /** What every error of this try carries. */
  facts(cause?: unknown): TransportErrorInit {
    return {
      phase: this.phase,
      hop: this.hop,
      proxy: this.proxy,
      url: maskUrl(this.url),
      hasConnectedToProxy: this.hasConnectedToProxy,
      timings: this.#stopwatch.read(true),
      reusedConnection: this.reusedConnection,
      route: this.route,
      explain: this.explain,
      ...(cause === undefined ? {} : { cause }),
    };
  }

  /** Milliseconds left of the total deadline; 0 if there is none. */
  get totalLeft(): number {
    const { total } = this.timeouts;
    return total === 0 ? 0 : Math.max(1, total - (performance.now() - this.#stopwatch.started));
  }

  /**
   * Whether the error may only mean that the server had closed an idle connection while the request set out on it, and
   * sending it again is allowed: no part of an answer has come, and the request is repeatable.
   */
  isStale(error: unknown): boolean {
    const isBefore = this.phase === 'request' || this.phase === 'response';
    return error instanceof ResetError && this.reusedConnection && isBefore && !this.hasHeard && this.isRepeatable;
  }

  /** The same once more, on a fresh connection. */
  again(): Attempt {
    const next = new Attempt(this.#init, this);
    next.isAuthenticating = this.isAuthenticating;
    return next;
  }

  timedOut(deadline: keyof ResolvedTimeouts): TimeoutError {
    const milliseconds = this.timeouts[deadline];
    const what = this.isQueued ? 'waiting for a free connection' : this.#doing;
    return new TimeoutError(`${this}: ${what} took longer than ${milliseconds} ms (timeout.${deadline})`, {
      ...this.facts(),
      retryable: !isSent(this.phase),
      deadline,
      milliseconds,
    });
  }

  closed(): ClosedError {
    return new ClosedError(`${this}: the transport was closed`, this.facts());
  }

  /** A body that does not keep to its declared length is cut off, so that no server takes it for whole. */
  wrongLength(declared: number, sent: number): ProtocolError {
    const what =
      sent > declared ? `is longer than the declared ${declared} bytes` : `ended after ${sent} of ${declared} bytes`;
    return new ProtocolError(`${this}: the request body ${what}; the request was cut off`, this.facts());
  }

  /** Notes why we end the try ourselves: whatever then breaks, this is the reason that is told. The first one counts. */
  stop(reason: unknown): void {
    this.#stopReason ??= reason;
  }

  // In TLS 1.3 the client's part of the handshake is over before the server has judged the client's certificate.
  #lateTlsFault(error: Error, code: string): TransportError {
    const isProxys = this.phase === 'proxy-handshake' || this.route.kind === 'forward';
    const [Failure, peer, option] = isProxys
      ? ([ProxyTlsError, 'proxy', 'proxyTls'] as const)
      : ([TlsError, 'origin', 'tls'] as const);
    return new Failure(
      `${this}: the ${peer} ended TLS while ${this.#doing}: ${messageOf(error)}${tlsHint(code, option)}`,
      this.facts(error),
    );
  }

  get #doing(): string {
    return this.phase === 'proxy-handshake'
      ? `waiting for the proxy's answer to ${this.#handshake}`
      : WAITING_FOR[this.phase];
  }

  get #handshake(): string {
    return this.route.kind === 'socks' ? 'the SOCKS handshake' : 'CONNECT';
  }

  /** The one place where errors of Node become ours. */
  translate(error: unknown): unknown {
    if (this.#stopReason !== undefined) return this.#stopReason;
    if (error instanceof TransportError || !isError(error)) return error;
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    const facts = this.facts(error);
    if (code.startsWith('ERR_SSL_') && !this.phase.endsWith('-tls')) return this.#lateTlsFault(error, code);
    switch (this.phase) {
      case 'proxy-dns':
      case 'proxy-connect':
        return new ProxyConnectError(`${this}: could not reach the proxy: ${messageOf(error)}`, {
          ...facts,
          retryable: true,
        });
      case 'origin-dns':
      case 'origin-connect':
        return new ConnectError(`${this}: could not reach the origin: ${messageOf(error)}`, {
          ...facts,
          retryable: true,
        });
      case 'proxy-tls':
        return new ProxyTlsError(
          `${this}: TLS with the proxy failed: ${messageOf(error)}${tlsHint(code, 'proxyTls')}`,
          {
            ...facts,
            retryable: BROKEN.has(code),
          },
        );
      case 'proxy-handshake':
        return new ProxyError(
          `${this}: the proxy ended the connection during ${this.#handshake}: ${messageOf(error)}`,
          {
            ...facts,
            code: 'ERR_PROXY_RESET',
            retryable: true,
          },
        );
      case 'origin-tls':
        return BROKEN.has(code)
          ? new ResetError(`${this}: the connection broke during TLS with the origin: ${messageOf(error)}`, {
              ...facts,
              retryable: true,
            })
          : new TlsError(`${this}: TLS with the origin failed: ${messageOf(error)}${tlsHint(code, 'tls')}`, facts);
      default:
        return code.startsWith('HPE_')
          ? new ProtocolError(`${this}: the answer is not valid HTTP: ${messageOf(error)}`, facts)
          : new ResetError(`${this}: the connection broke while ${this.#doing}: ${messageOf(error)}`, facts);
    }
  }
}

let lastId = 0;

/** Whether bytes of the request may have reached the origin. */
function isSent(phase: Phase): boolean {
  return phase === 'request' || phase === 'response' || phase === 'body';
}

// OpenSSL's words for a chain that ends at nobody we trust.
const UNKNOWN_AUTHORITY = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  // An authority of that name is trusted, with another key: the old one of a company, say.
  'CERT_SIGNATURE_FAILURE',
]);

/** Which option to change, where the fault tells. */
function tlsHint(code: string, option: 'tls' | 'proxyTls'): string {
  if (code === 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')
    return `; it wants a client certificate: give ${option}.cert and ${option}.key`;
  if (UNKNOWN_AUTHORITY.has(code)) return `; if you trust its authority, give that in ${option}.ca`;
  if (code !== 'ERR_SSL_WRONG_VERSION_NUMBER' && code !== 'ERR_SSL_PACKET_LENGTH_TOO_LONG') return '';
  return `; it does not seem to speak TLS${option === 'proxyTls' ? ': write http:// for the proxy' : ''}`;
}

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']);

// "aborted" and "socket hang up" come as ECONNRESET; TLS over a dying tunnel as ECONNRESET or EPIPE.
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED']);

const WAITING_FOR: Readonly<Record<Exclude<Phase, 'proxy-handshake'>, string>> = {
  'proxy-dns': "looking up the proxy's name",
  'proxy-connect': 'connecting to the proxy',
  'proxy-tls': 'TLS with the proxy',
  'origin-dns': "looking up the origin's name",
  'origin-connect': 'connecting to the origin',
  'origin-tls': 'TLS with the origin',
  request: 'sending the request',
  response: 'waiting for the answer',
  body: "receiving the answer's body",
};
