// What users of @cloudlane/websocket, and of a connection's openWebSocket, can write, and what they get.
import type { ClientRequest, IncomingHttpHeaders, RequestOptions } from 'node:http';
import type { CallOptions, Connection, WebSocketCallOptions } from '@cloudlane/connection';
import type { HttpProxy, Route, RouteExplanation, RouteSettings } from '@cloudlane/proxy';
import type { Carry, SendOptions } from '@cloudlane/session';
import type {
  BeginRequest,
  CloudlaneError,
  ConnectionInfo,
  RequestHeaders,
  Timeouts,
  Timings,
  TlsOptions,
  Transport,
  TransportError,
  TransportRequest,
  TransportResponse,
  UpgradeRequest,
} from '@cloudlane/transport';
import * as api from '@cloudlane/websocket';
import { expect, test } from '@jest/globals';
import { expectTypeOf } from 'expect-type';
import type { WebSocket } from 'ws';

test('the package exports these values, and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'PROTOCOL_NAMES',
    'WebSocketRedirectError',
    'WebSocketUpgradeError',
    'connectWebSocket',
    'isTransient',
    'openWebSocket',
    'reconnectWebSocket',
  ]);
  expectTypeOf(api.PROTOCOL_NAMES).toEqualTypeOf<readonly (keyof api.ProtocolOptions)[]>();
  expectTypeOf(api.isTransient).toEqualTypeOf<(error: unknown) => boolean>();
});

test('connectWebSocket takes a URL and options, and gives a WebSocket', () => {
  expectTypeOf(api.connectWebSocket).toEqualTypeOf<
    (url: string | URL, options?: api.WebSocketOptions) => Promise<api.RoutedWebSocket>
  >();
  expectTypeOf<api.WebSocketOptions>().toExtend<Omit<RouteSettings, 'source'>>();
  expectTypeOf<api.WebSocketOptions['http_proxy']>().toEqualTypeOf<HttpProxy | undefined>();
  expectTypeOf<api.WebSocketOptions['headers']>().toEqualTypeOf<RequestHeaders | Headers | undefined>();
  expectTypeOf<api.WebSocketOptions['tls']>().toEqualTypeOf<TlsOptions | undefined>();
  expectTypeOf<api.WebSocketOptions['proxyTls']>().toEqualTypeOf<TlsOptions | undefined>();
  expectTypeOf<api.WebSocketOptions['timeout']>().toEqualTypeOf<number | Timeouts | undefined>();
  expectTypeOf<api.WebSocketOptions['signal']>().toEqualTypeOf<AbortSignal | undefined>();
  expectTypeOf<api.WebSocketOptions['transport']>().toEqualTypeOf<Transport | undefined>();
  expectTypeOf<api.WebSocketOptions['maxRedirects']>().toEqualTypeOf<number | undefined>();
  expectTypeOf<api.ProtocolOptions['protocols']>().toEqualTypeOf<string | readonly string[] | undefined>();
});

test('what would choose another way is no option', () => {
  expectTypeOf<api.WebSocketOptions>().not.toHaveProperty('proxy');
  expectTypeOf<api.WebSocketOptions>().not.toHaveProperty('agent');
  expectTypeOf<api.WebSocketOptions>().not.toHaveProperty('source');
  expectTypeOf<api.WebSocketOptions>().not.toHaveProperty('createConnection');
  expectTypeOf<api.WebSocketOptions>().not.toHaveProperty('followRedirects');
  expectTypeOf<api.ProtocolOptions>().not.toHaveProperty('http_proxy');
});

test('a routed WebSocket is one of ws, and tells how it came about', () => {
  expectTypeOf<api.RoutedWebSocket>().toExtend<WebSocket>();
  expectTypeOf<api.RoutedWebSocket>().toExtend<AsyncIterable<string | Buffer>>();
  expectTypeOf<api.RoutedWebSocket['route']>().toEqualTypeOf<Route>();
  expectTypeOf<api.RoutedWebSocket['explanation']>().toEqualTypeOf<RouteExplanation>();
  expectTypeOf<api.RoutedWebSocket['timings']>().toEqualTypeOf<Timings>();
  expectTypeOf<api.RoutedWebSocket['connection']>().toEqualTypeOf<ConnectionInfo | null>();
  expectTypeOf<api.RoutedWebSocket['headers']>().toEqualTypeOf<IncomingHttpHeaders>();
  expectTypeOf<api.RoutedWebSocket['closeCode']>().toEqualTypeOf<number | null>();
  expectTypeOf<api.RoutedWebSocket['closeReason']>().toEqualTypeOf<string | null>();
});

