import type { HttpProxy } from '@cloudlane/proxy';
import type { QueryParams, SessionOptions } from '@cloudlane/session';
import type { RequestHeaders, Timeouts, UploadProgress } from '@cloudlane/transport';
import type { ProtocolOptions } from '@cloudlane/websocket';

/**
 * Options of a connection; a driver passes them on whole. Where: either `baseUrl`, or the parts. Of those of its session
 * some are for other URLs alone: `allowRedirects`, `safeMode`, `dangerMode` and `encodeUri`, and for raw answers
 * `prefetch`. An answer of the API is the driver's to judge.
 */
export interface ConnectionOptions extends Omit<SessionOptions, 'headers' | 'params'> {
  /** URL of the API; actions are joined to its path. */
  readonly baseUrl?: string | URL | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** false: http instead of https. @defaultValue true */
  readonly secure?: boolean | undefined;
  /** Path below which the actions are. @defaultValue '/' */
  readonly path?: string | undefined;
}

/** Options of one call; the last argument of every driver method. */
export interface CallOptions {
  /** Ends the call at once. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds, laid over the connection's; a number is `total`. */
  readonly timeout?: number | Timeouts | undefined;
  /** The route of this call alone: a proxy, or null for direct. */
  readonly http_proxy?: HttpProxy | undefined;
  /** Laid over the connection's; null takes a default away. */
  readonly headers?: RequestHeaders | Headers | undefined;
}

/** One WebSocket of the API. */
export interface WebSocketCallOptions extends CallOptions, ProtocolOptions {
  readonly params?: QueryParams | URLSearchParams | undefined;
  /** As that of a request. */
  readonly context?: Readonly<Record<string, unknown>> | undefined;
}

/** One request to the API. */
export interface ApiRequestOptions extends CallOptions {
  /** @defaultValue 'GET' */
  readonly method?: string | undefined;
  readonly params?: QueryParams | URLSearchParams | undefined;
  /** The body; `encodeData` turns what is not a body yet into one. */
  readonly data?: unknown;
  /** The body as JSON. Not together with `data`. */
  readonly json?: unknown;
  /** true: the answer's body is left as a stream (`RawResponse`). */
  readonly raw?: boolean | undefined;
  /** Handed to every override point of this call: what they need to know of each other and must not keep. */
  readonly context?: Readonly<Record<string, unknown>> | undefined;
  readonly onUploadProgress?: UploadProgress | undefined;
}
