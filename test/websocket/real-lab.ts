// An origin for WebSockets that others have made: nginx in front of a server of `ws`.
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Logging, type RealNginx, type RealServer, startNginx } from '../support/real-servers.ts';
import type { Echo } from '../transport/lab.ts';

/** How a WebSocket was closed. */
export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** The origin's end of one WebSocket. */
export interface ServerEnd {
  /** What nginx saw of its handshake. */
  readonly seen: Echo;
  /** By whom ever. */
  readonly closed: Promise<Closing>;
  close(code: number, reason: string): void;
}

/**
 * Sends back every message. Takes the last subprotocol that is offered, and compression. WebSockets are at any path
 * under `/ws/`.
 */
export interface RealWebSocketOrigin extends RealNginx {
  /** The other end of a client's WebSocket, the only one to its URL. */
  endOf(socket: Pick<WebSocket, 'url'>): ServerEnd;
  /** How many WebSockets were opened. */
  opened(): number;
}

export async function startWebSocketOrigin(): Promise<RealWebSocketOrigin> {
  const ends = new Map<string, ServerEnd>();
  const server = await startEcho(ends);
  const nginx = await startNginx(undefined, server.port);
  return {
    ...nginx,
    opened: () => ends.size,
    endOf: ({ url }) => {
      const { pathname, search } = new URL(url);
      const end = ends.get(`${pathname}${search}`);
      if (!end) throw new Error(`No WebSocket was opened to ${pathname}${search}`);
      return end;
    },
    stop: async () => {
      await Promise.all([nginx.stop(), server.stop()]);
    },
  };
}

interface Echoing extends RealServer {
  readonly port: number;
}

async function startEcho(ends: Map<string, ServerEnd>): Promise<Echoing> {
  const handleProtocols = (offered: Set<string>) => [...offered].at(-1) ?? false;
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true, handleProtocols });
  server.on('connection', (socket, { url = '', headers }) => {
    ends.set(url, {
      seen: JSON.parse(String(headers['x-seen'])),
      closed: closingOf(socket),
      close: (code, reason) => socket.close(code, reason),
    });
    socket.on('error', () => {}); // Its end is told by what comes next.
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no port');
  const stop = async (): Promise<void> => {
    for (const client of server.clients) client.terminate();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port: address.port, stop };
}

/** How it is closed in the end, by whom ever. */
export function closingOf(socket: WebSocket): Promise<Closing> {
  return new Promise((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
}

/** How many entries with these fields a server's log has. */
export async function countOf<E extends object>({ log }: Logging<E>, fields: Partial<E>): Promise<number> {
  const wanted = Object.entries(fields);
  const entries = await log();
  return entries.filter((entry) => wanted.every(([name, value]) => Reflect.get(entry, name) === value)).length;
}

/** By how much a count has grown, once it has. */
export async function growthOf(count: () => Promise<number>, before: number): Promise<number> {
  for (;;) {
    const now = await count();
    if (now > before) return now - before;
    await nextTurn();
  }
}
