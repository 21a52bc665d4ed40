import { isBuffered, maskHeaders, maskUrl, printAs, type RequestBody, type RequestHeaders } from '@cloudlane/transport';
import type { Carry } from './call-settings.ts';
import { headerRecord, isHeaderRecord } from './header-record.ts';
import type { HttpResponse } from './http-response.ts';
import { mergeHeaders } from './merge.ts';
import type { Redirection } from './redirects.ts';
import type { RequestContent } from './request-content.ts';
import { BodyReplayError } from './session-errors.ts';

/** What a request is made of. */
export interface PreparedRequestInit {
  readonly method: string;
  readonly url: URL;
  /** The request target, if it must go out as it was written. */
  readonly target: string | null;
  readonly headers: Record<string, string>;
  readonly content: RequestContent;
}

/** Sends a request with all that goes with it; the signal ends it as the call's own does. */
export type Dispatch = (request: PreparedRequest, options: Omit<SendOptions, 'again'>) => Promise<HttpResponse>;

/** How `PreparedRequest.send` sends. */
export interface SendOptions {
  /** Sends it anew, with its body begun again, though it was sent before. @defaultValue false */
  readonly again?: boolean | undefined;
  /** Besides the one it was prepared with. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Sends what goes over the wire, in the place of `Transport.send`: each hop of the call, with its cookies and its auth, and
   * again after a challenge. For requests that switch protocols (`Transport.upgrade`).
   */
  readonly carry?: Carry | undefined;
}

/**
 * A request that is not sent yet: what auth and signers see and may change. Its route settings, deadlines and auth are
 * those of the moment it was prepared. Prints without secrets.
 */
export class PreparedRequest {
  /** Upper case. */
  readonly method: string;
  url: URL;
  /** The request target byte for byte, where `encodeUri: false` asks for it; otherwise null, and the URL's counts. */
  target: string | null;
  #headers: Record<string, string>;
  #body: RequestBody | null;
  #renew: (() => RequestBody) | null;
  readonly #dispatch: Dispatch;
  #sent: Promise<HttpResponse> | null = null;

  constructor(init: PreparedRequestInit, dispatch: Dispatch) {
    this.method = init.method;
    this.url = init.url;
    this.target = init.target;
    this.#headers = isHeaderRecord(init.headers) ? init.headers : headerRecord(init.headers);
    this.#body = init.content.body;
    this.#renew = init.content.renew;
    this.#dispatch = dispatch;
  }

  /** Names keep their spelling; look them up with `header()`. Prints without those that authorize. */
  get headers(): Record<string, string> {
    return this.#headers;
  }

  /** A copy in the place of all of them. */
  set headers(headers: Record<string, string>) {
    this.#headers = headerRecord(headers);
  }

  get body(): RequestBody | null {
    return this.#body;
  }

  set body(body: RequestBody | null) {
    this.#body = body;
    this.#renew = null;
  }

  /** Whether the body can be sent once more. */
  get canRenewBody(): boolean {
    const body = this.#body;
    return this.#renew !== null || body === null || isBuffered(body);
  }

  /** Whether `send()` was called. */
  get isSent(): boolean {
    return this.#sent !== null;
  }

  /**
   * Makes the body ready to be sent once more.
   * @throws BodyReplayError if it is a stream that nobody can begin again
   */
  renewBody(): void {
    if (!this.canRenewBody) throw new BodyReplayError(this);
    if (this.#renew !== null) this.#body = this.#renew();
  }

  /**
   * Sends the request; once, as later calls get the same answer.
   * @throws BodyReplayError if it is sent again with a stream that was read
   */
  send({ again = false, ...options }: SendOptions = {}): Promise<HttpResponse> {
    if (again && this.#sent !== null) {
      try {
        this.renewBody();
      } catch (error) {
        return Promise.reject(error);
      }
      this.#sent = null;
    }
    this.#sent ??= this.#dispatch(this, options);
    return this.#sent;
  }

  /**
   * The request that a redirect asks for; its body is begun again if it goes along.
   * @throws BodyReplayError if that cannot be
   */
  follow({ method, url, headers, keepsBody }: Redirection, isBodyUnsent: boolean): PreparedRequest {
    if (keepsBody && !isBodyUnsent) this.renewBody();
    const content = keepsBody ? { body: this.#body, headers: {}, renew: this.#renew } : NO_CONTENT;
    return new PreparedRequest({ method, url, target: null, headers, content }, this.#dispatch);
  }

  /** Takes user name and password out of the URL, where there is another auth. */
  dropUrlCredentials(): void {
    if (this.url.username + this.url.password === '') return;
    this.url = new URL(this.url);
    this.url.username = '';
    this.url.password = '';
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
  mergeHeaders(headers: RequestHeaders | Headers | null | undefined): void {
    this.headers = mergeHeaders(this.headers, headers);
  }

  toJSON(): Record<string, unknown> {
    return { method: this.method, url: maskUrl(this.url), headers: maskHeaders(this.headers) };
  }

  static {
    printAs<PreparedRequest>(PreparedRequest.prototype, (request) => request.toJSON());
  }
}

const NO_CONTENT: RequestContent = { body: null, headers: {}, renew: null };

function findHeader(headers: Readonly<Record<string, string>>, name: string): string | undefined {
  const lower = name.toLowerCase();
  return Object.keys(headers).find((key) => key.toLowerCase() === lower);
}
