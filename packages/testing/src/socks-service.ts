import type { Socket } from 'node:net';
import { Intake } from './intake.ts';
import type { Plan } from './plan.ts';
import type { OpenSocksHop, SocksAnswer, SocksExchange, SocksHop } from './socks-exchange.ts';
import { canHappen, type SocksCourse, type SocksHopMisbehaviour } from './socks-misbehaviour.ts';
import { say } from './socks-play.ts';
import { readPassword, readRequest4, readRequest5, type SocksRequest } from './socks-read.ts';
import { formatReply4, formatReply5, formatTarget, NOWHERE, SOCKS4, SOCKS5, type SocksAddress } from './socks-wire.ts';
import type { Desk } from './station.ts';
import type { Upstream } from './upstream.ts';
import { UpstreamError, type UpstreamFault } from './upstream-error.ts';
import { hold, part, wait } from './wait.ts';

/** Whom a SOCKS proxy lets in, and how fast. */
export interface SocksServiceOptions {
  /** SOCKS5: demands these by RFC 1929. SOCKS4 has no passwords: it is refused with 91, unless `userId` says more. @defaultValue lets everybody in */
  readonly auth?: { readonly username: string; readonly password: string };
  /** SOCKS4: demands this user id, and refuses with 93. @defaultValue takes any */
  readonly userId?: string;
  /** A client of another version is heard (its request in SOCKS4, its greeting in SOCKS5), and gets FIN. @defaultValue [4, 5] */
  readonly versions?: readonly (4 | 5)[];
  /** Milliseconds between a request and whatever the proxy does about it; greeting and password are answered at once. @defaultValue 0 */
  readonly delay?: number;
}

interface Parts {
  readonly desk: Desk<SocksHop>;
  readonly upstream: Upstream;
  readonly plan: Plan<SocksHopMisbehaviour>;
  readonly options: SocksServiceOptions;
}

/** One client, with what it is going to say. */
interface Client extends SocksExchange {
  readonly intake: Intake;
  /** Somebody else cares from now on for a client that goes. */
  stay(): void;
}

// RFC 1928 §6; SOCKS4 has one code for all of them.
const REPLY5: Readonly<Record<UpstreamFault, number>> = {
  malformed: SOCKS5.replies.failed,
  unknown: SOCKS5.replies.unknownHost,
  refused: SOCKS5.replies.refused,
  failed: SOCKS5.replies.failed,
};
const FORBIDDEN_PORT = 9;

/** SOCKS4, 4a and 5. */
export class SocksService {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Serves a connection until it closes or becomes a tunnel. */
  async serve(socket: Socket): Promise<void> {
    const intake = new Intake(socket);
    // With half-open sockets nobody else notices that a client went before it got its reply.
    const giveUp = () => void socket.destroy();
    socket.once('end', giveUp);
    const connection = { socket, intake, stay: () => void socket.off('end', giveUp) };
    const version = (await intake.take(1))?.[0];
    if (version === 4) await this.#serve4(connection);
    else if (version === 5) await this.#serve5(connection);
    else part(socket);
  }

  async #serve4(connection: Connection): Promise<void> {
    const request = await readRequest4(connection.intake);
    if (!request) return part(connection.socket);
    const { userId } = request;
    const code = this.#objection4(userId);
    const hop = { userId, authorized: code === null, ...targetOf(request) };
    const client = this.#meet(connection, { version: 4, withPassword: false }, hop);
    if (!this.#speaks(4)) return part(connection.socket);
    await this.#answer(client, request, code);
  }

  async #serve5(connection: Connection): Promise<void> {
    const { intake, socket } = connection;
    const [count] = (await intake.take(1)) ?? [];
    const methods = count === undefined ? null : await intake.take(count);
    if (!methods) return part(socket);
    const right = this.#choose(methods);
    const authorized = this.#parts.options.auth === undefined;
    const course: SocksCourse = { version: 5, withPassword: right === SOCKS5.methods.password };
    const client = this.#meet(connection, course, { methods: [...methods], authorized });
    if (!this.#speaks(5)) return part(socket);
    const method = client.behaviour?.kind === 'method' ? client.behaviour.method : right;
    if (!(await say(client, 'greeting', () => chosen(method, socket)))) return;
    if (method === SOCKS5.methods.password && !(await this.#authenticate(client))) return;
    if (method !== SOCKS5.methods.password && method !== SOCKS5.methods.none) return;
    const request = await readRequest5(intake);
    if (!request) return part(socket);
    Object.assign(client.hop, targetOf(request));
    await this.#answer(client, request, objection5(request));
  }

  #meet({ socket, intake, stay }: Connection, course: SocksCourse, known: Partial<SocksHop>): Client {
    const { desk, plan } = this.#parts;
    const hop: OpenSocksHop = {
      kind: 'socks',
      version: course.version,
      target: '',
      addressType: null,
      methods: [],
      username: null,
      userId: null,
      authorized: false,
      ...desk.peer(socket),
      ...known,
      reply: null,
      sent: 0,
    };
    const behaviour = this.#speaks(course.version) ? plan.takeForHop((each) => canHappen(each, course)) : null;
    desk.record(hop);
    return { hop, socket, behaviour, intake, stay, reset: () => desk.resetSocket(socket) };
  }

  #speaks(version: 4 | 5): boolean {
    return this.#parts.options.versions?.includes(version) ?? true;
  }

