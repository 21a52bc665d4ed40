import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { inspect } from 'node:util';
import { type Exchange, type OpenHop, type Outcome, type ProxyHop, respond } from './exchange.ts';
import { type LabHost, type LabTls, Listener } from './listener.ts';
import { type Misbehaviour, Plan } from './misbehaviour.ts';
import { play } from './play.ts';
import { challenge, errorPage, formatHead, type Reply } from './reply.ts';
import { couple } from './tunnel.ts';
import { endToEnd, Upstream, UpstreamError, type UpstreamOptions } from './upstream.ts';
import { hold, part, wait } from './wait.ts';

/** Options of {@link startProxy}. */
export interface LabProxyOptions extends UpstreamOptions {
  /** Demands these credentials by Basic. @defaultValue lets everybody in */
  readonly auth?: { readonly username: string; readonly password: string };
  /** Realm of the challenges. @defaultValue 'lab' */
  readonly realm?: string;
  /** Challenges of a 407: scheme names, or whole challenges. Credentials count only if Basic is among them. @defaultValue ['Basic'] */
  readonly schemes?: readonly string[];
  /** Makes an https:// proxy. @defaultValue http */
  readonly tls?: LabTls;
  /** @defaultValue '127.0.0.1' */
  readonly host?: LabHost;
  /** How it misbehaves from the start. @defaultValue not at all */
  readonly misbehaviour?: Misbehaviour;
  /** Milliseconds between a request and whatever the proxy does about it. @defaultValue 0 */
  readonly delay?: number;
}

/** A real HTTP proxy on loopback (forward and CONNECT) that remembers what it saw and misbehaves on request. */
export interface LabProxy extends AsyncDisposable {
  /** Without credentials and without a trailing slash. */
  readonly url: string;
  /** With the percent-encoded credentials of `auth`; the same as `url` without `auth`. */
  readonly urlWithCredentials: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** In the order in which the requests came. */
  readonly hops: readonly ProxyHop[];
  /** TCP connections from clients since the start. */
  readonly connectionCount: number;
  /** TCP connections from clients that are open now. */
  readonly openSockets: number;
  /** Tunnels that are open now. */
  readonly openTunnels: number;
  /** From now on misbehave like this; `null`: behave. Hops under way go on as they began. */
  misbehave(behaviour: Misbehaviour | null): void;
  /** Resolves when so many requests have come, answered or not. */
  waitForHops(count: number): Promise<void>;
  /** Resolves when so many clients have connected. */
  waitForConnections(count: number): Promise<void>;
  /** Resolves when no client socket and no tunnel is open: proves that a client left none behind. */
  waitUntilIdle(): Promise<void>;
  /** Forgets the hops and counts connections anew. What is open stays open, and no connection number is given twice. */
  reset(): void;
  /** Destroys every connection. May be called again. */
  close(): Promise<void>;
}

/**
 * Starts a proxy on a free port of loopback. It reaches loopback only: other names are unknown hosts to it unless
 * `hosts` has them. It never closes an idle connection by itself.
 */
export async function startProxy(options: LabProxyOptions = {}): Promise<LabProxy> {
  const upstream = new Upstream(options);
  const http = createServer({ requireHostHeader: false, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 });
  const plan = new Plan();
  const { host, tls } = options;
  const listener = await Listener.open({
    http,
    admit: (socket) => admit(socket, plan),
    ...(host && { host }),
    ...(tls && { tls }),
  });
  const serveAgain = (socket: Socket) => void http.emit('connection', socket);
  const proxy = new RunningProxy({ listener, upstream, plan, options, serveAgain });
  http.on('request', (request, response) => void proxy.forward(request, response));
  http.on('connect', (request, socket, head) => {
    if (socket instanceof Socket) void proxy.connect(request, socket, head);
  });
  proxy.misbehave(options.misbehaviour ?? null);
  return proxy;
}

/** A connection that is refused or held never gets as far as TLS. */
function admit(socket: Socket, plan: Plan): boolean {
  const behaviour = plan.takeForConnection();
  if (!behaviour) return true;
  if (behaviour.kind === 'refuse') socket.resetAndDestroy();
  else hold(socket);
  return false;
}

interface Parts {
  readonly listener: Listener;
  readonly upstream: Upstream;
  readonly plan: Plan;
  readonly options: LabProxyOptions;
  readonly serveAgain: (socket: Socket) => void;
}

