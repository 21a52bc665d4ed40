// HTTP Archive 1.2, as far as an HTTP client without pages can fill it in. Names that begin with _ are extensions.

/** http://www.softwareishard.com/blog/har-12-spec/ */
export interface Har {
  readonly log: HarLog;
}

/** The log of an archive. */
export interface HarLog {
  readonly version: '1.2';
  readonly creator: { readonly name: string; readonly version: string };
  /** In the order in which the requests were sent. */
  readonly entries: readonly HarEntry[];
  /** How many older entries were dropped, if any. */
  readonly _dropped?: number;
}

/** One request and its answer. */
export interface HarEntry {
  /** ISO 8601, UTC. */
  readonly startedDateTime: string;
  /** Milliseconds in all: the sum of `timings`. */
  readonly time: number;
  readonly request: HarRequest;
  readonly response: HarResponse;
  readonly cache: Readonly<Record<string, never>>;
  readonly timings: HarTimings;
  /** Number of the connection within its transport. */
  readonly connection?: string;
  readonly comment?: string;
  /** How the request was carried; left out if it had no route at all. */
  readonly _route?: 'direct' | 'forward' | 'tunnel' | 'socks';
  /** The proxy, without its password. */
  readonly _proxy?: string;
  readonly _reusedConnection?: boolean;
  /** Why there is no answer. */
  readonly _error?: string;
}

/** What was sent. */
export interface HarRequest {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly cookies: readonly HarCookie[];
  readonly headers: readonly HarPair[];
  readonly queryString: readonly HarPair[];
  readonly postData?: HarPostData;
  /** Bytes; -1: not known. */
  readonly headersSize: number;
  /** Bytes; -1: not known. */
  readonly bodySize: number;
}

/** What came back; of a request that failed, `status` is 0. */
export interface HarResponse {
  readonly status: number;
  readonly statusText: string;
  readonly httpVersion: string;
  readonly cookies: readonly HarCookie[];
  readonly headers: readonly HarPair[];
  readonly content: HarContent;
  /** Empty if there is none. */
  readonly redirectURL: string;
  /** Bytes; -1: not known. */
  readonly headersSize: number;
  /** Bytes; -1: not known. */
  readonly bodySize: number;
}

/** A name with its value. */
export interface HarPair {
  readonly name: string;
  readonly value: string;
}

/** One cookie. Of a request's, only the name and the value are known. */
export interface HarCookie extends HarPair {
  readonly path?: string;
  readonly domain?: string;
  /** ISO 8601, UTC. */
  readonly expires?: string;
  readonly httpOnly?: boolean;
  readonly secure?: boolean;
}

/** A body that was sent: the fields of a form, or else its text. */
export type HarPostData =
  | { readonly mimeType: string; readonly params: readonly HarPair[] }
  | { readonly mimeType: string; readonly text: string };

/** A body that was received, with its `Content-Encoding` undone. */
export interface HarContent {
  /** Bytes; 0 if the body was not read, or not by `content()`. */
  readonly size: number;
  /** Bytes saved by the `Content-Encoding`. */
  readonly compression?: number;
  readonly mimeType: string;
  readonly text?: string;
  readonly encoding?: 'base64';
  readonly comment?: string;
}

/** Milliseconds; -1: did not happen. */
export interface HarTimings {
  readonly blocked: number;
  readonly dns: number;
  /** TLS, CONNECT and the SOCKS handshake included. */
  readonly connect: number;
  /** TLS of both hops; a part of `connect`. */
  readonly ssl: number;
  readonly send: number;
  readonly wait: number;
  readonly receive: number;
  /** A part of `blocked`: waiting for a free connection. */
  readonly _queue?: number;
  /** A part of `dns`. */
  readonly _proxyDns?: number;
  /** These are parts of `connect`. */
  readonly _proxyConnect?: number;
  readonly _proxyTls?: number;
  readonly _proxyHandshake?: number;
  readonly _originConnect?: number;
  readonly _originTls?: number;
}
