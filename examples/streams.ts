import { createReadStream } from 'node:fs';
import type { S3Storage } from '@cloudlane/driver-aws';

/** Uploads a file and fetches it again, without holding it in memory. */
export async function copyThrough(
  storage: S3Storage,
  bucket: string,
  from: string,
  to: string,
  size: number,
): Promise<number> {
  let sent = 0;
  // #region streams
  await storage.putObject(bucket, 'disk.img', { file: from });
  await storage.putObject(bucket, 'disk.img', createReadStream(from), {
    size,
    signal: AbortSignal.timeout(60_000),
    onProgress: (bytes) => {
      sent = bytes;
    },
  });
  const object = await storage.getObject(bucket, 'disk.img', { timeout: { idle: 10_000 } });
  await object.saveTo(to); // beside it first, then renamed: never half a file
  // #endregion
  return sent;
}
