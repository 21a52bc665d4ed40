import { createServer, type Server, type Socket } from 'node:net';
import { firstByte } from './intake.ts';
import { type LabTls, TlsDoor, type TlsIdentity, WITHOUT_TLS } from './tls-door.ts';
import { Watch } from './watch.ts';

/** The loopback addresses that the lab listens on. */
export type LabHost = '127.0.0.1' | '::1';

/** Headers as `node:http` gives them: lower-case names, duplicates joined or listed. */
export type LabHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What a server knows about the client of one connection. */
export interface Peer extends TlsIdentity {
  /** Number of the TCP connection, from 1. */
  readonly connection: number;
  /** Address that the client connected from. */
  readonly remoteAddress: string;
}

export interface ListenerOptions {
  readonly host?: LabHost;
  readonly tls?: LabTls;
  /** TLS only for connections that begin with a ClientHello; the others are served as they are, paused. @defaultValue false */
  readonly tlsIfAsked?: boolean;
  /** Decides about a connection before its first byte is read; whoever says no disposes of it. @defaultValue all are welcome */
  readonly admit?: (socket: Socket) => boolean;
}

// RFC 8446 §5.1: the content type of a handshake.
const CLIENT_HELLO = 0x16;

interface Known {
  readonly peer: Peer;
  /** The TCP socket, which may be below the other. */
  readonly raw: Socket;
}

/** A loopback port in front of a server: numbers the connections, adds TLS, and can close for good. */
export class Listener {
  readonly host: LabHost;
  /** Gets every connection, after TLS if there is any. */
  serve: (socket: Socket) => void = (socket) => void socket.destroy();
  readonly watch: Watch = new Watch();
  readonly #acceptor: Server;
  readonly #open = new Map<Socket, number>();
  readonly #peers = new WeakMap<Socket, Known>();
  #port = 0;
  #connections = 0;
  #forgotten = 0;
  #closing: Promise<void> | undefined;

  private constructor(host: LabHost, acceptor: Server) {
    this.host = host;
    this.#acceptor = acceptor;
  }

  static async open({
    host = '127.0.0.1',
    tls,
    tlsIfAsked = false,
    admit = () => true,
  }: ListenerOptions): Promise<Listener> {
    const acceptor = createServer({ allowHalfOpen: true, noDelay: true });
    const listener = new Listener(host, acceptor);
    const door = tls && new TlsDoor(tls);
    acceptor.on('connection', (socket) => {
      listener.#track(socket);
      if (!admit(socket)) return;
      if (!door) listener.serve(socket);
      else if (tlsIfAsked) void listener.#secureIfAsked(socket, door);
      else listener.#secure(socket, door);
    });
    await new Promise<void>((resolve, reject) => {
      acceptor.once('error', reject);
      acceptor.listen({ host, port: 0 }, resolve);
    });
    const address = acceptor.address();
    if (address === null || typeof address === 'string') throw new TypeError('the lab listens on ports only');
    listener.#port = address.port;
    return listener;
  }

  get port(): number {
    return this.#port;
  }

  /** Host and port as an URL wants them. */
  get authority(): string {
    return `${this.host === '::1' ? '[::1]' : this.host}:${this.#port}`;
  }

  get connectionCount(): number {
    return this.#connections - this.#forgotten;
  }

  get openSockets(): number {
    return this.#open.size;
  }

  /** Starts to count connections anew. Numbers of connections go on, so that none is given twice. */
  forgetConnections(): void {
    this.#forgotten = this.#connections;
  }

  peer(socket: Socket): Peer {
    return this.#known(socket).peer;
  }

  /** RST instead of FIN. Only the TCP socket below can do that, not TLS. */
  reset(socket: Socket): void {
    this.#known(socket).raw.resetAndDestroy();
    socket.destroy();
  }

  /** Closes the port, so that connecting is refused; connections that exist go on. */
  stopListening(): void {
    if (this.#acceptor.listening) this.#acceptor.close();
  }

  /** Opens the same port again. */
  listenAgain(): void {
    if (!this.#acceptor.listening && !this.#closing) this.#acceptor.listen({ host: this.host, port: this.#port });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#acceptor.close(() => resolve());
    });
    for (const socket of this.#open.keys()) socket.destroy();
    await closed;
    await this.watch.until(() => this.#open.size === 0);
  }

  #track(raw: Socket): void {
    const connection = ++this.#connections;
    this.#open.set(raw, connection);
    const remoteAddress = raw.remoteAddress ?? '';
    this.#peers.set(raw, { peer: { connection, remoteAddress, ...WITHOUT_TLS }, raw });
    raw.on('error', ignore);
    raw.once('close', () => {
      this.#open.delete(raw);
      this.watch.changed();
    });
    this.watch.changed();
  }

  #secure(raw: Socket, door: TlsDoor): void {
    const { connection, remoteAddress } = this.peer(raw);
    door.admit(raw, (socket, identity) => {
      this.#peers.set(socket, { peer: { connection, remoteAddress, ...identity }, raw });
      socket.on('error', ignore);
      this.serve(socket);
    });
  }

  async #secureIfAsked(raw: Socket, door: TlsDoor): Promise<void> {
    const first = await firstByte(raw);
    if (first === null) raw.destroy();
    else if (first === CLIENT_HELLO) this.#secure(raw, door);
    else this.serve(raw);
  }

  #known(socket: Socket): Known {
    const known = this.#peers.get(socket);
    if (!known) throw new TypeError('not a connection of this listener');
    return known;
  }
}

/** Sockets of the lab break on purpose: what matters is who sees it, and 'close' follows anyway. */
export function ignore(): void {}
