import type { WebSocket } from 'ws';

/** How an open WebSocket is kept alive, and found dead. */
export interface KeepAliveOptions {
  /**
   * Milliseconds between pings (RFC 6455 §5.5.2), so that no proxy takes the connection for idle; many close what is silent
   * for a minute. 0: none. @defaultValue 20_000
   */
  readonly pingInterval?: number | undefined;
  /**
   * Milliseconds after a ping in which something must move: else the other end is gone, `error` tells a TimeoutError, and
   * `close` follows. 0: waits for ever. @defaultValue 20_000
   */
  readonly pingTimeout?: number | undefined;
}

/** What has come over the connection so far. */
export type Received = () => number;

type Pinged = Pick<WebSocket, 'readyState' | 'OPEN' | 'isPaused' | 'bufferedAmount' | 'ping'>;

/**
 * Pings as long as the WebSocket is open. A long message on its way, either way, is a sign of life as good as a pong, which
 * has to wait behind it; of a paused WebSocket nothing is read, and nothing can be said.
 *
 * @param giveUp called once the other end is found dead
 * @returns how to stop
 */
export function keepAlive(
  socket: Pinged,
  received: Received,
  { pingInterval = 20_000, pingTimeout = 20_000 }: KeepAliveOptions,
  giveUp: (milliseconds: number) => void,
): () => void {
  if (pingInterval === 0) return nothing;
  let check: NodeJS.Timeout | undefined;
  const watch = (): void => {
    const [bytes, unsent] = [received(), socket.bufferedAmount];
    const isAlive = (): boolean =>
      socket.readyState !== socket.OPEN ||
      socket.isPaused ||
      received() !== bytes ||
      (unsent > 0 && socket.bufferedAmount < unsent);
    check = later(pingTimeout, () => {
      check = undefined;
      if (!isAlive()) giveUp(pingTimeout);
    });
  };
  const pings = setInterval(() => {
    if (socket.readyState !== socket.OPEN || socket.isPaused) return;
    if (check === undefined && pingTimeout > 0) watch();
    socket.ping();
  }, pingInterval);
  // The connection keeps the process running, not its pings.
  pings.unref();
  return () => {
    clearInterval(pings);
    clearTimeout(check);
  };
}

// What came while the process was busy itself is read first.
function later(milliseconds: number, act: () => void): NodeJS.Timeout {
  return setTimeout(() => setImmediate(act), milliseconds).unref();
}

function nothing(): void {}
