import { Readable } from 'node:stream';
import type { Route, RouteExplanation } from '@cloudlane/proxy';
import {
  type ConnectionInfo,
  maskHeaders,
  maskUrl,
  printAs,
  type Timings,
  type TransportResponse,
} from '@cloudlane/transport';
import { sizedChunks } from './chunks.ts';
import { namedPairs } from './cookie-rules.ts';
import { parseJson } from './json.ts';
import { type LinesOptions, splitLines } from './lines.ts';
import type { PreparedRequest } from './prepared-request.ts';
import { ResponseBody } from './response-body.ts';
import { HttpStatusError } from './session-errors.ts';
import type { DownloadProgress } from './session-options.ts';
import { charsetOf, decodeText } from './text.ts';

/** What came over the wire, as far as an answer needs it. */
export type Carried = Pick<
  TransportResponse,
  | 'status'
  | 'statusText'
  | 'headers'
  | 'body'
  | 'url'
  | 'route'
  | 'connection'
  | 'explain'
  | 'timings'
  | 'reusedConnection'
  | 'isBodyUnsent'
>;

/** What an answer is made of. */
export interface HttpResponseInit {
  readonly request: PreparedRequest;
  readonly carried: Carried;
  readonly history?: readonly HttpResponse[];
  /** Milliseconds. */
  readonly elapsed: number;
  readonly onDownloadProgress?: DownloadProgress | undefined;
  readonly error?: Error;
}

/**
 * An answer. It is here as soon as its headers are; the body is read when it is asked for. Until it has been read, or
 * `release()` was called, its connection is taken.
 */
export class HttpResponse {
  /** 0 if there is none, as `error` says. */
  readonly status: number;
  readonly statusText: string;
  /** Names in lower case. */
  readonly headers: TransportResponse['headers'];
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** The request that was answered: the last one, after redirects. */
  readonly request: PreparedRequest;
  /** The redirects that led here, the first one first. */
  readonly history: readonly HttpResponse[];
  /** Milliseconds from this request to its headers. */
  readonly elapsed: number;
  readonly route: Route;
  readonly connection: ConnectionInfo | null;
  #carried: Carried;
  #error: Error | null;
  readonly #body: ResponseBody;
  #encoding: string | null;

