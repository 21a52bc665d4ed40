import type { HttpProxy, RouteSettings } from '@cloudlane/proxy';
import type {
  RequestBody,
  RequestHeaders,
  Timeouts,
  TlsOptions,
  Transport,
  UploadProgress,
} from '@cloudlane/transport';
import type { Auth } from './auth.ts';

/** Query parameters; a list repeats the name, null and undefined leave it out. */
export type QueryParams = Readonly<Record<string, QueryValue | readonly QueryValue[] | null | undefined>>;
type QueryValue = string | number | boolean;

/** Defaults of a session. Route settings of the environment apply unless `http_proxy` is given. */
export interface SessionOptions extends Omit<RouteSettings, 'source'> {
  /** Where the connections are kept. @defaultValue sharedTransport() */
  readonly transport?: Transport | undefined;
  readonly headers?: RequestHeaders | undefined;
  readonly params?: QueryParams | undefined;
  readonly auth?: Auth | undefined;
  /** Milliseconds; a number is `total`. */
  readonly timeout?: number | Timeouts | undefined;
  /** TLS with origins. */
  readonly tls?: TlsOptions | undefined;
  /** TLS with https proxies. */
  readonly proxyTls?: TlsOptions | undefined;
  /** Value of `User-Agent`; null sends none. @defaultValue 'cloudlane/<version>' */
  readonly userAgent?: string | null | undefined;
}

/** One call; what is given here wins over the session's defaults. */
export interface RequestOptions {
  /** Laid over the session's, whatever the spelling; null takes a default away. */
  readonly headers?: RequestHeaders | undefined;
  /** Laid over the session's; null takes a default away. */
  readonly params?: QueryParams | undefined;
  /** Instead of the session's; null: none. */
  readonly auth?: Auth | null | undefined;
  /** The body as it is. */
  readonly data?: RequestBody | null | undefined;
  /** The body as JSON, with its content type. Not together with `data`. */
  readonly json?: unknown;
  /** The route of this call: a proxy, null for direct, undefined for the session's. */
  readonly http_proxy?: HttpProxy | undefined;
  readonly noProxy?: string | readonly string[] | undefined;
  /** Milliseconds, laid over the session's; a number is `total`. */
  readonly timeout?: number | Timeouts | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onUploadProgress?: UploadProgress | undefined;
}
