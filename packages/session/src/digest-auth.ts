import { InvalidOptionError } from '@cloudlane/proxy';
import { AuthBase } from './auth.ts';
import { type DigestChallenge, readDigestChallenges } from './digest-challenge.ts';
import { chooseQop, DigestSpace } from './digest-space.ts';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';

/**
 * Digest authentication (RFC 7616, and RFC 2069 for servers without `qop`): MD5, SHA-256, SHA-512-256, SHA and SHA-512,
 * each also as `-sess`; the strongest that is offered. The first request to an origin is sent without credentials and
 * once more after its 401; later ones use the same nonce until the server wants another. One object serves any number
 * of origins and sessions at once, and shows no origin what it has of another.
 *
 * `qop=auth-int` is used where nothing else is offered, for bodies in memory. What an answer says of the next nonce
 * (`Authentication-Info`) is not looked at, nor whether the server knows the password, too.
 */
export class HTTPDigestAuth extends AuthBase {
  readonly #username: string;
  readonly #password: string;
  /** What later requests to an origin use. */
  readonly #current = new Map<string, DigestSpace>();
  /** By origin and challenge: where several requests get the same nonce, they go on counting. */
  readonly #spaces = new Map<string, DigestSpace>();
  readonly #tries = new WeakMap<PreparedRequest, Try>();

  /** @throws InvalidOptionError if the user name contains a control character, which no header can carry */
  constructor(username: string, password: string) {
    super();
    if (/\p{Cc}/u.test(username)) throw new InvalidOptionError('auth.username', 'contains a control character');
    // RFC 7616 §4: in Unicode's composed form.
    this.#username = username.normalize('NFC');
    this.#password = password.normalize('NFC');
  }

  apply(request: PreparedRequest): void {
    const last = this.#tries.get(request);
    const { origin } = request.url;
    const answers = last?.next?.origin === origin;
    const space = answers ? last.next : this.#current.get(origin);
    const header = space && (answers || space.covers(request.url)) ? space.authorize(request) : null;
    // What an earlier try, or the hop before a redirect, has sent is good for nothing any more.
    if (header !== null || isDigest(request.header('Authorization'))) request.setHeader('Authorization', header);
    this.#tries.set(request, { used: header === null ? undefined : space, answers });
  }

  override answerChallenge(response: HttpResponse): boolean {
    const { request } = response;
    const last = this.#tries.get(request);
    const challenge = readDigestChallenges(response.headers['www-authenticate']).find(
      (each) => chooseQop(each, request) !== undefined,
    );
    // Refused though the nonce was fresh: the password is wrong. With an older nonce nobody knows.
    if (!challenge || (last?.answers && !challenge.stale)) {
      const { origin } = request.url;
      if (last?.used && this.#current.get(origin) === last.used) this.#current.delete(origin);
      return false;
    }
    this.#tries.set(request, { ...last, answers: false, next: this.#enter(challenge, request.url) });
    return true;
  }

  #enter(challenge: DigestChallenge, url: URL): DigestSpace {
    const { realm, nonce, opaque, algorithmName, qop } = challenge;
    const key = JSON.stringify([url.origin, realm, nonce, opaque, algorithmName, qop]);
    const space = this.#spaces.get(key) ?? new DigestSpace(challenge, url, this.#username, this.#password);
    remember(this.#spaces, key, space);
    remember(this.#current, url.origin, space);
    return space;
  }
}

/** One sending of a request. */
interface Try {
  /** What its header was made with. */
  readonly used?: DigestSpace | undefined;
  /** Whether that came from the challenge to the try before. */
  readonly answers: boolean;
  /** What the next try has to use. */
  readonly next?: DigestSpace;
}

function isDigest(header: string | undefined): boolean {
  return header !== undefined && /^digest\s/i.test(header);
}

const MOST_REMEMBERED = 1_000;

/** Keeps the latest; who is forgotten gets another 401, no more. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= MOST_REMEMBERED) return;
    map.delete(oldest);
  }
}
