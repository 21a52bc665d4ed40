import type { ClientRequest } from 'node:http';
import type { Attempt } from './attempt.ts';
import { breakAsUsual } from './broken-pipe.ts';
import type { ConnectionInfo } from './connection-info.ts';
import type { Dial, Dialled } from './dial.ts';
import type { ConnectionRegister, Job, Lane, LaneKey, PooledConnection } from './pooled-connection.ts';
import { failRequest, onDestroy, responseOf } from './request-hooks.ts';
import { startDeadline } from './timeouts.ts';

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

/** Who keeps a pool as long as it has connections, so that they can be ended. */
export interface PoolOwner {
  /** Whether no connection may be opened any more. */
  isClosed(): boolean;
  /** The pool has connections, or is about to. */
  used(pool: SocketPool): void;
  /** Its last connection is gone, and nothing waits. */
  emptied(pool: SocketPool): void;
}

/**
 * The sockets of one agent. It stands in for `http.Agent`'s own pool, which counts a connection only once it is open
 * (so that `maxSockets` means nothing while tunnels are being dialled), forgets its queue when a dial fails, and
 * cannot abort a dial.
 */
export class SocketPool {
  readonly #limits: PoolLimits;
  readonly #register: ConnectionRegister;
  readonly #owner: PoolOwner;
  readonly #lanes = new Map<string, Lane>();
  readonly #connections = new Set<PooledConnection>();
  #isRetired = false;
  #isClosed = false;

  constructor(limits: PoolLimits, register: ConnectionRegister, owner: PoolOwner) {
    this.#limits = limits;
    this.#register = register;
    this.#owner = owner;
  }

  /** The oldest connection, for pools of one. */
  get current(): ConnectionInfo | null {
    const [connection] = this.#connections;
    return connection?.snapshot() ?? null;
  }

  /** Gives the request a socket as soon as there is one: an idle one, a new one, or the next that becomes free. */
  assign(request: ClientRequest, key: LaneKey, attempt: Attempt, dial: Dial): void {
    if (this.#isClosed || this.#owner.isClosed()) {
      attempt.stop(attempt.closed());
      failRequest(request, attempt);
      return;
    }
    this.#isRetired = false;
    const lane = this.#lane(key);
    const idle = mayReuse(lane, attempt) ? takeUsable(lane) : takeUnused(lane);
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
    this.#makeRoom(lane, attempt);
    attempt.isQueued = true;
    const unhook = onDestroy(request, () => {
      lane.queue.splice(lane.queue.indexOf(job), 1);
      failRequest(request, attempt);
    });
    job.leaveQueue = () => {
      attempt.isQueued = false;
      unhook();
    };
  }

