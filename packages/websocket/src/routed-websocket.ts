import type { Route, RouteExplanation } from '@cloudlane/proxy';
import {
  type ConnectionInfo,
  maskUrl,
  NO_TIMINGS,
  printAs,
  shownProxy,
  TimeoutError,
  type Timings,
  type TransportResponse,
} from '@cloudlane/transport';
import type { ClientOptions, WebSocket } from 'ws';
import { HeldEvents } from './held-events.ts';
import { type KeepAliveOptions, keepAlive, type Received } from './keep-alive.ts';

/**
 * A WebSocket of the library `ws`, and how it came about.
 *
 * It is connected when it is handed out, so that messages may have come before anybody listens. They are kept until
 * somebody does, also between two listeners: `await once(socket, 'message')`, time and again, gets them all. `error` and
 * `close` are kept in the same way (an error that nobody listens to does not end the process), but do not wait for messages
 * that nobody listens to. When more than 64 KiB wait, the connection is held back: nothing is read then, not even pings,
 * until somebody listens. If messages were never listened to, but `close` is, they are dropped instead, with the warning
 * `CLOUDLANE_UNREAD_MESSAGES`.
 *
 * `for await (const message of socket)` gives every message, text as a string and other data as a Buffer, and holds the
 * origin back while the loop is busy. It ends when the WebSocket is closed, see `closeCode`, and fails with its error.
 * Leaving the loop leaves the WebSocket open.
 */
export interface RoutedWebSocket extends WebSocket, AsyncIterable<string | Buffer> {
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
  /** Why it was closed (RFC 6455 §7.4), 1006 if the connection broke; null until then. */
  readonly closeCode: number | null;
  /** What the other end said to that; null until then. */
  readonly closeReason: string | null;
}

/** The class of them. */
export interface RoutedWebSocketClass {
  new (url: URL, protocols: string[], options: ClientOptions): RoutedWebSocket;
}

/** How a WebSocket came about. */
type Facts = Pick<RoutedWebSocket, 'route' | 'timings' | 'connection' | 'headers'> & Pick<TransportResponse, 'explain'>;

const NOT_OPEN: Facts = {
  route: { kind: 'direct' },
  explain: () => ({ route: { kind: 'direct' }, source: 'none', rule: 'is not open yet', considered: [], warnings: [] }),
  timings: NO_TIMINGS,
  connection: null,
  headers: {},
};

const facts = new WeakMap<WebSocket, Facts>();
const stopPings = new WeakMap<WebSocket, () => void>();

/** Notes how a WebSocket came about, and keeps it alive from now on. */
export function markOpened(
  socket: RoutedWebSocket,
  // Not kept itself: it leads to the request.
  { route, explain, timings, connection, headers }: TransportResponse,
  received: Received,
  options: KeepAliveOptions,
): void {
  facts.set(socket, { route, explain, timings, connection, headers });
  if (socket.readyState === socket.OPEN) stopPings.set(socket, keepAlive(socket, received, options, giveUpOn(socket)));
}

const STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'] as const;

let loaded: Promise<RoutedWebSocketClass> | null = null;

/** Makes the class of `ws`, which is loaded when it is first needed. */
export function loadWebSocketClass(): Promise<RoutedWebSocketClass> {
  loaded ??= import('ws').then(({ WebSocket: Base }) => makeClass(Base));
  return loaded;
}

