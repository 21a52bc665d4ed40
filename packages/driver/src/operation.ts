import { setTimeout as wait } from 'node:timers/promises';
import type { CallOptions } from '@cloudlane/connection';
import { InvalidOptionError } from '@cloudlane/proxy';
import { CloudlaneError } from '@cloudlane/transport';

export type OperationState = 'pending' | 'running' | 'done' | 'failed';

/** Options of waiting. `timeout` and `http_proxy` hold for each poll; `signal` ends the wait. */
export interface WaitOptions extends CallOptions {
  /** Milliseconds between polls. @defaultValue 2_000 */
  readonly pollMs?: number | undefined;
  /** Milliseconds to wait in all; the last look is at their end. Infinity: as long as it takes. @defaultValue 600_000 */
  readonly maxWaitMs?: number | undefined;
  /** Called after each poll. `progress` is in percent, null if the provider does not tell. */
  readonly onPoll?: ((state: OperationState, progress: number | null) => void) | undefined;
}

/** Something slow that a provider has begun. A value: it can be kept, waited for twice, or left alone. */
export interface Operation<T = void> {
  /** The provider's id; null: it was finished when the call returned. */
  readonly id: string | null;
  readonly state: OperationState;
  /** Percent, or null if the provider does not tell. */
  readonly progress: number | null;
  /** The provider's own payload. */
  readonly raw: unknown;
  /**
   * Polls until it is done.
   * @throws OperationFailedError if it fails, OperationTimeoutError after `maxWaitMs`, `signal.reason` if aborted,
   * InvalidOptionError if `pollMs` or `maxWaitMs` is no number of milliseconds
   */
  wait(options?: WaitOptions): Promise<T>;
}

/** What one look at a running operation tells. */
export interface OperationStatus {
  readonly state: OperationState;
  readonly progress: number | null;
  readonly raw: unknown;
  /** Why it failed. */
  readonly reason?: string;
}

/** An operation ended in the provider's failure state. */
export class OperationFailedError extends CloudlaneError {
  readonly operationId: string;

  constructor(operationId: string, reason: string) {
    super(`The operation ${operationId} failed: ${reason}`, 'ERR_OPERATION_FAILED');
    this.operationId = operationId;
  }
}

/** An operation was not done within `maxWaitMs`. It goes on at the provider. */
export class OperationTimeoutError extends CloudlaneError {
  readonly operationId: string;

  constructor(operationId: string, milliseconds: number) {
    super(`The operation ${operationId} was not done within ${milliseconds} ms (maxWaitMs)`, 'ERR_OPERATION_TIMEOUT');
    this.operationId = operationId;
  }
}

/** An operation that was finished when its call returned. */
export function finishedOperation<T>(result: T, raw: unknown): Operation<T> {
  return { id: null, state: 'done', progress: 100, raw, wait: () => Promise.resolve(result) };
}

/** An operation that has to be polled: `poll` looks once, `finish` fetches the result when it is done. */
export function runningOperation<T>(
  id: string,
  status: OperationStatus,
  poll: (options: CallOptions) => Promise<OperationStatus>,
  finish: (options: CallOptions) => Promise<T>,
): Operation<T> {
  return { ...status, id, wait: (options) => waitFor(id, status, poll, finish, options ?? {}) };
}

// setTimeout fires at once beyond this (2^31 - 1).
const LONGEST = 2_147_483_647;

async function waitFor<T>(
  id: string,
  first: OperationStatus,
  poll: (options: CallOptions) => Promise<OperationStatus>,
  finish: (options: CallOptions) => Promise<T>,
  options: WaitOptions,
): Promise<T> {
  const { pollMs = 2_000, maxWaitMs = 600_000, onPoll, ...callOptions } = options;
  if (!(pollMs >= 0 && pollMs <= LONGEST))
    throw new InvalidOptionError('pollMs', `must be milliseconds from 0 to ${LONGEST}`);
  if (!(maxWaitMs >= 0)) throw new InvalidOptionError('maxWaitMs', 'must be milliseconds from 0');
  const end = performance.now() + maxWaitMs;
  let isLastLook = false;
  for (let status = first; ; ) {
    if (status.state === 'done') return await finish(callOptions);
    if (status.state === 'failed') throw new OperationFailedError(id, status.reason ?? 'the provider gives no reason');
    const left = end - performance.now();
    if (isLastLook || left <= 0) throw new OperationTimeoutError(id, maxWaitMs);
    // A timer may end a moment early; that is no time for one more look.
    isLastLook = left <= pollMs;
    await pause(Math.min(pollMs, Math.ceil(left)), options.signal);
    status = await poll(callOptions);
    onPoll?.(status.state, status.progress);
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await wait(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    // The signal's own reason, as everywhere.
    throw signal?.aborted ? signal.reason : error;
  }
}
