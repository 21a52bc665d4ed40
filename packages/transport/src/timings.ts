import type { Phase } from './errors.ts';

/**
 * Where the time of one request went, in milliseconds. Null for what did not happen: a reused connection has no
 * look-up, connect or TLS, and until the body was read to its end or given up there is no `body` and no `total`.
 */
export interface Timings {
  /** Waiting for a free connection, where `maxSockets` are taken. */
  readonly queue: number | null;
  readonly proxyDns: number | null;
  readonly proxyConnect: number | null;
  /** TLS with an https proxy. */
  readonly proxyTls: number | null;
  /** CONNECT, or the SOCKS handshake. */
  readonly proxyHandshake: number | null;
  /** The origin's name, looked up here: on direct routes, and for `socks4` and `socks5`. */
  readonly originDns: number | null;
  readonly originConnect: number | null;
  /** TLS with the origin, inside the tunnel if there is one. */
  readonly originTls: number | null;
  /** Sending the request. */
  readonly request: number | null;
  /** From the last byte of the request to the head of the answer. */
  readonly firstByte: number | null;
  /** From the head of the answer to the end of its body. */
  readonly body: number | null;
  /** From the call to the end of the answer's body, or to the error. */
  readonly total: number | null;
}

const NAMES: Readonly<Record<Phase | 'queue', keyof Timings>> = {
  queue: 'queue',
  'proxy-dns': 'proxyDns',
  'proxy-connect': 'proxyConnect',
  'proxy-tls': 'proxyTls',
  'proxy-handshake': 'proxyHandshake',
  'origin-dns': 'originDns',
  'origin-connect': 'originConnect',
  'origin-tls': 'originTls',
  request: 'request',
  response: 'firstByte',
  body: 'body',
};

/** Notes when each phase began; what a timing costs is one look at the clock, the sums are made when asked for. */
export class Stopwatch {
  readonly started: number;
  readonly #phases: (Phase | 'queue')[] = [];
  readonly #times: number[] = [];
  #ended: number | null = null;

  /** @param started where it began, if that was earlier; in the clock of `performance.now()` */
  constructor(started: number = performance.now()) {
    this.started = started;
  }

  enter(phase: Phase | 'queue'): void {
    this.#phases.push(phase);
    this.#times.push(performance.now());
  }

  /** The first end counts. */
  end(): void {
    this.#ended ??= performance.now();
  }

  /** @param isOver whether what has not ended yet ends now, as with an error */
  read(isOver = false): Timings {
    const sums: { -readonly [K in keyof Timings]: Timings[K] } = { ...NO_TIMINGS };
    const end = this.#ended ?? (isOver ? performance.now() : null);
    for (const [index, phase] of this.#phases.entries()) {
      const until = this.#times[index + 1] ?? end;
      const from = this.#times[index];
      if (until === null || from === undefined) continue;
      const name = NAMES[phase];
      sums[name] = (sums[name] ?? 0) + Math.max(0, until - from);
    }
    if (end !== null) sums.total = end - this.started;
    return sums;
  }
}

/** Of a request that never began. */
export const NO_TIMINGS: Timings = {
  queue: null,
  proxyDns: null,
  proxyConnect: null,
  proxyTls: null,
  proxyHandshake: null,
  originDns: null,
  originConnect: null,
  originTls: null,
  request: null,
  firstByte: null,
  body: null,
  total: null,
};
