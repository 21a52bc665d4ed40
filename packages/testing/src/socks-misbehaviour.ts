import type { ConnectionMisbehaviour, Times } from './misbehaviour.ts';

/**
 * Which answer of a SOCKS proxy: to the methods that the client offers ('greeting'), to its password ('auth', RFC 1929),
 * or to the request itself ('request', the only one in SOCKS4). A misbehaviour that names an answer which a client is
 * never owed leaves that client alone, and does not count as one of its `times`.
 */
export type SocksPhase = 'greeting' | 'auth' | 'request';

interface In {
  readonly in: SocksPhase;
}

/** Instead of the right answer. What the client said is not looked at, and nobody is dialled. */
export type InsteadOfSocksReply =
  /** Reads what the client says and never answers. */
  | (In & { readonly kind: 'hang' })
  /** Waits for the promise, then behaves: a late grant, for 'request'. */
  | (In & { readonly kind: 'hang-until'; readonly until: Promise<unknown> })
  /** FIN. */
  | (In & { readonly kind: 'end' })
  /** RST. */
  | (In & { readonly kind: 'reset' })
  /** Bytes that are not SOCKS, then FIN. @defaultValue of `bytes`: `this is not SOCKS`, and a line end */
  | (In & { readonly kind: 'garbage'; readonly bytes?: string | Buffer })
  /** The final reply with this code and the address 0.0.0.0:0, then FIN: also 0 (in SOCKS4: 90) opens no tunnel. */
  | { readonly kind: 'reply'; readonly code: number }
  /** As answer to the greeting: chooses this method, offered or not. 0 and 2 go on as they say, 0xFF is followed by FIN, others by silence. Not in SOCKS4. */
  | { readonly kind: 'method'; readonly method: number }
  /** As answer to the first bytes: an `HTTP/1.1 400 Bad Request` with a page, then FIN, as HTTP proxies answer SOCKS. */
  | { readonly kind: 'http-answer' }
  /** The granting reply with the address 0.0.0.0:0, then FIN or RST at once. */
  | { readonly kind: 'close-after-tunnel'; readonly how?: 'end' | 'reset' }
  /** The granting reply with the address 0.0.0.0:0, then nothing: TLS with the origin hangs. */
  | { readonly kind: 'silent-tunnel' };

/** The right answer (also if that is a refusal), in another shape. */
export type ShapeOfSocksReply =
  /** The first half of the answer's bytes (rounded down), then FIN. */
  | (In & { readonly kind: 'half' })
  /** The first half of the answer's bytes (rounded down), then nothing. */
  | (In & { readonly kind: 'half-stall' })
  /** Byte by byte, `interval` milliseconds apart, then goes on. */
  | (In & { readonly kind: 'drip'; readonly interval: number })
  /** All answers byte by byte, as fast as a client in this process can read them one by one. */
  | { readonly kind: 'byte-by-byte' }
  /** A working tunnel, with bytes glued to the granting reply as if the origin had spoken first. */
  | { readonly kind: 'early-bytes'; readonly bytes: string | Buffer }
  /** A working tunnel; the granting reply says where it comes from by a name (ATYP 3). Not in SOCKS4. */
  | { readonly kind: 'bound-name'; readonly name: string }
  /** A working tunnel; the granting reply says that it comes from `[::1]` (ATYP 4). Not in SOCKS4. */
  | { readonly kind: 'bound-ipv6' };

/** A misbehaviour of a SOCKS proxy that starts when a client has spoken. */
export type SocksHopMisbehaviour = (InsteadOfSocksReply | ShapeOfSocksReply) & Times;

/** How a SOCKS proxy of the lab fails. Every kind says exactly what is on the wire. */
export type SocksMisbehaviour = ConnectionMisbehaviour | SocksHopMisbehaviour;

/** What decides which answers a client is owed. */
export interface SocksCourse {
  readonly version: 4 | 5;
  /** Whether it will be asked for a password. */
  readonly withPassword: boolean;
}

/** Whether a misbehaviour can happen to a client that is on this course. */
export function canHappen(behaviour: SocksHopMisbehaviour, { version, withPassword }: SocksCourse): boolean {
  const phase = phaseOf(behaviour, version);
  if (phase === null) return false;
  if (phase === 'auth') return version === 5 && withPassword;
  return phase !== 'greeting' || version === 5;
}

/** The answer that a misbehaviour is about; 'every' for all of them, `null` if there is none in this version. */
export function phaseOf(behaviour: SocksHopMisbehaviour, version: 4 | 5): SocksPhase | 'every' | null {
  switch (behaviour.kind) {
    case 'byte-by-byte':
      return 'every';
    case 'method':
      return version === 5 ? 'greeting' : null;
    case 'http-answer':
      return version === 5 ? 'greeting' : 'request';
    case 'bound-name':
    case 'bound-ipv6':
      return version === 5 ? 'request' : null;
    case 'reply':
    case 'early-bytes':
    case 'close-after-tunnel':
    case 'silent-tunnel':
      return 'request';
    default:
      return behaviour.in;
  }
}
