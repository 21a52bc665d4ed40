// Uploads and downloads random bytes that are made as they are sent, in a process of its own, so that its memory can be
// measured: node transfer.mjs SIZE < OPTIONS, where the options are those of S3Storage, in JSON. Prints what it measured.
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { json } from 'node:stream/consumers';
import { S3Storage } from '@cloudlane/driver-aws';

const size = Number(process.argv[2]);
const storage = new S3Storage(await json(process.stdin));
const chunk = Buffer.alloc(64 * 1024);

/** Random enough to defeat compression, cheap enough not to be what is measured. */
async function* source(hash) {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  for (let left = size; left > 0; left -= chunk.length) {
    const bytes = cipher.update(chunk.subarray(0, Math.min(left, chunk.length)));
    hash.update(bytes);
    yield bytes;
  }
}

async function measured(work) {
  const started = performance.now();
  const sha256 = createHash('sha256');
  await work(sha256);
  return { sha256: sha256.digest('hex'), seconds: (performance.now() - started) / 1000 };
}

const upload = await measured((hash) => storage.putObject('large', 'object', source(hash), { size }));
const download = await measured(async (hash) => {
  for await (const bytes of (await storage.getObject('large', 'object')).stream()) hash.update(bytes);
});
// In KiB, whatever the system says.
const peak = process.resourceUsage().maxRSS * 1024;
process.stdout.write(JSON.stringify({ upload, download, peak }));