  #choose(offered: Buffer): number {
    const { none, password, unacceptable } = SOCKS5.methods;
    if (!this.#parts.options.auth && offered.includes(none)) return none;
    return offered.includes(password) ? password : unacceptable;
  }

  /** RFC 1929. */
  async #authenticate(client: Client): Promise<boolean> {
    const { auth } = this.#parts.options;
    const given = await readPassword(client.intake);
    if (!given) return hangUp(client.socket);
    const right = !auth || (given.username === auth.username && given.password === auth.password);
    client.hop.username = given.username;
    client.hop.authorized = right;
    const follow = () => (right ? undefined : part(client.socket));
    const heard = await say(client, 'auth', () => ({ bytes: Buffer.of(1, right ? 0 : 1), code: null, follow }));
    return heard && right;
  }

  #objection4(userId: string): number | null {
    const { auth, userId: demanded } = this.#parts.options;
    if (demanded !== undefined) return userId === demanded ? null : SOCKS4.replies.wrongUserId;
    return auth ? SOCKS4.replies.rejected : null;
  }

  async #answer(client: Client, request: SocksRequest, objection: number | null): Promise<void> {
    const { delay = 0 } = this.#parts.options;
    if (delay > 0 && !(await wait(client.socket, delay))) return;
    await say(client, 'request', () => this.#settle(client, request, objection));
  }

  async #settle(client: Client, request: SocksRequest, objection: number | null): Promise<SocksAnswer> {
    const { socket, hop } = client;
    const refuse = (code: number): SocksAnswer => ({
      bytes: format(hop, code, NOWHERE),
      code,
      follow: () => part(socket),
    });
    if (objection !== null) return refuse(objection);
    if (request.port === FORBIDDEN_PORT) return refuse(codeFor(hop, SOCKS5.replies.notAllowed));
    try {
      return this.#grant(client, await this.#parts.upstream.dial(hop.target, socket));
    } catch (error) {
      if (error instanceof UpstreamError) return refuse(codeFor(hop, REPLY5[error.fault]));
      throw error;
    }
  }

  #grant({ socket, hop, intake, stay }: Client, origin: Socket): SocksAnswer {
    const abandon = () => void origin.destroy();
    socket.once('close', abandon);
    if (socket.destroyed) abandon();
    const { localAddress = NOWHERE.host, localPort = NOWHERE.port } = origin;
    const code = hop.version === 5 ? SOCKS5.replies.granted : SOCKS4.replies.granted;
    const follow = () => {
      stay();
      socket.off('close', abandon);
      this.#parts.desk.openTunnel(socket, origin, intake.release());
    };
    return { bytes: format(hop, code, { host: localAddress, port: localPort }), code, follow };
  }
}

type Connection = Pick<Client, 'socket' | 'intake' | 'stay'>;

function targetOf(request: SocksRequest): Pick<SocksHop, 'target' | 'addressType'> {
  const { addressType } = request;
  return { target: addressType === null ? '' : formatTarget(request), addressType };
}

function chosen(method: number, socket: Socket): SocksAnswer {
  const { none, password, unacceptable } = SOCKS5.methods;
  const follow = () => {
    if (method === unacceptable) part(socket);
    else if (method !== none && method !== password) hold(socket);
  };
  return { bytes: Buffer.of(5, method), code: null, follow };
}

function objection5({ addressType, command }: SocksRequest): number | null {
  if (addressType === null) return SOCKS5.replies.addressTypeUnknown;
  return command === SOCKS5.commands.connect ? null : SOCKS5.replies.commandUnknown;
}

function codeFor({ version }: SocksHop, code5: number): number {
  return version === 5 ? code5 : SOCKS4.replies.rejected;
}

function format({ version }: SocksHop, code: number, bound: SocksAddress): Buffer {
  return version === 5 ? formatReply5(code, bound) : formatReply4(code, bound);
}

function hangUp(socket: Socket): false {
  part(socket);
  return false;
}
