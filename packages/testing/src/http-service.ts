import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { type Exchange, type OpenHop, type Outcome, type ProxyHop, respond } from './exchange.ts';
import { endToEnd } from './hop-headers.ts';
import { type HopMisbehaviour, isMeantFor } from './misbehaviour.ts';
import type { Plan } from './plan.ts';
import { play } from './play.ts';
import { challenge, errorPage, formatHead, type Reply } from './reply.ts';
import type { Desk } from './station.ts';
import type { Upstream } from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';
import { part, wait } from './wait.ts';

/** Whom an HTTP proxy lets in, and how fast. */
export interface HttpServiceOptions {
  /** Demands these credentials by Basic. @defaultValue lets everybody in */
  readonly auth?: { readonly username: string; readonly password: string };
  /** Realm of the challenges. @defaultValue 'lab' */
  readonly realm?: string;
  /** Challenges of a 407: scheme names, or whole challenges. Credentials count only if Basic is among them. @defaultValue ['Basic'] */
  readonly schemes?: readonly string[];
  /** Milliseconds between a request and whatever the proxy does about it. @defaultValue 0 */
  readonly delay?: number;
}

interface Parts {
  readonly desk: Desk<ProxyHop>;
  readonly upstream: Upstream;
  readonly plan: Plan<HopMisbehaviour>;
  readonly options: HttpServiceOptions;
}

/** The proxy protocol of HTTP: forwarding and CONNECT. */
export class HttpService {
  readonly #parts: Parts;
  readonly #http = createServer({
    requireHostHeader: false,
    requestTimeout: 0,
    headersTimeout: 0,
    keepAliveTimeout: 0,
  });

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#http.on('request', (request, response) => void this.#forward(request, response));
    // Who may send its body is for the origin to say.
    this.#http.on('checkContinue', (request, response) => void this.#forward(request, response));
    this.#http.on('connect', (request, socket, head) => {
      if (socket instanceof Socket) void this.#connect(request, socket, head);
    });
  }

  /** Serves a connection until it closes or becomes a tunnel. */
  serve(socket: Socket): void {
    this.#http.emit('connection', socket);
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const hop = this.#record('forward', request);
    const exchange: Exchange = {
      hop,
      request,
      socket,
      response,
      settle: () => this.#settleForward(exchange),
      next: () => undefined,
      reset: () => this.#parts.desk.resetSocket(socket),
    };
    if (await this.#misplay(exchange)) return;
    if (!hop.authorized) return void (await respond(this.#challenge(), exchange));
    try {
      const answer = await this.#parts.upstream.forward(request, () => response.writeContinue());
      hop.status = answer.statusCode ?? 502;
      response.sendDate = false;
      response.writeHead(hop.status, answer.statusMessage, endToEnd(answer.rawHeaders));
      // Breaks off towards the client when the origin does, and the other way round.
      pipeline(answer, response, () => undefined);
    } catch (error) {
      await respond(replyTo(error), exchange);
    }
  }

  async #connect(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    // With half-open sockets nobody else notices that a client went before it got its reply.
    const giveUp = () => socket.destroy();
    socket.once('end', giveUp);
    const stay = () => void socket.off('end', giveUp);
    const exchange: Exchange = {
      hop: this.#record('connect', request),
      request,
      socket,
      response: null,
      settle: () => this.#settleConnect(exchange, head, stay),
      next: () => {
        stay();
        if (head.length > 0) socket.unshift(head);
        this.serve(socket);
      },
      reset: () => this.#parts.desk.resetSocket(socket),
    };
    if (await this.#misplay(exchange)) return;
    const outcome = await exchange.settle();
    if (socket.destroyed) return;
    if (outcome.reply.status !== 200) return void (await respond(outcome.reply, exchange));
    exchange.hop.status = 200;
    socket.write(formatHead(outcome.reply));
    outcome.follow();
  }

  /** True if there is nothing left to do. */
  async #misplay(exchange: Exchange): Promise<boolean> {
    const { kind } = exchange.hop;
    const behaviour = this.#parts.plan.takeForHop((candidate) => isMeantFor(kind, candidate));
    const { delay = 0 } = this.#parts.options;
    if (delay > 0 && !(await wait(exchange.socket, delay))) return true;
    return behaviour !== null && (await play(behaviour, exchange));
  }

  async #settleConnect({ hop, socket, request }: Exchange, head: Buffer, stay: () => void): Promise<Outcome> {
    const refuse = (reply: Reply): Outcome => ({ reply, follow: () => part(socket) });
    if (!hop.authorized) return refuse(this.#challenge());
    try {
      const origin = await this.#parts.upstream.dial(request.url ?? '', socket);
      const abandon = () => origin.destroy();
      socket.once('close', abandon);
      if (socket.destroyed) abandon();
      const follow = () => {
        stay();
        socket.off('close', abandon);
        this.#parts.desk.openTunnel(socket, origin, head);
      };
      return { reply: { status: 200, reason: 'Connection established', headers: [] }, follow };
    } catch (error) {
      return refuse(replyTo(error));
    }
  }

  /** The origin's whole answer at once, so that it can be cut to any shape. */
  async #settleForward({ hop, socket, request, response }: Exchange): Promise<Outcome> {
    const follow = () => part(socket);
    if (!hop.authorized) return { reply: this.#challenge(), follow };
    try {
      const answer = await this.#parts.upstream.forward(request, () => response?.writeContinue());
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(Buffer.from(chunk));
      const body = Buffer.concat(chunks);
      return {
        reply: {
          status: answer.statusCode ?? 502,
          reason: answer.statusMessage ?? '',
          headers: endToEnd(answer.rawHeaders),
          body,
        },
        follow,
      };
    } catch (error) {
      return { reply: replyTo(error), follow };
    }
  }

  #record(kind: 'forward' | 'connect', request: IncomingMessage): OpenHop {
    const { method = '', url: target = '', headers, rawHeaders, socket } = request;
    const { desk } = this.#parts;
    const credentials = basicCredentials(headers['proxy-authorization']);
    const hop: OpenHop = {
      kind,
      method,
      target,
      headers,
      rawHeaders,
      ...desk.peer(socket),
      authorized: this.#mayPass(credentials),
      username: credentials?.username ?? null,
      status: null,
      sent: 0,
    };
    desk.record(hop);
    return hop;
  }

  #mayPass(credentials: Credentials | null): boolean {
    const { auth, schemes = ['Basic'] } = this.#parts.options;
    if (!auth) return true;
    if (!credentials || !schemes.some((scheme) => /^basic\b/i.test(scheme))) return false;
    return credentials.username === auth.username && credentials.password === auth.password;
  }

  #challenge(): Reply {
    const { realm = 'lab', schemes = ['Basic'] } = this.#parts.options;
    return challenge(realm, schemes);
  }
}

interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** RFC 7617 §2: base64 of UTF-8; the first colon ends the user name. */
function basicCredentials(header: string | undefined): Credentials | null {
  const [, base64] = /^basic +([a-z0-9+/=]+)$/i.exec(header ?? '') ?? [];
  if (base64 === undefined) return null;
  const text = Buffer.from(base64, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? null : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function replyTo(error: unknown): Reply {
  if (error instanceof UpstreamError) return error.reply;
  // The origin broke off in the middle of an answer that was to be reshaped.
  if (typeof error === 'object' && error !== null && 'code' in error) {
    return errorPage(502, `The origin failed: ${String(error.code)}`);
  }
  throw error;
}
