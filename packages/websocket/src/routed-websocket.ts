import type { Route, RouteExplanation } from '@cloudlane/proxy';
import {
  type ConnectionInfo,
  maskUrl,
  NO_TIMINGS,
  printAs,
  TimeoutError,
  type Timings,
  type TransportResponse,
} from '@cloudlane/transport';
import type { ClientOptions, WebSocket } from 'ws';
import { type KeepAliveOptions, keepAlive, type Received } from './keep-alive.ts';
import { proxyOf } from './websocket-errors.ts';

/**
 * A WebSocket of the library `ws`, and how it came about.
 *
 * It is connected when it is handed out, so that messages may have come before anybody listens. They are kept until
 * somebody does, also between two listeners: `await once(socket, 'message')`, time and again, gets them all. When more
 * than 64 KiB wait, the connection is paused; nothing is read then, not even pings, until somebody listens. `error` and
 * `close` wait in the same way: an error that nobody listens to does not end the process.
 */
export interface RoutedWebSocket extends WebSocket {
  /** The route it was opened over. */
  readonly route: Route;
  /** Why it takes that route. */
  readonly explanation: RouteExplanation;
  /** Where the time of the opening went; after redirects that of its last hop. */
  readonly timings: Timings;
  /** The connection when it was opened; null if something answered in the network's place. */
  readonly connection: ConnectionInfo | null;
  /** Of the origin's answer to the handshake, names in lower case. */
  readonly headers: TransportResponse['headers'];
}

/** The class of them. */
export interface RoutedWebSocketClass {
  new (url: URL, protocols: string[], options: ClientOptions): OpeningWebSocket;
}

/** A WebSocket that is to be told how it came about, once it is open. */
export interface OpeningWebSocket extends RoutedWebSocket {
  opened(response: TransportResponse, received: Received, options: KeepAliveOptions): void;
}

/** Bytes of messages that wait for a listener before the connection is paused. */
const MOST_HELD = 64 * 1024;

/** What waits until somebody listens. */
const HELD: ReadonlySet<string | symbol> = new Set(['message', 'error', 'close']);

let loaded: Promise<RoutedWebSocketClass> | null = null;

/** Makes the class of `ws`, which is loaded when it is first needed. */
export function loadWebSocketClass(): Promise<RoutedWebSocketClass> {
  loaded ??= import('ws').then(({ WebSocket: Base }) => makeClass(Base));
  return loaded;
}

type HeldEvent = [event: string | symbol, args: unknown[]];

type Facts = Pick<RoutedWebSocket, 'route' | 'timings' | 'connection' | 'headers'> & Pick<TransportResponse, 'explain'>;

const NOT_OPEN: Facts = {
  route: { kind: 'direct' },
  explain: () => ({ route: { kind: 'direct' }, source: 'none', rule: 'is not open yet', considered: [], warnings: [] }),
  timings: NO_TIMINGS,
  connection: null,
  headers: {},
};

const STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'] as const;

