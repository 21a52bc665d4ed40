import { once } from 'node:events';
import { ProxyError } from '@cloudlane/transport';
import { connectWebSocket, type WebSocketOptions, WebSocketUpgradeError } from '@cloudlane/websocket';

/** Opens a WebSocket through a proxy, and says hello. */
export async function sayHello(url: string, proxy: string, ca: string, options: WebSocketOptions): Promise<string> {
  // #region websocket
  // `proxy` is 'https://user:password@proxy.example:3129'; without it the environment decides, null is direct.
  const socket = await connectWebSocket(url, { http_proxy: proxy, tls: { ca }, proxyTls: { ca }, ...options });
  socket.send('hello');
  const [answer] = await once(socket, 'message'); // what came before somebody listened is not lost
  console.log(`${socket.route.kind}, by ${socket.explanation.source}`); // tunnel, by option http_proxy
  socket.close();
  // #endregion
  await once(socket, 'close');
  return String(answer);
}

/** Why a WebSocket was not opened. */
export async function whyNot(url: string, options: WebSocketOptions): Promise<string> {
  // #region websocket-errors
  try {
    const socket = await connectWebSocket(url, { timeout: 10_000, ...options });
    return `open: ${socket.protocol}`;
  } catch (error) {
    if (error instanceof WebSocketUpgradeError) return `the origin said ${error.status}: ${error.body}`;
    if (error instanceof ProxyError) return `the proxy failed in ${error.phase} (${error.code})`;
    throw error;
  }
  // #endregion
}