  constructor({ request, carried, history = [], elapsed, onDownloadProgress, error }: HttpResponseInit) {
    this.status = carried.status;
    this.statusText = carried.statusText;
    this.headers = carried.headers;
    this.url = carried.url;
    this.route = carried.route;
    this.connection = carried.connection;
    this.request = request;
    this.history = history;
    this.elapsed = elapsed;
    this.#error = error ?? null;
    this.#carried = carried;
    this.#encoding = charsetOf(this.headers['content-type']);
    this.#body = new ResponseBody(this, { source: carried.body, isEmpty: this.#isEmpty, onDownloadProgress }, () => {
      this.#carried = withoutBody(this.#carried);
    });
  }

  /** Why there is no answer, in `safeMode`, or why with `dangerMode` beside it this one is an error; otherwise null. */
  get error(): Error | null {
    return this.#error;
  }

  /** Whether the status is 2xx. */
  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** Why the request took its route. */
  get explanation(): RouteExplanation {
    return this.#carried.explain();
  }

  /** Whether the connection had carried requests before. */
  get reusedConnection(): boolean {
    return this.#carried.reusedConnection;
  }

  /** Whether the request's body was held back (`Expect: 100-continue`), as the origin did not want it. */
  get isBodyUnsent(): boolean {
    return this.#carried.isBodyUnsent;
  }

  /** Where the time went, phase by phase; `body` and `total` are null until the body has been read to its end. */
  get timings(): Timings {
    return this.#carried.timings;
  }

  /** Names and values of the cookies that this very answer sets; what is kept of them is in the session's jar. */
  get cookies(): Readonly<Record<string, string>> {
    return namedPairs(this.headers['set-cookie'] ?? []);
  }

  /** How `text()` and `iterLines()` read the bytes: the charset of `Content-Type`, or what was written here; null: a byte order mark decides, else UTF-8. */
  get encoding(): string | null {
    return this.#encoding;
  }

  set encoding(encoding: string | null) {
    this.#encoding = encoding;
  }

  /**
   * The body as a stream, byte for byte as it was sent.
   * @throws StreamConsumedError after `content()` or `release()`
   */
  get body(): Readable {
    return this.#body.stream();
  }

  /**
   * The whole body, with its `Content-Encoding` undone; read once, then kept.
   * @throws StreamConsumedError after `body`, `iterContent()`, `iterLines()` or `release()`
   */
  content(): Promise<Buffer> {
    return this.#body.content();
  }

  /** The content if it has been read, else null. */
  peekContent(): Buffer | null {
    return this.#body.bytes;
  }

  /** Whether the body, or a part of it, was asked for. */
  get bodyUsed(): boolean {
    return this.#body.isUsed;
  }

  /** The body as text; see `encoding`. */
  async text(): Promise<string> {
    return decodeText(await this.content(), this.#encoding);
  }

  /** The body as JSON. @throws JsonDecodeError if it is none */
  async json<T>(): Promise<T> {
    return parseJson<T>(await this.text(), this.url, this.headers['content-type']);
  }

  /**
   * The body piece by piece, with its `Content-Encoding` undone. After `content()` it comes from there.
   * @param size bytes of each piece but the last; without it they come as they arrive
   * @throws StreamConsumedError, when iterated, if the body was taken as a stream before, or released
   */
  iterContent(size?: number): AsyncIterable<Buffer> {
    const chunks = this.#body.chunks();
    return size === undefined ? chunks : sizedChunks(chunks, size);
  }

  /**
   * The body line by line, each as soon as its newline is there; see `LinesOptions`. The lines do not depend on how the
   * bytes arrive. After `content()` it comes from there.
   * @throws StreamConsumedError, when iterated, if the body was taken as a stream before, or released
   */
  iterLines(options: LinesOptions = {}): AsyncIterable<string> {
    return splitLines(this.#body.chunks(), { ...options, encoding: this.#encoding });
  }

  /**
   * Gives the connection back without reading the body: little is read first, so that the connection can be used again,
   * and more is broken off. What reads it fails then, and so does `content()`, unless it was complete.
   */
  release(): void {
    void this.#body.drain(false);
  }

  /**
   * For a redirect that is followed: the same, but a short body can still be read. Resolves once the connection is free
   * or gone.
   */
  async drain(): Promise<void> {
    await this.#body.drain(true);
  }

  /** Makes an `error` of a status of 400 or above, where it is not to be raised. */
  noteStatus(): this {
    if (this.status >= 400) this.#error ??= new HttpStatusError(this);
    return this;
  }

  /** @throws HttpStatusError if the status is 400 or above */
  raiseForStatus(): this {
    if (this.error !== null) throw this.error;
    if (this.status >= 400) throw new HttpStatusError(this);
    return this;
  }

  toString(): string {
    return `<Response [${this.error === null || this.status > 0 ? this.status : this.error.name}]>`;
  }

  toJSON(): Record<string, unknown> {
    const { status, statusText, headers, url, route, request, elapsed, error } = this;
    return {
      status,
      statusText,
      headers: maskHeaders(headers),
      url: maskUrl(url),
      route,
      request,
      elapsed,
      ...(error && { error }),
    };
  }

  // RFC 9112 §6.3.
  get #isEmpty(): boolean {
    const { status, headers, request, error } = this;
    return (
      error !== null ||
      request.method === 'HEAD' ||
      status === 101 ||
      status === 204 ||
      status === 304 ||
      headers['content-length'] === '0'
    );
  }

  static {
    printAs<HttpResponse>(HttpResponse.prototype, String);
  }
}

/** What is told of an answer whose body was read: without the stream, which leads to much else. */
function withoutBody(carried: Carried): Carried {
  const { status, statusText, headers, url, route, connection } = carried;
  const { timings, reusedConnection, explain, isBodyUnsent } = carried;
  const facts = { status, statusText, headers, url, route, connection };
  return { ...facts, timings, reusedConnection, explain, isBodyUnsent, body: NOTHING };
}

const NOTHING = Readable.from([]);
