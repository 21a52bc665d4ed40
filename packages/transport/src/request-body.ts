import type { ClientRequest, OutgoingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { InvalidOptionError } from '@cloudlane/proxy';

/** What can be sent. Streams are read once; a declared `Content-Length` must be kept to the byte. */
export type RequestBody =
  | string
  | Uint8Array
  | Readable
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>;

/** Called while a body is sent: bytes handed to the socket so far, and all of them if known. */
export type UploadProgress = (sent: number, total: number | null) => void;

/** Whether the whole body is in memory. */
export function isBuffered(body: RequestBody): body is string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array;
}

/**
 * A body that can follow such a head. Node joins a string to the head before it, and encodes both alike: what stands for
 * single bytes there would be encoded a second time.
 */
export function bodyAfter<T>(
  target: string | undefined,
  headers: OutgoingHttpHeaders,
  body: T | string,
): T | string | Uint8Array {
  const isPlain = target === undefined && !BEYOND_ASCII.test(Object.values(headers).join());
  return typeof body !== 'string' || isPlain ? body : Buffer.from(body);
}

const BEYOND_ASCII = /[^\0-\x7f]/;

/** @throws InvalidOptionError if it is none of `RequestBody`'s kinds, or a stream that was read or destroyed before */
export function checkBody(body: unknown): asserts body is RequestBody {
  if (typeof body === 'string' || body instanceof Uint8Array) return;
  if (body instanceof Readable && (body.destroyed || body.readableEnded)) {
    throw new InvalidOptionError('body', 'is a stream that was read or destroyed before; give a fresh one');
  }
  if (typeof body === 'object' && body !== null && Symbol.asyncIterator in body) return;
  throw new InvalidOptionError('body', 'must be a string, bytes (Uint8Array), a stream or an async iterable');
}

/**
 * Writes a streamed body with back-pressure; whoever calls ends the request. The source is closed at once when the
 * request is over before it: closed, or refused (an answer from 300 on: the server does not want the rest).
 * @returns bytes read from the source; they differ from `declared` only if the request must not be ended
 */
export async function sendStream(
  request: ClientRequest,
  body: Exclude<RequestBody, string | Uint8Array>,
  declared: number | null,
  onProgress: UploadProgress | undefined,
): Promise<number> {
  const source = toReadable(body);
  let isOver = request.destroyed;
  const leave = (): void => {
    isOver = true;
    source.destroy();
  };
  request.once('close', leave).once('response', ({ statusCode = 0 }) => statusCode >= 300 && leave());
  let sent = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (!request.write(bytes)) await drained(request, source);
    onProgress?.(sent, declared);
  };
  let last: Uint8Array | null = null;
  try {
    for await (const chunk of source) {
      const bytes: Uint8Array = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      if (isOver) return sent;
      if (bytes.length === 0) continue;
      sent += bytes.length;
      if (declared === null || sent < declared) await write(bytes);
      else if (sent > declared) return sent;
      // Held back until the source has ended, so that no server takes the start of a longer body for the whole.
      else last = bytes;
    }
    if (last !== null) await write(last);
  } catch (error) {
    // A source that we closed ourselves complains of it.
    if (!isOver) throw error;
  } finally {
    request.off('close', leave);
  }
  return sent;
}

/** Closes a body that will not be sent, as the request has failed. */
export function closeBody(body: RequestBody): void {
  if (isBuffered(body)) return;
  // One that is locked is in other hands.
  if ('getReader' in body) void body.cancel().catch(() => {});
  else toReadable(body).destroy();
}

// Only a Readable can be closed while somebody waits for its next chunk.
function toReadable(body: Exclude<RequestBody, string | Uint8Array>): Readable {
  if (body instanceof Readable) return body;
  return 'getReader' in body ? Readable.fromWeb(body) : Readable.from(body);
}

// Until more can be written, or nothing needs to be: the request or the source is closed.
function drained(request: ClientRequest, source: Readable): Promise<void> {
  if (request.destroyed || source.destroyed) return Promise.resolve();
  // Once the answer is complete Node tells no more of 'drain' on the request, though it may still be sent.
  const { socket } = request;
  return new Promise((resolve) => {
    const done = (): void => {
      request.off('drain', done).off('close', done);
      source.off('close', done);
      socket?.off('drain', done);
      resolve();
    };
    request.on('drain', done).on('close', done);
    source.on('close', done);
    socket?.on('drain', done);
  });
}
