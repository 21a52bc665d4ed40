import type { Socket } from 'node:net';
import { Watch } from './watch.ts';

/** Reads a socket so many bytes at a time, and notices when the other side goes. */
export class Intake {
  readonly #socket: Socket;
  readonly #watch = new Watch();
  #bytes = Buffer.alloc(0);
  #ended = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#onData);
    socket.once('end', this.#onEnd);
    socket.once('close', this.#onEnd);
    socket.resume();
  }

  /** Exactly so many bytes; `null` if the other side went before. */
  async take(length: number): Promise<Buffer | null> {
    await this.#watch.until(() => this.#bytes.length >= length || this.#ended);
    return this.#cut(length);
  }

  /** The bytes before the next such byte, which is taken too; `null` if it is not among the next `limit` bytes. */
  async takeUntil(end: number, limit: number): Promise<Buffer | null> {
    await this.#watch.until(() => this.#bytes.includes(end) || this.#bytes.length > limit || this.#ended);
    const at = this.#bytes.indexOf(end);
    if (at < 0 || at > limit) return null;
    return this.#cut(at + 1)?.subarray(0, at) ?? null;
  }

  /** The next byte, which is not taken; `null` if the other side went before. */
  async peek(): Promise<number | null> {
    await this.#watch.until(() => this.#bytes.length > 0 || this.#ended);
    return this.#bytes[0] ?? null;
  }

  /** Stops reading. What has come and was not taken is for whoever reads next. */
  release(): Buffer {
    this.#socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onEnd).pause();
    return this.#bytes;
  }

  #cut(length: number): Buffer | null {
    if (this.#bytes.length < length) return null;
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#watch.changed();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#watch.changed();
  };
}

/** The first byte of a connection, which is left there: whoever serves the paused socket reads it again. `null`: nobody is left. */
export async function firstByte(socket: Socket): Promise<number | null> {
  const intake = new Intake(socket);
  const first = await intake.peek();
  const bytes = intake.release();
  if (first === null || socket.destroyed) return null;
  socket.unshift(bytes);
  return first;
}
