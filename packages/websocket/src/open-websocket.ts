import type { Duplex } from 'node:stream';
import {
  type BeginRequest,
  handshakeUrl,
  ProtocolError,
  parseUrl,
  type Timeouts,
  type Transport,
  type TransportResponse,
  type UpgradeRequest,
  webSocketUrl,
} from '@cloudlane/transport';
import type { ClientOptions } from 'ws';
import type { Received } from './keep-alive.ts';
import { loadWebSocketClass, markOpened, type RoutedWebSocket } from './routed-websocket.ts';
import { checkHandshakeHeaders, checkProtocolOptions } from './websocket-checks.ts';
import { describeHandshake, factsOf } from './websocket-errors.ts';
import { OPEN_TIMEOUT, type ProtocolOptions, protocolList, protocolOf } from './websocket-options.ts';

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
  checkHandshakeHeaders(request.headers);
  const handshake = await prepareHandshake(request.url, options);
  const timeout = openingTimeout(request.timeout, transport);
  const asked = { ...request, ...(timeout !== undefined && { timeout }) };
  const response = await transport.upgrade(asked, handshake.begin);
  if (response.status !== 101) return { response, socket: null };
  const { socket, wire, isOpen } = handshake.begun();
  if (!isOpen) throw await faultOf(handshake.begun(), response);
  markOpened(socket, response, bytesOf(wire), options);
  if (request.signal?.aborted) {
    socket.terminate();
    throw request.signal.reason;
  }
  return { response, socket };
}

interface PreparedHandshake {
  /** For the transport: begins the request. */
  readonly begin: BeginRequest;
  readonly begun: () => BegunHandshake;
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
      const requests: ClientRequest[] = [];
      const finishRequest = (request: ClientRequest): unknown => requests.push(request);
      // ws hands on to Node what its types do not know.
      const asked = { ...own, ...(given as ClientOptions), finishRequest };
      const socket = new SocketClass(url, protocolList(protocols), asked);
      const request = made(requests[0]);
      begun = new BegunHandshake(socket, request);
      return request;
    },
    begun: () => made(begun),
  };
}

type ClientRequest = ReturnType<BeginRequest>;

function made<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new TypeError('ws has begun no request');
  return value;
}

/** A WebSocket whose request was begun, and how far it has got. */
class BegunHandshake {
  readonly socket: RoutedWebSocket;
  /** What carries it, once protocols are switched. */
  wire: Duplex | null = null;
  /** Whether ws took the answer for that of a WebSocket; the other end may have closed it since. */
  isOpen = false;
  /** Why it did not. */
  error: Error | null = null;

  constructor(socket: RoutedWebSocket, request: ClientRequest) {
    this.socket = socket;
    const note = (error: Error): void => {
      this.error = error;
    };
    socket.on('unexpected-response', leaveIt).on('error', note);
    socket.once('open', () => {
      this.isOpen = true;
      // From then on errors are for who has the socket.
      socket.off('error', note);
    });
    request.once('upgrade', (_response, wire) => {
      this.wire = wire;
    });
  }
}

// The transport gives it to who asked. Not a closure: it lives as long as the socket, and so would the request.
function leaveIt(): void {}

/** What is wrong with a 101 that is not a WebSocket's. */
async function faultOf(begun: BegunHandshake, response: TransportResponse): Promise<ProtocolError> {
  const { socket, wire } = begun;
  // ws tells of it when it has closed the connection.
  if (wire !== null && !wire.closed) await new Promise((resolve) => wire.once('close', resolve));
  const { error } = begun;
  const why = error?.message ?? 'it came without switching protocols';
  socket.terminate();
  const what = `${describeHandshake(response)}: the answer is not that of a WebSocket: ${why}`;
  return new ProtocolError(what, { ...factsOf(response), ...(error !== null && { cause: error }) });
}

/** What a connection has received; none counts where a client stands in for the network. */
function bytesOf(wire: Duplex | null): Received {
  return () => (wire !== null && 'bytesRead' in wire && typeof wire.bytesRead === 'number' ? wire.bytesRead : 0);
}

function openingTimeout(timeout: UpgradeRequest['timeout'], transport: Transport): number | Timeouts | undefined {
  if (typeof timeout === 'number' || timeout?.total !== undefined || transport.timeouts.total !== 0) return timeout;
  return { ...timeout, total: OPEN_TIMEOUT };
}
