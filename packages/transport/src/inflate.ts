import { Transform, type TransformCallback } from 'node:stream';
import zlib from 'node:zlib';

/**
 * Undoes `deflate`, which is deflate within zlib's format (RFC 9110 §8.4.1.2). Some servers send it without; the first
 * byte tells.
 */
export class EitherInflate extends Transform {
  #decoder: zlib.Inflate | zlib.InflateRaw | null = null;

  override _transform(chunk: Buffer, encoding: BufferEncoding, done: TransformCallback): void {
    const [first] = chunk;
    if (this.#decoder === null && first !== undefined) this.#decoder = this.#start(first);
    if (this.#decoder === null) done();
    else this.#decoder.write(chunk, encoding, done);
  }

  override _flush(done: TransformCallback): void {
    const decoder = this.#decoder;
    if (decoder === null || decoder.readableEnded) done();
    else decoder.once('end', () => done()).end();
  }

  override _read(size: number): void {
    this.#decoder?.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#decoder?.destroy();
    super._destroy(error, done);
  }

  #start(first: number): zlib.Inflate | zlib.InflateRaw {
    // RFC 1950 §2.2: the low half of zlib's first byte is 8. RFC 1951 §3.2.3: as the start of plain deflate it would be a
    // stored block whose padding is not zero, which nobody writes.
    const decoder = (first & 0x0f) === 8 ? zlib.createInflate() : zlib.createInflateRaw();
    return decoder
      .on('data', (decoded: Buffer) => this.push(decoded) || decoder.pause())
      .on('error', (error) => this.destroy(error));
  }
}
