export { connectWebSocket } from './connect-websocket.ts';
export { type Handshake, openWebSocket } from './open-websocket.ts';
export type { RoutedWebSocket } from './routed-websocket.ts';
export { WebSocketRedirectError, WebSocketUpgradeError } from './websocket-errors.ts';
export { type ProtocolOptions, protocolOf, type WebSocketOptions } from './websocket-options.ts';
