import { maskUrl, onAbort, parseUrl, TimeoutError } from '@cloudlane/transport';
import type { CallSettings } from './call-settings.ts';
import type { RequestArgs } from './hooks.ts';

/** How long a call waits for what others do in its course: auth, hooks. */
export interface Patience {
  readonly signal: AbortSignal | undefined;
  /** Milliseconds for the whole call; 0: no end. */
  readonly total: number;
  /** When it began, in the clock of `performance.now()`. */
  readonly startedAt: number;
}

/** One signal for two, of which either may be missing. */
export function joinSignals(one: AbortSignal | undefined, other: AbortSignal | undefined): AbortSignal | undefined {
  return one && other ? AbortSignal.any([one, other]) : (one ?? other);
}

/** The patience of a call that begins now. */
export function patienceOf({ wire, transport, signal: own }: CallSettings, signal: AbortSignal | undefined): Patience {
  const { timeout } = wire;
  return {
    signal: joinSignals(signal, own),
    total: (typeof timeout === 'number' ? timeout : timeout?.total) ?? transport.timeouts.total,
    startedAt: performance.now(),
  };
}

/**
 * Waits for what auth or a hook does. It cannot be ended; but the call is, by its signal or its `timeout.total`.
 * @throws `signal.reason`, TimeoutError, or what it failed with
 */
export async function waitFor<T>(
  work: T | PromiseLike<T>,
  what: string,
  { method, url }: { readonly method: string; readonly url: string | URL },
  { signal, total, startedAt }: Patience,
): Promise<T> {
  if (!isPromise(work)) return work;
  signal?.throwIfAborted();
  let stop = (): void => {};
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    stop = onAbort(signal, () => reject(signal?.reason));
    if (total === 0) return;
    const expire = (): void => {
      const shown = maskUrl(parseUrl(url));
      reject(timedOut(`${method} ${shown}: ${what}`, shown, total));
    };
    timer = setTimeout(expire, Math.max(1, total - (performance.now() - startedAt)));
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    stop();
    clearTimeout(timer);
  }
}

/** The arguments of a call as the hook `args` leaves them. @throws as `waitFor` */
export function runArgs(
  settings: CallSettings,
  args: RequestArgs,
  signal: AbortSignal | undefined,
): Promise<RequestArgs> {
  return waitFor(settings.hooks.run('args', args), 'the hook args', args, patienceOf(settings, signal));
}

function isPromise<T>(work: T | PromiseLike<T>): work is PromiseLike<T> {
  return typeof work === 'object' && work !== null && 'then' in work && typeof work.then === 'function';
}

function timedOut(what: string, url: string, milliseconds: number): TimeoutError {
  return new TimeoutError(`${what} took longer than ${milliseconds} ms (timeout.total)`, {
    phase: 'request',
    hop: 'origin',
    proxy: null,
    url,
    deadline: 'total',
    milliseconds,
  });
}
