/** Which hops a misbehaviour is for. */
export interface Scope {
  /** @defaultValue 'both' */
  readonly on?: 'connect' | 'forward' | 'both';
}

/** How often a misbehaviour happens. */
export interface Times {
  /** Only for the first so many hops (connections, for those that need no request); then the proxy behaves. @defaultValue always */
  readonly times?: number;
}

interface Pace {
  /** Milliseconds between two bytes. @defaultValue 0: as fast as a client in this process can read them one by one */
  readonly interval?: number;
}

/** Before a request: the connection itself. */
export type ConnectionMisbehaviour =
  /** 'reset' (default): accepts and sends RST, so connecting itself may fail with ECONNRESET. 'close-listener': the port is closed until `misbehave` is called again; open connections go on. */
  | (Times & { readonly kind: 'refuse'; readonly how?: 'reset' | 'close-listener' })
  /** Accepts and never answers: a TLS handshake with the proxy hangs. */
  | (Times & { readonly kind: 'mute' })
  /** Answers the first bytes of the client, such as a ClientHello, with `this is not TLS` and a line end, then FIN. */
  | (Times & { readonly kind: 'tls-garbage' });

/** Instead of the right reply. Credentials are not looked at. */
export type InsteadOfReply =
  /**
   * This reply, nothing behind it: a 2xx to CONNECT opens no tunnel (that is `status`). `content-length` and
   * `connection: close` are added where `headers` do not say otherwise.
   */
  | {
      readonly kind: 'reply';
      readonly status: number;
      readonly reason?: string;
      readonly headers?: Readonly<Record<string, string | readonly string[]>>;
      readonly body?: string | Buffer;
      /** @defaultValue '1.1' */
      readonly httpVersion?: '1.0' | '1.1';
      /** Head and body in two packets. @defaultValue false */
      readonly bodyLater?: boolean;
      /** Serve the next request on the same connection (not with HTTP/1.0). @defaultValue false: FIN after the reply */
      readonly keepOpen?: boolean;
    }
  /** Reads the request and never answers. */
  | { readonly kind: 'hang' }
  /** Reads the request, waits for the promise, then behaves: a late 200. */
  | { readonly kind: 'hang-until'; readonly until: Promise<unknown> }
  /** RST. */
  | { readonly kind: 'reset' }
  /** FIN. */
  | { readonly kind: 'end' }
  /** Part of a reply's head, then FIN. */
  | { readonly kind: 'half-header'; readonly text?: string }
  /** Bytes that are not HTTP, then FIN. */
  | { readonly kind: 'garbage'; readonly bytes?: string | Buffer }
  /** A header that grows by one byte per `interval` milliseconds and never ends: each byte resets an idle timer. */
  | { readonly kind: 'drip'; readonly interval: number }
  /** Header lines without end, as fast as the client reads them. `ProxyHop.sent` counts the bytes. */
  | { readonly kind: 'endless-header' /** Then falls silent. @defaultValue 64 MiB */; readonly limit?: number }
  /** 502 with an HTML page and `X-Squid-Error`, as squid answers when it cannot reach the origin; stays open. */
  | { readonly kind: 'refuse-origin'; readonly status?: number };

/** The right reply (also if that is a 407), in another shape. On forwarded requests the connection closes after it. */
export type ShapeOfReply =
  | ({ readonly kind: 'byte-by-byte' } & Pace)
  /** In two packets, cut after `at` bytes. @defaultValue inside the empty line that ends the head */
  | { readonly kind: 'split-reply'; readonly at?: number }
  /** Interim replies first. @defaultValue [103] */
  | { readonly kind: 'interim'; readonly statuses?: readonly number[] }
  /** As HTTP/1.0. */
  | { readonly kind: 'http10' }
  /** Closes the connection after one answer without having said so, as tinyproxy does. Tunnels are left alone. */
  | { readonly kind: 'close-idle' };

/** Only for CONNECT; forwarded requests are served as usual. */
export type TunnelMisbehaviour =
  /** A working tunnel under another status line: 201, 204, or headers such as a content-length that means nothing here. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly reason?: string;
      readonly headers?: Readonly<Record<string, string | readonly string[]>>;
    }
  /** A working tunnel, with bytes glued to the reply as if the origin had spoken first. */
  | { readonly kind: 'early-bytes'; readonly bytes: string | Buffer }
  /** 200, then closes at once: how some proxies say that the origin is not reachable. */
  | { readonly kind: 'close-after-tunnel'; readonly how?: 'end' | 'reset' }
  /** 200, then nothing: TLS with the origin hangs. */
  | { readonly kind: 'silent-tunnel' };

/** Only for forwarded requests; tunnels are opened as usual. */
export type BodyMisbehaviour =
  /** The origin's head and half of its body, then nothing. */
  | { readonly kind: 'stall-body' }
  /** The origin's head and half of its body, then FIN. */
  | { readonly kind: 'truncate-body' };

/** How a proxy of the lab fails. Every kind says exactly what is on the wire. */
export type Misbehaviour =
  | ConnectionMisbehaviour
  | ((InsteadOfReply | ShapeOfReply) & Scope & Times)
  | ((TunnelMisbehaviour | BodyMisbehaviour) & Times);

/** A misbehaviour that starts when a request has come. */
export type HopMisbehaviour = Exclude<Misbehaviour, ConnectionMisbehaviour>;

/** Whether a misbehaviour is about this kind of hop. */
export function isMeantFor(hop: 'connect' | 'forward', behaviour: HopMisbehaviour): boolean {
  switch (behaviour.kind) {
    case 'status':
    case 'early-bytes':
    case 'close-after-tunnel':
    case 'silent-tunnel':
      return hop === 'connect';
    case 'stall-body':
    case 'truncate-body':
      return hop === 'forward';
    default:
      return behaviour.on === undefined || behaviour.on === 'both' || behaviour.on === hop;
  }
}
