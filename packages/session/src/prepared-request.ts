import { maskHeaders, maskUrl, printAs, type RequestBody, type RequestHeaders } from '@cloudlane/transport';
import type { HttpResponse } from './http-response.ts';
import { mergeHeaders } from './merge.ts';

/**
 * A request that is not sent yet: what auth and signers see and may change. Its route settings, deadlines and auth are
 * those of the moment it was prepared. Prints without secrets.
 */
export class PreparedRequest {
  /** Upper case. */
  readonly method: string;
  url: URL;
  /** Names keep their spelling; look them up with `header()`. */
  headers: Record<string, string>;
  body: RequestBody | null;
  readonly #dispatch: (request: PreparedRequest) => Promise<HttpResponse>;
  #sent: Promise<HttpResponse> | null = null;

  constructor(
    method: string,
    url: URL,
    headers: Record<string, string>,
    body: RequestBody | null,
    dispatch: (request: PreparedRequest) => Promise<HttpResponse>,
  ) {
    this.method = method;
    this.url = url;
    this.headers = headers;
    this.body = body;
    this.#dispatch = dispatch;
  }

  /** Sends the request; once, as later calls get the same answer. */
  send(): Promise<HttpResponse> {
    this.#sent ??= this.#dispatch(this);
    return this.#sent;
  }

  /** A header's value, whatever its spelling. */
  header(name: string): string | undefined {
    const key = findHeader(this.headers, name);
    return key === undefined ? undefined : this.headers[key];
  }

  /** Sets a header and takes any other spelling of it away; null only takes it away. */
  setHeader(name: string, value: string | null): void {
    const key = findHeader(this.headers, name);
    if (key !== undefined) delete this.headers[key];
    if (value !== null) this.headers[name] = value;
  }

  /** Lays headers over those that are there; null takes one away. */
  mergeHeaders(headers: RequestHeaders | undefined): void {
    this.headers = mergeHeaders(this.headers, headers);
  }

  toJSON(): Record<string, unknown> {
    return { method: this.method, url: maskUrl(this.url), headers: maskHeaders(this.headers) };
  }

  static {
    printAs<PreparedRequest>(PreparedRequest.prototype, (request) => request.toJSON());
  }
}

function findHeader(headers: Readonly<Record<string, string>>, name: string): string | undefined {
  const lower = name.toLowerCase();
  return Object.keys(headers).find((key) => key.toLowerCase() === lower);
}