class RunningProxy implements LabProxy {
  readonly url: string;
  readonly hops: ProxyHop[] = [];
  readonly #parts: Parts;
  readonly #tunnels = new Set<Socket>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.url = `${parts.options.tls ? 'https' : 'http'}://${parts.listener.authority}`;
  }

  get urlWithCredentials(): string {
    const { auth } = this.#parts.options;
    if (!auth) return this.url;
    const userinfo = `${encodeURIComponent(auth.username)}:${encodeURIComponent(auth.password)}`;
    return this.url.replace('://', `://${userinfo}@`);
  }

  get host(): string {
    return this.#parts.listener.host;
  }

  get port(): number {
    return this.#parts.listener.port;
  }

  get connectionCount(): number {
    return this.#parts.listener.connectionCount;
  }

  get openSockets(): number {
    return this.#parts.listener.openSockets;
  }

  get openTunnels(): number {
    return this.#tunnels.size;
  }

  misbehave(behaviour: Misbehaviour | null): void {
    const { listener, plan } = this.#parts;
    plan.set(behaviour);
    if (plan.closesListener) listener.stopListening();
    else listener.listenAgain();
  }

  waitForHops(count: number): Promise<void> {
    return this.#parts.listener.watch.until(() => this.hops.length >= count);
  }

  waitForConnections(count: number): Promise<void> {
    return this.#parts.listener.watch.until(() => this.connectionCount >= count);
  }

  waitUntilIdle(): Promise<void> {
    return this.#parts.listener.watch.until(() => this.openSockets === 0 && this.openTunnels === 0);
  }

  reset(): void {
    this.hops.length = 0;
    this.#parts.listener.forgetConnections();
  }

  async close(): Promise<void> {
    for (const origin of this.#tunnels) origin.destroy();
    await this.#parts.listener.close();
    await this.waitUntilIdle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [inspect.custom](): string {
    const { url, hops, openSockets, openTunnels } = this;
    return `LabProxy { url: '${url}', hops: ${hops.length}, openSockets: ${openSockets}, openTunnels: ${openTunnels} }`;
  }

  async forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const hop = this.#record('forward', request);
    const exchange: Exchange = {
      hop,
      request,
      socket,
      response,
      settle: () => this.#settleForward(exchange),
      next: () => undefined,
      reset: () => this.#parts.listener.reset(socket),
    };
    if (await this.#misplay(exchange)) return;
    if (!hop.authorized) return void (await respond(this.#challenge(), exchange));
    try {
      const answer = await this.#parts.upstream.forward(request);
      hop.status = answer.statusCode ?? 502;
      response.sendDate = false;
      response.writeHead(hop.status, answer.statusMessage, endToEnd(answer.rawHeaders));
      // Breaks off towards the client when the origin does, and the other way round.
      pipeline(answer, response, () => undefined);
    } catch (error) {
      await respond(replyTo(error), exchange);
    }
  }

  async connect(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
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
        this.#parts.serveAgain(socket);
      },
      reset: () => this.#parts.listener.reset(socket),
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
    const behaviour = this.#parts.plan.takeForHop(exchange.hop.kind);
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
        this.#openTunnel(socket, origin, head);
      };
      return { reply: { status: 200, reason: 'Connection established', headers: [] }, follow };
    } catch (error) {
      return refuse(replyTo(error));
    }
  }

  /** The origin's whole answer at once, so that it can be cut to any shape. */
  async #settleForward({ hop, socket, request }: Exchange): Promise<Outcome> {
    const follow = () => part(socket);
    if (!hop.authorized) return { reply: this.#challenge(), follow };
    try {
      const answer = await this.#parts.upstream.forward(request);
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

  #openTunnel(client: Socket, origin: Socket, head: Buffer): void {
    this.#tunnels.add(origin);
    const closed = () => {
      if (!client.destroyed || !origin.destroyed) return;
      this.#tunnels.delete(origin);
      this.#parts.listener.watch.changed();
    };
    client.once('close', closed);
    origin.once('close', closed);
    origin.write(head);
    couple(client, origin);
  }

  #record(kind: 'forward' | 'connect', request: IncomingMessage): OpenHop {
    const { method = '', url: target = '', headers, rawHeaders, socket } = request;
    const { listener } = this.#parts;
    const credentials = basicCredentials(headers['proxy-authorization']);
    const hop: OpenHop = {
      kind,
      method,
      target,
      headers,
      rawHeaders,
      ...listener.peer(socket),
      authorized: this.#mayPass(credentials),
      username: credentials?.username ?? null,
      status: null,
      sent: 0,
    };
    this.hops.push(hop);
    listener.watch.changed();
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
