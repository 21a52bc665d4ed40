const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Has a signal call this when it is aborted; the returned function takes it back. However many calls wait for one signal
 * (a program's own, for everything it does), it has one listener of ours: with more than ten Node warns of a leak.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return nothing;
  const listeners = waiting.get(signal) ?? listenTo(signal);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0 || waiting.get(signal) !== listeners) return;
    waiting.delete(signal);
    signal.removeEventListener('abort', tell);
  };
}

/**
 * What work comes to, unless the signal is aborted before: then the signal's reason, at once. Work that does not know of the
 * signal goes on; whoever needs what it then comes to looks after it.
 */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const leave = onAbort(signal, () => reject(signal.reason));
    if (signal.aborted) reject(signal.reason);
    work.then(resolve, reject).finally(leave);
  });
}

function listenTo(signal: AbortSignal): Set<() => void> {
  const listeners = new Set<() => void>();
  waiting.set(signal, listeners);
  signal.addEventListener('abort', tell, { once: true });
  return listeners;
}

function tell(this: AbortSignal): void {
  const listeners = [...(waiting.get(this) ?? [])];
  waiting.delete(this);
  for (const listener of listeners) listener();
}

function nothing(): void {}
