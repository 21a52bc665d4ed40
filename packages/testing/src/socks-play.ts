import { errorPage, formatHead } from './reply.ts';
import type { SocksAnswer, SocksExchange } from './socks-exchange.ts';
import { phaseOf, type ShapeOfSocksReply, type SocksHopMisbehaviour, type SocksPhase } from './socks-misbehaviour.ts';
import { formatReply4, formatReply5, NOWHERE, SOCKS4, SOCKS5 } from './socks-wire.ts';
import { hold, part, turn } from './wait.ts';

/** Gives one answer, or what the misbehaviour of this client makes of it. False: there is nothing more to say. */
export async function say(
  exchange: SocksExchange,
  phase: SocksPhase,
  settle: () => SocksAnswer | Promise<SocksAnswer>,
): Promise<boolean> {
  const { socket } = exchange;
  const behaviour = dueIn(phase, exchange);
  if (behaviour && (await playInstead(behaviour, exchange))) return false;
  const answer = await settle();
  if (socket.destroyed) return false;
  if (answer.code !== null) exchange.hop.reply = answer.code;
  const shape = behaviour && isShape(behaviour) ? behaviour : null;
  const interval = shape?.kind === 'drip' ? shape.interval : 0;
  for (const [index, packet] of cut(answer, shape, exchange).entries()) {
    if (index > 0 && !(await turn(socket, interval))) return false;
    write(exchange, packet);
  }
  if (shape?.kind === 'half') part(socket);
  else if (shape?.kind === 'half-stall') hold(socket);
  else answer.follow();
  return shape?.kind !== 'half' && shape?.kind !== 'half-stall';
}

function dueIn(phase: SocksPhase, { behaviour, hop }: SocksExchange): SocksHopMisbehaviour | null {
  if (!behaviour) return null;
  const due = phaseOf(behaviour, hop.version);
  return due === phase || due === 'every' ? behaviour : null;
}

/** True: the client has got its answer, as wrong as that may be. */
async function playInstead(behaviour: SocksHopMisbehaviour, exchange: SocksExchange): Promise<boolean> {
  const { socket } = exchange;
  switch (behaviour.kind) {
    case 'hang':
      hold(socket);
      return true;
    case 'hang-until':
      await behaviour.until;
      return socket.destroyed;
    case 'end':
      return leave(exchange);
    case 'reset':
      exchange.reset();
      return true;
    case 'garbage':
      return leave(exchange, Buffer.from(behaviour.bytes ?? 'this is not SOCKS\r\n'));
    case 'reply':
      return leave(exchange, finalReply(behaviour.code, exchange));
    case 'http-answer':
      return leave(exchange, httpAnswer());
    case 'close-after-tunnel':
      return closeAfterTunnel(behaviour.how ?? 'end', exchange);
    case 'silent-tunnel':
      write(exchange, finalReply(granted(exchange), exchange));
      hold(socket);
      return true;
    default:
      return false;
  }
}

async function closeAfterTunnel(how: 'end' | 'reset', exchange: SocksExchange): Promise<true> {
  write(exchange, finalReply(granted(exchange), exchange));
  if (how === 'end') return leave(exchange);
  // A reset discards what the client has not read yet.
  if (await turn(exchange.socket)) exchange.reset();
  return true;
}

type Shape = ShapeOfSocksReply;

function isShape(behaviour: SocksHopMisbehaviour): behaviour is Extract<SocksHopMisbehaviour, Shape> {
  switch (behaviour.kind) {
    case 'half':
    case 'half-stall':
    case 'drip':
    case 'byte-by-byte':
    case 'early-bytes':
    case 'bound-name':
    case 'bound-ipv6':
      return true;
    default:
      return false;
  }
}

/** What to write, packet by packet. */
function cut({ bytes, code }: SocksAnswer, shape: Shape | null, exchange: SocksExchange): Buffer[] {
  const grants = code === granted(exchange);
  switch (shape?.kind) {
    case 'half':
    case 'half-stall':
      return [bytes.subarray(0, Math.floor(bytes.length / 2))];
    case 'drip':
    case 'byte-by-byte':
      return Array.from(bytes, (byte) => Buffer.of(byte));
    case 'early-bytes':
      return [grants ? Buffer.concat([bytes, Buffer.from(shape.bytes)]) : bytes];
    case 'bound-name':
      return [grants ? formatReply5(code, { host: shape.name, port: portOf(bytes) }) : bytes];
    case 'bound-ipv6':
      return [grants ? formatReply5(code, { host: '::1', port: portOf(bytes) }) : bytes];
    default:
      return [bytes];
  }
}

/** RFC 1928 §6: the port ends the reply. */
function portOf(reply: Buffer): number {
  return reply.readUInt16BE(reply.length - 2);
}

function granted({ hop }: SocksExchange): number {
  return hop.version === 5 ? SOCKS5.replies.granted : SOCKS4.replies.granted;
}

function finalReply(code: number, { hop }: SocksExchange): Buffer {
  hop.reply = code;
  return hop.version === 5 ? formatReply5(code, NOWHERE) : formatReply4(code, NOWHERE);
}

function httpAnswer(): Buffer {
  const page = errorPage(400, 'Your browser sent a request that this proxy could not understand.', [
    'Connection',
    'close',
  ]);
  return Buffer.concat([formatHead(page), page.body ?? Buffer.alloc(0)]);
}

function write({ socket, hop }: SocksExchange, bytes: Buffer): void {
  hop.sent += bytes.length;
  socket.write(bytes);
}

/** Some last bytes, then FIN. */
function leave(exchange: SocksExchange, bytes?: Buffer): true {
  if (bytes) write(exchange, bytes);
  part(exchange.socket);
  return true;
}
