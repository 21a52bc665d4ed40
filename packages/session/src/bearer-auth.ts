import { InvalidOptionError } from '@cloudlane/proxy';
import { AuthBase } from './auth.ts';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';

/** Where tokens come from. */
export interface BearerTokens {
  /** The first one. @defaultValue what `refresh` gives */
  readonly token?: string | undefined;
  /**
   * Gets a new token: before the first request if there is no `token`, and when the origin answers 401. Runs once at a
   * time, for all requests that wait for it; what it throws, they throw.
   */
  readonly refresh: () => string | Promise<string>;
}

/**
 * Bearer tokens (RFC 6750). Given a token alone, a 401 is the answer. Where tokens can be had anew, a request is sent
 * once more after a 401, with a new one, or with the one that another request got meanwhile.
 */
export class HTTPBearerAuth extends AuthBase {
  readonly #refresh: BearerTokens['refresh'] | null;
  #token: Token | null = null;
  #refreshing: Promise<Token> | null = null;
  readonly #tries = new WeakMap<PreparedRequest, Try>();

  /** @throws InvalidOptionError if a token cannot be sent in a header, or there is neither a token nor a way to get one */
  constructor(tokens: string | BearerTokens) {
    super();
    const { token, refresh } = typeof tokens === 'string' ? { token: tokens } : (tokens ?? {});
    if (token !== undefined) this.#token = readToken(token, 'auth.token');
    if (refresh === undefined && token === undefined)
      throw new InvalidOptionError('auth', 'has neither token nor refresh');
    if (refresh !== undefined && typeof refresh !== 'function')
      throw new InvalidOptionError('auth.refresh', 'must be a function that returns a token');
    this.#refresh = refresh ?? null;
  }

  async apply(request: PreparedRequest): Promise<void> {
    const token = this.#token ?? (await this.#renew());
    request.setHeader('Authorization', token.header);
    this.#tries.set(request, { token, isSecond: this.#tries.get(request)?.refused ?? false });
  }

  override async answerChallenge({ request }: HttpResponse): Promise<boolean> {
    const last = this.#tries.get(request);
    if (this.#refresh === null || !last || last.isSecond) return false;
    // Who was refused with an older token than the present one does not need another.
    if (last.token === this.#token) await this.#renew();
    this.#tries.set(request, { ...last, refused: true });
    return true;
  }

  #renew(): Promise<Token> {
    this.#refreshing ??= this.#fetch().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #fetch(): Promise<Token> {
    this.#token = readToken(await this.#refresh?.(), 'auth.refresh');
    return this.#token;
  }
}

/** Each has an identity: a new token may read like the one before. */
interface Token {
  readonly header: string;
}

/** One sending of a request. */
interface Try {
  readonly token: Token;
  /** Whether it was sent before, and refused. */
  readonly isSecond: boolean;
  readonly refused?: boolean;
}

/** Wider than RFC 6750 §2.1, as many issuers are: anything but blanks, control characters and what is beyond ASCII. */
function readToken(token: unknown, option: string): Token {
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw new InvalidOptionError(option, 'must give a token of visible ASCII characters, without blanks and line ends');
  return { header: `Bearer ${token}` };
}
