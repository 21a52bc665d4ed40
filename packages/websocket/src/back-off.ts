import { InvalidOptionError } from '@cloudlane/proxy';
import { LONGEST_TIMEOUT } from '@cloudlane/transport';

/** How long to wait before trying again: longer each time, and at random, so that not all come back at once. */
export interface BackOffOptions {
  /** The longest wait before the first retry, in milliseconds; it doubles with each. @defaultValue 1_000 */
  readonly initialDelay?: number | undefined;
  /** The longest wait of all, in milliseconds. @defaultValue 60_000 */
  readonly maxDelay?: number | undefined;
}

export type BackOff = (retry: number) => number;

/**
 * Exponential back-off with full jitter: before the nth retry any time from 0 to `initialDelay` · 2^(n-1), at most
 * `maxDelay`. (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
 *
 * @param random a number from 0 up to 1
 * @throws InvalidOptionError if a delay is not a number of milliseconds
 */
export function createBackOff(
  { initialDelay = 1_000, maxDelay = 60_000 }: BackOffOptions,
  random: () => number = Math.random,
): BackOff {
  checkDelay('initialDelay', initialDelay);
  checkDelay('maxDelay', maxDelay);
  return (retry) => random() * Math.min(maxDelay, initialDelay * 2 ** (retry - 1));
}

/** @throws InvalidOptionError naming the option that is no number of milliseconds a timer can wait */
export function checkDelay(name: string, value: unknown): void {
  if (typeof value === 'number' && value >= 0 && value <= LONGEST_TIMEOUT) return;
  throw new InvalidOptionError(name, `must be milliseconds from 0 to ${LONGEST_TIMEOUT}`);
}
