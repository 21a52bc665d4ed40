import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { discard, toReadable } from './body-kinds.ts';
import type { FilePartSource } from './file-part.ts';

/** A part of a form: its head as it is written, and its content. */
export interface MultipartPiece {
  readonly head: string;
  readonly source: FilePartSource;
}

/**
 * The body of a form: one part after the other, each opened when its turn comes. A part that fails ends it with that
 * part's error. Once it is closed, for whatever reason, so are all parts that are streams.
 */
export class MultipartBody extends Readable {
  readonly #pieces: readonly MultipartPiece[];
  readonly #chunks: AsyncGenerator<Uint8Array | string>;
  #current: Readable | null = null;

  constructor(pieces: readonly MultipartPiece[], tail: string) {
    super();
    this.#pieces = pieces;
    this.#chunks = this.#write(tail);
    for (const { source } of pieces) {
      // It may fail before its turn; then it still has its error when it is read.
      if (source.kind === 'stream' && source.stream instanceof Readable) source.stream.on('error', () => {});
    }
  }

  override _read(): void {
    this.#chunks.next().then(
      ({ done, value }) => void (this.destroyed || this.push(done ? null : value)),
      (error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#current?.destroy();
    for (const { source } of this.#pieces) if (source.kind === 'stream') discard(source.stream);
    // Not waited for: a source of another make may never come to its next chunk.
    void this.#chunks.return(undefined).catch(() => {});
    callback(error);
  }

  async *#write(tail: string): AsyncGenerator<Uint8Array | string> {
    for (const { head, source } of this.#pieces) {
      yield head;
      if (source.kind === 'bytes') yield source.bytes;
      else {
        this.#current = open(source);
        yield* this.#current;
      }
      yield '\r\n';
    }
    yield tail;
  }
}

function open(source: Exclude<FilePartSource, { kind: 'bytes' }>): Readable {
  if (source.kind === 'path') return createReadStream(source.path);
  return toReadable(source.kind === 'blob' ? source.blob.stream() : source.stream);
}
