import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { InvalidOptionError } from '@cloudlane/proxy';
import {
  type BeginRequest,
  handshakeUrl,
  ProtocolError,
  parseUrl,
  type RequestHeaders,
  type Timeouts,
  type Transport,
  type TransportResponse,
  type UpgradeRequest,
  webSocketUrl,
} from '@cloudlane/transport';
import type { ClientOptions } from 'ws';
import { loadWebSocketClass, type OpeningWebSocket, type RoutedWebSocket } from './routed-websocket.ts';
import { describeHandshake, factsOf } from './websocket-errors.ts';
import {
  checkProtocolOptions,
  OPEN_TIMEOUT,
  type ProtocolOptions,
  protocolList,
  protocolOf,
} from './websocket-options.ts';

/** One handshake: the origin's answer to it, and the WebSocket if that is 101. */
export interface Handshake {
  /** With any other status its body is to be read, or destroyed. */
  readonly response: TransportResponse;
  readonly socket: RoutedWebSocket | null;
}

/**
 * Sends one handshake, for those who judge its answer themselves: no redirects, no retries.
 *
 * @param request `timeout.total` is 30 s unless the request or the transport say otherwise
 * @throws InvalidOptionError, InvalidProxyUrlError, TransportError as `Transport.upgrade`; ProtocolError if the answer is
 * 101, but not that of a WebSocket (RFC 6455 §4.1)
 */
export async function openWebSocket(
  transport: Transport,
  request: UpgradeRequest,
  options: ProtocolOptions = {},
): Promise<Handshake> {
  checkProtocolOptions(options);
  checkHeaders(request.headers);
  const { begin, begun } = await prepareHandshake(request.url, options);
  const timeout = openingTimeout(request.timeout, transport);
  const response = await transport.upgrade({ ...request, ...(timeout !== undefined && { timeout }) }, begin);
  const { socket, wire } = begun();
  if (response.status !== 101) return { response, socket: null };
  if (socket.readyState !== socket.OPEN) {
    const [error]: Error[] = await once(socket, 'error');
    const what = `${describeHandshake(response)}: the answer is not that of a WebSocket: ${error?.message}`;
    throw new ProtocolError(what, { ...factsOf(response), cause: error });
  }
  socket.opened(response, () => bytesRead(wire), options);
  return { response, socket };
}

interface PreparedHandshake {
  /** For the transport: begins the request. */
  readonly begin: BeginRequest;
  readonly begun: () => BegunHandshake;
}

/** The WebSocket whose request was begun, and once it is open what carries it. */
interface BegunHandshake {
  readonly socket: OpeningWebSocket;
  readonly wire: Duplex | null;
}

async function prepareHandshake(from: string | URL, options: ProtocolOptions): Promise<PreparedHandshake> {
  const SocketClass = await loadWebSocketClass();
  const url = webSocketUrl(handshakeUrl(parseUrl(from)));
  // It is what users see as `socket.url`. The transport sends them as Authorization.
  url.username = '';
  url.password = '';
  const { protocols, pingInterval: _, pingTimeout: __, ...own } = protocolOf(options);
  let begun: BegunHandshake | null = null;
  return {
    begin: (given) => {
      const requests: ReturnType<BeginRequest>[] = [];
      const finishRequest = (request: ReturnType<BeginRequest>): unknown => requests.push(request);
      // ws hands on to Node what its types do not know.
      const asked = { ...own, ...(given as ClientOptions), finishRequest };
      const socket = new SocketClass(url, protocolList(protocols), asked);
      // The transport gives it to who asked.
      socket.on('unexpected-response', () => {});
      const request = made(requests[0]);
      begun = { socket, wire: null };
      request.once('upgrade', (_response, wire) => {
        begun = { socket, wire };
      });
      return request;
    },
    begun: () => made(begun),
  };
}

// A socket's; a Duplex of a client that stands in for the network need not count.
function bytesRead(wire: Duplex | null): number {
  return wire !== null && 'bytesRead' in wire && typeof wire.bytesRead === 'number' ? wire.bytesRead : 0;
}

function made<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new TypeError('ws has begun no request');
  return value;
}

// ws writes these itself; another spelling of one would be a second header.
function checkHeaders(headers: RequestHeaders = {}): void {
  for (const name of Object.keys(headers)) {
    const lower = name.toLowerCase();
    if (lower === 'sec-websocket-protocol')
      throw new InvalidOptionError(`headers.${name}`, 'belongs to the handshake; write the option protocols');
    if (lower === 'connection' || lower === 'upgrade' || lower.startsWith('sec-websocket-'))
      throw new InvalidOptionError(`headers.${name}`, 'belongs to the handshake; leave it out');
  }
}

function openingTimeout(timeout: UpgradeRequest['timeout'], transport: Transport): number | Timeouts | undefined {
  if (typeof timeout === 'number' || timeout?.total !== undefined || transport.timeouts.total !== 0) return timeout;
  return { ...timeout, total: OPEN_TIMEOUT };
}
