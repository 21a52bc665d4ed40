import type { TransportRequest } from '@cloudlane/transport';
import type { CurlOptions } from './session-options.ts';
import type { WireObserver } from './wire-observer.ts';

/** A command for bash that makes the same request. */
export function toCurl(
  _transported: TransportRequest,
  _options: { readonly showSecrets?: readonly string[] | undefined } = {},
): string {
  return '';
}

/** Prints each request as such a command. */
export function curlObserver(_options: CurlOptions): WireObserver {
  return {};
}
