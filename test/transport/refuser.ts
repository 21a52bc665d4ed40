// A server that refuses an upload early, or breaks it off, in a way of its own; alone, or behind a proxy of its own.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { certificate, use } from './lab.ts';

/** What a server does once it has said all it will say. It reads nothing any more. */
export const ENDINGS = {
  'sends FIN': (socket) => void socket.end(),
  'closes the connection': (socket) => void socket.destroy(),
  'stops reading': () => {},
  'sends RST': (socket, raw) => {
    raw.resetAndDestroy();
    socket.destroy();
  },
} as const satisfies Record<string, (socket: Socket, raw: Socket) => void>;

export type Ending = keyof typeof ENDINGS;

/** What comes before the request: a handshake with the client, as a proxy or as an origin. */
const LAYERS = {
  tls: async (socket) => new TLSSocket(socket, { isServer: true, ...certificate }),
  connect: async (socket) => {
    await readHead(socket);
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    return socket;
  },
  socks5: async (socket) => {
    await once(socket, 'data');
    socket.write(Buffer.of(5, 0));
    await once(socket, 'data');
    socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    return socket;
  },
} as const satisfies Record<string, (socket: Socket) => Promise<Socket>>;

export type Layer = keyof typeof LAYERS;

export interface RefuserOptions {
  /** From the outermost on. */
  readonly layers: readonly Layer[];
  /** What it says to the head of any request; empty: nothing. */
  readonly answer: string;
  readonly ending: Ending;
}

/** A server that reads heads of requests, and nothing behind them. */
export interface Refuser {
  /** `127.0.0.1` and the port. */
  readonly authority: string;
  /** Reads what it has left unread, and resolves when no connection is open. */
  readToTheEnd(): Promise<void>;
}

export async function startRefuser(options: RefuserOptions): Promise<Refuser> {
  /** The TCP sockets, with what lies innermost in each. */
  const open = new Map<Socket, Socket>();
  // Else an answer would wait for what came before it to be acknowledged, and a reset would discard it.
  const server = createServer({ noDelay: true }, (raw) => {
    raw.on('error', () => {}).once('close', () => open.delete(raw));
    void refuse(raw, options, (socket) => open.set(raw, socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await use({ [Symbol.asyncDispose]: () => stop(server, open) });
  return {
    authority: `127.0.0.1:${portOf(server)}`,
    readToTheEnd: async () => {
      for (const socket of open.values()) socket.resume();
      for (const raw of open.keys()) if (!raw.closed) await once(raw, 'close');
    },
  };
}

async function refuse(
  raw: Socket,
  { layers, answer, ending }: RefuserOptions,
  note: (socket: Socket) => void,
): Promise<void> {
  let socket = raw;
  note(raw);
  for (const layer of layers) {
    socket = await LAYERS[layer](socket);
    socket.on('error', () => {});
    note(socket);
  }
  await readHead(socket);
  const end = (): void => ENDINGS[ending](socket, raw);
  if (answer === '') end();
  else socket.write(answer, end);
}

/** Reads up to the end of a head, and what came with it; then reads no more. */
function readHead(socket: Socket): Promise<void> {
  let head = '';
  return new Promise((resolve) => {
    const onData = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', onData).pause();
      resolve();
    };
    socket.on('data', onData).resume();
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not a port');
  return address.port;
}

async function stop(server: Server, open: ReadonlyMap<Socket, Socket>): Promise<void> {
  server.close();
  for (const raw of open.keys()) raw.destroy();
  await once(server, 'close');
}
