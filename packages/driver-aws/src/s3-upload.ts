import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { types } from 'node:util';
import type { ObjectBody } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { HttpResponse } from '@cloudlane/session';
import { checkBody, type RequestBody } from '@cloudlane/transport';
import { bareEtag } from './s3-xml.ts';

/** Bytes in one upload: 5 GiB (Amazon S3 User Guide, "Uploading objects"). */
export const MAX_SINGLE_PUT: number = 5 * 1024 ** 3;

/** The body of one upload. */
export interface Upload {
  readonly body: RequestBody;
  readonly size: number;
  /** MD5 in hex of what was sent; call it once everything was. */
  md5(): string;
  /** Ends the source, whether or not it was read. */
  close(): Promise<void>;
}

/**
 * Makes ready what is to be stored.
 * @param withMd5 whether its MD5 is computed as it is sent
 * @throws InvalidOptionError if its size is unknown, too large or not as said, or if it is nothing that can be sent
 */
export async function openUpload(source: ObjectBody, size: number | undefined, withMd5: boolean): Promise<Upload> {
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 0))
    throw new InvalidOptionError('size', 'must be a whole number of bytes');
  if (typeof source === 'string' || types.isUint8Array(source)) return buffered(source, size, withMd5);
  if (isIterable(source)) {
    if (size === undefined)
      throw new InvalidOptionError('size', 'is missing; S3 wants the size of a stream before its first byte');
    return streamed(source, checkSize(size), withMd5);
  }
  if (typeof source === 'object' && source !== null && typeof source.file === 'string')
    return await ofFile(source.file, size, withMd5);
  throw new InvalidOptionError('body', 'must be text, bytes, a stream, an async iterable or { file: path }');
}

/** The MD5 that an answer claims for a stored object, or null where its ETag is something else. */
export function md5Of({ headers }: HttpResponse, container: string): string | null {
  const etag = bareEtag(headers.etag);
  if (etag === null || !/^[\da-f]{32}$/i.test(etag)) return null;
  // Amazon S3 API Reference, "Object": with keys of KMS or of the customer, and in directory buckets, it is no MD5.
  const encryption = [headers['x-amz-server-side-encryption']].flat()[0] ?? '';
  const customerKey = headers['x-amz-server-side-encryption-customer-algorithm'] !== undefined;
  return encryption.startsWith('aws:kms') || customerKey || container.endsWith('--x-s3') ? null : etag.toLowerCase();
}

function buffered(source: string | Uint8Array, size: number | undefined, withMd5: boolean): Upload {
  // Bytes from here on, so that what is counted, hashed and sent is one and the same.
  const body = typeof source === 'string' ? Buffer.from(source) : source;
  if (size !== undefined && size !== body.length)
    throw new InvalidOptionError('size', `says ${size}, but the body has ${body.length} bytes`);
  const md5 = withMd5 ? createHash('md5').update(body).digest('hex') : '';
  return { body, size: checkSize(body.length), md5: () => md5, close: async () => {} };
}

async function ofFile(path: string, size: number | undefined, withMd5: boolean): Promise<Upload> {
  const file = await open(path);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new InvalidOptionError('body.file', 'is no regular file; give a stream and its size');
    if (size !== undefined && size !== stats.size)
      throw new InvalidOptionError('size', `says ${size}, but the file has ${stats.size} bytes`);
    return { ...streamed(chunksOf(file), checkSize(stats.size), withMd5), close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function chunksOf(file: FileHandle): Readable {
  return file.createReadStream({ autoClose: false, highWaterMark: 256 * 1024 });
}

function streamed(source: AsyncIterable<unknown>, size: number, withMd5: boolean): Upload {
  checkBody(source);
  const hash = withMd5 ? createHash('md5') : null;
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      if (!types.isUint8Array(bytes)) throw new InvalidOptionError('body', 'yields something that is no bytes');
      hash?.update(bytes);
      yield bytes;
    }
  }
  return {
    body: hashed(),
    size,
    md5: () => hash?.digest('hex') ?? '',
    // The request may have failed before it came to reading.
    close: async () => void (source instanceof Readable && source.destroy()),
  };
}

function checkSize(size: number): number {
  if (size <= MAX_SINGLE_PUT) return size;
  throw new InvalidOptionError('size', `is ${size}; one upload takes at most ${MAX_SINGLE_PUT} bytes`);
}

function isIterable(source: unknown): source is AsyncIterable<unknown> {
  return typeof source === 'object' && source !== null && Symbol.asyncIterator in source;
}
