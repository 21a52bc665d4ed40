import { createHash } from 'node:crypto';

/** A hash that Digest authentication can use (RFC 7616 §3.2). */
export interface DigestAlgorithm {
  /** As Node's `createHash` calls it. */
  readonly hash: string;
  /** The `-sess` form, in which a nonce has a key of its own. */
  readonly session: boolean;
  /** More is better. */
  readonly strength: number;
}

/** What goes into the response to a challenge. All texts are bytes, one to a character. */
export interface DigestInput {
  readonly method: string;
  readonly uri: string;
  readonly nonce: string;
  readonly cnonce: string;
  /** Null: as in RFC 2069. */
  readonly qop: 'auth' | 'auth-int' | null;
  /** Eight hexadecimal digits. */
  readonly nc: string;
  /** For `auth-int`. */
  readonly body: string | Uint8Array;
}

// From weak to strong. SHA and SHA-512 are in no RFC, but in Requests, and in servers.
const HASHES: readonly (readonly [name: string, hash: string])[] = [
  ['MD5', 'md5'],
  ['SHA', 'sha1'],
  ['SHA-256', 'sha256'],
  ['SHA-512-256', 'sha512-256'],
  ['SHA-512', 'sha512'],
];

/** The algorithm of that name, in any spelling; null: it is not known. */
export function findAlgorithm(name: string): DigestAlgorithm | null {
  const [, base = '', suffix] = /^(.*?)(-sess)?$/i.exec(name) ?? [];
  const strength = HASHES.findIndex(([known]) => known === base.toUpperCase());
  const [, hash] = HASHES[strength] ?? [];
  return hash === undefined ? null : { hash, strength, session: suffix !== undefined };
}

/** H(A1) without the part that `-sess` adds: as good as the password, for this realm alone. */
export function hashCredentials(hash: string, username: string, realm: string, password: string): string {
  return digest(hash, `${toBytes(username)}:${realm}:${toBytes(password)}`);
}

/** The user name for servers that do not want to see it (RFC 7616 §3.4.4). */
export function hashUsername(hash: string, username: string, realm: string): string {
  return digest(hash, `${toBytes(username)}:${realm}`);
}

/** The `response` to a challenge (RFC 7616 §3.4.1). */
export function digestResponse({ hash, session }: DigestAlgorithm, credentials: string, input: DigestInput): string {
  const { method, uri, nonce, cnonce, qop, nc, body } = input;
  const ha1 = session ? digest(hash, `${credentials}:${nonce}:${cnonce}`) : credentials;
  const bodyPart = qop === 'auth-int' ? `:${createHash(hash).update(body).digest('hex')}` : '';
  const ha2 = digest(hash, `${method}:${uri}${bodyPart}`);
  const middle = qop === null ? nonce : `${nonce}:${nc}:${cnonce}:${qop}`;
  return digest(hash, `${ha1}:${middle}:${ha2}`);
}

/** The bytes of a text in UTF-8, one to a character, as header fields have them. */
export function toBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function digest(hash: string, bytes: string): string {
  return createHash(hash).update(bytes, 'latin1').digest('hex');
}
