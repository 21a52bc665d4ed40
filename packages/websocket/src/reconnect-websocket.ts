import { setTimeout as delay } from 'node:timers/promises';
import { InvalidOptionError } from '@cloudlane/proxy';
import { checkOptionNames, LONGEST_TIMEOUT, onAbort } from '@cloudlane/transport';
import { type BackOff, type BackOffOptions, checkDelay, createBackOff } from './back-off.ts';
import { connectWebSocket } from './connect-websocket.ts';
import type { RoutedWebSocket } from './routed-websocket.ts';
import { isTransient, requestedDelay } from './transience.ts';
import { checkWebSocketOptions, parseWebSocketUrl, type WebSocketOptions } from './websocket-options.ts';

/** A connection that could not be opened. */
export interface ReconnectFailure {
  readonly error: unknown;
  /** How many have failed in a row, this one included. */
  readonly failures: number;
  /** Milliseconds that would be waited before the next one. */
  readonly delay: number;
  /** Whether it would be tried again. */
  readonly isTransient: boolean;
}

/** When and how often a WebSocket is opened again. */
export interface ReconnectOptions extends BackOffOptions {
  /** How many failures in a row end it, with the last one's error. @defaultValue Infinity */
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
 * @param signal that of the options
 */
export type OpenConnection = (signal: AbortSignal | undefined) => Promise<RoutedWebSocket>;

/**
 * Connections to one place, one after the other: as soon as the loop asks for the next, the last one is closed, and a
 * fresh one is opened, by the route that is right then. What fails for a while is tried again, with growing pauses.
 * Leaving the loop closes the connection.
 *
 * ```ts
 * for await (const socket of reconnectWebSocket('wss://api.example/logs')) {
 *   for await (const [data] of on(socket, 'message', { close: ['close'] })) console.log(String(data));
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
  const { initialDelay, maxDelay, maxFailures = Number.POSITIVE_INFINITY, stableAfter = 10_000, ...rest } = options;
  const { onFailure, ...others } = rest;
  const backOff = createBackOff({ initialDelay, maxDelay });
  checkDelay('stableAfter', stableAfter);
  if (!(maxFailures >= 1)) throw new InvalidOptionError('maxFailures', 'must be a number from 1');
  const { signal } = others;
  return iterate({ open: openerOf(target, others), backOff, maxFailures, stableAfter, onFailure, signal });
}

interface Plan {
  readonly open: OpenConnection;
  readonly backOff: BackOff;
  readonly maxFailures: number;
  readonly stableAfter: number;
  readonly onFailure: ReconnectOptions['onFailure'];
  readonly signal: AbortSignal | undefined;
}

function openerOf(target: string | URL | OpenConnection, options: WebSocketOptions): OpenConnection {
  if (typeof target === 'function') {
    checkOptionNames(options, new Set(['signal']));
    return target;
  }
  checkWebSocketOptions(parseWebSocketUrl(target), options);
  return () => connectWebSocket(target, options);
}

async function* iterate(plan: Plan): AsyncGenerator<RoutedWebSocket, void, undefined> {
  const { backOff, stableAfter, signal } = plan;
  let retry = 0;
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    let socket: RoutedWebSocket;
    try {
      socket = await plan.open(signal);
    } catch (error) {
      signal?.throwIfAborted();
      failures += 1;
      retry += 1;
      await pause(await judge(error, failures, backOff(retry), plan), signal);
      continue;
    }
    failures = 0;
    const openedAt = performance.now();
    yield* handOut(socket, signal);
    retry = performance.now() - openedAt >= stableAfter ? 1 : retry + 1;
    await pause(backOff(retry), signal);
  }
}

/** Until the consumer has done with it. */
async function* handOut(socket: RoutedWebSocket, signal: AbortSignal | undefined): AsyncGenerator<RoutedWebSocket> {
  const leave = onAbort(signal, () => socket.terminate());
  try {
    if (signal?.aborted) socket.terminate();
    else yield socket;
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
  { maxFailures, onFailure }: Plan,
): Promise<number> {
  const failure = {
    error,
    failures,
    delay: Math.min(Math.max(backOff, requestedDelay(error)), LONGEST_TIMEOUT),
    isTransient: isTransient(error),
  };
  const decision = (await onFailure?.(failure)) ?? failure.isTransient;
  if (decision === false || failures >= maxFailures) throw error;
  if (decision === true) return failure.delay;
  checkDelay('onFailure', decision);
  return decision;
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(milliseconds, undefined, { signal }).catch(() => signal?.throwIfAborted());
}

/** Closes it properly; an origin that does not answer to that is not waited for. */
async function finish(socket: RoutedWebSocket): Promise<void> {
  if (socket.readyState === socket.CLOSED) return;
  const timer = setTimeout(() => socket.terminate(), MOST_CLOSING);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.close();
  await closed;
  clearTimeout(timer);
}

/** Milliseconds for the closing handshake. */
const MOST_CLOSING = 2_000;
