import { pipeline, Readable, Transform } from 'node:stream';
import { formatProxy, type Route, type RouteExplanation } from '@cloudlane/proxy';
import {
  type ConnectionInfo,
  decodeBody,
  isDecodingFault,
  maskHeaders,
  maskUrl,
  ProtocolError,
  printAs,
  readAll,
  type Timings,
  type TransportResponse,
} from '@cloudlane/transport';
import { sizedChunks } from './chunks.ts';
import { splitPair } from './cookie-rules.ts';
import { drainBody } from './drain-body.ts';
import { parseJson } from './json.ts';
import { forgetBody, watchBody } from './leaked-bodies.ts';
import { type LinesOptions, splitLines } from './lines.ts';
import type { PreparedRequest } from './prepared-request.ts';
import { HttpStatusError, StreamConsumedError } from './session-errors.ts';
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
  /** Why there is no answer, in `safeMode`; otherwise null. */
  readonly error: Error | null;
  #carried: Carried;
  readonly #onDownloadProgress: DownloadProgress | undefined;
  #encoding: string | null;
  #content: Promise<Buffer> | null = null;
  #bytes: Buffer | null = null;
  #isStreamed = false;

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
    this.error = error ?? null;
    this.#carried = carried;
    this.#onDownloadProgress = onDownloadProgress;
    this.#encoding = charsetOf(this.headers['content-type']);
    // What has no body needs no reader; its connection is free at once.
    if (this.#isEmpty) carried.body.resume();
    else watchBody(this, carried.body, request);
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
    return Object.fromEntries((this.headers['set-cookie'] ?? []).map(splitPair));
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
   * @throws StreamConsumedError after `content()`
   */
  get body(): Readable {
    if (this.#content !== null) throw new StreamConsumedError(this);
    this.#take();
    return this.#received();
  }

  /**
   * The whole body, with its `Content-Encoding` undone; read once, then kept.
   * @throws StreamConsumedError after `body`, `iterContent()` or `iterLines()`
   */
  content(): Promise<Buffer> {
    if (this.#isStreamed) return Promise.reject(new StreamConsumedError(this));
    this.#content ??= this.#read();
    return this.#content;
  }

  /** The content if it has been read, else null. */
  peekContent(): Buffer | null {
    return this.#bytes;
  }

  /** Whether the body, or a part of it, was asked for. */
  get bodyUsed(): boolean {
    return this.#isStreamed || this.#content !== null;
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
   * @throws StreamConsumedError, when iterated, if the body was taken as a stream before
   */
  iterContent(size?: number): AsyncIterable<Buffer> {
    const chunks = this.#chunks();
    return size === undefined ? chunks : sizedChunks(chunks, size);
  }

  /**
   * The body line by line, each as soon as its newline is there; see `LinesOptions`. The lines do not depend on how the
   * bytes arrive. After `content()` it comes from there.
   * @throws StreamConsumedError, when iterated, if the body was taken as a stream before
   */
  iterLines(options: LinesOptions = {}): AsyncIterable<string> {
    return splitLines(this.#chunks(), { ...options, encoding: this.#encoding });
  }

  /** Gives the connection back without reading the body; see `drain()`. May be called at any time, and again. */
  release(): void {
    void this.drain();
  }

  /**
   * Drops what is left of the body: little is read first, so that the connection can be used again, and more is broken
   * off. Resolves once the connection is free or gone.
   */
  async drain(): Promise<void> {
    forgetBody(this);
    await drainBody(this.#carried.body, Number(this.headers['content-length'] ?? 0));
  }

  /** @throws HttpStatusError if the status is 400 or above */
  raiseForStatus(): this {
    if (this.error !== null) throw this.error;
    if (this.status >= 400) throw new HttpStatusError(this);
    return this;
  }

  toString(): string {
    return `<Response [${this.error === null ? this.status : this.error.name}]>`;
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
      status === 204 ||
      status === 304 ||
      headers['content-length'] === '0'
    );
  }

  #take(): void {
    this.#isStreamed = true;
    forgetBody(this);
  }

  async #read(): Promise<Buffer> {
    forgetBody(this);
    try {
      this.#bytes = await readAll(this.#decoded());
      this.#carried = withoutBody(this.#carried);
      return this.#bytes;
    } catch (error) {
      throw this.#translate(error);
    }
  }

  async *#chunks(): AsyncGenerator<Buffer> {
    if (this.#content !== null) return yield await this.#content;
    if (this.#isStreamed) throw new StreamConsumedError(this);
    this.#take();
    try {
      yield* this.#decoded();
    } catch (error) {
      throw this.#translate(error);
    }
  }

  #decoded(): Readable {
    return decodeBody(this.#received(), this.headers['content-encoding']);
  }

  #received(): Readable {
    const { body } = this.#carried;
    return this.#onDownloadProgress === undefined ? body : this.#counted(body, this.#onDownloadProgress);
  }

  #counted(body: Readable, report: DownloadProgress): Readable {
    const total = Number(this.headers['content-length'] ?? Number.NaN);
    let received = 0;
    const counter = new Transform({
      transform(chunk: Buffer, _encoding, callback) {
        received += chunk.length;
        report(received, Number.isNaN(total) ? null : total);
        callback(null, chunk);
      },
    });
    return pipeline(body, counter, () => {});
  }

  #translate(error: unknown): unknown {
    if (!isDecodingFault(error)) return error;
    const url = maskUrl(this.url);
    const encoding = this.headers['content-encoding'];
    return new ProtocolError(`The body of ${url} is not valid ${encoding}, as its Content-Encoding says`, {
      phase: 'body',
      hop: 'origin',
      proxy: this.route.kind === 'direct' ? null : formatProxy(this.route.proxy),
      url,
      cause: error,
    });
  }

  static {
    printAs<HttpResponse>(HttpResponse.prototype, String);
  }
}

/** What is told of an answer whose body was read: without the stream, which leads to much else. */
function withoutBody({ timings, reusedConnection, explain, isBodyUnsent, ...rest }: Carried): Carried {
  const { status, statusText, headers, url, route, connection } = rest;
  const read = {
    status,
    statusText,
    headers,
    url,
    route,
    connection,
    timings,
    reusedConnection,
    explain,
    isBodyUnsent,
  };
  return { ...read, body: NOTHING };
}

const NOTHING = Readable.from([]);
