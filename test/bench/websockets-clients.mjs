// The clients that websockets.mjs compares. Each takes the addresses, and gives a function that opens one WebSocket.
import { once } from 'node:events';

export const CLIENTS = {
  'ws + https-proxy-agent': async ({ url, proxy, ca, compressed }) => {
    const { WebSocket } = await import('ws');
    const { HttpsProxyAgent } = await import('https-proxy-agent');
    const agent = new HttpsProxyAgent(proxy, { ca });
    return () => opened(new WebSocket(url, { agent, ca, perMessageDeflate: compressed }));
  },
  'ws + transport.agents()': async ({ url, proxy, ca, compressed }) => {
    const { WebSocket } = await import('ws');
    const agent = (await newTransport(ca)).agents({ http_proxy: proxy }).https;
    return () => opened(new WebSocket(url, { agent, ca, perMessageDeflate: compressed }));
  },
  cloudlane: async ({ url, proxy, ca, compressed }) => {
    const { connectWebSocket } = await import('@cloudlane/websocket');
    const transport = await newTransport(ca);
    // A busy machine may take its time; the others have no deadline either.
    const timeout = { total: 0, handshake: 0 };
    return () => connectWebSocket(url, { transport, http_proxy: proxy, perMessageDeflate: compressed, timeout });
  },
};

async function newTransport(ca) {
  const { Transport } = await import('@cloudlane/transport');
  return new Transport({ tls: { ca }, proxyTls: { ca }, timeout: { handshake: 0 } });
}

async function opened(socket) {
  await once(socket, 'open');
  return socket;
}
