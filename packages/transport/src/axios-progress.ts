import type { AxiosProgressEvent } from 'axios';

/** Tells how far a body is. */
export interface Progress {
  report(loaded: number, total: number | null): void;
  /** The body has ended: tells what was reported last, if it was not yet told. */
  flush(): void;
}

// Both in milliseconds, and as axios has them: an event at most that often, and no rate from a shorter time.
const INTERVAL = 1000 / 3;
const SHORTEST = 250;

/** Progress for a listener of axios: at most three events a second, and one at the end. */
export function progressTo(listener: (event: AxiosProgressEvent) => void, kind: 'upload' | 'download'): Progress {
  let first: { readonly at: number; readonly loaded: number } | null = null;
  let told = { at: Number.NEGATIVE_INFINITY, loaded: 0 };
  let waiting: (() => void) | null = null;

  const tell = (loaded: number, total: number | null): void => {
    const now = performance.now();
    first ??= { at: now, loaded };
    const seconds = (now - first.at) / 1000;
    const rate = seconds * 1000 < SHORTEST ? 0 : (loaded - first.loaded) / seconds;
    const lengthComputable = total !== null;
    const event = {
      loaded,
      ...(total !== null && { total, progress: loaded / total }),
      bytes: loaded - told.loaded,
      ...(rate > 0 && { rate }),
      ...(rate > 0 && total !== null && { estimated: (total - loaded) / rate }),
      event: { loaded, total: total ?? undefined, lengthComputable },
      lengthComputable,
      [kind]: true,
    };
    told = { at: now, loaded };
    // In nobody's stack: what a listener throws must not be taken for a fault of the body.
    process.nextTick(listener, event);
  };

  return {
    report(loaded, total) {
      waiting = null;
      if (loaded === total || performance.now() - told.at >= INTERVAL) tell(loaded, total);
      else waiting = () => tell(loaded, total);
    },
    flush() {
      waiting?.();
      waiting = null;
    },
  };
}
