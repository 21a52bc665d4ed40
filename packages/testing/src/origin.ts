import { createServer, IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { inspect } from 'node:util';
import { hasBody } from './hop-headers.ts';
import { checkForLeaks } from './ledger.ts';
import { type LabHeaders, type LabHost, Listener, type Peer } from './listener.ts';
import type { LabTls } from './tls-door.ts';
import { Watch } from './watch.ts';

/** One request that reached an origin. It is recorded with its head; `body` and `complete` follow as bytes arrive. */
export interface OriginRequest extends Peer {
  readonly method: string;
  /** The request target as on the wire. */
  readonly target: string;
  readonly headers: LabHeaders;
  /** Names and values alternately, as on the wire. */
  readonly rawHeaders: readonly string[];
  /** What has come of the body so far; always empty with `recordBodies: false`. */
  readonly body: Buffer;
  /** Whether the whole request has come. */
  readonly complete: boolean;
}

/** How an origin answers one request. A rejection becomes a 500 that names the error. */
export type OriginHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** Options of {@link startOrigin}. */
export interface OriginOptions {
  /** Makes an https origin. @defaultValue http */
  readonly tls?: LabTls;
  /** @defaultValue '127.0.0.1' */
  readonly host?: LabHost;
  /** @defaultValue answers JSON `{ method, target, headers, body, bytes }`: an echo */
  readonly handler?: OriginHandler;
  /**
   * Takes the requests that say `Expect: 100-continue`, on the live stream before their bodies come: it may call
   * `writeContinue()`, or not. @defaultValue says 100 Continue, and treats them as any other
   */
  readonly expectation?: OriginHandler;
  /** Takes over connections that ask for another protocol. @defaultValue treats them as ordinary requests */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /**
   * Keep bodies in the record. Then the handler runs once the body is complete, and can read it all the same;
   * with `false` it runs at once on the live stream, and big uploads need no memory. @defaultValue true
   */
  readonly recordBodies?: boolean;
  /** This origin is meant to see proxy headers: they do not go to {@link credentialLeaks}. @defaultValue false */
  readonly leakIsExpected?: boolean;
}

/** A real HTTP origin on loopback that remembers what reached it. */
export interface LabOrigin extends AsyncDisposable {
  /** Without a trailing slash: `https://127.0.0.1:40123`. */
  readonly url: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** In the order in which the heads came. */
  readonly requests: readonly OriginRequest[];
  /** TCP connections since the start. */
  readonly connectionCount: number;
  /** TCP connections open now. */
  readonly openSockets: number;
  /** Resolves when the heads of so many requests have come. */
  waitForRequests(count: number): Promise<void>;
  /** Resolves when no connection is open. */
  waitUntilIdle(): Promise<void>;
  /** Destroys every connection. May be called again. */
  close(): Promise<void>;
}

/** Starts an origin on a free port of loopback. It never closes an idle connection by itself. */
export async function startOrigin(options: OriginOptions = {}): Promise<LabOrigin> {
  const http = createServer({ requireHostHeader: false, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 });
  const { host, tls } = options;
  const listener = await Listener.open({ ...(host && { host }), ...(tls && { tls }) });
  listener.serve = (socket) => void http.emit('connection', socket);
  const origin = new RunningOrigin(listener, options);
  http.on('request', (request, response) => origin.serve(request, response));
  if (options.expectation) http.on('checkContinue', (request, response) => origin.expect(request, response));
  if (options.upgrade) http.on('upgrade', (request, socket, head) => origin.upgrade(request, socket, head));
  return origin;
}

class RunningOrigin implements LabOrigin {
  readonly url: string;
  readonly requests: OriginRequest[] = [];
  readonly #listener: Listener;
  readonly #options: OriginOptions;
  readonly #watch = new Watch();

  constructor(listener: Listener, options: OriginOptions) {
    this.#listener = listener;
    this.#options = options;
    this.url = `${options.tls ? 'https' : 'http'}://${listener.authority}`;
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

  waitForRequests(count: number): Promise<void> {
    return this.#watch.until(() => this.requests.length >= count);
  }

  waitUntilIdle(): Promise<void> {
    return this.#listener.watch.until(() => this.openSockets === 0);
  }

  close(): Promise<void> {
    return this.#listener.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [inspect.custom](): string {
    return `LabOrigin { url: '${this.url}', requests: ${this.requests.length}, openSockets: ${this.openSockets} }`;
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const chunks = this.#record(request);
    const { recordBodies = true, handler = echo(recordBodies) } = this.#options;
    const body = recordBodies && hasBody(request) ? replay(request, chunks) : Promise.resolve(request);
    body.then((whole) => handler(whole, response)).catch((error: unknown) => complain(error, request, response));
  }

  expect(request: IncomingMessage, response: ServerResponse): void {
    this.#record(request);
    const served = Promise.resolve(request).then((live) => this.#options.expectation?.(live, response));
    served.catch((error: unknown) => complain(error, request, response));
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#record(request);
    this.#options.upgrade?.(request, socket, head);
  }

  #record(request: IncomingMessage): Buffer[] {
    const chunks: Buffer[] = [];
    const { method = '', url: target = '', headers, rawHeaders } = request;
    this.requests.push({
      method,
      target,
      headers,
      rawHeaders,
      ...this.#listener.peer(request.socket),
      get body() {
        return Buffer.concat(chunks);
      },
      get complete() {
        return request.complete;
      },
    });
    if (!this.#options.leakIsExpected) checkForLeaks(this.url, target, rawHeaders);
    this.#watch.changed();
    return chunks;
  }
}

/** The same request with its body not yet read, so that a handler can read what the record has read already. */
async function replay(request: IncomingMessage, chunks: Buffer[]): Promise<IncomingMessage> {
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  const copy = new IncomingMessage(request.socket);
  const { method, url, headers, rawHeaders, trailers, rawTrailers, httpVersion, complete } = request;
  Object.assign(copy, { method, url, headers, rawHeaders, trailers, rawTrailers, httpVersion, complete });
  for (const chunk of chunks) copy.push(chunk);
  copy.push(null);
  return copy;
}

function echo(withBody: boolean): OriginHandler {
  return async (request, response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      if (withBody) chunks.push(Buffer.from(chunk));
    }
    const { method, url: target, headers } = request;
    const answer = JSON.stringify({ method, target, headers, body: Buffer.concat(chunks).toString(), bytes });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) });
    response.end(answer);
  };
}

function complain(error: unknown, request: IncomingMessage, response: ServerResponse): void {
  if (request.socket.destroyed) return;
  if (response.headersSent) return void request.socket.destroy();
  const text = `the handler of the origin failed: ${error instanceof Error ? error.stack : String(error)}`;
  return void response.writeHead(500, { 'content-type': 'text/plain' }).end(text);
}
