import type { Socket } from 'node:net';
import type { Peer } from './listener.ts';
import type { SocksHopMisbehaviour } from './socks-misbehaviour.ts';
import type { SocksAddressType } from './socks-wire.ts';

/**
 * One client that spoke SOCKS to a proxy. It is recorded when it has offered its methods (SOCKS5) or sent its request
 * (SOCKS4), before it is answered; the rest follows as the client says it. A password is never recorded.
 */
export interface SocksHop extends Peer {
  readonly kind: 'socks';
  readonly version: 4 | 5;
  /** `host:port` as asked for, IPv6 in brackets; empty until the request has come. */
  readonly target: string;
  /** How the target was written; `null` until the request has come, or for a type that nobody knows. */
  readonly addressType: SocksAddressType | null;
  /** The methods that the client offered, as on the wire: 0 none, 2 user and password. Empty in SOCKS4. */
  readonly methods: readonly number[];
  /** User name of RFC 1929; `null` until the client has sent one. */
  readonly username: string | null;
  /** User id of SOCKS4, which may be empty; `null` in SOCKS5. */
  readonly userId: string | null;
  /** Whether the credentials were right, or none were needed. False until they have come. */
  readonly authorized: boolean;
  /** The code of the final reply; `null` until that is sent, or if it was none. */
  readonly reply: number | null;
  /** Bytes that the proxy has written, tunnel excluded. */
  readonly sent: number;
}

/** A hop while it is being served. */
export type OpenSocksHop = { -readonly [Name in keyof SocksHop]: SocksHop[Name] };

/** One answer of the proxy, and what comes of it. */
export interface SocksAnswer {
  readonly bytes: Buffer;
  /** Code of the final reply; `null` for the answers before. */
  readonly code: number | null;
  /** Once the answer is written: goes on, couples the tunnel, or ends the connection. */
  follow(): void;
}

/** One client at a SOCKS proxy, with the means to answer it. */
export interface SocksExchange {
  readonly hop: OpenSocksHop;
  readonly socket: Socket;
  /** What goes wrong with this client. */
  readonly behaviour: SocksHopMisbehaviour | null;
  reset(): void;
}
