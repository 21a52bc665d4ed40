import { setTimeout as delay } from 'node:timers/promises';
import { InvalidOptionError } from '@cloudlane/proxy';
import { checkCall, checkMilliseconds, checkOptionNames, onAbort, untilAborted } from '@cloudlane/transport';
import { type BackOff, type BackOffOptions, createBackOff, MAX_DELAY } from './back-off.ts';
import { connectWebSocket } from './connect-websocket.ts';
import type { RoutedWebSocket } from './routed-websocket.ts';
import { isTransient, requestedDelay } from './transience.ts';
import { checkWebSocketOptions, parseWebSocketUrl } from './websocket-checks.ts';
import type { WebSocketOptions } from './websocket-options.ts';

/** A connection that could not be opened. */
export interface ReconnectFailure {
  readonly error: unknown;
  /** How many have failed in a row, this one included. */
  readonly failures: number;
  /** Milliseconds that would be waited before the next one; no less than it was asked to, up to `maxDelay`. */
  readonly delay: number;
  /** Whether it would be tried again. */
  readonly isTransient: boolean;
}

/** When and how often a WebSocket is opened again. */
export interface ReconnectOptions extends BackOffOptions {
  /**
   * How many openings that fail in a row end it, with the last one's error. One that succeeds begins the count anew, however
   * short it lasts. @defaultValue Infinity
   */
  readonly maxFailures?: number | undefined;
  /**
   * Milliseconds that a connection must have been open for the next wait to be a first one again: so that an origin which
   * accepts everybody and hangs up is not asked without a pause. @defaultValue 10_000
   */
  readonly stableAfter?: number | undefined;
  /**
   * Asked about each failure: false gives up, true tries again after `delay`, a number after so many milliseconds;
   * undefined leaves it to the rule (`isTransient`). What it throws ends the iteration.
   */
  readonly onFailure?: ((failure: ReconnectFailure) => Decision | Promise<Decision>) | undefined;
  /** Ends the iteration with its reason, and the connection that is open. */
  readonly signal?: AbortSignal | undefined;
}

/** What is done about a failure. */
export type Decision = boolean | number | undefined;

/**
 * Opens one connection. Called for each, so that its URL can go on where the last one ended, and its token be fresh.
 * @param signal aborted when the iteration ends
 */
export type OpenConnection = (signal: AbortSignal) => Promise<RoutedWebSocket>;

/**
 * Connections to one place, one after the other: as soon as the loop asks for the next, the last one is closed, and a
 * fresh one is opened, by the route that is right then. What fails for a while is tried again, with growing pauses.
 * Leaving the loop closes the connection.
 *
 * ```ts
 * for await (const socket of reconnectWebSocket('wss://api.example/logs')) {
 *   for await (const message of socket) console.log(String(message));
 * }
 * ```
 *
 * @param target a URL, or a function that opens each connection (`connection.openWebSocket`, say)
 * @throws InvalidOptionError, InvalidProxyUrlError at once if they cannot be used; while it is iterated: the error that is
 * not worth another try (certificates, 401, 403, 407, other 4xx), or the last of `maxFailures`; `signal.reason` if aborted
 */
export function reconnectWebSocket(
  target: string | URL,
  options?: WebSocketOptions & ReconnectOptions,
): AsyncGenerator<RoutedWebSocket, void, undefined>;
export function reconnectWebSocket(
  target: OpenConnection,
  options?: ReconnectOptions,
): AsyncGenerator<RoutedWebSocket, void, undefined>;
export function reconnectWebSocket(
  target: string | URL | OpenConnection,
  options: WebSocketOptions & ReconnectOptions = {},
): AsyncGenerator<RoutedWebSocket, void, undefined> {
  const left = new AbortController();
  const connections = untilLeft(iterate(planOf(target, options, left.signal)), left.signal);
  const end = connections.return.bind(connections);
  // While it waits, a generator does not hear that it is to end.
  connections.return = (value) => {
    left.abort();
    return end(value);
  };
  return connections;
}

interface Plan {
  readonly open: OpenConnection;
  readonly backOff: BackOff;
  readonly maxDelay: number;
  readonly maxFailures: number;
  readonly stableAfter: number;
  readonly onFailure: ReconnectOptions['onFailure'];
  readonly signal: AbortSignal | undefined;
  /** Aborted with the signal, and when the consumer leaves. */
  readonly ended: AbortSignal;
}

