import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Environment, InvalidOptionError } from '@cloudlane/proxy';
import { AuthBase, HTTPBasicAuth } from './auth.ts';
import { findNetrcEntry, type NetrcEntry, NetrcSyntaxError, parseNetrc } from './netrc.ts';
import type { PreparedRequest } from './prepared-request.ts';

/** Options of {@link NetrcAuth}. */
export interface NetrcOptions {
  /** Where `NETRC` and `HOME` are looked up. @defaultValue process.env */
  readonly env?: Environment | undefined;
}

/**
 * Basic authentication with what a netrc file has for the URL's host: the path given, else the one in the variable
 * `NETRC`, else `~/.netrc` (`~/_netrc` on Windows), which need not be there. Read when first needed, and again when it has
 * changed. A request that has an `Authorization` or a password in its URL keeps it; with only a user name there, that
 * user's entry counts.
 *
 * A file with passwords that other users can read gives a Node warning with the code `CLOUDLANE_NETRC`, once.
 */
export class NetrcAuth extends AuthBase {
  override readonly keepsUrlCredentials = true;
  readonly #file: NetrcFile;
  #read: { readonly version: string; readonly entries: readonly NetrcEntry[] } | null = null;

  /** @throws InvalidOptionError if the file that was asked for is not there */
  constructor(path?: string, { env = process.env }: NetrcOptions = {}) {
    super();
    this.#file = findFile(path, env);
    if (!this.#file.isOptional && !existsSync(this.#file.path))
      throw new InvalidOptionError(this.#file.option, `there is no file ${this.#file.path}`);
  }

  /** @throws InvalidOptionError if the file cannot be read, or is no netrc file */
  async apply(request: PreparedRequest): Promise<void> {
    const { username, password, hostname } = request.url;
    if (request.header('Authorization') !== undefined || password !== '') return;
    const login = username === '' ? null : decoded(username);
    // By the host's name alone, as the URL parser read it: other texts of the URL may look like another host's.
    const entry = findNetrcEntry(await this.#entries(), hostname, login);
    if (!entry || entry.password === null) return;
    new HTTPBasicAuth(entry.login ?? entry.account ?? '', entry.password).apply(request);
  }

  async #entries(): Promise<readonly NetrcEntry[]> {
    const { path, option, isOptional } = this.#file;
    try {
      const { mtimeMs, size, ino, mode } = await stat(path);
      const version = [mtimeMs, size, ino].join(' ');
      if (this.#read?.version === version) return this.#read.entries;
      const entries = parseNetrc(await readFile(path, 'utf8'));
      if (entries.some(({ password }) => password !== null)) warnReadable(path, mode);
      this.#read = { version, entries };
      return entries;
    } catch (error) {
      if (isOptional && isMissing(error)) return [];
      throw new InvalidOptionError(option, `${path} cannot be used: ${reasonOf(error)}`);
    }
  }
}

interface NetrcFile {
  readonly path: string;
  /** Who named it. */
  readonly option: string;
  readonly isOptional: boolean;
}

function findFile(path: string | undefined, env: Environment): NetrcFile {
  if (path !== undefined) return { path, option: 'path', isOptional: false };
  if (env.NETRC) return { path: env.NETRC, option: 'env:NETRC', isOptional: false };
  const isWindows = process.platform === 'win32';
  const home = (isWindows ? env.USERPROFILE : env.HOME) || homedir();
  return { path: join(home, isWindows ? '_netrc' : '.netrc'), option: 'netrc', isOptional: true };
}

// What is malformed is nobody's login; the transport refuses it.
function decoded(username: string): string {
  try {
    return decodeURIComponent(username);
  } catch {
    return username;
  }
}

const warned = new Set<string>();

// As ftp did, but without refusing: in containers and on shared volumes the mode is often not the user's to choose.
function warnReadable(path: string, mode: number): void {
  if (process.platform === 'win32' || (mode & 0o077) === 0 || warned.has(path)) return;
  warned.add(path);
  process.emitWarning(`Other users may read the passwords in ${path}; run chmod 600 on it`, {
    type: 'InsecureFileWarning',
    code: 'CLOUDLANE_NETRC',
  });
}

// The error of the parser has nothing of the file in it; Node's have its path.
function reasonOf(error: unknown): string {
  return error instanceof NetrcSyntaxError ? error.message : (codeOf(error) ?? 'it could not be read');
}

function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '');
}

function codeOf(error: unknown): string | null {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : null;
}
