import { pipeline, type Readable, Transform } from 'node:stream';
import zlib from 'node:zlib';
import { InvalidOptionError } from '@cloudlane/proxy';
import { CloudlaneError } from './errors.ts';
import { isError } from './foreign-error.ts';
import { EitherInflate } from './inflate.ts';

// From Node 22.15 on; the types are those of the oldest Node that we run on.
const createZstdDecompress: unknown = Reflect.get(zlib, 'createZstdDecompress');

/** What `decodeBody` understands, for `Accept-Encoding`: `gzip, deflate, br`, and `zstd` where Node has it (22.15). */
export const ACCEPTED_ENCODINGS: string = `gzip, deflate, br${createZstdDecompress === undefined ? '' : ', zstd'}`;

// Each one costs memory and can blow a body up once more, and no server means more than one or two.
const MOST_CODINGS = 5;

/** A body in more content codings than are undone. */
export class TooManyCodingsError extends CloudlaneError {
  constructor(count: number) {
    const what = `the body is in ${count} content codings, one over the other; at most ${MOST_CODINGS} are undone`;
    super(what, 'ERR_TOO_MANY_CODINGS');
  }
}

/**
 * Undoes a `Content-Encoding` (RFC 9110 §8.4). Codings that it does not know are left for the caller: then the stream is
 * returned as it is. A body that breaks off or is corrupt fails the stream, and so does one in more than five codings
 * (TooManyCodingsError); but Node does not tell of zstd that ends too early within a body that is whole.
 */
export function decodeBody(body: Readable, contentEncoding: string | undefined): Readable {
  const codings = (contentEncoding ?? '')
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity');
  if (codings.length > MOST_CODINGS) return pipeline(body, failing(new TooManyCodingsError(codings.length)), () => {});
  const decoders: Transform[] = [];
  for (const coding of codings.reverse()) {
    const decoder = makeDecoder(coding);
    if (decoder === null) return body;
    decoders.push(decoder);
  }
  // pipeline passes an error on in both directions, so that the connection is never left half-read.
  return decoders.reduce<Readable>((source, decoder) => pipeline(source, decoder, () => {}), body);
}

// As a decoder does, not before there is something to decode.
function failing(error: Error): Transform {
  return new Transform({ transform: (_chunk, _encoding, callback) => callback(error) });
}

function makeDecoder(coding: string): Transform | null {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return takingNothing(zlib.createGunzip());
    case 'deflate':
      return new EitherInflate();
    case 'br':
      return takingNothing(zlib.createBrotliDecompress());
    case 'zstd':
      return makeZstd();
    default:
      return null;
  }
}

function makeZstd(): Transform | null {
  const decoder: unknown = typeof createZstdDecompress === 'function' ? createZstdDecompress() : null;
  return decoder instanceof Transform ? takingNothing(decoder) : null;
}

// Answers to HEAD, 204 and 304 say how a body would be coded, but have none.
function takingNothing(decoder: Transform & { readonly bytesWritten?: number }): Transform {
  const flush = decoder._flush;
  decoder._flush = (callback) => (decoder.bytesWritten === 0 ? callback() : flush.call(decoder, callback));
  return decoder;
}

/**
 * Whether a body failed because it is not in the coding that it claims, by the codes of Node's zlib, brotli and zstd; or
 * because it is in too many.
 */
export function isDecodingFault(error: unknown): boolean {
  if (error instanceof TooManyCodingsError) return true;
  return isError(error) && 'code' in error && /^(Z_|ERR__|ERR_BROTLI|ZSTD_)/.test(String(error.code));
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
