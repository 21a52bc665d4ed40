import type { Route, RouteExplanation } from '@cloudlane/proxy';
import type { ConnectionInfo } from './connection-info.ts';
import { publishPhase } from './diagnostics.ts';
import { translateError } from './error-translation.ts';
import {
  ClosedError,
  type Hop,
  type Phase,
  ProtocolError,
  ResetError,
  TimeoutError,
  type TransportErrorInit,
} from './errors.ts';
import { maskUrl } from './masking.ts';
import { shownProxy } from './route-choice.ts';
import type { ResolvedTimeouts } from './timeouts.ts';
import { Stopwatch, type Timings } from './timings.ts';

/** What a try is about. */
export interface AttemptInit {
  readonly method: string;
  readonly url: URL;
  readonly route: Route;
  readonly explain: () => RouteExplanation;
  readonly timeouts: ResolvedTimeouts;
  /** Where the total deadline counts from, if that was earlier. */
  readonly startedAt?: number | undefined;
  /** Whether its body, if any, can be sent a second time. */
  readonly isRepeatable: boolean;
  /** Whether it wants a connection that carries nothing else, before it or after. @defaultValue false */
  readonly isAlone?: boolean;
  /** Whether only a connection that has carried nothing will do. @defaultValue isAlone */
  readonly needsFresh?: boolean;
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
  /** Whether its connection must carry nothing else; the request says `Connection: close`. */
  readonly isAlone: boolean;
  /** Whether the request may be sent twice: its method is idempotent (RFC 9110 §9.2.2), and its body in memory. */
  readonly isRepeatable: boolean;
  /** Whether somebody else's client makes it, which hears of failures by Node's events alone. */
  readonly isForeign: boolean;
  hasConnectedToProxy = false;
  /** Whether the proxy is shown credentials. */
  isAuthenticating = false;
  /** Whether an answer came before the body, which therefore was not sent. */
  isBodyUnsent = false;
  /** Whether anything of an answer has come. */
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
    this.isAlone = init.isAlone ?? false;
    this.needsFresh = before !== undefined || (init.needsFresh ?? this.isAlone);
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
    return shownProxy(this.route);
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
    const startedAt = this.#init.startedAt ?? this.#stopwatch.started;
    return total === 0 ? 0 : Math.max(1, total - (performance.now() - startedAt));
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
    const what = this.isQueued ? 'waiting for a free connection' : this.doing;
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

  /** What it waits for, for messages. */
  get doing(): string {
    return this.phase === 'proxy-handshake'
      ? `waiting for the proxy's answer to ${this.handshake}`
      : WAITING_FOR[this.phase];
  }

  /** What the proxy is asked with, for messages. */
  get handshake(): string {
    return this.route.kind === 'socks' ? 'the SOCKS handshake' : 'CONNECT';
  }

  /** What ended the try, as one of our errors: the reason for which we ended it, or else what Node says. */
  translate(error: unknown): unknown {
    return this.#stopReason === undefined ? translateError(error, this) : this.#stopReason;
  }
}

let lastId = 0;

/** Whether bytes of the request may have reached the origin. */
function isSent(phase: Phase): boolean {
  return phase === 'request' || phase === 'response' || phase === 'body';
}

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']);

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
