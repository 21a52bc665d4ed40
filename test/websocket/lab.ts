// The origins and sockets of this folder's tests. What a test opens is closed after it.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect as connectTo, createServer, type Socket } from 'node:net';
import {
  type LabAnyProxy,
  type LabHost,
  type LabOrigin,
  type LabTls,
  type OriginHandler,
  startAnyProxy,
} from '@cloudlane/testing';
import type { Transport } from '@cloudlane/transport';
import { connectWebSocket, type RoutedWebSocket, type WebSocketOptions } from '@cloudlane/websocket';
import { expect } from '@jest/globals';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { closeAfterTest, use } from '../support/resources.ts';
import { certificate, newTransport, origin } from '../transport/lab.ts';

export type SocketScheme = 'ws' | 'wss';
export const SOCKET_SCHEMES = ['ws', 'wss'] as const satisfies SocketScheme[];

/** Options of `startEcho`. */
export interface EchoOptions {
  readonly host?: LabHost;
  /** Of a wss origin. @defaultValue the lab's certificate */
  readonly tls?: LabTls;
  /** Of the `ws` server: `handleProtocols`, `perMessageDeflate`, `maxPayload` … */
  readonly server?: Omit<ServerOptions, 'noServer' | 'server' | 'port'>;
  /**
   * What goes out instead of 101, head and body as on the wire, before the connection is ended; null: a WebSocket is
   * opened. See `answer`. @defaultValue always null
   */
  readonly instead?: (request: IncomingMessage) => string | Buffer | null;
  /** Takes a WebSocket once it is open. @defaultValue sends every message back */
  readonly onSocket?: (client: WebSocket, request: IncomingMessage) => void;
  /** Answers requests that ask for no upgrade. */
  readonly handler?: OriginHandler;
}

/** An origin of WebSockets. */
export interface EchoOrigin {
  /** What the lab knows of it; `requests` has what each handshake's request carried. */
  readonly origin: LabOrigin;
  /** `ws://127.0.0.1:40123`, without a trailing slash. */
  readonly url: string;
  /** `127.0.0.1:40123`. */
  readonly authority: string;
  /** Its ends of the WebSockets that are open. */
  readonly clients: ReadonlySet<WebSocket>;
  /** The same origin under another name of 127.0.0.1. */
  urlFor(host: string): string;
}

/** Starts an origin that opens WebSockets and sends every message back. */
export async function startEcho(scheme: SocketScheme, options: EchoOptions = {}): Promise<EchoOrigin> {
  const { host, tls, server, instead = () => null, onSocket = sendBack, handler } = options;
  const sockets = new WebSocketServer({ ...server, noServer: true });
  const opened = await origin(scheme === 'ws' ? 'http' : 'https', {
    ...(host && { host }),
    ...(tls && { tls }),
    ...(handler && { handler }),
    upgrade: (request, socket, head) => {
      const other = instead(request);
      // A client that goes early is not this origin's trouble.
      socket.on('error', () => {});
      if (other !== null) return void socket.end(other);
      sockets.handleUpgrade(request, socket, head, (client) => {
        client.on('error', () => {});
        onSocket(client, request);
      });
    },
  });
  closeAfterTest({
    [Symbol.asyncDispose]: async () => {
      for (const client of sockets.clients) client.terminate();
    },
  });
  const urlFor = (name: string): string => `${scheme}://${name}:${opened.port}`;
  const { host: authority } = new URL(opened.url);
  return { origin: opened, url: `${scheme}://${authority}`, authority, clients: sockets.clients, urlFor };
}

function sendBack(client: WebSocket): void {
  client.on('message', (data, binary) => client.send(data, { binary }));
}

