import { randomBytes } from 'node:crypto';
import { readUrl } from '@cloudlane/transport';
import type { DigestChallenge } from './digest-challenge.ts';
import { digestResponse, hashCredentials, hashUsername, toBytes } from './digest-hash.ts';
import type { PreparedRequest } from './prepared-request.ts';

/** Credentials for one nonce of one realm: they count the requests that have used it. */
export class DigestSpace {
  readonly challenge: DigestChallenge;
  /** The only one that may see them. */
  readonly origin: string;
  readonly #names: readonly [string, string][];
  readonly #credentials: string;
  readonly #roots: readonly string[];
  // Servers differ in whether -sess takes the first request's cnonce or the present one's. With one for all both agree.
  readonly #cnonce: string;
  #count = 0;

  /** @param url of the request that was challenged */
  constructor(challenge: DigestChallenge, url: URL, username: string, password: string) {
    const { hash } = challenge.algorithm;
    this.challenge = challenge;
    this.origin = url.origin;
    this.#credentials = hashCredentials(hash, username, challenge.realm, password);
    this.#names = nameUser(challenge, username);
    this.#roots = challenge.domain.map((uri) => readUrl(uri, url)?.href ?? '');
    this.#cnonce = newCnonce();
  }

  /** Whether the server wants these credentials for a URL of its origin without having asked (RFC 7616 §3.3, `domain`). */
  covers(url: URL): boolean {
    return this.#roots.length === 0 || this.#roots.some((root) => root !== '' && url.href.startsWith(root));
  }

  /** The value of `Authorization`, good for one try. Null: the server wants the body's hash, and nobody has that yet. */
  authorize(request: PreparedRequest): string | null {
    const { challenge } = this;
    const qop = chooseQop(challenge, request);
    if (qop === undefined) return null;
    this.#count += 1;
    const nc = this.#count.toString(16).padStart(8, '0');
    const cnonce = challenge.algorithm.session ? this.#cnonce : newCnonce();
    const uri = request.target ?? request.url.pathname + request.url.search;
    const body = inMemory(request) ?? '';
    const input = { method: request.method, uri, nonce: challenge.nonce, cnonce, qop, nc, body };
    return writeCredentials([
      ...this.#names,
      ['realm', quote(challenge.realm)],
      ['nonce', quote(challenge.nonce)],
      ['uri', quote(uri)],
      ['response', quote(digestResponse(challenge.algorithm, this.#credentials, input))],
      ['algorithm', challenge.algorithmName],
      ['opaque', challenge.opaque === null ? null : quote(challenge.opaque)],
      ['qop', qop],
      ['nc', qop === null ? null : nc],
      ['cnonce', qop === null && !challenge.algorithm.session ? null : quote(cnonce)],
    ]);
  }
}

/** What a request can answer a challenge with; undefined: with nothing. */
export function chooseQop({ qop }: DigestChallenge, request: PreparedRequest): 'auth' | 'auth-int' | null | undefined {
  if (qop === null) return null;
  if (qop.includes('auth')) return 'auth';
  return qop.includes('auth-int') && inMemory(request) !== null ? 'auth-int' : undefined;
}

/** The whole body, empty if there is none; null: it is a stream. */
function inMemory({ body }: PreparedRequest): string | Uint8Array | null {
  if (body === null) return '';
  return typeof body === 'string' || body instanceof Uint8Array ? body : null;
}

/** RFC 7616 §3.4: hashed, or else in the extended notation where the plain one could not tell its charset. */
function nameUser({ userhash, utf8, realm, algorithm }: DigestChallenge, username: string): [string, string][] {
  if (userhash)
    return [
      ['username', quote(hashUsername(algorithm.hash, username, realm))],
      ['userhash', 'true'],
    ];
  if (utf8 && !/^[\x20-\x7e]*$/.test(username)) return [['username*', `UTF-8''${encodeExtended(username)}`]];
  return [['username', quote(toBytes(username))]];
}

/** RFC 8187 §3.2.1. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text).replaceAll(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function writeCredentials(params: readonly (readonly [name: string, value: string | null])[]): string {
  const given = params.filter(([, value]) => value !== null).map(([name, value]) => `${name}=${value}`);
  return `Digest ${given.join(', ')}`;
}

function quote(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** 128 bits, in hexadecimal. */
function newCnonce(): string {
  return randomBytes(16).toString('hex');
}
