import type { InternalAxiosRequestConfig } from 'axios';
import { onAbort } from './on-abort.ts';

/** What stops one call. */
export interface Cancellation {
  readonly signal: AbortSignal | undefined;
  /** Stops listening: a signal or a token may outlive many calls. */
  release(): void;
}

/** axios has two ways to cancel, AbortSignal and the older CancelToken. This is both of a call in one signal. */
export function followCancellation({ signal, cancelToken }: InternalAxiosRequestConfig): Cancellation {
  if (!cancelToken) return { signal: signal as AbortSignal | undefined, release: () => {} };
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  cancelToken.subscribe(abort);
  if (signal?.aborted) abort();
  const stopListening = onAbort(signal as AbortSignal | undefined, abort);
  return {
    signal: controller.signal,
    release: () => {
      cancelToken.unsubscribe(abort);
      stopListening();
    },
  };
}
