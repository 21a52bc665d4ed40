import type { CallOptions, Connection } from '@cloudlane/connection';
import type { PageOptions } from './pager.ts';

/** What every driver has. */
export interface Driver<C extends Connection = Connection> {
  /** The provider's name in the registry, such as `digitalocean`. */
  readonly provider: string;
  /** For settings (`setHttpProxy`, `explain`) and for any endpoint that the driver does not cover (`request`). */
  readonly connection: C;
  close(): Promise<void>;
}

/** Options of every list. */
export interface ListOptions extends CallOptions, PageOptions {}

/** A resource, or its id. */
export type Ref = string | { readonly id: string };

/** Anything a provider has under an id. */
export interface Resource<R = unknown> {
  readonly provider: string;
  readonly id: string;
  readonly name: string;
  /** The provider's own payload, untouched. */
  readonly raw: R;
}

/** The id of a reference. */
export function idOf(reference: Ref): string {
  return typeof reference === 'string' ? reference : reference.id;
}
