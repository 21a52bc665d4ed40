import type { Socket } from 'node:net';

/**
 * The next bytes of a socket that stands still otherwise, so that none is lost; null at its end. What is given back with
 * `unshift` comes again.
 * @throws what the socket fails with
 */
export function nextChunk(socket: Socket): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer): void => settle(() => resolve(chunk));
    const onEnd = (): void => settle(() => resolve(null));
    const onError = (error: Error): void => settle(() => reject(error));
    const settle = (done: () => void): void => {
      socket.pause();
      socket.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onError);
      done();
    };
    socket.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onError);
    socket.resume();
  });
}