/** @throws InvalidOptionError, InvalidProxyUrlError naming what cannot be used */
function planOf(
  target: string | URL | OpenConnection,
  options: WebSocketOptions & ReconnectOptions,
  left: AbortSignal,
): Plan {
  const { initialDelay, maxDelay = MAX_DELAY, stableAfter = 10_000, ...rest } = options;
  const { maxFailures = Number.POSITIVE_INFINITY, onFailure, ...others } = rest;
  const backOff = createBackOff({ initialDelay, maxDelay });
  checkMilliseconds('stableAfter', stableAfter);
  if (typeof maxFailures !== 'number' || !(maxFailures >= 1))
    throw new InvalidOptionError('maxFailures', 'must be a number from 1');
  if (onFailure !== undefined && typeof onFailure !== 'function')
    throw new InvalidOptionError('onFailure', 'must be a function');
  const open = openerOf(target, others);
  const { signal } = others;
  const ended = signal === undefined ? left : AbortSignal.any([signal, left]);
  return { open, backOff, maxDelay, maxFailures, stableAfter, onFailure, signal, ended };
}

function openerOf(target: string | URL | OpenConnection, options: WebSocketOptions): OpenConnection {
  if (typeof target === 'function') {
    checkOptionNames(options, new Set(['signal']));
    checkCall(options);
    return target;
  }
  checkWebSocketOptions(parseWebSocketUrl(target), options);
  return (signal) => connectWebSocket(target, { ...options, signal });
}

/** The same, but its end by the consumer's will is no error. */
async function* untilLeft<T>(items: AsyncGenerator<T, void, undefined>, left: AbortSignal): AsyncGenerator<T, void> {
  try {
    yield* items;
  } catch (error) {
    if (!left.aborted || error !== left.reason) throw error;
  }
}

async function* iterate(plan: Plan): AsyncGenerator<RoutedWebSocket, void, undefined> {
  const { backOff, stableAfter, signal, ended } = plan;
  let retry = 0;
  for (let failures = 0; ; ) {
    const opened = await tryOpen(plan);
    if (opened instanceof Failure) {
      failures += 1;
      retry += 1;
      await pause(await judge(opened.error, failures, backOff(retry), plan), ended);
    } else {
      failures = 0;
      const openedAt = performance.now();
      yield* handOut(opened, signal);
      retry = performance.now() - openedAt >= stableAfter ? 1 : retry + 1;
      await pause(backOff(retry), ended);
    }
  }
}

class Failure {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

async function tryOpen({ open, ended }: Plan): Promise<RoutedWebSocket | Failure> {
  ended.throwIfAborted();
  const opening = (async () => await open(ended))();
  try {
    return await untilAborted(opening, ended);
  } catch (error) {
    // One that comes too late has nobody.
    opening.then(
      (socket) => socket.terminate(),
      () => {},
    );
    ended.throwIfAborted();
    return new Failure(error);
  }
}

/** Until the consumer has done with it. */
async function* handOut(socket: RoutedWebSocket, signal: AbortSignal | undefined): AsyncGenerator<RoutedWebSocket> {
  const leave = onAbort(signal, () => socket.terminate());
  try {
    yield socket;
  } finally {
    leave();
    await finish(socket);
  }
}

/** The pause before the next try. @throws the error if there shall be none */
async function judge(
  error: unknown,
  failures: number,
  backOff: number,
  { maxFailures, maxDelay, onFailure, ended }: Plan,
): Promise<number> {
  const failure = {
    error,
    failures,
    delay: Math.min(Math.max(backOff, requestedDelay(error)), maxDelay),
    isTransient: isTransient(error),
  };
  const asked = (async () => await onFailure?.(failure))();
  const decision = (await untilAborted(asked, ended)) ?? failure.isTransient;
  if (decision === false || failures >= maxFailures) throw error;
  return decision === true ? failure.delay : checkMilliseconds('onFailure', decision);
}

async function pause(milliseconds: number, ended: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal: ended }).catch(() => ended.throwIfAborted());
}

/** Closes it properly; an origin that does not answer to that is not waited for. */
async function finish(socket: RoutedWebSocket): Promise<void> {
  if (socket.readyState === socket.CLOSED) return;
  const timer = setTimeout(() => socket.terminate(), MOST_CLOSING);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  // Of a paused one the answer would not be read.
  socket.resume();
  socket.close();
  await closed;
  clearTimeout(timer);
}

/** Milliseconds for the closing handshake. */
const MOST_CLOSING = 2_000;
