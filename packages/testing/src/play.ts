import type { Socket } from 'node:net';
import { type Exchange, respond } from './exchange.ts';
import type { BodyMisbehaviour, HopMisbehaviour, ShapeOfReply, TunnelMisbehaviour } from './misbehaviour.ts';
import { errorPage, flatten, formatHead, hasHeader, type Reply } from './reply.ts';
import { hold, part, turn, wait } from './wait.ts';

const DEFAULT_LIMIT = 64 * 1024 * 1024;
const ESTABLISHED: Reply = { status: 200, reason: 'Connection established', headers: [] };

/** Lets a hop go wrong. True: it has been answered, as wrong as that may be. False: now behave. */
export async function play(behaviour: HopMisbehaviour, exchange: Exchange): Promise<boolean> {
  const { socket } = exchange;
  switch (behaviour.kind) {
    case 'hang':
      hold(socket);
      exchange.request.resume();
      return true;
    case 'hang-until':
      await behaviour.until;
      return socket.destroyed;
    case 'reset':
      exchange.reset();
      return true;
    case 'end':
      return leave(exchange);
    case 'half-header':
      return leave(exchange, Buffer.from(behaviour.text ?? 'HTTP/1.1 200 Connection esta'));
    case 'garbage':
      return leave(exchange, Buffer.from(behaviour.bytes ?? '\x15\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n'));
    case 'reply':
      return reply(behaviour, exchange);
    case 'refuse-origin':
      return refuseOrigin(behaviour.status ?? 502, exchange);
    case 'drip':
      return drip(behaviour.interval, exchange);
    case 'endless-header':
      return endlessHeader(behaviour.limit ?? DEFAULT_LIMIT, exchange);
    case 'silent-tunnel':
      write(exchange, formatHead(ESTABLISHED), ESTABLISHED.status);
      hold(socket);
      return true;
    case 'close-after-tunnel':
      return closeAfterTunnel(behaviour.how ?? 'end', exchange);
    case 'close-idle':
      exchange.response?.once('finish', () => socket.end());
      return false;
    default:
      return reshape(behaviour, exchange);
  }
}

type ReplyMisbehaviour = Extract<HopMisbehaviour, { kind: 'reply' }>;

async function reply(behaviour: ReplyMisbehaviour, exchange: Exchange): Promise<boolean> {
  const { status, httpVersion, bodyLater = false, keepOpen = false } = behaviour;
  const body = Buffer.from(behaviour.body ?? '');
  const headers = flatten(behaviour.headers ?? {});
  if (body.length > 0 && !hasHeader(headers, 'content-length') && !hasHeader(headers, 'transfer-encoding')) {
    headers.push('Content-Length', String(body.length));
  }
  if (!keepOpen && !hasHeader(headers, 'connection')) headers.push('Connection', 'close');
  const answer: Reply = { status, headers, body, ...(behaviour.reason !== undefined && { reason: behaviour.reason }) };
  if (keepOpen && httpVersion !== '1.0') return respond(answer, exchange, bodyLater);
  const head = formatHead(answer, httpVersion);
  if (!bodyLater) return leave(exchange, Buffer.concat([head, body]), status);
  write(exchange, head, status);
  if (!(await turn(exchange.socket))) return true;
  return leave(exchange, body);
}

async function refuseOrigin(status: number, exchange: Exchange): Promise<boolean> {
  const detail = 'Unable to forward this request at this time.';
  return respond(errorPage(status, detail, ['X-Squid-Error', 'ERR_CANNOT_FORWARD 0']), exchange);
}

async function drip(interval: number, exchange: Exchange): Promise<boolean> {
  hold(exchange.socket);
  exchange.request.resume();
  const start = 'HTTP/1.1 200 Connection established\r\nX-Drip: ';
  for (let index = 0; await wait(exchange.socket, interval); index++) write(exchange, Buffer.from(start[index] ?? '.'));
  return true;
}

