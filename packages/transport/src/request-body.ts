import type { ClientRequest } from 'node:http';
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
 * Writes a streamed body with back-pressure and ends the request. Stops reading the source early when the request is
 * over before it: closed, or `isAnswered` (the server has refused and does not want the rest).
 * @returns bytes written; fewer than `declared` only if it stopped early
 */
export async function sendStream(
  request: ClientRequest,
  body: Exclude<RequestBody, string | Uint8Array>,
  declared: number | null,
  onProgress: UploadProgress | undefined,
  isAnswered: () => boolean,
): Promise<number> {
  let sent = 0;
  // Leaving the loop destroys the source.
  for await (const chunk of body) {
    if (request.destroyed || isAnswered()) return sent;
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    sent += bytes.length;
    if (declared !== null && sent > declared) return sent;
    if (!request.write(bytes)) await drained(request);
    onProgress?.(sent, declared);
  }
  return sent;
}

function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      request.off('drain', done).off('close', done);
      resolve();
    };
    if (request.destroyed) return resolve();
    request.on('drain', done).on('close', done);
  });
}
