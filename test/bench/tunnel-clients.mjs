// The clients that tunnels.mjs compares. Each takes the addresses and the number of connections it may hold, and gives a
// function that gets a path and reads the answer.
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';

const LONG = 600_000;

export const CLIENTS = {
  'plain node': async ({ url, proxy, ca }) => {
    const agent = new https.Agent({ keepAlive: true, maxFreeSockets: Number.POSITIVE_INFINITY });
    agent.createConnection = (_options, done) => {
      const { host } = new URL(url);
      const connect = http.request(proxy, { method: 'CONNECT', path: host, headers: { Host: host }, agent: false });
      connect.once('connect', (_response, socket) => {
        const secured = tls.connect({ socket, ca, host: '127.0.0.1', servername: '' }, () => done(null, secured));
        secured.once('error', done);
      });
      connect.once('error', done).end();
    };
    return (path) => getByNode(`${url}${path}`, { agent });
  },
  hpagent: async ({ url, proxy, ca }) => {
    const { HttpsProxyAgent } = await import('hpagent');
    const agent = new HttpsProxyAgent({ keepAlive: true, maxFreeSockets: Number.POSITIVE_INFINITY, proxy });
    return (path) => getByNode(`${url}${path}`, { agent, ca });
  },
  'undici ProxyAgent': async ({ url, proxy, ca, connections }) => {
    const { ProxyAgent, request } = await import('undici');
    const keepAlive = { keepAliveTimeout: LONG, keepAliveMaxTimeout: LONG };
    const dispatcher = new ProxyAgent({ uri: proxy, requestTls: { ca }, connections, ...keepAlive });
    return async (path) => {
      const { body } = await request(`${url}${path}`, { dispatcher });
      await body.text();
    };
  },
  cloudlane: async ({ url, proxy, ca, connections }) => {
    const { Transport } = await import('@cloudlane/transport');
    const limits = { maxSockets: connections, maxIdleSockets: connections, idleTimeout: LONG };
    const transport = new Transport({ tls: { ca }, ...limits });
    return async (path) => {
      const { body } = await transport.send({ url: `${url}${path}`, http_proxy: proxy });
      await read(body);
    };
  },
};

function getByNode(url, options) {
  return new Promise((resolve, reject) => {
    const request = https.get(url, options, (response) => read(response).then(resolve, reject));
    request.once('error', reject);
  });
}

async function read(body) {
  for await (const _chunk of body);
}
