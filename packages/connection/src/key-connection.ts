import { InvalidOptionError } from '@cloudlane/proxy';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection-options.ts';

/** Base of connections that identify themselves by one key or token. It is kept where nothing prints it. */
export class KeyConnection extends Connection {
  readonly #key: string;

  /**
   * @param keyOption what the driver calls the key, for the error
   * @throws InvalidOptionError if the key is empty
   */
  constructor(key: string, options: ConnectionOptions = {}, defaultBaseUrl?: string, keyOption: string = 'key') {
    super(options, defaultBaseUrl);
    this.#key = checkSecret(key, keyOption);
  }

  protected get key(): string {
    return this.#key;
  }
}

/** Base of connections that identify themselves by a user id and a key. */
export class UserAndKeyConnection extends KeyConnection {
  readonly #userId: string;

  /** @throws InvalidOptionError if one of them is empty */
  constructor(userId: string, key: string, options: ConnectionOptions = {}, defaultBaseUrl?: string) {
    super(key, options, defaultBaseUrl);
    this.#userId = checkSecret(userId, 'userId');
  }

  protected get userId(): string {
    return this.#userId;
  }
}

function checkSecret(value: string, name: string): string {
  if (typeof value !== 'string' || value.trim() === '') throw new InvalidOptionError(name, 'is empty');
  // What was copied with a line end would otherwise fail as an invalid header, far from here.
  if (/\p{Cc}/u.test(value)) throw new InvalidOptionError(name, 'contains a line break or another control character');
  return value;
}
