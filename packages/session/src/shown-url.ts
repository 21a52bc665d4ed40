import type { TransportRequest } from '@cloudlane/transport';
import type { SecretFilter } from './secret-filter.ts';

/** The target of a request, byte for byte: the one that was asked for, or that of its URL. */
export function targetOf({ url, target }: TransportRequest): string {
  const { pathname, search } = new URL(url);
  return target ?? `${pathname}${search}`;
}

/** The URL of a request as it may be printed: with what goes out, and without a fragment. */
export function shownUrl(transported: TransportRequest, filter: SecretFilter): string {
  const { protocol, username, password, host } = new URL(transported.url);
  const userinfo = password === '' ? username : `${username}:${password}`;
  const authority = userinfo === '' ? host : `${userinfo}@${host}`;
  return filter.url(`${protocol}//${authority}${targetOf(transported)}`);
}
