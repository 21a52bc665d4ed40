import type { Socket } from 'node:net';

/** Couples two sockets until both have ended. An end passes on as an end, a failure closes both. */
export function couple(client: Socket, origin: Socket): void {
  client.pipe(origin);
  origin.pipe(client);
  closeWith(client, origin);
  closeWith(origin, client);
}

function closeWith(one: Socket, other: Socket): void {
  one.once('error', () => other.destroy());
  one.once('close', () => {
    if (!one.readableEnded) return void other.destroy();
    // It has ended properly: what is under way to the other side still arrives.
    return void other.end(() => other.destroy());
  });
}
