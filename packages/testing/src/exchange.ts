import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { LabHeaders, Peer } from './listener.ts';
import { formatHead, type Reply, reasonOf } from './reply.ts';
import { turn } from './wait.ts';

/** One request that reached a proxy. It is recorded before it is answered; `status` and `sent` follow. */
export interface ProxyHop extends Peer {
  readonly kind: 'forward' | 'connect';
  readonly method: string;
  /** The request target as on the wire: absolute form, or `host:port` for CONNECT. */
  readonly target: string;
  readonly headers: LabHeaders;
  /** Names and values alternately, as on the wire. */
  readonly rawHeaders: readonly string[];
  /** Whether the credentials were right, or none were needed. */
  readonly authorized: boolean;
  /** User name in the Basic credentials, decoded; `null` without such. */
  readonly username: string | null;
  /** What the proxy answered; `null` until then, or if that was not HTTP. */
  readonly status: number | null;
  /** Bytes that a misbehaviour has written so far. */
  readonly sent: number;
}

/** A hop while it is being served. */
export interface OpenHop extends ProxyHop {
  status: number | null;
  sent: number;
}

/** The reply that a well-behaved proxy would give, and what it would do next. */
export interface Outcome {
  readonly reply: Reply;
  /** Once the reply is written: couples the tunnel, or ends the connection. */
  follow(): void;
}

/** One request at the proxy, with the means to answer it. */
export interface Exchange {
  readonly hop: OpenHop;
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** Only for forwarded requests: keeps the connection usable, which raw writes do not. */
  readonly response: ServerResponse | null;
  /** Asks the origin (or finds that the client has no right to). */
  settle(): Promise<Outcome>;
  /** After a refused CONNECT: serves the next request on the same connection. */
  next(): void;
  reset(): void;
}

/** A complete reply after which the connection serves the next request. */
export async function respond(reply: Reply, exchange: Exchange, bodyLater = false): Promise<true> {
  const { hop, request, response, socket } = exchange;
  const { status, reason, headers, body = Buffer.alloc(0) } = reply;
  hop.status = status;
  request.resume();
  if (response) {
    response.sendDate = false;
    response.writeHead(status, reasonOf(status, reason), [...headers]);
    if (bodyLater) {
      response.flushHeaders();
      await turn(socket);
    }
    response.end(body);
    return true;
  }
  const head = formatHead(reply);
  if (bodyLater) {
    socket.write(head);
    await turn(socket);
    socket.write(body);
  } else {
    socket.write(Buffer.concat([head, body]));
  }
  exchange.next();
  return true;
}
