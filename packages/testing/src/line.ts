import { Agent } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** The kept connections of one client of a proxy to one origin. */
export class Line extends Agent {
  readonly #open: () => Promise<Socket>;

  constructor(open: () => Promise<Socket>) {
    super({ keepAlive: true });
    this.#open = open;
  }

  override createConnection(_: unknown, callback?: (error: Error | null, stream: Duplex) => void): undefined {
    const succeed = (socket: Socket): void => {
      // An idle connection that the origin ends must close, or the next request would be sent to nobody.
      socket.allowHalfOpen = false;
      callback?.(null, socket);
    };
    // With an error nobody looks at the socket.
    const fail = (error: Error): void => callback?.(error, new Socket());
    this.#open().then(succeed, fail);
  }
}