async function endlessHeader(limit: number, exchange: Exchange): Promise<boolean> {
  const { socket, hop } = exchange;
  hold(socket);
  exchange.request.resume();
  write(exchange, Buffer.from('HTTP/1.1 200 Connection established\r\n'));
  const line = Buffer.from(`X-Endless: ${'.'.repeat(1011)}\r\n`);
  while (hop.sent < limit && (await turn(socket))) {
    if (!write(exchange, line)) await drained(socket);
  }
  return true;
}

async function closeAfterTunnel(how: 'end' | 'reset', exchange: Exchange): Promise<boolean> {
  write(exchange, formatHead(ESTABLISHED), ESTABLISHED.status);
  if (how === 'end') return leave(exchange);
  // A reset discards what the client has not read yet.
  if (await turn(exchange.socket)) exchange.reset();
  return true;
}

type Reshaping =
  | Exclude<ShapeOfReply, { kind: 'close-idle' }>
  | Extract<TunnelMisbehaviour, { kind: 'status' | 'early-bytes' }>
  | BodyMisbehaviour;

/** The misbehaviours that start from the right reply. */
async function reshape(behaviour: Reshaping, exchange: Exchange): Promise<boolean> {
  const { socket } = exchange;
  const outcome = await exchange.settle();
  if (socket.destroyed) return true;
  const packets = cut(behaviour, outcome.reply, exchange);
  const interval = behaviour.kind === 'byte-by-byte' ? behaviour.interval : 0;
  exchange.hop.status = behaviour.kind === 'status' ? behaviour.status : outcome.reply.status;
  for (const [index, packet] of packets.entries()) {
    if (index > 0 && !(await turn(socket, interval))) return true;
    write(exchange, packet);
  }
  if (behaviour.kind === 'stall-body') hold(socket);
  else outcome.follow();
  return true;
}

/** What to write, packet by packet. */
function cut(behaviour: Reshaping, right: Reply, exchange: Exchange): Buffer[] {
  const answer = exchange.response ? framed(right, exchange) : right;
  const body = answer.body ?? Buffer.alloc(0);
  const head = formatHead(answer);
  const whole = Buffer.concat([head, body]);
  switch (behaviour.kind) {
    case 'byte-by-byte':
      return Array.from(whole, (byte) => Buffer.of(byte));
    case 'split-reply': {
      const at = behaviour.at ?? head.length - 2;
      return [whole.subarray(0, at), whole.subarray(at)];
    }
    case 'interim':
      return [...(behaviour.statuses ?? [103]).map((status) => formatHead({ status, headers: [] })), whole];
    case 'http10':
      return [Buffer.concat([formatHead(answer, '1.0'), body])];
    case 'early-bytes':
      return [Buffer.concat([whole, right.status === 200 ? Buffer.from(behaviour.bytes) : Buffer.alloc(0)])];
    case 'status': {
      if (right.status !== 200) return [whole];
      const { status, reason, headers = {} } = behaviour;
      return [formatHead({ status, headers: flatten(headers), ...(reason !== undefined && { reason }) })];
    }
    case 'stall-body':
    case 'truncate-body':
      return [Buffer.concat([head, body.subarray(0, Math.floor(body.length / 2))])];
  }
}

/** A forwarded reply that a raw write may carry: its length is said, and so is that the connection closes. */
function framed(right: Reply, { request }: Exchange): Reply {
  const headers = [...right.headers, 'Connection', 'close'];
  const bodiless = request.method === 'HEAD' || right.status === 204 || right.status === 304;
  if (!bodiless && !hasHeader(headers, 'content-length')) {
    headers.push('Content-Length', String(right.body?.length ?? 0));
  }
  return { ...right, headers };
}

/** False: the client reads too slowly, wait for 'drain'. */
function write({ socket, hop }: Exchange, bytes: Buffer, status: number | null = hop.status): boolean {
  hop.status = status;
  hop.sent += bytes.length;
  return socket.write(bytes);
}

/** Some last bytes, then FIN. */
function leave(exchange: Exchange, bytes?: Buffer, status: number | null = exchange.hop.status): true {
  if (bytes) write(exchange, bytes, status);
  exchange.request.resume();
  part(exchange.socket);
  return true;
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    function done(): void {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    }
    socket.once('drain', done);
    socket.once('close', done);
  });
}
