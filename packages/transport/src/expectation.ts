import type { ClientRequest } from 'node:http';
import { startDeadline } from './timeouts.ts';

/**
 * Milliseconds that a body waits for `100 Continue`. RFC 9110 §10.1.1: a client should not wait for ever, as servers and
 * proxies of old do not answer the expectation. As long as curl waits.
 */
export const CONTINUE_TIMEOUT = 1_000;

/** Whether the body may follow; it was refused by an answer from 300 on; or the request came to an end otherwise. */
export type Verdict = 'continue' | 'refused' | 'closed';

/**
 * Sends the head alone, with `Expect: 100-continue`. Resolves when the body may follow: on `100 Continue`, on an answer
 * below 300 that comes without it, or `CONTINUE_TIMEOUT` after there was a connection; or when it must not.
 */
export function askToContinue(request: ClientRequest): Promise<Verdict> {
  request.setHeader('Expect', '100-continue');
  return new Promise((resolve) => {
    let stopWaiting = (): void => {};
    const settle = (verdict: Verdict): void => {
      stopWaiting();
      resolve(verdict);
    };
    request
      .once('socket', () => {
        stopWaiting = startDeadline(CONTINUE_TIMEOUT, () => settle('continue'));
      })
      .once('continue', () => settle('continue'))
      .once('response', ({ statusCode = 0 }) => settle(statusCode < 300 ? 'continue' : 'refused'))
      .once('close', () => settle('closed'))
      .flushHeaders();
  });
}
