import type { Readable } from 'node:stream';
import { TextDecoder } from 'node:util';
import { formatProxy, type Route, type RouteExplanation } from '@cloudlane/proxy';
import {
  CloudlaneError,
  type ConnectionInfo,
  decodeBody,
  isDecodingFault,
  maskUrl,
  ProtocolError,
  printAs,
  readAll,
  type Timings,
  type TransportResponse,
} from '@cloudlane/transport';
import type { PreparedRequest } from './prepared-request.ts';

/** An answer with a 4xx or 5xx status, raised by `raiseForStatus()`. */
export class HttpStatusError extends CloudlaneError {
  readonly status: number;
  readonly url: string;

  constructor(response: HttpResponse) {
    super(
      `${response.request.method} ${maskUrl(response.url)} was answered with ${response.status} ${response.statusText}`.trimEnd(),
      'ERR_HTTP_STATUS',
    );
    this.status = response.status;
    this.url = maskUrl(response.url);
  }
}

/** The body was taken as a stream, so that it cannot be read again. */
export class StreamConsumedError extends CloudlaneError {
  constructor(response: HttpResponse) {
    super(
      `The body of ${maskUrl(response.url)} was already taken as a stream; read either body or content()`,
      'ERR_STREAM_CONSUMED',
    );
  }
}

/**
 * An answer. It is here as soon as its headers are; the body is read when it is asked for. Until it has been read, or
 * `release()` was called, its connection is taken.
 */
export class HttpResponse {
  readonly status: number;
  readonly statusText: string;
  /** Names in lower case. */
  readonly headers: TransportResponse['headers'];
  readonly url: URL;
  /** The request that was answered. */
  readonly request: PreparedRequest;
  /** Milliseconds from the call to the headers. */
  readonly elapsed: number;
  readonly route: Route;
  readonly connection: ConnectionInfo | null;
  readonly #transported: TransportResponse;
  #content: Promise<Buffer> | null = null;
  #streamed = false;

  constructor(response: TransportResponse, request: PreparedRequest, elapsed: number) {
    this.status = response.status;
    this.statusText = response.statusText;
    this.headers = response.headers;
    this.url = response.url;
    this.route = response.route;
    this.connection = response.connection;
    this.request = request;
    this.elapsed = elapsed;
    this.#transported = response;
  }

  /** Whether the status is 2xx. */
  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** Why the request took its route. */
  get explanation(): RouteExplanation {
    return this.#transported.explanation;
  }

  /** Whether the connection had carried requests before. */
  get reusedConnection(): boolean {
    return this.#transported.reusedConnection;
  }

  /** Where the time went, phase by phase; `body` and `total` are null until the body has been read to its end. */
  get timings(): Timings {
    return this.#transported.timings;
  }

  /** The body as a stream, byte for byte as it was sent. @throws StreamConsumedError after `content()` */
  get body(): Readable {
    if (this.#content !== null) throw new StreamConsumedError(this);
    this.#streamed = true;
    return this.#transported.body;
  }

  /** The whole body, with its `Content-Encoding` undone; read once, then kept. @throws StreamConsumedError after `body` */
  content(): Promise<Buffer> {
    if (this.#streamed) return Promise.reject(new StreamConsumedError(this));
    this.#content ??= this.#read();
    return this.#content;
  }

  /** Whether `content()`, `text()`, `json()` or `body` was asked for. */
  get bodyUsed(): boolean {
    return this.#streamed || this.#content !== null;
  }

  /** The body as text, in the charset of `Content-Type`, else UTF-8. */
  async text(): Promise<string> {
    const bytes = await this.content();
    const charset = /;\s*charset="?([^\s;"]+)/i.exec(this.headers['content-type'] ?? '')?.[1] ?? 'utf-8';
    return decoderFor(charset).decode(bytes);
  }

  /** The body as JSON. @throws SyntaxError if it is none */
  async json<T>(): Promise<T> {
    return JSON.parse(await this.text());
  }

  /** Gives the connection back without reading the body. */
  release(): void {
    this.#transported.body.destroy();
  }

  /** @throws HttpStatusError if the status is 400 or above */
  raiseForStatus(): this {
    if (this.status >= 400) throw new HttpStatusError(this);
    return this;
  }

  toString(): string {
    return `<Response [${this.status}]>`;
  }

  toJSON(): Record<string, unknown> {
    return { ...this.#transported.toJSON(), request: this.request, elapsed: this.elapsed };
  }

  async #read(): Promise<Buffer> {
    const encoding = this.headers['content-encoding'];
    try {
      return await readAll(decodeBody(this.#transported.body, encoding));
    } catch (error) {
      throw isDecodingFault(error) ? this.#undecodable(encoding, error) : error;
    }
  }

  #undecodable(encoding: string | undefined, cause: unknown): ProtocolError {
    const url = maskUrl(this.url);
    return new ProtocolError(`The body of ${url} is not valid ${encoding}, as its Content-Encoding says`, {
      phase: 'body',
      hop: 'origin',
      proxy: this.route.kind === 'direct' ? null : formatProxy(this.route.proxy),
      url,
      cause,
    });
  }

  static {
    printAs<HttpResponse>(HttpResponse.prototype, String);
  }
}

function decoderFor(charset: string): TextDecoder {
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}
