import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { types } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';

/** A body, or a part of one, that is not in memory. */
export type Streamed = Readable | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>;

/** The bytes that a value is or shows: of an ArrayBuffer and of any view of one; null if it is none. */
export function bytesOf(value: unknown): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  if (types.isAnyArrayBuffer(value)) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return null;
}

/** Whether it can be read chunk by chunk: a stream of Node or of the web, or an async iterable. */
export function isStreamed(value: unknown): value is Streamed {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** @throws InvalidOptionError if the stream cannot be read any more */
export function checkFresh(option: string, stream: Streamed): void {
  const isSpent =
    stream instanceof Readable
      ? stream.destroyed || stream.readableEnded
      : stream instanceof ReadableStream && stream.locked;
  if (isSpent)
    throw new InvalidOptionError(option, 'is a stream that is read, or was destroyed, before; give a fresh one');
}

/** Any stream as one of Node's; only that can be closed while somebody waits for its next chunk. */
export function toReadable(stream: Streamed): Readable {
  if (stream instanceof Readable) return stream;
  return stream instanceof ReadableStream ? Readable.fromWeb(stream) : Readable.from(stream);
}

/** Gives up a stream that nobody has begun to read. */
export function discard(stream: Streamed): void {
  if (stream instanceof Readable) stream.destroy();
  else if (stream instanceof ReadableStream && !stream.locked) void stream.cancel().catch(() => {});
}
