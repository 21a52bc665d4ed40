import { type BigIntStats, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The start of what OpenSSL takes for a certificate in PEM form. */
const CERTIFICATE = /^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/m;

/**
 * The PEM files with certificates that a path leads to: the file itself, or those in the directory, as OpenSSL's
 * `c_rehash` keeps them. Of a directory what is no certificate, or cannot be read, is passed over, and a file of several
 * names is read once. Null if there is nothing that can be read.
 */
export function readCertificates(path: string): Buffer[] | null {
  const facts = factsOf(path);
  if (facts === null) return null;
  try {
    const files = facts.isDirectory() ? filesIn(path).map(readIfAllowed) : [readFileSync(path)];
    return files.filter((file) => file !== null).filter((file) => CERTIFICATE.test(file.toString('latin1')));
  } catch {
    return null;
  }
}

/** The regular files of a directory, links to such among them, each once. In an order that does not change. */
function filesIn(directory: string): string[] {
  const byInode = new Map<string, string>();
  for (const name of readdirSync(directory).sort()) {
    const path = join(directory, name);
    const facts = factsOf(path);
    const id = `${facts?.dev}:${facts?.ino}`;
    if (facts?.isFile() && !byInode.has(id)) byInode.set(id, path);
  }
  return [...byInode.values()];
}

function factsOf(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}

function readIfAllowed(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
