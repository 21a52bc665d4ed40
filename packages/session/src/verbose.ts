import type { Writable } from 'node:stream';
import type { WireObserver } from './wire-observer.ts';

/** Where `verbose` writes its lines, and what more they tell. */
export interface VerboseOptions {
  readonly to: Writable;
  /** Whether a fourth column tells the proxy, masked, or `direct`. @defaultValue false */
  readonly showRoute?: boolean | undefined;
}

/** Writes one line for each request that goes out. */
export function verboseObserver(_options: Writable | VerboseOptions): WireObserver {
  return {};
}
