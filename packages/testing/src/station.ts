import type { Socket } from 'node:net';
import type { Listener, Peer } from './listener.ts';
import { couple } from './tunnel.ts';
import type { Upstream } from './upstream.ts';

/** What every proxy of the lab shows of itself. */
export interface LabStation<Hop, Behaviour> extends AsyncDisposable {
  /** Without credentials and without a trailing slash. */
  readonly url: string;
  /** With the percent-encoded credentials that it demands; the same as `url` if it demands none. */
  readonly urlWithCredentials: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** In the order in which the requests came. */
  readonly hops: readonly Hop[];
  /** TCP connections from clients since the start. */
  readonly connectionCount: number;
  /** TCP connections from clients that are open now. */
  readonly openSockets: number;
  /** Tunnels that are open now. */
  readonly openTunnels: number;
  /** From now on misbehave like this; `null`: behave. Hops under way go on as they began. */
  misbehave(behaviour: Behaviour | null): void;
  /** Resolves when so many requests have come, answered or not. */
  waitForHops(count: number): Promise<void>;
  /** Resolves when so many clients have connected. */
  waitForConnections(count: number): Promise<void>;
  /** Resolves when no client socket, no tunnel and no connection to an origin is open: proves that a client left none behind. */
  waitUntilIdle(): Promise<void>;
  /** Forgets the hops and counts connections anew. What is open stays open, and no connection number is given twice. */
  reset(): void;
  /** Destroys every connection. May be called again. */
  close(): Promise<void>;
}

/** What a protocol needs of the proxy that speaks it. */
export interface Desk<Hop> {
  /** Enters a hop into the record; the protocol fills in what it learns later. */
  record(hop: Hop): void;
  peer(socket: Socket): Peer;
  /** RST instead of FIN. */
  resetSocket(socket: Socket): void;
  /** Couples the two until both have ended; `head` came from the client before. */
  openTunnel(client: Socket, origin: Socket, head: Buffer): void;
}

/** The two sides of a proxy: towards its clients, and towards the origins. */
export interface StationParts {
  readonly listener: Listener;
  readonly upstream: Upstream;
}

/** One port with its hops and its tunnels: what the proxies of the lab have in common. */
export abstract class Station<Hop> implements Desk<Hop>, AsyncDisposable {
  readonly hops: Hop[] = [];
  readonly #listener: Listener;
  readonly #upstream: Upstream;
  readonly #tunnels = new Set<Socket>();
  abstract readonly url: string;

  constructor({ listener, upstream }: StationParts) {
    this.#listener = listener;
    this.#upstream = upstream;
    upstream.changed = () => listener.watch.changed();
  }

  get host(): string {
    return this.#listener.host;
  }

  get port(): number {
    return this.#listener.port;
  }

  get connectionCount(): number {
    return this.#listener.connectionCount;
  }

  get openSockets(): number {
    return this.#listener.openSockets;
  }

  get openTunnels(): number {
    return this.#tunnels.size;
  }

  waitForHops(count: number): Promise<void> {
    return this.#listener.watch.until(() => this.hops.length >= count);
  }

  waitForConnections(count: number): Promise<void> {
    return this.#listener.watch.until(() => this.connectionCount >= count);
  }

  waitUntilIdle(): Promise<void> {
    const counts = () => [this.openSockets, this.openTunnels, this.#upstream.openSockets];
    return this.#listener.watch.until(() => counts().every((count) => count === 0));
  }

  reset(): void {
    this.hops.length = 0;
    this.#listener.forgetConnections();
  }

  async close(): Promise<void> {
    this.#upstream.close();
    await this.#listener.close();
    await this.waitUntilIdle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For `inspect`: nothing that is secret. */
  protected summary(label: string): string {
    const { url, hops, openSockets, openTunnels } = this;
    return `${label} { url: '${url}', hops: ${hops.length}, openSockets: ${openSockets}, openTunnels: ${openTunnels} }`;
  }

  record(hop: Hop): void {
    this.hops.push(hop);
    this.#listener.watch.changed();
  }

  peer(socket: Socket): Peer {
    return this.#listener.peer(socket);
  }

  resetSocket(socket: Socket): void {
    this.#listener.reset(socket);
  }

  openTunnel(client: Socket, origin: Socket, head: Buffer): void {
    this.#tunnels.add(origin);
    const closed = () => {
      if (!client.destroyed || !origin.destroyed) return;
      this.#tunnels.delete(origin);
      this.#listener.watch.changed();
    };
    client.once('close', closed);
    origin.once('close', closed);
    origin.write(head);
    couple(client, origin);
  }
}
