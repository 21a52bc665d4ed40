// An S3 server on loopback (s3rver; it checks no signatures) behind an origin that records what reached it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LabOrigin, type OriginHandler, startOrigin } from '@cloudlane/testing';
import S3rver from 's3rver';

/** Such keys alone exist there. */
export const keys = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' } as const;

/** Starts one. `before` may answer in its place, by returning true. */
export async function startS3(before?: (...args: Parameters<OriginHandler>) => boolean): Promise<LabOrigin> {
  const directory = await mkdtemp(join(tmpdir(), 'cloudlane-s3rver-'));
  const server = new S3rver({ directory, silent: true });
  // It listens for exceptions of the whole process.
  server.logger.exceptions.unhandle();
  const serve = server.callback();
  const handler: OriginHandler = (request, response) => {
    if (!before?.(request, response)) serve(request, response);
  };
  const origin = await startOrigin({ handler, recordBodies: false });
  const close = origin.close.bind(origin);
  origin.close = async () => {
    await close();
    server.logger.close();
    await rm(directory, { recursive: true, force: true });
  };
  return origin;
}

/** Deterministic bytes, made as they are read. */
export async function* noise(size: number, chunkSize: number = 64 * 1024): AsyncGenerator<Buffer> {
  for (let sent = 0; sent < size; sent += chunkSize) {
    const chunk = Buffer.alloc(Math.min(chunkSize, size - sent), `${sent}-noise-${sent * 7}`);
    yield chunk;
  }
}
