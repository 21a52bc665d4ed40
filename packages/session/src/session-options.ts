import type { Writable } from 'node:stream';
import type { HttpProxy, ProxyMap, RouteSettings } from '@cloudlane/proxy';
import type {
  RequestBody,
  RequestHeaders,
  Timeouts,
  TlsOptions,
  Transport,
  TransportOptions,
  UploadProgress,
} from '@cloudlane/transport';
import type { Auth } from './auth.ts';
import type { CookieJar } from './cookie-jar.ts';
import type { HarRecorder } from './har.ts';
import type { Hooks } from './hooks.ts';
import type { FilePart } from './multipart.ts';
import type { VerboseOptions } from './verbose.ts';

/** Query parameters; a list repeats the name, null and undefined leave it out. */
export type QueryParams = Readonly<Record<string, ParamValue | readonly ParamValue[] | null | undefined>>;

export type ParamValue = FieldValue | bigint;

/** Fields of an HTML form; a list repeats the name, null and undefined leave it out. */
export type FormFields = Readonly<Record<string, FieldValue | readonly FieldValue[] | null | undefined>>;

export type FieldValue = string | number | boolean;

/** Cookies by name; null leaves one out. */
export type Cookies = Readonly<Record<string, string | null | undefined>>;

/**
 * What a body can be made of: a body as it is, a function that makes a fresh one each time it is sent (so that a stream
 * can follow a redirect), the fields of a form, or a form with files.
 */
export type RequestData =
  | RequestBody
  | (() => RequestBody)
  | FormFields
  | URLSearchParams
  | FormData
  | Blob
  | ArrayBuffer
  | ArrayBufferView;

/** Called while an answer's body is received: bytes as they came over the wire, and all of them if known. */
export type DownloadProgress = (received: number, total: number | null) => void;

/** How requests behave. A session's are the defaults of its calls. */
export interface Behaviour {
  /** Whether redirects are followed. @defaultValue true, but false for HEAD */
  readonly allowRedirects?: boolean | undefined;
  /** How many redirects one call follows before it fails with TooManyRedirectsError. @defaultValue 30 */
  readonly maxRedirects?: number | undefined;
  /** Whether a redirect may lead from https to http. @defaultValue false */
  readonly allowInsecureRedirects?: boolean | undefined;
  /** 301 and 302 keep the method, as RFC 9110 §15.4 once meant it; otherwise POST becomes GET. @defaultValue false */
  readonly strictMode?: boolean | undefined;
  /** Whether an answer is there only when its whole body is. @defaultValue false */
  readonly prefetch?: boolean | undefined;
  /** false: each request has a connection of its own, and says `Connection: close`. @defaultValue true */
  readonly keepAlive?: boolean | undefined;
  /** How often a request is tried again at once if nothing of it has reached the origin. @defaultValue 0 */
  readonly maxRetries?: number | undefined;
  /** A request that does not get through is an answer without a status, whose `error` says why. @defaultValue false */
  readonly safeMode?: boolean | undefined;
  /** An answer of 400 or above is raised as HttpStatusError. @defaultValue false */
  readonly dangerMode?: boolean | undefined;
  /** false: path and query go out as they were written, byte for byte; parameters too. @defaultValue true */
  readonly encodeUri?: boolean | undefined;
  /** What an error in a hook does: a process warning with the code `HOOK_ERROR`, or an end of the call. @defaultValue 'warn' */
  readonly hookErrors?: 'warn' | 'throw' | undefined;
  /** One line for each request that goes out, hops and second tries too: ISO time, method, URL. Masked. */
  readonly verbose?: Writable | VerboseOptions | null | undefined;
  /** Prints each request as a command that makes the same one. Masked, unless its options name secrets. */
  readonly debug?: 'curl' | CurlOptions | null | undefined;
}

/** Where `debug` prints to, and which secrets it shows. */
export interface CurlOptions {
  readonly format: 'curl';
  /** @defaultValue process.stderr */
  readonly to?: Writable | undefined;
  /** Names of headers and parameters to be printed as they are, `proxy` for the proxy's password; `*` for all. */
  readonly showSecrets?: readonly string[] | undefined;
}

