import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Attempt } from './attempt.ts';
import { ConnectionInfo, type ConnectionKind, type ConnectionState } from './connection-info.ts';
import type { Dial } from './dial.ts';

/** What bounds the connections of a transport. */
export interface PoolLimits {
  /** Connections open or being opened at once to one place (a proxy for forwarding, else an origin). */
  readonly maxSockets: number;
  /** Idle connections kept for each place. */
  readonly maxIdleSockets: number;
  /** Milliseconds an idle connection is kept; a server's `Keep-Alive: timeout` shortens it. */
  readonly idleTimeout: number;
  /** false: one connection a request. */
  readonly keepAlive: boolean;
}

/** The connections that may carry the same requests. */
export interface LaneKey {
  readonly kind: ConnectionKind;
  readonly origin: string;
}

interface Lane {
  readonly key: LaneKey;
  /** Most recently used last: the freshest is taken first, so that the others can grow old. */
  readonly idle: Connection[];
  readonly queue: Job[];
  open: number;
}

interface Connection {
  readonly id: number;
  readonly lane: Lane;
  socket: Socket | null;
  state: ConnectionState;
  requestCount: number;
  request: ClientRequest | null;
  /** The try that uses it now. */
  attempt: Attempt | null;
  readonly dialling: AbortController;
  /** Ends it while it is idle: bytes nobody asked for (a 408 before a close, say) belong to no request. */
  readonly spoil: () => void;
}

interface Job {
  readonly request: ClientRequest;
  readonly attempt: Attempt;
  readonly dial: Dial;
  leaveQueue: () => void;
}

/** Counts the connections of one transport, so that `connections` can show them newest first. */
export class ConnectionRegister {
  readonly #open = new Map<number, Connection>();
  #last = 0;

  next(): number {
    this.#last += 1;
    return this.#last;
  }

  add(connection: Connection): void {
    this.#open.set(connection.id, connection);
  }

  remove(connection: Connection): void {
    this.#open.delete(connection.id);
  }

  snapshot(): ConnectionInfo[] {
    return [...this.#open.values()].reverse().map(snapshot);
  }
}

function snapshot({ id, lane, state, requestCount }: Connection): ConnectionInfo {
  return new ConnectionInfo({ ...lane.key, id, state, requestCount });
}

/**
 * The sockets of one agent. It stands in for `http.Agent`'s own pool, which counts a connection only once it is open
 * (so that `maxSockets` means nothing while tunnels are being dialled), forgets its queue when a dial fails, and
 * cannot abort a dial.
 */
export class SocketPool {
  readonly #limits: PoolLimits;
  readonly #register: ConnectionRegister;
  readonly #lanes = new Map<string, Lane>();
  readonly #connections = new Set<Connection>();
  #closed = false;

  constructor(limits: PoolLimits, register: ConnectionRegister) {
    this.#limits = limits;
    this.#register = register;
  }

  /** Gives the request a socket as soon as there is one: an idle one, a new one, or the next that becomes free. */
  assign(request: ClientRequest, key: LaneKey, attempt: Attempt, dial: Dial): void {
    if (this.#closed) {
      fail(request, attempt.closed());
      return;
    }
    const lane = this.#lane(key);
    const idle = attempt.needsFresh ? null : takeUsable(lane);
    if (idle) {
      this.#bind(idle, request, attempt);
      return;
    }
    const job: Job = { request, attempt, dial, leaveQueue: () => {} };
    if (lane.open < this.#limits.maxSockets) {
      this.#open(lane, job);
      return;
    }
    lane.queue.push(job);
    // Makes room where idle connections are all that is in the way.
    lane.idle[0]?.socket?.destroy();
    attempt.isQueued = true;
    const unhook = onDestroy(request, () => {
      lane.queue.splice(lane.queue.indexOf(job), 1);
      fail(request);
    });
    job.leaveQueue = () => {
      attempt.isQueued = false;
      unhook();
    };
  }

  /** Ends every connection now. Requests under way and waiting fail. */
  async close(): Promise<void> {
    this.#closed = true;
    const ends: Promise<void>[] = [];
    for (const lane of this.#lanes.values()) {
      for (const job of lane.queue.splice(0)) {
        job.leaveQueue();
        fail(job.request, job.attempt.closed());
      }
    }
    for (const connection of [...this.#connections]) {
      const { socket, attempt } = connection;
      attempt?.stop(attempt.closed());
      if (socket === null) {
        connection.dialling.abort();
        continue;
      }
      ends.push(new Promise((resolve) => socket.once('close', () => resolve())));
      socket.destroy();
    }
    await Promise.all(ends);
  }

  #lane(key: LaneKey): Lane {
    const known = this.#lanes.get(key.origin);
    if (known) return known;
    const lane: Lane = { key, idle: [], queue: [], open: 0 };
    this.#lanes.set(key.origin, lane);
    return lane;
  }

