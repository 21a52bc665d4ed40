// The servers of websockets.mjs, in a process of their own: an origin that echoes over wss, and an https proxy before it.
// Sends their addresses, and on any message what is open: tunnels, WebSockets, and those of them that compress.
import { createCa, startOrigin, startProxy } from '@cloudlane/testing';
import { WebSocketServer } from 'ws';

const ca = await createCa();
// https-proxy-agent cannot verify an origin that is an IP address.
const tls = await ca.issue({ names: ['127.0.0.1', 'origin.example'] });
// The client decides whether messages are compressed.
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });

const origin = await startOrigin({
  tls,
  upgrade: (request, socket, head) =>
    sockets.handleUpgrade(request, socket, head, (opened) => {
      opened.on('message', (message) => opened.send(message, { binary: false }));
    }),
});
const proxy = await startProxy({
  tls,
  auth: { username: 'user', password: 'not-much-of-a-secret' },
  hosts: { 'origin.example': '127.0.0.1' },
});

process.on('message', () => {
  const open = [...sockets.clients];
  const compressed = open.filter(({ extensions }) => extensions !== '').length;
  process.send({ openTunnels: proxy.openTunnels, open: open.length, compressed });
});
process.on('disconnect', () => process.exit());
process.send({ url: `wss://origin.example:${origin.port}`, proxy: proxy.urlWithCredentials, ca: ca.certificate });
