import type { ProxyScheme } from '@cloudlane/proxy';
import { printAs } from './printing.ts';

/** How a connection is used: straight, for requests in absolute form, as a tunnel, or through SOCKS. */
export type ConnectionKind = 'direct' | 'forward' | 'tunnel' | 'socks';
/** `UPGRADED`: it speaks another protocol now, for whoever asked for that. */
export type ConnectionState = 'CONNECTING' | 'ACTIVE' | 'IDLE' | 'UPGRADED' | 'CLOSED';

/** TLS on one hop of a connection. */
export interface TlsFacts {
  /** Such as `TLSv1.3`. */
  readonly protocol: string | null;
  /** The cipher suite, by its name in the standards. */
  readonly cipher: string;
  /** Whether the certificate was found valid for the name, or is the one that `fingerprint256` pins. */
  readonly isVerified: boolean;
  /** Whether an earlier session was resumed: one round trip less, and no certificate shown. */
  readonly isResumed: boolean;
  /** The name asked for (SNI); null for IP addresses. */
  readonly servername: string | null;
  /** SHA-256 fingerprint of the certificate; null if none was shown. */
  readonly fingerprint256: string | null;
}

/** One connection of a transport at one moment; a snapshot, it does not change. */
export class ConnectionInfo {
  readonly kind: ConnectionKind;
  /** Where it leads: the origin, or for forwarding the proxy, which all http origins share. Port always written. */
  readonly origin: string;
  /** Scheme of the proxy it goes through; null for direct ones. */
  readonly proxyScheme: ProxyScheme | null;
  readonly httpVersion: 'HTTP/1.1';
  readonly state: ConnectionState;
  /** Requests sent on it so far. */
  readonly requestCount: number;
  /** Number within its transport, from 1 in the order of opening. */
  readonly id: number;
  /** TLS with the origin; null for http origins and forwarding, and until it is up. */
  readonly tls: TlsFacts | null;
  /** TLS with an https proxy. */
  readonly proxyTls: TlsFacts | null;

  constructor(init: Omit<ConnectionInfo, 'httpVersion'>) {
    this.kind = init.kind;
    this.origin = init.origin;
    this.proxyScheme = init.proxyScheme;
    this.httpVersion = 'HTTP/1.1';
    this.state = init.state;
    this.requestCount = init.requestCount;
    this.id = init.id;
    this.tls = init.tls;
    this.proxyTls = init.proxyTls;
  }

  /** `<TunnelHTTPConnection ['https://api.example:443', HTTP/1.1, IDLE, Request Count: 1]>` */
  toString(): string {
    const name = this.kind === 'socks' ? SOCKS_NAMES[this.proxyScheme ?? 'socks5'] : CLASS_NAMES[this.kind];
    return `<${name} ['${this.origin}', ${this.httpVersion}, ${this.state}, Request Count: ${this.requestCount}]>`;
  }

  static {
    printAs<ConnectionInfo>(ConnectionInfo.prototype, String);
  }
}

const CLASS_NAMES: Readonly<Record<Exclude<ConnectionKind, 'socks'>, string>> = {
  direct: 'HTTPConnection',
  forward: 'ForwardHTTPConnection',
  tunnel: 'TunnelHTTPConnection',
};

const SOCKS_NAMES: Readonly<Partial<Record<ProxyScheme, string>>> = {
  socks4: 'Socks4Connection',
  socks4a: 'Socks4Connection',
  socks5: 'Socks5Connection',
  socks5h: 'Socks5Connection',
};
