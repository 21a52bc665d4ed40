import { InvalidOptionError } from '@cloudlane/proxy';
import { basicCredentials } from '@cloudlane/transport';
import type { PreparedRequest } from './prepared-request.ts';

/** Authorizes requests to an origin. `apply` runs last, on the request as it will go out, once for each try. */
export abstract class AuthBase {
  abstract apply(request: PreparedRequest): void | Promise<void>;
}

/** Auth for an origin: an `AuthBase`, or any function that does the same. */
export type Auth = AuthBase | ((request: PreparedRequest) => void | Promise<void>);

/** Basic authentication (RFC 7617), in UTF-8. */
export class HTTPBasicAuth extends AuthBase {
  readonly #header: string;

  /** @throws InvalidOptionError if the user name contains a colon, which Basic cannot express */
  constructor(username: string, password: string) {
    super();
    if (username.includes(':'))
      throw new InvalidOptionError('auth.username', 'contains a colon; Basic authentication has no way to send it');
    this.#header = basicCredentials(username, password);
  }

  apply(request: PreparedRequest): void {
    request.setHeader('Authorization', this.#header);
  }
}

export async function applyAuth(auth: Auth, request: PreparedRequest): Promise<void> {
  await (typeof auth === 'function' ? auth(request) : auth.apply(request));
}
