import type { Writable } from 'node:stream';

/** Where `verbose` writes its lines, and what more they tell. */
export interface VerboseOptions {
  readonly to: Writable;
  /** Whether a fourth column tells the proxy, masked, or `direct`. @defaultValue false */
  readonly showRoute?: boolean | undefined;
}
