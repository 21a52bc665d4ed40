import type { ClientRequest } from 'node:http';
import type { ProxyScheme } from '@cloudlane/proxy';
import type { Attempt } from './attempt.ts';
import { ConnectionInfo, type ConnectionKind, type ConnectionState } from './connection-info.ts';
import { publishConnection } from './diagnostics.ts';
import type { Dial, Dialled } from './dial.ts';

/** The connections that may carry the same requests. */
export interface LaneKey {
  readonly kind: ConnectionKind;
  readonly origin: string;
  readonly proxyScheme: ProxyScheme | null;
}

/** The connections to one place, and the requests that wait for one of them. */
export interface Lane {
  readonly key: LaneKey;
  /** Most recently used last: the freshest is taken first, so that the others can grow old. */
  readonly idle: PooledConnection[];
  readonly queue: Job[];
  /** Connections open or being opened. */
  open: number;
  /** Whether the other end was seen to keep a connection open after an answer. */
  keepsOpen: boolean;
}

/** A request that wants a connection. */
export interface Job {
  readonly request: ClientRequest;
  readonly attempt: Attempt;
  readonly dial: Dial;
  leaveQueue: () => void;
}

/** One connection of a pool, from the first step of its dial to its end. */
export class PooledConnection {
  readonly id: number;
  readonly lane: Lane;
  /** Null while it is being dialled. */
  dialled: Dialled | null = null;
  state: ConnectionState = 'CONNECTING';
  requestCount = 0;
  /** Whether it is being found out if the other end keeps it open. */
  isProbed = false;
  request: ClientRequest | null = null;
  /** The try that uses it now. */
  attempt: Attempt | null = null;
  /** Ends its dial; null once that is over. */
  dialling: AbortController | null = null;
  /** Called when it is gone. */
  onRemoved: () => void = () => {};

  constructor(id: number, lane: Lane) {
    this.id = id;
    this.lane = lane;
  }

  /** Whether it is closed once its request is over. */
  isLeaving = false;

  /** Whether this end closed it. */
  isSpoiled = false;

  /** What ends the dial that begins now. */
  startDial(): AbortController {
    this.dialling = new AbortController();
    return this.dialling;
  }

  readonly spoil = (): void => {
    this.isSpoiled = true;
    this.dialled?.socket.destroy();
  };

  /** What has come is the answer to a request, or while it is idle bytes nobody asked for (a 408 before a close, say). */
  readonly hear = (): void => {
    if (this.attempt !== null) this.attempt.hasHeard = true;
    else if (this.state === 'IDLE') this.spoil();
  };

  /** Whether a request can be sent on it, as far as this end knows. */
  get isUsable(): boolean {
    if (this.dialled === null) return false;
    const { destroyed, readable, writable, readableLength } = this.dialled.socket;
    return !destroyed && readable && writable && readableLength === 0;
  }

  snapshot(): ConnectionInfo {
    const { id, state, requestCount, dialled } = this;
    const { kind, origin, proxyScheme } = this.lane.key;
    // Made for each answer: spelled out, which costs a fraction of spreading.
    const tls = dialled === null ? null : dialled.tls;
    const proxyTls = dialled === null ? null : dialled.proxyTls;
    return new ConnectionInfo({ kind, origin, proxyScheme, id, state, requestCount, tls, proxyTls });
  }
}

/** Counts the connections of one transport, so that `connections` can show them newest first. */
export class ConnectionRegister {
  readonly #open = new Map<number, PooledConnection>();
  #last = 0;

  create(lane: Lane): PooledConnection {
    this.#last += 1;
    const connection = new PooledConnection(this.#last, lane);
    this.#open.set(connection.id, connection);
    return connection;
  }

  /** It is ready for its first request. */
  opened(connection: PooledConnection): void {
    publishConnection('open', () => connection.snapshot());
  }

  remove(connection: PooledConnection): void {
    const wasOpen = this.#open.delete(connection.id) && connection.dialled !== null;
    if (wasOpen) publishConnection('close', () => connection.snapshot());
  }

  snapshot(): ConnectionInfo[] {
    return [...this.#open.values()].reverse().map((connection) => connection.snapshot());
  }
}
