import { InvalidOptionError } from '@cloudlane/proxy';
import { basicCredentials } from '@cloudlane/transport';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';

/**
 * Authorizes requests to an origin. `apply` sees the request as it will go out, once for each try; only the hook
 * `preRequest` comes after it. It does not run for other origins that a redirect leads to.
 */
export abstract class AuthBase {
  abstract apply(request: PreparedRequest): void | Promise<void>;

  /** Whether user name and password in a URL stay there, to be sent as Basic unless `apply` has something else. @defaultValue false */
  readonly keepsUrlCredentials?: boolean;

  /**
   * Hears of an answer 401 to a request that `apply` has seen. True: the request goes out once more, after another
   * `apply`; a call does so three times at most. The answer's body must not be read then.
   */
  answerChallenge?(response: HttpResponse): boolean | Promise<boolean>;
}

/** Auth for an origin: an `AuthBase`, a function that does what its `apply` does, or user name and password for Basic. */
export type Auth =
  | AuthBase
  | ((request: PreparedRequest) => void | Promise<void>)
  | ((request: PreparedRequest) => PreparedRequest | Promise<PreparedRequest>)
  | readonly [username: string, password: string];

/** Basic authentication (RFC 7617), in UTF-8. */
export class HTTPBasicAuth extends AuthBase {
  readonly #value: string;

  /** @throws InvalidOptionError if the user name contains a colon, which Basic cannot express */
  constructor(username: string, password: string) {
    super();
    this.#value = basicValue(username, password);
  }

  apply(request: PreparedRequest): void {
    request.setHeader('Authorization', this.#value);
  }
}

/**
 * Basic authentication to whichever proxy a request goes through, where `http_proxy` has no credentials; for the proxy
 * alone, inside a tunnel too. Without effect on direct and SOCKS routes.
 */
export class HTTPProxyAuth extends AuthBase {
  readonly #value: string;

  /** @throws InvalidOptionError if the user name contains a colon, which Basic cannot express */
  constructor(username: string, password: string) {
    super();
    this.#value = basicValue(username, password);
  }

  apply(request: PreparedRequest): void {
    request.setHeader('Proxy-Authorization', this.#value);
  }
}

function basicValue(username: string, password: string): string {
  if (username.includes(':'))
    throw new InvalidOptionError('auth.username', 'contains a colon; Basic authentication has no way to send it');
  return basicCredentials(username, password);
}

/** Auth in the form that the loop asks for. */
export interface Authorizer {
  /** @returns nothing, or the request to go on with */
  apply(request: PreparedRequest): unknown;
  readonly keepsUrlCredentials?: boolean;
  answerChallenge?(response: HttpResponse): boolean | Promise<boolean>;
}

/** @throws InvalidOptionError if it is no auth */
export function readAuth(auth: Auth): Authorizer {
  if (typeof auth === 'function') return { apply: auth };
  if (!isPair(auth) && typeof auth?.apply === 'function') return auth;
  if (isPair(auth)) return new HTTPBasicAuth(...auth);
  throw new InvalidOptionError('auth', 'must be an AuthBase, a function, or [username, password]');
}

function isPair(auth: unknown): auth is readonly [string, string] {
  return Array.isArray(auth) && auth.length === 2 && auth.every((part) => typeof part === 'string');
}