/** An answer as it is on the wire, for `instead`. */
export function answer(status: number, headers: Readonly<Record<string, string>> = {}, body = ''): string {
  const all = { Connection: 'close', 'Content-Length': String(Buffer.byteLength(body)), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Lab\r\n${lines.join('')}\r\n${body}`;
}

/** Redirects by a table of request target to location, for `instead`. */
export function redirects(table: Readonly<Record<string, string>>, status = 302) {
  return ({ url = '' }: Pick<IncomingMessage, 'url'>): string | null => {
    const location = table[url];
    return location === undefined ? null : answer(status, { Location: location });
  };
}

/** Opens a WebSocket, by default over a transport of its own that trusts the lab's authority on both hops. */
export async function connect(url: string | URL, options: WebSocketOptions = {}): Promise<RoutedWebSocket> {
  const socket = await connectWebSocket(url, { transport: options.transport ?? newTransport(), ...options });
  closeAfterTest({ [Symbol.asyncDispose]: async () => socket.terminate() });
  return socket;
}

/** The next message: a string if it is text. */
export async function nextMessage(socket: WebSocket): Promise<string | Buffer> {
  const [data, isBinary]: [Buffer, boolean] = await messageOf(socket);
  return isBinary ? data : data.toString();
}

// A socket that closes instead would let the test wait for ever.
async function messageOf(socket: WebSocket): Promise<[Buffer, boolean]> {
  const ended = new AbortController();
  const closed = (code: number): void => ended.abort(new Error(`the WebSocket was closed with ${code}`));
  socket.once('close', closed);
  try {
    const [data, isBinary] = await once(socket, 'message', { signal: ended.signal });
    return [data, isBinary];
  } catch (error) {
    throw ended.signal.aborted ? ended.signal.reason : error;
  } finally {
    socket.off('close', closed);
  }
}

/** Sends this, and what comes back: a string if it is text. */
export async function echoOf(socket: WebSocket, data: string | Buffer): Promise<string | Buffer> {
  const echoed = nextMessage(socket);
  socket.send(data);
  return echoed;
}

/** Closes it and waits until it is; the code that it was closed with. */
export async function closeOf(socket: WebSocket, code = 1000): Promise<number> {
  const closed = once(socket, 'close');
  socket.close(code);
  const [received] = await closed;
  return received;
}

/** Every open connection of the transport is a WebSocket's. */
export function expectUpgraded(transport: Transport, count = 1): void {
  expect(transport.connections.map(({ state }) => state)).toEqual(Array(count).fill('UPGRADED'));
}

/** How a relay joins a client to what is behind it. */
type Join = (client: Socket, onwards: Socket) => void;

/**
 * Stands in front of a port until the test is over.
 * @param join @defaultValue everything passes
 * @param at the port it listens at. @defaultValue any
 * @returns that port
 */
export async function relay(
  behind: number,
  join: Join = (client, onwards) => void client.pipe(onwards).pipe(client),
  at = 0,
): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const onwards = connectTo(behind, '127.0.0.1');
    for (const [one, other] of [[client, onwards] as const, [onwards, client] as const])
      open.add(one.on('error', () => {}).once('close', () => other.destroy()));
    join(client, onwards);
  });
  await use({
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
  await once(server.listen(at, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not a port');
  return address.port;
}

/** What clients send on the wire to a port. */
export interface Wiretap {
  readonly port: number;
  /** Of all connections, in the order in which it came. */
  bytes(): Buffer;
}

/** Stands in front of a port and writes down what clients send there. */
export async function wiretap(behind: number): Promise<Wiretap> {
  const seen: Buffer[] = [];
  const port = await relay(behind, (client, onwards) => {
    client.on('data', (chunk) => void seen.push(chunk));
    client.pipe(onwards).pipe(client);
  });
  return { port, bytes: () => Buffer.concat(seen) };
}

/** A name that only the lab's proxies know. */
export const PRIVATE = 'origin.example';

/** A proxy that speaks whatever it is spoken to. */
export function anyProxy(): Promise<LabAnyProxy> {
  return use(startAnyProxy({ tls: certificate, hosts: { [PRIVATE]: '127.0.0.1' } }));
}

export { expectNothingLeft } from '../transport/lab.ts';
