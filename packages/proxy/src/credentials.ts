import type { ProxyCredentials } from './proxy-server.ts';

const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** Credentials that can be read but not printed: not by `JSON.stringify`, `util.inspect`, `String` or a copy. */
export function createCredentials(username: string, password: string): ProxyCredentials {
  return Object.freeze(new MaskedCredentials(username, password));
}

/** Why credentials cannot be sent, or `undefined`. */
export function findCredentialsFault(scheme: string, { username, password }: ProxyCredentials): string | undefined {
  // RFC 7617 §2: the first colon ends the user name, and control characters are not allowed.
  if (!scheme.startsWith('socks') && username.includes(':')) return 'the user name contains a colon';
  if (/\p{Cc}/u.test(username + password)) return 'the credentials contain a control character';
  if (/\p{Surrogate}/u.test(`${username} ${password}`)) return 'the credentials are not valid Unicode';
  // RFC 1929 §2: lengths are one byte each.
  if (scheme.startsWith('socks5')) {
    if (countBytes(username) > 255) return 'the user name is longer than the 255 bytes SOCKS5 has room for';
    if (countBytes(password) > 255) return 'the password is longer than the 255 bytes SOCKS5 has room for';
  }
  return undefined;
}

class MaskedCredentials implements ProxyCredentials {
  readonly #username: string;
  readonly #password: string;

  constructor(username: string, password: string) {
    this.#username = username;
    this.#password = password;
  }

  get username(): string {
    return this.#username;
  }

  get password(): string {
    return this.#password;
  }

  toJSON(): ProxyCredentials {
    return { username: maskUsername(this), password: '***' };
  }

  toString(): string {
    return `${maskUsername(this)}:***`;
  }

  [INSPECT](): ProxyCredentials {
    return this.toJSON();
  }
}

/** The user name for printing. Alone, without a password, it is usually an access token, so it is masked too. */
export function maskUsername({ username, password }: ProxyCredentials): string {
  return password === '' && username !== '' ? '***' : username;
}

function countBytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