function makeClass(Base: typeof WebSocket): RoutedWebSocketClass {
  class RoutedWebSocket extends Base implements RoutedWebSocketShape {
    #isPausedByUser = false;
    #end: readonly [code: number, reason: Buffer] | null = null;
    readonly #held: HeldEvents;

    constructor(url: URL, protocols: string[], options: ClientOptions) {
      super(url, protocols, options);
      this.#held = new HeldEvents({
        listenerCount: (event) => this.listenerCount(event),
        tell: (event, args) => void super.emit(event, ...args),
        isPausedByUser: () => this.#isPausedByUser,
        isOpen: () => this.readyState === Base.OPEN,
        holdBack: (isHeldBack) => this.#holdBack(isHeldBack),
      });
      this.#hook();
    }

    get route(): Route {
      return factsOf(this).route;
    }

    get explanation(): RouteExplanation {
      return factsOf(this).explain();
    }

    get timings(): Timings {
      return factsOf(this).timings;
    }

    get connection(): ConnectionInfo | null {
      return factsOf(this).connection;
    }

    get headers(): TransportResponse['headers'] {
      return factsOf(this).headers;
    }

    get closeCode(): number | null {
      return this.#end?.[0] ?? null;
    }

    get closeReason(): string | null {
      return this.#end?.[1].toString() ?? null;
    }

    async *[Symbol.asyncIterator](): AsyncGenerator<string | Buffer, void, undefined> {
      for (;;) {
        const message = this.#held.takeMessage() ?? (await this.#nextMessage());
        if (message === null) return;
        const [data, isBinary] = message;
        const bytes = await toBuffer(data);
        yield isBinary ? bytes : bytes.toString();
      }
    }

    override emit(event: string | symbol, ...args: unknown[]): boolean {
      if (event === 'close') this.#noteEnd(args);
      return this.#held.keep(event, args) || super.emit(event, ...args);
    }

    override removeAllListeners(event?: string | symbol): this {
      // It looks at the number of its arguments.
      if (event === undefined) super.removeAllListeners();
      else super.removeAllListeners(event);
      if (event === undefined || event === 'newListener') this.#hook();
      return this;
    }

    override pause(): void {
      this.#isPausedByUser = true;
      super.pause();
    }

    override resume(): void {
      this.#isPausedByUser = false;
      super.resume();
      this.#held.flushSoon();
    }

    override close(code?: number, reason?: string | Buffer): void {
      super.close(code, reason);
      // The other end's part of the closing handshake must be read.
      this.#held.release();
    }

    override toString(): string {
      return `<WebSocket ${describe(this)}, ${STATES[this.readyState]}>`;
    }

    toJSON(): Record<string, unknown> {
      const { readyState, route, closeCode } = this;
      return { url: maskUrl(new URL(this.url)), state: STATES[readyState], route, closeCode };
    }

    #hook(): void {
      this.on('newListener', (event) => this.#held.heard(event));
    }

    #holdBack(isHeldBack: boolean): void {
      if (this.#isPausedByUser) return;
      if (isHeldBack) super.pause();
      else super.resume();
    }

    #noteEnd([code, reason]: unknown[]): void {
      this.#end = [Number(code), Buffer.isBuffer(reason) ? reason : Buffer.alloc(0)];
      stopPings.get(this)?.();
    }

    /** The next message that comes; null once there will be none. */
    #nextMessage(): Promise<unknown[] | null> {
      if (this.#end !== null && this.#held.isEmpty) return Promise.resolve(null);
      return new Promise((resolve, reject) => {
        const leave = (): void => {
          this.off('message', onMessage).off('error', onError).off('close', onClose);
        };
        const onMessage = (...message: unknown[]): void => {
          leave();
          resolve(message);
        };
        const onError = (error: Error): void => {
          leave();
          reject(error);
        };
        const onClose = (): void => {
          leave();
          resolve(null);
        };
        this.on('message', onMessage).on('error', onError).on('close', onClose);
      });
    }

    static {
      printAs<RoutedWebSocket>(RoutedWebSocket.prototype, String);
    }
  }
  return RoutedWebSocket;
}

type RoutedWebSocketShape = Omit<RoutedWebSocket, keyof WebSocket>;

/** Whatever `binaryType` has made of a message. */
async function toBuffer(data: unknown): Promise<Buffer> {
  if (Buffer.isBuffer(data)) return data;
  if (Array.isArray(data)) return Buffer.concat(data.filter((part) => Buffer.isBuffer(part)));
  if (data instanceof Blob) return Buffer.from(await data.arrayBuffer());
  if (data instanceof ArrayBuffer) return Buffer.from(data);
  throw new TypeError('a message is of no known kind');
}

function factsOf(socket: WebSocket): Facts {
  return facts.get(socket) ?? NOT_OPEN;
}

/** What is done with one that is dead. */
function giveUpOn(socket: RoutedWebSocket): (milliseconds: number) => void {
  return (milliseconds) => {
    const { route, explain } = factsOf(socket);
    const what = `${describe(socket)}: nothing moved for ${milliseconds} ms after a ping (pingTimeout)`;
    const error = new TimeoutError(what, {
      phase: 'body',
      hop: 'origin',
      proxy: shownProxy(route),
      url: maskUrl(new URL(socket.url)),
      hasConnectedToProxy: route.kind !== 'direct',
      route,
      explain,
      deadline: 'pingTimeout',
      milliseconds,
    });
    socket.emit('error', error);
    socket.terminate();
  };
}

/** `wss://api.example/console through http://user:***@proxy:3128`, for people. */
function describe({ url, route }: Pick<RoutedWebSocket, 'url' | 'route'>): string {
  const proxy = shownProxy(route);
  return `${maskUrl(new URL(url))}${proxy === null ? '' : ` through ${proxy}`}`;
}