  /** For a request that has to wait although connections are idle, as it may not take them. */
  #makeRoom({ idle }: Lane, { needsFresh }: Attempt): void {
    if (needsFresh) idle[0]?.spoil();
    else for (const connection of idle) this.#probe(connection);
  }

  /** Opens a connection before there is a request for it, and keeps it. */
  async connect(key: LaneKey, attempt: Attempt, dial: Dial): Promise<void> {
    if (this.#isClosed || this.#owner.isClosed()) throw attempt.closed();
    const lane = this.#lane(key);
    const connection = this.#create(lane);
    connection.attempt = attempt;
    const { signal } = connection.startDial();
    try {
      this.#adopt(connection, await dial(attempt, signal));
      signal.throwIfAborted();
    } catch (error) {
      connection.spoil();
      this.#remove(connection);
      throw error;
    }
    connection.attempt = null;
    this.#rest(connection, this.#limits.idleTimeout);
  }

  /** Gives up what is being dialled. */
  abandon(reason: unknown): void {
    for (const { dialled, dialling } of this.#connections) if (dialled === null) dialling?.abort(reason);
  }

  /** From now on keeps idle connections for a moment only, until the next request comes. */
  retire(): void {
    this.#isRetired = true;
    for (const { state, dialled } of this.#connections) {
      const timeout = dialled?.socket.timeout ?? RETIRED_IDLE_TIMEOUT;
      if (state === 'IDLE') dialled?.socket.setTimeout(Math.min(timeout, RETIRED_IDLE_TIMEOUT));
    }
  }

  /** Closes those connections that are idle, and has those that are not closed once their request is over; without ids all that are idle. */
  closeIdle(ids: ReadonlySet<number> | undefined): void {
    for (const connection of this.#connections) {
      if (ids !== undefined && !ids.has(connection.id)) continue;
      if (connection.state === 'IDLE') connection.spoil();
      else if (ids !== undefined) connection.isLeaving = true;
    }
  }

  /** Ends every connection now. Requests under way and waiting fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const lane of this.#lanes.values()) {
      for (const { leaveQueue, attempt, request } of lane.queue.splice(0)) {
        leaveQueue();
        attempt.stop(attempt.closed());
        failRequest(request, attempt);
      }
    }
    const ends = [...this.#connections].map((connection) => this.#end(connection));
    await Promise.all(ends);
  }

  #end(connection: PooledConnection): Promise<void> {
    const { attempt, dialled, dialling } = connection;
    const closed = attempt?.closed();
    attempt?.stop(closed);
    if (dialled === null) dialling?.abort(closed);
    return new Promise((resolve) => {
      const { onRemoved } = connection;
      // Whoever closed it before waits for the same.
      connection.onRemoved = () => {
        onRemoved();
        resolve();
      };
      dialled?.socket.destroy();
    });
  }

  #lane(key: LaneKey): Lane {
    const known = this.#lanes.get(key.origin);
    if (known) return known;
    const lane: Lane = { key, idle: [], queue: [], open: 0, keepsOpen: false };
    this.#lanes.set(key.origin, lane);
    return lane;
  }

  #create(lane: Lane): PooledConnection {
    const connection = this.#register.create(lane);
    lane.open += 1;
    this.#connections.add(connection);
    this.#owner.used(this);
    return connection;
  }

  #open(lane: Lane, { request, attempt, dial }: Job): void {
    const connection = this.#create(lane);
    connection.request = request;
    connection.attempt = attempt;
    const dialling = connection.startDial();
    const unhook = onDestroy(request, (error) => dialling.abort(error ?? new Error('the request was destroyed')));
    dial(attempt, dialling.signal).then(
      (dialled) => {
        unhook();
        this.#adopt(connection, dialled);
        // A reply that comes in the moment of the abort: the socket must not outlive its request unnoticed.
        if (dialling.signal.aborted || this.#isClosed) {
          dialled.socket.destroy();
          return failRequest(request, attempt);
        }
        this.#bind(connection, request, attempt);
      },
      (error: unknown) => {
        unhook();
        attempt.stop(attempt.translate(error));
        this.#remove(connection);
        failRequest(request, attempt);
      },
    );
  }

  #adopt(connection: PooledConnection, dialled: Dialled): void {
    connection.dialled = dialled;
    connection.dialling = null;
    const { socket } = dialled;
    // Before anybody listens, so that nothing is lost which the origin says.
    socket.pause().on('data', connection.hear);
    socket.on('free', () => this.#release(connection));
    socket.on('close', () => this.#remove(connection));
    // Emitted by Node when a socket leaves HTTP (an upgrade).
    socket.on('agentRemove', () => this.#upgrade(connection));
    socket.on('timeout', () => {
      if (connection.state === 'IDLE') connection.spoil();
    });
    this.#register.opened(connection);
  }

  #bind(connection: PooledConnection, request: ClientRequest, attempt: Attempt): void {
    if (connection.dialled === null) throw new Error('a connection without a socket cannot be used');
    const { socket } = connection.dialled;
    socket.setTimeout(0);
    if (connection.state === 'IDLE') socket.ref();
    if (connection.requestCount > 0) request.reusedSocket = true;
    connection.state = 'ACTIVE';
    connection.requestCount += 1;
    connection.request = request;
    connection.attempt = attempt;
    attempt.hasConnectedToProxy = attempt.route.kind !== 'direct';
    attempt.phase = 'request';
    attempt.connection = () => connection.snapshot();
    request.onSocket(socket);
    // Flows once Node listens, from the next tick on.
    if (socket.isPaused()) process.nextTick(() => socket.resume());
  }

  // Node emits 'free' when an answer has been read to its end and the connection may be used again.
  #release(connection: PooledConnection): void {
    const { dialled, request, lane } = connection;
    if (dialled === null) return;
    // Node leaves its own mark; it would keep the finished request alive, headers and all.
    Reflect.set(dialled.socket, '_httpMessage', null);
    connection.request = null;
    // Who has dialled the connection may be known to it as long as it lives; the request, with its body, must not.
    if (connection.attempt) connection.attempt.onTimeoutsChanged = () => {};
    connection.attempt = null;
    if (connection.requestCount > 1) lane.keepsOpen = true;
    const isKept = this.#limits.keepAlive && !this.#isClosed && !connection.isLeaving;
    if (!isKept || request?.shouldKeepAlive !== true || !connection.isUsable) return void connection.spoil();
    // Makes room for a fresh one, or the next would wait until there is nobody else.
    if (lane.queue[0]?.attempt.needsFresh) return void connection.spoil();
    if (this.#serveNext(connection)) return;
    const idleTimeout = Math.min(
      this.#limits.idleTimeout,
      keepAliveHint(request),
      this.#isRetired ? RETIRED_IDLE_TIMEOUT : Number.POSITIVE_INFINITY,
    );
    if (lane.idle.length >= this.#limits.maxIdleSockets || idleTimeout <= 0) return void connection.spoil();
    this.#rest(connection, idleTimeout);
  }

  /** @returns whether a waiting request has taken the connection */
  #serveNext(connection: PooledConnection): boolean {
    const { lane } = connection;
    const index = lane.queue.findIndex(({ attempt }) => mayReuse(lane, attempt));
    const [next] = index === -1 ? [] : lane.queue.splice(index, 1);
    if (!next) return false;
    next.leaveQueue();
    this.#bind(connection, next.request, next.attempt);
    return true;
  }

  #rest(connection: PooledConnection, idleTimeout: number): void {
    const { dialled, lane } = connection;
    if (dialled === null) return;
    const { socket } = dialled;
    connection.state = 'IDLE';
    lane.idle.push(connection);
    socket.setTimeout(idleTimeout);
    if (socket.isPaused()) socket.resume();
    socket.unref();
    if (!lane.keepsOpen && lane.key.kind === 'forward') this.#probe(connection);
  }

  // Some proxies (Tinyproxy) close after each forwarded request without having said so.
  #probe(connection: PooledConnection): void {
    const { dialled, lane } = connection;
    if (dialled === null || connection.isProbed) return;
    connection.isProbed = true;
    const { socket } = dialled;
    const stop = startDeadline(SETTLING, () => {
      socket.off('close', stop);
      connection.isProbed = false;
      if (connection.state !== 'IDLE' || !connection.isUsable) return;
      lane.keepsOpen = true;
      if (this.#serveNext(connection)) lane.idle.splice(lane.idle.indexOf(connection), 1);
    });
    socket.once('close', stop);
  }

  /** It speaks another protocol from now on: what a client of others has asked for is that client's. */
  #upgrade(connection: PooledConnection): void {
    connection.dialled?.socket.off('data', connection.hear);
    const isForeign = connection.attempt?.isForeign !== false;
    connection.request = null;
    connection.attempt = null;
    if (isForeign) return void this.#remove(connection);
    if (connection.dialled !== null) breakAsUsual(connection.dialled.socket);
    connection.state = 'UPGRADED';
    this.#vacate(connection.lane);
  }

  #remove(connection: PooledConnection): void {
    connection.onRemoved();
    if (!this.#connections.delete(connection)) return;
    const { lane, state } = connection;
    if (state === 'IDLE' && connection.requestCount === 1 && !connection.isSpoiled) lane.keepsOpen = false;
    connection.state = 'CLOSED';
    connection.request = null;
    this.#register.remove(connection);
    const idle = lane.idle.indexOf(connection);
    if (idle !== -1) lane.idle.splice(idle, 1);
    // An upgraded one has left its place already.
    if (state === 'UPGRADED') this.#checkEmpty();
    else this.#vacate(lane);
  }

  /** A place of those that `maxSockets` allows has become free. */
  #vacate(lane: Lane): void {
    lane.open -= 1;
    const next = this.#isClosed ? undefined : lane.queue.shift();
    if (next) {
      next.leaveQueue();
      this.#open(lane, next);
    } else if (lane.open === 0) {
      this.#lanes.delete(lane.key.origin);
      this.#checkEmpty();
    }
  }

  #checkEmpty(): void {
    if (this.#lanes.size === 0 && this.#connections.size === 0) this.#owner.emptied(this);
  }
}

