import { once } from 'node:events';
import { pipeline, Readable, Transform } from 'node:stream';
import { formatProxy } from '@cloudlane/proxy';
import { CloudlaneError, decodeBody, isDecodingFault, maskUrl, ProtocolError, readAll } from '@cloudlane/transport';
import { drainBody } from './drain-body.ts';
import type { HttpResponse } from './http-response.ts';
import { forgetBody, watchBody } from './leaked-bodies.ts';
import { StreamConsumedError } from './session-errors.ts';
import type { DownloadProgress } from './session-options.ts';

const RELEASED = 'was given up by release()';

/** Where a body comes from. */
export interface BodySource {
  readonly source: Readable;
  /** Whether nothing can come, so that nobody need read it. */
  readonly isEmpty: boolean;
  readonly onDownloadProgress: DownloadProgress | undefined;
}

/** The body of an answer: read once, as a whole or as a stream, or given up. */
export class ResponseBody {
  readonly #answer: HttpResponse;
  readonly #onProgress: DownloadProgress | undefined;
  readonly #onRead: () => void;
  readonly #isEmpty: boolean;
  /** As it came over the wire. */
  #source: Readable;
  /** What a reader has in hand. */
  #reading: Readable | null = null;
  #content: Promise<Buffer> | null = null;
  #bytes: Buffer | null = null;
  #isStreamed = false;
  #isReleased = false;

  /** @param onRead called once all of it has been read */
  constructor(answer: HttpResponse, { source, isEmpty, onDownloadProgress }: BodySource, onRead: () => void) {
    this.#answer = answer;
    this.#source = source;
    this.#onProgress = onDownloadProgress;
    this.#onRead = onRead;
    this.#isEmpty = isEmpty;
    // What has no body needs no reader; its connection is free at once.
    if (isEmpty) source.resume();
    else watchBody(answer, source, answer.request);
  }

  /** Whether it, or a part of it, was asked for. */
  get isUsed(): boolean {
    return this.#isStreamed || this.#content !== null;
  }

  /** All of it, if it has been read. */
  get bytes(): Buffer | null {
    return this.#bytes;
  }

  /** Byte for byte as it was sent; the same stream each time. @throws StreamConsumedError after `content()` or `drain()` */
  stream(): Readable {
    this.#refuseIfReleased();
    if (this.#content !== null) throw new StreamConsumedError(this.#answer);
    if (this.#reading === null) this.#take(this.#received());
    return this.#reading ?? this.#source;
  }

  /** All of it, with its `Content-Encoding` undone; read once, then kept. */
  content(): Promise<Buffer> {
    if (this.#isStreamed) return Promise.reject(new StreamConsumedError(this.#answer));
    this.#content ??= this.#readAll();
    return this.#content;
  }

  /** With its `Content-Encoding` undone, piece by piece; after `content()` from there. */
  async *chunks(): AsyncGenerator<Buffer> {
    if (this.#content !== null) return yield await this.#content;
    yield* this.#decoded();
  }

  /**
   * Drops what is left: little is read first, so that the connection can be used again, and more is broken off. Who is
   * reading it hears of that. Resolves once the connection is free or gone.
   * @param keeps whether a short one can still be read afterwards
   */
  async drain(keeps: boolean): Promise<void> {
    if (this.#bytes !== null || this.#isEmpty) return;
    forgetBody(this.#answer);
    if (this.#reading !== null) return await close(this.#reading, new StreamConsumedError(this.#answer, RELEASED));
    this.#isReleased = true;
    const short = await drainBody(this.#source, Number(this.#answer.headers['content-length'] ?? 0));
    if (!keeps || short === null) return;
    this.#source = Readable.from(short.length === 0 ? [] : [short]);
    this.#isReleased = false;
  }

  #refuseIfReleased(): void {
    if (this.#isReleased) throw new StreamConsumedError(this.#answer, RELEASED);
  }

  async #readAll(): Promise<Buffer> {
    this.#refuseIfReleased();
    forgetBody(this.#answer);
    this.#reading = decodeBody(this.#received(), this.#answer.headers['content-encoding']);
    try {
      this.#bytes = await readAll(this.#reading);
    } catch (error) {
      throw this.#translate(error);
    }
    // The stream leads to much else, and many answers may be kept.
    this.#reading = null;
    this.#source = NOTHING;
    this.#onRead();
    return this.#bytes;
  }

  async *#decoded(): AsyncGenerator<Buffer> {
    if (this.#isStreamed) throw new StreamConsumedError(this.#answer);
    this.#refuseIfReleased();
    const stream = decodeBody(this.#received(), this.#answer.headers['content-encoding']);
    this.#take(stream);
    try {
      yield* stream;
    } catch (error) {
      throw this.#translate(error);
    }
  }

  #take(stream: Readable): void {
    this.#isStreamed = true;
    this.#reading = stream;
    forgetBody(this.#answer);
  }

  #received(): Readable {
    if (this.#onProgress === undefined) return this.#source;
    const total = Number(this.#answer.headers['content-length'] ?? Number.NaN);
    return pipeline(this.#source, countTo(this.#onProgress, Number.isNaN(total) ? null : total), () => {});
  }

  #translate(error: unknown): unknown {
    if (!isDecodingFault(error)) return error;
    const { route, headers } = this.#answer;
    const url = maskUrl(this.#answer.url);
    const encoding = headers['content-encoding'];
    const fault =
      error instanceof CloudlaneError
        ? `: ${error.message}`
        : ` is not valid ${encoding}, as its Content-Encoding says`;
    return new ProtocolError(`The body of ${url}${fault}`, {
      phase: 'body',
      hop: 'origin',
      proxy: route.kind === 'direct' ? null : formatProxy(route.proxy),
      url,
      cause: error,
    });
  }
}

const NOTHING = Readable.from([]);

function countTo(report: DownloadProgress, total: number | null): Transform {
  let received = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      received += chunk.length;
      try {
        report(received, total);
        callback(null, chunk);
      } catch (error) {
        callback(error as Error);
      }
    },
  });
}

async function close(stream: Readable, reason: Error): Promise<void> {
  if (stream.closed) return;
  stream.on('error', () => {}).destroy(reason);
  await once(stream, 'close').catch(() => {});
}
