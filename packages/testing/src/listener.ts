import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { Watch } from './watch.ts';

/** The loopback addresses that the lab listens on. */
export type LabHost = '127.0.0.1' | '::1';

/** Headers as `node:http` gives them: lower-case names, duplicates joined or listed. */
export type LabHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** TLS of a server of the lab. */
export interface LabTls {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** PEM of an authority: the server asks for a client certificate and records whose it got. @defaultValue never asks */
  readonly clientCa?: string;
  /** Refuse clients without a certificate of `clientCa`. @defaultValue false */
  readonly requireClientCertificate?: boolean;
}

/** What a server knows about the client of one connection. */
export interface Peer {
  /** Number of the TCP connection, from 1. */
  readonly connection: number;
  /** Address that the client connected from. */
  readonly remoteAddress: string;
  /** Server name that the client asked for (SNI); `null` without TLS or without SNI. */
  readonly servername: string | null;
  /** Whether the client resumed an earlier TLS session. */
  readonly resumed: boolean;
  /** Common name in the client's certificate; `null` if it showed none or was not asked for one. */
  readonly clientCertificate: string | null;
}

export interface ListenerOptions {
  readonly host?: LabHost;
  readonly tls?: LabTls;
  /** Decides about a connection before its first byte is read; whoever says no disposes of it. @defaultValue all are welcome */
  readonly admit?: (socket: Socket) => boolean;
}

/** A loopback port in front of a server: numbers the connections, adds TLS, and can close for good. */
export class Listener {
  readonly host: LabHost;
  /** Gets every connection, after TLS if there is any. */
  serve: (socket: Socket) => void = (socket) => void socket.destroy();
  readonly watch: Watch = new Watch();
  readonly #acceptor: Server;
  readonly #open = new Map<Socket, number>();
  readonly #peers = new WeakMap<Socket, Peer & { readonly raw: Socket }>();
  #port = 0;
  #connections = 0;
  #forgotten = 0;
  #closing: Promise<void> | undefined;

  private constructor(host: LabHost, acceptor: Server) {
    this.host = host;
    this.#acceptor = acceptor;
  }

  static async open({ host = '127.0.0.1', tls, admit = () => true }: ListenerOptions): Promise<Listener> {
    const acceptor = createServer({ allowHalfOpen: true, noDelay: true });
    const listener = new Listener(host, acceptor);
    const secure = tls && listener.#secure(tls);
    acceptor.on('connection', (socket) => {
      listener.#track(socket);
      if (!admit(socket)) return;
      if (secure) secure.emit('connection', socket);
      else listener.serve(socket);
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
    const { connection, remoteAddress, servername, resumed, clientCertificate } = this.#known(socket);
    return { connection, remoteAddress, servername, resumed, clientCertificate };
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
    this.#peers.set(raw, { connection, remoteAddress, servername: null, resumed: false, clientCertificate: null, raw });
    raw.on('error', ignore);
    raw.once('close', () => {
      this.#open.delete(raw);
      this.watch.changed();
    });
    this.watch.changed();
  }

  #secure(tls: LabTls): Server {
    const { clientCa, requireClientCertificate = false, cert, key } = tls;
    const secure = createTlsServer({
      cert,
      key,
      allowHalfOpen: true,
      ALPNProtocols: ['http/1.1'],
      ...(clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: requireClientCertificate }),
    });
    secure.on('secureConnection', (socket) => {
      const raw = this.#rawOf(socket);
      if (!raw) return void socket.destroy();
      const { connection, remoteAddress } = this.#known(raw);
      this.#peers.set(socket, { connection, remoteAddress, ...identity(socket), raw });
      socket.on('error', ignore);
      return void this.serve(socket);
    });
    return secure;
  }

  /** TLS sockets do not show the socket they wrap, but both have the client's address and port. */
  #rawOf(secure: TLSSocket): Socket | undefined {
    const { remoteAddress, remotePort } = secure;
    return [...this.#open.keys()].find((raw) => raw.remotePort === remotePort && raw.remoteAddress === remoteAddress);
  }

  #known(socket: Socket): Peer & { readonly raw: Socket } {
    const peer = this.#peers.get(socket);
    if (!peer) throw new TypeError('not a connection of this listener');
    return peer;
  }
}

function identity(socket: TLSSocket): Pick<Peer, 'servername' | 'resumed' | 'clientCertificate'> {
  const name: unknown = 'servername' in socket ? socket.servername : null;
  const commonName: unknown = socket.getPeerCertificate()?.subject?.CN;
  return {
    servername: typeof name === 'string' ? name : null,
    resumed: socket.isSessionReused(),
    clientCertificate: typeof commonName === 'string' ? commonName : null,
  };
}

/** Sockets of the lab break on purpose: what matters is who sees it, and 'close' follows anyway. */
export function ignore(): void {}
