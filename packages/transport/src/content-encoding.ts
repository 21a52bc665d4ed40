import { pipeline, type Readable, type Transform } from 'node:stream';
import zlib from 'node:zlib';
import { InvalidOptionError } from '@cloudlane/proxy';
import { isError } from './foreign-error.ts';

/** What `decodeBody` understands, for `Accept-Encoding`. */
export const ACCEPTED_ENCODINGS = 'gzip, deflate, br';

/**
 * Undoes a `Content-Encoding` (RFC 9110 §8.4). Codings that it does not know are left for the caller: then the stream is
 * returned as it is. A body that breaks off or is corrupt fails the stream.
 */
export function decodeBody(body: Readable, contentEncoding: string | undefined): Readable {
  const codings = (contentEncoding ?? '')
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity');
  const decoders: Transform[] = [];
  for (const coding of codings.reverse()) {
    const decoder = makeDecoder(coding);
    if (decoder === null) return body;
    decoders.push(takingNothing(decoder));
  }
  // pipeline passes an error on in both directions, so that the connection is never left half-read.
  return decoders.reduce<Readable>((source, decoder) => pipeline(source, decoder, () => {}), body);
}

function makeDecoder(coding: string): zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress | null {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return zlib.createGunzip();
    case 'deflate':
      return zlib.createInflate();
    case 'br':
      return zlib.createBrotliDecompress();
    default:
      return null;
  }
}

// Answers to HEAD, 204 and 304 say how a body would be coded, but have none.
function takingNothing(decoder: zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress): Transform {
  const flush = decoder._flush;
  decoder._flush = (callback) => (decoder.bytesWritten === 0 ? callback() : flush.call(decoder, callback));
  return decoder;
}

/** Whether a body failed because it is not in the coding that it claims, by the codes of Node's zlib and brotli. */
export function isDecodingFault(error: unknown): boolean {
  return isError(error) && 'code' in error && /^(Z_|ERR__|ERR_BROTLI)/.test(String(error.code));
}

/** Reads a stream into one buffer. @throws InvalidOptionError if it is longer than `limit` bytes */
export async function readAll(body: Readable, limit: number = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > limit)
      throw new InvalidOptionError('maxBytes', `is ${limit}, but the body is longer; read it as a stream`);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}