  #open(lane: Lane, job: Job): void {
    const { request, attempt } = job;
    const connection: Connection = {
      id: this.#register.next(),
      lane,
      socket: null,
      state: 'CONNECTING',
      requestCount: 0,
      request,
      attempt,
      dialling: new AbortController(),
      spoil: () => void connection.socket?.destroy(),
    };
    lane.open += 1;
    this.#connections.add(connection);
    this.#register.add(connection);
    const unhook = onDestroy(request, (error) =>
      connection.dialling.abort(error ?? new Error('the request was destroyed')),
    );
    job.dial(attempt, connection.dialling.signal).then(
      (socket) => {
        unhook();
        // A reply that comes in the moment of the abort: the socket must not outlive its request unnoticed.
        if (connection.dialling.signal.aborted || this.#closed) {
          socket.destroy();
          this.#remove(connection);
          return fail(request, attempt.translate(undefined));
        }
        this.#adopt(connection, socket);
        this.#bind(connection, request, attempt);
      },
      (error: unknown) => {
        unhook();
        this.#remove(connection);
        // Not the error itself: Node 22 and later swallow one whose code is ERR_PROXY_TUNNEL.
        attempt.stop(attempt.translate(error));
        fail(request, new Error('no connection could be opened'));
      },
    );
  }

  #adopt(connection: Connection, socket: Socket): void {
    connection.socket = socket;
    socket.on('free', () => this.#release(connection));
    socket.on('close', () => this.#remove(connection));
    // Emitted by Node when a socket leaves HTTP (an upgrade): it is the caller's then.
    socket.on('agentRemove', () => this.#remove(connection));
    socket.on('timeout', () => {
      if (connection.state === 'IDLE') socket.destroy();
    });
  }

  #bind(connection: Connection, request: ClientRequest, attempt: Attempt): void {
    const { socket } = connection;
    if (socket === null) throw new Error('a connection without a socket cannot be used');
    if (connection.requestCount > 0) {
      request.reusedSocket = true;
      socket.ref();
      socket.setTimeout(0);
      socket.off('data', connection.spoil);
    }
    connection.state = 'ACTIVE';
    connection.requestCount += 1;
    connection.request = request;
    connection.attempt = attempt;
    attempt.hasConnectedToProxy = attempt.route.kind !== 'direct';
    attempt.phase = 'request';
    attempt.connection = () => snapshot(connection);
    request.onSocket(socket);
  }

  // Node emits 'free' when an answer has been read to its end and the connection may be used again.
  #release(connection: Connection): void {
    const { socket, request, lane } = connection;
    if (socket === null) return;
    // Node leaves its own mark; it would keep the finished request alive, headers and all.
    Reflect.set(socket, '_httpMessage', null);
    connection.request = null;
    connection.attempt = null;
    const reusable = this.#limits.keepAlive && !this.#closed && request?.shouldKeepAlive === true && isUsable(socket);
    if (!reusable) return void socket.destroy();
    const next = lane.queue.shift();
    if (next) {
      next.leaveQueue();
      this.#bind(connection, next.request, next.attempt);
      return;
    }
    const idleTimeout = Math.min(this.#limits.idleTimeout, keepAliveHint(request));
    if (lane.idle.length >= this.#limits.maxIdleSockets || idleTimeout <= 0) return void socket.destroy();
    connection.state = 'IDLE';
    lane.idle.push(connection);
    socket.setTimeout(idleTimeout);
    socket.on('data', connection.spoil);
    socket.unref();
  }

  #remove(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    const { lane } = connection;
    connection.state = 'CLOSED';
    connection.request = null;
    this.#register.remove(connection);
    const idle = lane.idle.indexOf(connection);
    if (idle !== -1) lane.idle.splice(idle, 1);
    lane.open -= 1;
    const next = this.#closed ? undefined : lane.queue.shift();
    if (next) {
      next.leaveQueue();
      this.#open(lane, next);
    } else if (lane.open === 0) this.#lanes.delete(lane.key.origin);
  }
}

function takeUsable(lane: Lane): Connection | null {
  for (let connection = lane.idle.pop(); connection; connection = lane.idle.pop()) {
    if (connection.socket !== null && isUsable(connection.socket)) return connection;
    connection.socket?.destroy();
  }
  return null;
}

function isUsable(socket: Socket): boolean {
  return !socket.destroyed && socket.readable && socket.writable && socket.readableLength === 0;
}

// RFC 9112 §C.2.2 (Keep-Alive): a second is left for a request that is on its way when the server closes.
function keepAliveHint(request: ClientRequest | null): number {
  const seconds = /(?:^|,)\s*timeout=(\d+)/i.exec(String(request && responseOf(request)?.headers['keep-alive']))?.[1];
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000 - 1000;
}

function responseOf(request: ClientRequest): { headers: Record<string, unknown> } | undefined {
  return Reflect.get(request, 'res');
}

// `destroy()` on a request without a socket only notes the error: its events come when the agent answers. So the agent
// has to see the call.
function onDestroy(request: ClientRequest, listener: (error: Error | undefined) => void): () => void {
  const unhook = (): void => void Reflect.deleteProperty(request, 'destroy');
  request.destroy = function destroy(error?: Error): ClientRequest {
    unhook();
    request.destroy(error);
    listener(error);
    return request;
  };
  return unhook;
}

// Node's onSocket takes an error as its second argument; the published types know only the first.
function fail(request: ClientRequest, error?: unknown): void {
  (request as { onSocket(socket: Socket | null, error?: unknown): void }).onSocket(null, error);
}
