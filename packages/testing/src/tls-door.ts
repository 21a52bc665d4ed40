import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';

/** TLS of a server of the lab. */
export interface LabTls {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** PEM of an authority: the server asks for a client certificate and records whose it got. @defaultValue never asks */
  readonly clientCa?: string;
  /** Refuse clients without a certificate of `clientCa`. @defaultValue false */
  readonly requireClientCertificate?: boolean;
}

/** What a server learns of its client by TLS. */
export interface TlsIdentity {
  /** Server name that the client asked for (SNI); `null` without TLS or without SNI. */
  readonly servername: string | null;
  /** Whether the client resumed an earlier TLS session. */
  readonly resumed: boolean;
  /** Common name in the client's certificate; `null` if it showed none or was not asked for one. */
  readonly clientCertificate: string | null;
  /** Version agreed on, such as `TLSv1.3`; `null` without TLS. */
  readonly tlsVersion: string | null;
  /** Protocol agreed on by ALPN: 'http/1.1', or `null` if the client offered none, or without TLS. */
  readonly alpn: string | null;
  /** Protocols that the client offered by ALPN, in its order. */
  readonly alpnOffered: readonly string[];
}

/** What is known of a client without TLS. */
export const WITHOUT_TLS: TlsIdentity = {
  servername: null,
  resumed: false,
  clientCertificate: null,
  tlsVersion: null,
  alpn: null,
  alpnOffered: [],
};

/** The only protocol of the lab; clients that offer others but not this one are refused (RFC 7301 §3.2). */
const ALPN = 'http/1.1';

/** Puts TLS on the connections of one port. */
export class TlsDoor {
  readonly #options: TlsOptions;

  constructor({ cert, key, clientCa, requireClientCertificate = false }: LabTls) {
    this.#options = {
      cert,
      key,
      // Every connection has a server of its own, so that all of them must know each other's tickets.
      ticketKeys: randomBytes(48),
      ...(clientCa !== undefined && { ca: clientCa, requestCert: true, rejectUnauthorized: requireClientCertificate }),
    };
  }

  /** Shakes hands, then hands over. A connection whose handshake fails is closed. */
  admit(raw: Socket, serve: (socket: TLSSocket, identity: TlsIdentity) => void): void {
    let alpnOffered: readonly string[] = [];
    const server = createServer({
      ...this.#options,
      ALPNCallback: ({ protocols }) => {
        alpnOffered = protocols;
        return protocols.find((protocol) => protocol === ALPN);
      },
    });
    server.once('secureConnection', (socket) => {
      socket.allowHalfOpen = true;
      serve(socket, { ...identity(socket), alpnOffered });
    });
    // The TLS socket inherits it, and a client that ends within the handshake would never be noticed.
    raw.allowHalfOpen = false;
    server.emit('connection', raw);
  }
}

function identity(socket: TLSSocket): Omit<TlsIdentity, 'alpnOffered'> {
  const name: unknown = 'servername' in socket ? socket.servername : null;
  const commonName: unknown = socket.getPeerCertificate()?.subject?.CN;
  return {
    servername: typeof name === 'string' ? name : null,
    resumed: socket.isSessionReused(),
    clientCertificate: typeof commonName === 'string' ? commonName : null,
    tlsVersion: socket.getProtocol(),
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : null,
  };
}
