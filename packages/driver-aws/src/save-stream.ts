import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, link, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { InvalidOptionError } from '@cloudlane/proxy';

/**
 * Writes a stream to a file. It goes to a temporary file beside, which takes the path's name once it is whole and on the
 * disk; whatever fails, the path names what it named before. The stream is ended either way.
 * @throws InvalidOptionError if there is a file and `overwrite` is false; the stream's or the file system's error
 */
export async function saveStream(source: Readable, path: string, overwrite: boolean): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.part`);
  try {
    if (!overwrite && (await exists(path))) throw taken(path);
    await pipeline(source, createWriteStream(temporary, { flags: 'wx', flush: true }));
    if (overwrite) await rename(temporary, path);
    else await renameToFree(temporary, path);
  } finally {
    source.destroy();
    await rm(temporary, { force: true });
  }
}

// rename() replaces what is there; link() refuses to, also if it came while the body was read.
async function renameToFree(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') throw taken(path);
    if (!NO_LINKS.has(code)) throw error;
    if (await exists(path)) throw taken(path);
    await rename(temporary, path);
  }
}

/** What file systems without hard links say. */
const NO_LINKS: ReadonlySet<unknown> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

function taken(path: string): InvalidOptionError {
  return new InvalidOptionError('path', `names a file that is there already: ${path}; write { overwrite: true }`);
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}