/** Defaults of a session. Route settings of the environment apply unless `http_proxy` is given. */
export interface SessionOptions extends Omit<RouteSettings, 'source'>, Behaviour {
  /** Where the connections are kept. @defaultValue sharedTransport() */
  readonly transport?: Transport | undefined;
  /** Connections at once to one place. With it the session has a transport of its own. @defaultValue 128 */
  readonly maxSockets?: TransportOptions['maxSockets'] | undefined;
  /** Idle connections kept for one place. With it the session has a transport of its own. @defaultValue 32 */
  readonly maxIdleSockets?: TransportOptions['maxIdleSockets'] | undefined;
  /** Instead of the headers that every request has: `User-Agent`, `Accept`, `Accept-Encoding`. */
  readonly baseHeaders?: RequestHeaders | undefined;
  /** Laid over `baseHeaders`. */
  readonly headers?: RequestHeaders | Headers | undefined;
  readonly params?: QueryParams | URLSearchParams | undefined;
  /** A jar, or cookies for the origin of each call. */
  readonly cookies?: CookieJar | Cookies | undefined;
  readonly auth?: Auth | null | undefined;
  /** Milliseconds; a number is `total`, 0 is no deadline, null is refused. */
  readonly timeout?: number | Timeouts | undefined;
  /** Requests' name for a map in `http_proxy`. Not together with it. */
  readonly proxies?: ProxyMap | undefined;
  readonly hooks?: Hooks | null | undefined;
  /**
   * false: take any certificate of an origin. A path: trust the authorities in that PEM file, or in the files of that
   * directory. @defaultValue the file named by REQUESTS_CA_BUNDLE, SSL_CERT_FILE or CURL_CA_BUNDLE, else true
   */
  readonly verify?: boolean | string | undefined;
  /** Path of a PEM file with the client certificate and its key, or of one file for each. */
  readonly cert?: ClientCertificate | null | undefined;
  /** TLS with origins; `verify` and `cert` stand for some of it. */
  readonly tls?: TlsOptions | undefined;
  /** TLS with https proxies. */
  readonly proxyTls?: TlsOptions | undefined;
  /** Value of `User-Agent`; null sends none. @defaultValue 'cloudlane/<version>' */
  readonly userAgent?: string | null | undefined;
  /** Records every request and answer, in the form of HTTP Archive 1.2. */
  readonly har?: HarRecorder | undefined;
}

/** Path of a PEM file that holds both, or paths of certificate and key. */
export type ClientCertificate = string | readonly [cert: string, key: string];

/** One call; what is given here wins over the session's defaults. */
export interface RequestOptions extends Behaviour {
  /** Laid over the session's, whatever the spelling; null takes a default away. */
  readonly headers?: RequestHeaders | Headers | undefined;
  /** Laid over the session's; null takes a default away. */
  readonly params?: QueryParams | URLSearchParams | undefined;
  /** Laid over the session's, for the origin of this call; null leaves one out. Not kept. */
  readonly cookies?: Cookies | undefined;
  /** Instead of the session's; null: none. */
  readonly auth?: Auth | null | undefined;
  /** The body: as it is, or the fields of a form. */
  readonly data?: RequestData | null | undefined;
  /** The body as JSON, with its content type. Not together with `data`. */
  readonly json?: unknown;
  /** Files of a form (multipart/form-data, RFC 7578); its other fields are `data`'s. */
  readonly files?: Readonly<Record<string, FilePart | readonly FilePart[]>> | undefined;
  /** Instead of the session's, name by name; null: none. */
  readonly hooks?: Hooks | null | undefined;
  /** The route of this call: a proxy, null for direct, undefined for the session's. */
  readonly http_proxy?: HttpProxy | undefined;
  /** Laid over the session's, key by key. Not together with `http_proxy`. */
  readonly proxies?: ProxyMap | undefined;
  /** Instead of the session's; `[]`: none. null is refused. */
  readonly noProxy?: string | readonly string[] | undefined;
  /** Instead of the session's. */
  readonly verify?: boolean | string | undefined;
  /** Instead of the session's; null: none. */
  readonly cert?: ClientCertificate | null | undefined;
  /**
   * Milliseconds, laid over the session's; a number is `total`, redirects and second tries included. 0 is no deadline,
   * null is refused.
   */
  readonly timeout?: number | Timeouts | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onUploadProgress?: UploadProgress | undefined;
  readonly onDownloadProgress?: DownloadProgress | undefined;
}
