import type { IncomingMessage } from 'node:http';
import type { Attempt } from './attempt.ts';
import type { HttpConnection } from './http-connection.ts';
import { TransportResponse } from './transport-response.ts';

/** The answer on an `HttpConnection`. */
export class HttpConnectionResponse extends TransportResponse {
  readonly #connection: HttpConnection;

  constructor(message: IncomingMessage, attempt: Attempt, connection: HttpConnection) {
    super(message, attempt);
    this.#connection = connection;
  }

  /**
   * The connection it comes on, so that it can be closed when the answer makes no sense; null once the connection is
   * free or gone: when the body has been read to its end or destroyed, and at once if there is none (HEAD, 204, 304).
   */
  get httpConnection(): HttpConnection | null {
    return this.body.readableEnded || this.body.destroyed ? null : this.#connection;
  }
}
