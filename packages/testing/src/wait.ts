import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Waits, unless the socket closes before. False: nobody is left to write to. */
export function wait(socket: Socket, milliseconds: number): Promise<boolean> {
  if (socket.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      socket.off('close', done);
      resolve(!socket.destroyed);
    }
    socket.once('close', done);
  });
}

/** Lets a client in this process read what has been written, so that the next write is another packet to it. */
export async function turn(socket: Socket, interval = 0): Promise<boolean> {
  if (interval > 0) return wait(socket, interval);
  // The first ends the current phase of the event loop, the second comes after a whole poll phase.
  await nextTurn();
  await nextTurn();
  return !socket.destroyed;
}

/** Keeps a socket open until the other side goes away, and notices that. */
export function hold(socket: Socket): void {
  socket.resume();
  socket.once('end', () => socket.destroy());
}

/** FIN, and the socket is gone when the other side has sent its own. */
export function part(socket: Socket): void {
  hold(socket);
  socket.end();
}