function makeClass(Base: typeof WebSocket): RoutedWebSocketClass {
  class RoutedWebSocket extends Base implements OpeningWebSocket {
    #facts: Facts = NOT_OPEN;
    #stopPings: () => void = () => {};
    #held: HeldEvent[] = [];
    #heldBytes = 0;
    #isFlushing = false;
    /** Whether it is paused because too much waits. */
    #isHeldBack = false;

    constructor(url: URL, protocols: string[], options: ClientOptions) {
      super(url, protocols, options);
      this.on('newListener', (event) => {
        if (this.#held.length > 0 && HELD.has(event)) this.#flushSoon();
      });
    }

    get route(): Route {
      return this.#facts.route;
    }

    get explanation(): RouteExplanation {
      return this.#facts.explain();
    }

    get timings(): Timings {
      return this.#facts.timings;
    }

    get connection(): ConnectionInfo | null {
      return this.#facts.connection;
    }

    get headers(): TransportResponse['headers'] {
      return this.#facts.headers;
    }

    // Not the answer itself, which leads to the request.
    opened(response: TransportResponse, received: Received, options: KeepAliveOptions): void {
      const { route, explain, timings, connection, headers } = response;
      this.#facts = { route, explain, timings, connection, headers };
      this.#stopPings = keepAlive(this, received, options, (milliseconds) => this.#giveUp(milliseconds));
    }

    override emit(event: string | symbol, ...args: unknown[]): boolean {
      if (event === 'close') this.#stopPings();
      if (!HELD.has(event) || (!this.#isFlushing && this.listenerCount(event) > 0)) return super.emit(event, ...args);
      this.#held.push([event, args]);
      if (event === 'message') this.#hold(weightOf(args[0]));
      return true;
    }

    override close(code?: number, reason?: string | Buffer): void {
      super.close(code, reason);
      // The other end's part of the closing handshake must be read.
      this.#release();
    }

    #giveUp(milliseconds: number): void {
      const { route, explain } = this.#facts;
      const error = new TimeoutError(
        `${describe(this)}: nothing moved for ${milliseconds} ms after a ping (pingTimeout)`,
        {
          phase: 'body',
          hop: 'origin',
          proxy: proxyOf(route),
          url: maskUrl(new URL(this.url)),
          hasConnectedToProxy: route.kind !== 'direct',
          route,
          explain,
          deadline: 'pingTimeout',
          milliseconds,
        },
      );
      this.emit('error', error);
      this.terminate();
    }

    #hold(bytes: number): void {
      this.#heldBytes += bytes;
      if (this.#heldBytes < MOST_HELD || this.isPaused || this.readyState !== Base.OPEN) return;
      this.#isHeldBack = true;
      this.pause();
    }

    #release(): void {
      if (!this.#isHeldBack) return;
      this.#isHeldBack = false;
      this.resume();
    }

    // In a later step, so that all listeners that are added together get what waits.
    #flushSoon(): void {
      if (this.#isFlushing) return;
      this.#isFlushing = true;
      process.nextTick(() => this.#flush());
    }

    /** Tells what waits, in its order, as far as anybody listens; what nobody listens to goes on waiting. */
    #flush(): void {
      try {
        for (let next = this.#takeHeard(); next !== undefined; next = this.#takeHeard()) {
          const [event, args] = next;
          if (event === 'message') this.#heldBytes -= weightOf(args[0]);
          super.emit(event, ...args);
        }
        if (this.#heldBytes < MOST_HELD) this.#release();
      } finally {
        this.#isFlushing = false;
        // A listener has thrown.
        if (this.#held.some(([event]) => this.listenerCount(event) > 0)) this.#flushSoon();
      }
    }

    #takeHeard(): HeldEvent | undefined {
      const index = this.#held.findIndex(([event]) => this.listenerCount(event) > 0);
      return index === -1 ? undefined : this.#held.splice(index, 1)[0];
    }

    static {
      printAs<RoutedWebSocket>(
        RoutedWebSocket.prototype,
        (socket) => `<WebSocket ${describe(socket)}, ${STATES[socket.readyState]}>`,
      );
    }
  }
  return RoutedWebSocket;
}

/** `wss://api.example/console through http://user:***@proxy:3128`, for people. */
function describe({ url, route }: RoutedWebSocket): string {
  const proxy = proxyOf(route);
  return `${maskUrl(new URL(url))}${proxy === null ? '' : ` through ${proxy}`}`;
}

/** What a message that waits costs, in bytes. */
function weightOf(data: unknown): number {
  if (Array.isArray(data)) return data.reduce((sum: number, part: unknown) => sum + weightOf(part), 0);
  return HELD_MESSAGE + (Buffer.isBuffer(data) || data instanceof ArrayBuffer ? data.byteLength : 0);
}

/** Bytes that a message takes besides its content, about. */
const HELD_MESSAGE = 128;
