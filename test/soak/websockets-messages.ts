// What the two ends of the WebSocket test say to each other: streams that both of them know, so that each message can be
// compared whole with the one that should come.
import type { RawData, WebSocket } from 'ws';

/** Who says it. */
export type Side = 'client' | 'server';

/** What one end is to say on one socket. */
export interface Stream {
  readonly side: Side;
  /** That of the socket. */
  readonly number: number;
  /** How many messages; then comes END. */
  readonly length: number;
}

// Bytes. 125 and 65,535 are the last that fit a shorter length (RFC 6455 §5.2).
const SIZES = [1, 300, 65_535, 2, 125, 1000, 4096, 126, 40, 65_536, 7, 512, 127, 1, 16_384, 64, 1024, 33, 1025, 200];
const END = 'end';
/** How many are handed over before one is waited for. */
const BURST = 8;

/** The next message of each stream that is heard, and what was wrong with those that came. */
export class Ear {
  /** Messages so far, END not among them. */
  heard = 0;
  /** The first message that is not the one that should have come, or came after the end. */
  fault: string | null = null;
  /** Resolves with END. */
  readonly ended: Promise<void>;
  readonly #stream: Stream;
  #hasEnded = false;
  #end: () => void = () => {};

  constructor(stream: Stream) {
    this.#stream = stream;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  readonly hear = (data: RawData, isBinary: boolean): void => {
    const { side, number, length } = this.#stream;
    const bytes = Buffer.isBuffer(data) ? data : Buffer.from('not a Buffer');
    const isEnd = !isBinary && bytes.toString() === END;
    const isExpected = isEnd ? this.heard === length : isSame(messageOf(this.#stream, this.heard), bytes, isBinary);
    if (this.#hasEnded || !isExpected)
      this.fault ??= `${side} ${number}: message ${this.heard} is ${isEnd ? END : `of ${bytes.length} bytes`}`;
    if (!isEnd) this.heard += 1;
    this.#hasEnded ||= isEnd;
    if (isEnd) this.#end();
  };
}

/** Says a part of a stream, and END after its last message. */
export async function say(socket: WebSocket, stream: Stream, from: number, to: number = stream.length): Promise<void> {
  for (let index = from; index < to; index += 1) {
    const message = messageOf(stream, index);
    if (index % BURST === 0) await send(socket, message);
    else socket.send(message);
  }
  if (to === stream.length) await send(socket, END);
}

/** Two of three are binary; among the first of each stream every size comes once. */
function messageOf({ side, number }: Stream, index: number): string | Buffer {
  const size = SIZES[(index + number) % SIZES.length] ?? 0;
  const length = index < SIZES.length ? size : size % 256;
  if (index % 3 === 0) return `${index} of ${side} ${number}: ${'ä€'.repeat(length / 5)}`;
  const bytes = Buffer.alloc(length, `${index} of ${side} ${number}; `);
  // Also of the shortest the neighbours differ.
  if (length > 0) bytes[0] = index & 0xff;
  return bytes;
}

function isSame(expected: string | Buffer, bytes: Buffer, isBinary: boolean): boolean {
  return isBinary === (typeof expected !== 'string') && Buffer.from(expected).equals(bytes);
}

function send(socket: WebSocket, message: string | Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(message, (error) => (error ? reject(error) : resolve()));
  });
}
