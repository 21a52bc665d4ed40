export type { BackOffOptions } from './back-off.ts';
export { connectWebSocket } from './connect-websocket.ts';
export type { KeepAliveOptions } from './keep-alive.ts';
export { type Handshake, openWebSocket } from './open-websocket.ts';
export {
  type Decision,
  type OpenConnection,
  type ReconnectFailure,
  type ReconnectOptions,
  reconnectWebSocket,
} from './reconnect-websocket.ts';
export type { RoutedWebSocket } from './routed-websocket.ts';
export { isTransient } from './transience.ts';
export { type UpgradeAnswer, WebSocketRedirectError, WebSocketUpgradeError } from './websocket-errors.ts';
export { PROTOCOL_NAMES, type ProtocolOptions, type WebSocketOptions } from './websocket-options.ts';
