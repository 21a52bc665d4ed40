import { Socket } from 'node:net';

/** Milliseconds to wait for an answer on a connection that takes no more bytes. */
const GRACE = 1_000;

// What a write says when the other end has stopped reading; macOS has the third.
const STOPPED_READING: ReadonlySet<string> = new Set(['EPIPE', 'ECONNRESET', 'EPROTOTYPE']);

type Done = (error?: Error | null) => void;

/**
 * Keeps a socket readable for a moment after a write has failed because the other end reads no more: a server or
 * proxy that refuses an upload (401, 407, 413) answers and hangs up, and its answer may still be under way (RFC 9112
 * §9.5). Node would destroy the socket, answer and all. If nothing comes, the write's own error ends it.
 */
export function outliveBrokenPipe<S extends Socket>(socket: S): S {
  let isBroken = false;
  const hold = (error: Error, done: Done): void => {
    isBroken = true;
    // The write is left hanging, so that the sender of a body sees a full pipe and waits.
    let timer = setTimeout(check, GRACE, socket.bytesRead);
    function check(before: number): void {
      // What comes is read to its end, also by a slow reader.
      if (socket.bytesRead !== before || socket.isPaused()) timer = setTimeout(check, GRACE, socket.bytesRead);
      else done(error);
    }
    const end = (): void => {
      clearTimeout(timer);
      setImmediate(done, error);
    };
    if (socket.readableEnded) end();
    else socket.once('end', end);
    socket.once('close', () => clearTimeout(timer));
  };
  const guard =
    (write: (...args: never[]) => void) =>
    (...args: unknown[]): void => {
      const done = args.pop() as Done;
      const settle: Done = (error) => {
        if (error && !isBroken && STOPPED_READING.has(codeOf(error))) hold(error, done);
        else done(error);
      };
      write.apply(socket, [...args, settle] as never[]);
    };
  const { _write: write, _writev: writev } = socket;
  socket._write = guard(write);
  if (writev) socket._writev = guard(writev);
  undoings.set(socket, () => {
    socket._write = write;
    if (writev) socket._writev = writev;
  });
  return socket;
}

/** Ends that for a connection that has left HTTP: for the socket, and those below it. */
export function breakAsUsual(socket: Socket): void {
  // Node's name for what TLS runs over.
  for (let each: unknown = socket; each instanceof Socket; each = Reflect.get(each, '_parent')) {
    undoings.get(each)?.();
    undoings.delete(each);
  }
}

const undoings = new WeakMap<Socket, () => void>();

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}
