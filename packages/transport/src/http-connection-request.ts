import type { OutgoingHttpHeaders } from 'node:http';
import { InvalidOptionError, type Route } from '@cloudlane/proxy';
import type { Attempt } from './attempt.ts';
import { publishError, publishStart } from './diagnostics.ts';
import { Exchange, type ExchangePlan } from './exchange.ts';
import type { ConnectionWay } from './http-connection-way.ts';
import { originOf } from './origin.ts';
import { checkBody, type RequestBody, type UploadProgress } from './request-body.ts';
import { basicCredentials, bodyLength, type PartedHeaders, partHeaders } from './request-headers.ts';
import type { RequestHeaders } from './transport-options.ts';

/** Options of `HttpConnection.request`. */
export interface HttpConnectionRequest {
  /** `Proxy-Authorization` among them goes to the proxy only; any other `Proxy-…` is left out. */
  readonly headers?: RequestHeaders | undefined;
  /** @defaultValue none */
  readonly body?: RequestBody | null | undefined;
  /** Ends the request at once, whatever it is doing, and its connection; what waits fails with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** Called while the body is sent. */
  readonly onUploadProgress?: UploadProgress | undefined;
}

/** A request that lacks only its connection. */
export interface RequestDraft {
  readonly plan: Omit<ExchangePlan, 'attempt' | 'agent'>;
  /** The caller's own `Proxy-Authorization`, where a setting names the proxy. */
  readonly proxyAuthorization: string | null;
  /** Whether a proxy is shown credentials. */
  readonly showsCredentials: boolean;
}

/** @throws InvalidOptionError if a header or the body cannot be sent this way */
export function draftRequest(method: string, way: ConnectionWay, options: HttpConnectionRequest): RequestDraft {
  const { url, origin, forwarder } = way;
  const body = options.body ?? null;
  if (body !== null) checkBody(body);
  const route: Route = forwarder === null ? way.route : { kind: 'forward', proxy: forwarder };
  const parted = partHeaders(options.headers ?? {}, url, body, route);
  if (parted.expectsContinue)
    throw new InvalidOptionError('headers.Expect', 'is not supported on a single connection; leave it out');
  const { hostHeader } = originOf(url);
  const { signal, onUploadProgress } = options;
  return {
    plan: {
      origin,
      method: method.toUpperCase(),
      // RFC 9112 §3.2.2: a proxy needs the absolute form. Where a setting names the proxy, its agent sees to that.
      path: `${forwarder === null ? '' : `${url.protocol}//${hostHeader}`}${url.pathname}${url.search}`,
      headers: { Host: hostHeader, ...parted.origin, ...forwarderHeaders(way, parted) },
      body,
      length: bodyLength(parted.origin),
      expectsContinue: false,
      signal,
      onUploadProgress,
    },
    proxyAuthorization: forwarder === null ? parted.proxyAuthorization : null,
    showsCredentials: parted.showsCredentials,
  };
}

function forwarderHeaders({ forwarder }: ConnectionWay, { proxyAuthorization }: PartedHeaders): OutgoingHttpHeaders {
  const { credentials } = forwarder ?? {};
  const own = credentials === undefined ? null : basicCredentials(credentials.username, credentials.password);
  const authorization = forwarder === null ? null : (proxyAuthorization ?? own);
  return authorization === null ? {} : { 'Proxy-Authorization': authorization };
}

/** A request whose answer has not been handed over. */
export interface PendingRequest {
  readonly exchange: Exchange;
  readonly attempt: Attempt;
  /** Whether somebody waits for the answer. */
  isAwaited: boolean;
}

/**
 * Sends a request; its failure is told to who listens to `cloudlane:request:error`, whether anybody awaits it or not.
 * @throws InvalidOptionError if Node refuses method, path or headers; the signal's reason if it is aborted already
 */
export function startRequest(plan: ExchangePlan): PendingRequest {
  const { attempt } = plan;
  publishStart(attempt);
  try {
    const exchange = new Exchange(plan);
    exchange.answer.catch((error: unknown) => publishError(attempt, error));
    return { exchange, attempt, isAwaited: false };
  } catch (error) {
    publishError(attempt, error);
    throw error;
  }
}
