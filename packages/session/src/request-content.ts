import type { RequestBody } from '@cloudlane/transport';
import type { RequestOptions } from './session-options.ts';

/** A body, what its headers say of it, and how to have it again. */
export interface RequestContent {
  readonly body: RequestBody | null;
  /** Its type, and its length where that is known of a stream. */
  readonly headers: Readonly<Record<string, string>>;
  /** Makes another body just like it; null: what is in memory is sent again as it is, and a stream only once. */
  readonly renew: (() => RequestBody) | null;
}

/**
 * Turns the data of a call into a body.
 * @throws InvalidOptionError naming the option that cannot be sent, or contradicts another
 */
export function encodeContent(_options: Pick<RequestOptions, 'data' | 'json' | 'files'>): RequestContent {
  throw new Error('not written yet');
}
