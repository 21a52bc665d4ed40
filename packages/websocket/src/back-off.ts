import { checkMilliseconds } from '@cloudlane/transport';

/** How long to wait before trying again: longer each time, and at random, so that not all come back at once. */
export interface BackOffOptions {
  /** The longest wait before the first retry, in milliseconds; it doubles with each. @defaultValue 1_000 */
  readonly initialDelay?: number | undefined;
  /** The longest wait of all, in milliseconds, one that was asked for (`Retry-After`) included. @defaultValue 60_000 */
  readonly maxDelay?: number | undefined;
}

/** Milliseconds. */
export const MAX_DELAY = 60_000;

/** The pause before the nth retry, in milliseconds. */
export type BackOff = (retry: number) => number;

/**
 * Exponential back-off with full jitter: before the nth retry any time from 0 to `initialDelay` · 2^(n-1), at most
 * `maxDelay`. (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
 *
 * @param random a number from 0 up to 1
 * @throws InvalidOptionError if a delay is not a number of milliseconds
 */
export function createBackOff(
  { initialDelay = 1_000, maxDelay = MAX_DELAY }: BackOffOptions,
  random: () => number = Math.random,
): BackOff {
  checkMilliseconds('initialDelay', initialDelay);
  checkMilliseconds('maxDelay', maxDelay);
  // The longest delay has been passed long before the exponent's limit.
  return (retry) => random() * Math.min(maxDelay, initialDelay * 2 ** Math.min(retry - 1, 32));
}
