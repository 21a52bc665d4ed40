import {
  CloudlaneError,
  ConnectError,
  ProxyConnectError,
  ResetError,
  SocksError,
  TimeoutError,
} from '@cloudlane/transport';

/**
 * Whether what has failed may succeed if it is tried again later.
 *
 * Yes: the network (nobody answers, connections break, deadlines pass), and a proxy or an origin that says so (5xx, 429;
 * a SOCKS proxy that cannot reach the origin). No: certificates, credentials (401, 403, 407), any other refusal, and what
 * is wrong with the call itself.
 */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof CloudlaneError)) return false;
  if (error instanceof SocksError) return error.code === 'ERR_SOCKS' && !FINAL.has(error.replyCode);
  if ('retryable' in error && error.retryable === true) return true;
  const status = statusOf(error);
  if (status !== null) return status >= 500 || status === 429;
  return NETWORK.some((Class) => error instanceof Class);
}

const NETWORK = [ConnectError, ProxyConnectError, ResetError, TimeoutError] as const;

// RFC 1928 §6: not allowed by the ruleset, command or kind of address not supported.
const FINAL: ReadonlySet<number | null> = new Set([2, 7, 8]);

/** Milliseconds that whoever refused has asked to wait; 0 if nothing was said. */
export function requestedDelay(error: unknown): number {
  const { retryAfter } = error instanceof CloudlaneError && 'retryAfter' in error ? error : { retryAfter: null };
  return typeof retryAfter === 'number' ? retryAfter : 0;
}

/** Also of errors that this layer does not know: those of providers. */
function statusOf(error: CloudlaneError): number | null {
  return 'status' in error && typeof error.status === 'number' ? error.status : null;
}
