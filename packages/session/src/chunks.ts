import { InvalidOptionError } from '@cloudlane/proxy';

/**
 * Cuts a stream into pieces of exactly `size` bytes; only the last one may be shorter. A piece that lies within one
 * chunk is a view of it, others are copied together. Holds no more than one piece and one chunk.
 * @throws InvalidOptionError if `size` is not a whole number of 1 or more, at once
 */
export function sizedChunks(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer> {
  if (!Number.isSafeInteger(size) || size < 1)
    throw new InvalidOptionError('size', `${String(size)} is no number of bytes; write a whole number of 1 or more`);
  return cutChunks(chunks, size);
}

async function* cutChunks(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer> {
  let piece: Buffer = Buffer.alloc(0);
  let filled = 0;
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    while (start < bytes.length) {
      const end = Math.min(bytes.length, start + size - filled);
      if (end - start === size) {
        yield bytes.subarray(start, end);
      } else {
        piece = withRoom(piece, filled, filled + end - start, size);
        filled += bytes.copy(piece, filled, start, end);
        if (filled === size) {
          yield piece;
          piece = Buffer.alloc(0);
          filled = 0;
        }
      }
      start = end;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/** Below this a piece is allocated at once; a larger one grows, as nobody knows whether so much will come. */
const AT_ONCE = 65_536;

function withRoom(piece: Buffer, filled: number, needed: number, size: number): Buffer {
  if (needed <= piece.length) return piece;
  const larger = Buffer.allocUnsafe(Math.min(size, Math.max(needed, 2 * piece.length, AT_ONCE)));
  piece.copy(larger, 0, 0, filled);
  return larger;
}
