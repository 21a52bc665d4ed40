import { once } from 'node:events';
import type { Readable } from 'node:stream';

/** Bytes that are read for nothing: about a round trip's worth, less than another connection costs. */
const WORTH_READING = 16 * 1024;

/** Milliseconds that are waited for them. */
const PATIENCE = 100;

/**
 * Reads a short rest of a body, and breaks a long one off. Resolves when it is closed, with what came if that is all of
 * it; never fails.
 */
export async function drainBody(body: Readable, length: number): Promise<Buffer | null> {
  if (body.closed) return null;
  // Whoever drops a body does not care how it ends.
  body.on('error', () => {});
  if (length > WORTH_READING) body.destroy();
  const chunks: Buffer[] = [];
  let left = WORTH_READING;
  body.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    left -= chunk.length;
    if (left < 0) body.destroy();
  });
  const timer = setTimeout(() => body.destroy(), PATIENCE);
  await once(body, 'close').catch(() => {});
  clearTimeout(timer);
  return body.readableEnded ? Buffer.concat(chunks) : null;
}
