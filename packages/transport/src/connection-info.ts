import { printAs } from './printing.ts';

/** How a connection is used: straight, for requests in absolute form, as a tunnel, or through SOCKS. */
export type ConnectionKind = 'direct' | 'forward' | 'tunnel' | 'socks';
export type ConnectionState = 'CONNECTING' | 'ACTIVE' | 'IDLE' | 'CLOSED';

/** One connection of a transport at one moment; a snapshot, it does not change. */
export class ConnectionInfo {
  readonly kind: ConnectionKind;
  /** Where it leads: the origin, or for forwarding the proxy, which all http origins share. Port always written. */
  readonly origin: string;
  readonly httpVersion: 'HTTP/1.1';
  readonly state: ConnectionState;
  /** Requests sent on it so far. */
  readonly requestCount: number;
  /** Number within its transport, from 1 in the order of opening. */
  readonly id: number;

  constructor(init: Pick<ConnectionInfo, 'kind' | 'origin' | 'state' | 'requestCount' | 'id'>) {
    this.kind = init.kind;
    this.origin = init.origin;
    this.httpVersion = 'HTTP/1.1';
    this.state = init.state;
    this.requestCount = init.requestCount;
    this.id = init.id;
  }

  /** `<TunnelHTTPConnection ['https://api.example:443', HTTP/1.1, IDLE, Request Count: 1]>` */
  toString(): string {
    return `<${CLASS_NAMES[this.kind]} ['${this.origin}', ${this.httpVersion}, ${this.state}, Request Count: ${this.requestCount}]>`;
  }

  static {
    printAs<ConnectionInfo>(ConnectionInfo.prototype, String);
  }
}

const CLASS_NAMES: Readonly<Record<ConnectionKind, string>> = {
  direct: 'HTTPConnection',
  forward: 'ForwardHTTPConnection',
  tunnel: 'TunnelHTTPConnection',
  socks: 'SocksHTTPConnection',
};