/** Milliseconds that a retired pool keeps an idle connection: time enough for a caller who changes to and fro. */
const RETIRED_IDLE_TIMEOUT = 1_000;

/** Milliseconds after which a connection that is still open is one that its other end keeps open. */
const SETTLING = 50;

// On a connection that the other end is about to close, only what may be sent twice can be risked.
function mayReuse({ key, keepsOpen }: Lane, { needsFresh, isRepeatable }: Attempt): boolean {
  return !needsFresh && (key.kind !== 'forward' || keepsOpen || isRepeatable);
}

function takeUsable(lane: Lane): PooledConnection | null {
  for (let connection = lane.idle.pop(); connection; connection = lane.idle.pop()) {
    if (connection.isUsable) return connection;
    connection.spoil();
  }
  return null;
}

// As good as a fresh one.
function takeUnused({ idle }: Lane): PooledConnection | null {
  const index = idle.findIndex(({ requestCount, isUsable }) => requestCount === 0 && isUsable);
  return index === -1 ? null : (idle.splice(index, 1)[0] ?? null);
}

// RFC 9112 §C.2.2 (Keep-Alive): a second is left for a request that is on its way when the server closes.
function keepAliveHint(request: ClientRequest | null): number {
  const seconds = /(?:^|,)\s*timeout=(\d+)/i.exec(String(request && responseOf(request)?.headers['keep-alive']))?.[1];
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000 - 1000;
}