test('openWebSocket gives the answer, and a WebSocket or null', () => {
  expectTypeOf(api.openWebSocket).toEqualTypeOf<
    (transport: Transport, request: UpgradeRequest, options?: api.ProtocolOptions) => Promise<api.Handshake>
  >();
  expectTypeOf<api.Handshake['socket']>().toEqualTypeOf<api.RoutedWebSocket | null>();
  expectTypeOf<api.Handshake['response']>().toEqualTypeOf<TransportResponse>();
});

test('reconnectWebSocket takes a URL with all options, or a function with those of reconnecting alone', () => {
  type Connections = AsyncGenerator<api.RoutedWebSocket, void, undefined>;
  const open: api.OpenConnection = (signal) => api.connectWebSocket('ws://origin.example', { signal });
  expectTypeOf(() =>
    api.reconnectWebSocket('ws://origin.example', { maxFailures: 1, maxRedirects: 1 }),
  ).returns.toEqualTypeOf<Connections>();
  expectTypeOf(() => api.reconnectWebSocket(open, { maxFailures: 1 })).returns.toEqualTypeOf<Connections>();
  // @ts-expect-error: a function opens as it likes.
  expectTypeOf(() => api.reconnectWebSocket(open, { http_proxy: null })).returns.toEqualTypeOf<Connections>();
  expectTypeOf(open).toEqualTypeOf<(signal: AbortSignal) => Promise<api.RoutedWebSocket>>();
  expectTypeOf<api.Decision>().toEqualTypeOf<boolean | number | undefined>();
  expectTypeOf<NonNullable<api.ReconnectOptions['onFailure']>>().toEqualTypeOf<
    (failure: api.ReconnectFailure) => api.Decision | Promise<api.Decision>
  >();
  expectTypeOf<api.ReconnectFailure['error']>().toBeUnknown();
});

test('a refused handshake is an error of the transport, with what was said', () => {
  expectTypeOf<api.WebSocketUpgradeError>().toExtend<TransportError & CloudlaneError & api.UpgradeAnswer>();
  expectTypeOf<api.WebSocketRedirectError>().toExtend<api.WebSocketUpgradeError>();
  expectTypeOf<api.WebSocketUpgradeError['retryAfter']>().toEqualTypeOf<number | null>();
  expectTypeOf<api.UpgradeAnswer['body']>().toEqualTypeOf<Buffer>();
});

test('a connection opens WebSockets as it sends requests', () => {
  expectTypeOf<Connection['openWebSocket']>().toEqualTypeOf<
    (action: string, options?: WebSocketCallOptions) => Promise<api.RoutedWebSocket>
  >();
  expectTypeOf<WebSocketCallOptions>().toExtend<CallOptions & api.ProtocolOptions>();
  expectTypeOf<WebSocketCallOptions>().not.toHaveProperty('method');
  expectTypeOf<WebSocketCallOptions>().not.toHaveProperty('data');
  expectTypeOf<WebSocketCallOptions>().not.toHaveProperty('maxRedirects');
  expectTypeOf<WebSocketCallOptions>().not.toHaveProperty('transport');
});

test('below them: upgrade and carry', () => {
  expectTypeOf<Transport['upgrade']>().toEqualTypeOf<
    (request: UpgradeRequest, begin: BeginRequest) => Promise<TransportResponse>
  >();
  expectTypeOf<BeginRequest>().toEqualTypeOf<(options: RequestOptions) => ClientRequest>();
  expectTypeOf<UpgradeRequest>().not.toHaveProperty('method');
  expectTypeOf<UpgradeRequest>().not.toHaveProperty('body');
  expectTypeOf<Carry>().toExtend<(request: TransportRequest) => Promise<TransportResponse>>();
  expectTypeOf<SendOptions['carry']>().toEqualTypeOf<Carry | undefined>();
});
