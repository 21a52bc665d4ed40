import { channel } from 'node:diagnostics_channel';
import type { Route, RouteExplanation } from '@cloudlane/proxy';
import type { Attempt } from './attempt.ts';
import type { ConnectionInfo } from './connection-info.ts';
import type { Phase } from './errors.ts';
import { maskUrl } from './masking.ts';
import type { Timings } from './timings.ts';

/**
 * What subscribers of `node:diagnostics_channel` get, masked throughout. While a channel has no subscriber, nothing is
 * made for it. What a subscriber throws does not reach the request: Node raises it as an uncaught exception.
 */
export interface RequestEvent {
  /** Number of the request within this process; tells apart what belongs to which. */
  readonly id: number;
  readonly method: string;
  /** Without password and signatures. */
  readonly url: string;
  readonly route: Route;
  /** Why it takes that route. Made when it is read. */
  readonly explanation: RouteExplanation;
}

/** `cloudlane:request:phase`: the request has come so far. */
export interface RequestPhaseEvent extends RequestEvent {
  readonly phase: Phase;
}

/** `cloudlane:request:end`: an answer, whatever its status, was read or given up by its reader. */
export interface RequestEndEvent extends RequestEvent {
  /** 0 for `HttpConnection.connect`, which has opened a connection and asked for nothing. */
  readonly status: number;
  readonly timings: Timings;
  readonly reusedConnection: boolean;
  readonly connection: ConnectionInfo | null;
  /** Whether the body was read to its end. */
  readonly isComplete: boolean;
}

/** `cloudlane:request:error`: the promise or the body failed. */
export interface RequestErrorEvent extends RequestEvent {
  readonly error: unknown;
  readonly timings: Timings;
  readonly reusedConnection: boolean;
}

/** `cloudlane:connection:open` and `cloudlane:connection:close`; the latter also for one that another client has upgraded. */
export interface ConnectionEvent {
  readonly connection: ConnectionInfo;
}

const requestStart = channel('cloudlane:request:start');
const requestPhase = channel('cloudlane:request:phase');
const requestEnd = channel('cloudlane:request:end');
const requestError = channel('cloudlane:request:error');
const connectionOpen = channel('cloudlane:connection:open');
const connectionClose = channel('cloudlane:connection:close');

export function publishStart(attempt: Attempt): void {
  if (requestStart.hasSubscribers) requestStart.publish(describe(attempt));
}

export function publishPhase(attempt: Attempt): void {
  if (requestPhase.hasSubscribers) requestPhase.publish(withFacts(attempt, { phase: attempt.phase }));
}

export function publishEnd(attempt: Attempt, status: number, isComplete: boolean): void {
  if (!requestEnd.hasSubscribers) return;
  const { timings, reusedConnection } = attempt;
  const connection = attempt.connection?.() ?? null;
  requestEnd.publish(withFacts(attempt, { status, timings, reusedConnection, connection, isComplete }));
}

export function publishError(attempt: Attempt, error: unknown): void {
  if (!requestError.hasSubscribers) return;
  attempt.finish();
  const { timings, reusedConnection } = attempt;
  requestError.publish(withFacts(attempt, { error, timings, reusedConnection }));
}

export function publishConnection(what: 'open' | 'close', connection: () => ConnectionInfo): void {
  const target = what === 'open' ? connectionOpen : connectionClose;
  if (target.hasSubscribers) target.publish({ connection: connection() } satisfies ConnectionEvent);
}

function withFacts<T extends object>(attempt: Attempt, facts: T): RequestEvent & T {
  return Object.assign(describe(attempt), facts);
}

function describe({ id, method, url, route, explain }: Attempt): RequestEvent {
  return {
    id,
    method,
    url: maskUrl(url),
    route,
    get explanation() {
      return explain();
    },
  };
}
