// Clients of others through proxies of others. The origin has a name that only the proxy can resolve, so that nothing
// can get there by another way; nginx itself tells who came.
import { once } from 'node:events';
import type { HttpProxy } from '@cloudlane/proxy';
import { Transport } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { describeReal, needs, running, startDante, startNginx, startSquid } from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { makeAxios, makeBlob, makeFetch, makeGot, makeNode, makeS3 } from './agents-clients.ts';
import { exercise } from './agents-lab.ts';
import { ca, origin, type Scheme } from './lab.ts';

const CLIENTS = [
  ['Node', makeNode],
  ['got', makeGot],
  ['node-fetch', makeFetch],
  ['axios', makeAxios],
  ['the S3 client of AWS', makeS3],
  ["Azure's blob client", makeBlob],
] as const;

const PROXIES = ['Squid', 'Squid over TLS', 'Dante'] as const;

describeReal('in front of nginx', [...needs.squid, ...needs.dante, ...needs.nginx], () => {
  const squid = running(startSquid);
  const dante = running(startDante);
  const nginx = running(startNginx);

  function settingOf(name: (typeof PROXIES)[number]): HttpProxy {
    if (name === 'Dante') return { url: dante().basicUrlFor('socks5h'), auth: dante().credentials };
    return { url: name === 'Squid' ? squid().basicUrl : squid().tlsBasicUrl, auth: squid().credentials };
  }

  function agentsFor(name: (typeof PROXIES)[number]) {
    const transport = new Transport({ tls: { ca: [nginx().ca, ca.certificate] }, proxyTls: { ca: squid().ca } });
    return { transport: closeAfterTest(transport), agents: transport.agents({ http_proxy: settingOf(name) }) };
  }

  function originUrl(scheme: Scheme): string {
    const url = new URL(scheme === 'http' ? nginx().httpUrl : nginx().httpsUrl);
    url.hostname = squid().privateHost;
    return url.origin;
  }

  describe.each(PROXIES)('through %s with a password', (name) => {
    const outgoing = () => (name === 'Dante' ? dante() : squid()).outgoingAddress;

    describe.each(['http', 'https'] as const)('to an %s origin', (scheme) => {
      test.each(CLIENTS)('%s: uploads and downloads, then calls over one connection', async (client, make) => {
        const { transport, agents } = agentsFor(name);
        const url = originUrl(scheme);
        await exercise(
          make(agents, `${url}/files/${encodeURIComponent(`${name} ${scheme} ${client}`).replaceAll('%', '')}`),
        );
        const forwards = scheme === 'http' && name !== 'Dante';
        const kind = forwards ? 'forward' : name === 'Dante' ? 'socks' : 'tunnel';
        expect(transport.connections.map((connection) => connection.kind)).toContain(kind);
        const seen: number[] = [];
        for (let call = 0; call < 5; call += 1) {
          const echo = JSON.parse(String(await makeNode(agents, url).get('/echo')));
          expect(echo).toMatchObject({
            from: outgoing(),
            host: new URL(url).host,
            proxyAuthorization: '',
            proxyConnection: '',
          });
          seen.push(echo.requests);
        }
        // nginx counts the requests of one connection, those of before included.
        const [first = 0] = seen;
        expect(seen).toEqual(seen.map((_, index) => first + index));
        await transport.close();
        const { host, port } = new URL(url);
        if (name === 'Dante') await dante().logged({ user: 'alice', target: `127.0.0.1:${port}` });
        else if (forwards) await squid().logged({ user: 'alice', method: 'GET', url: `${url}/echo`, status: 200 });
        else await squid().logged({ user: 'alice', method: 'CONNECT', url: host, status: 200 });
      });

      test('ws: a message comes back', async () => {
        const echo = new WebSocketServer({ noServer: true });
        echo.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
        const server = await origin(scheme, {
          upgrade: (request, socket, head) =>
            echo.handleUpgrade(request, socket, head, (one) => echo.emit('connection', one)),
        });
        const { agents } = agentsFor(name);
        const url = new URL(server.url.replace('http', 'ws'));
        url.hostname = squid().privateHost;
        const socket = new WebSocket(url, { agent: scheme === 'http' ? agents.http : agents.https });
        await once(socket, 'open');
        socket.send('größe');
        expect(String((await once(socket, 'message'))[0])).toBe('größe');
        expect(server.requests).toMatchObject([{ remoteAddress: outgoing() }]);
        const closed = once(socket, 'close');
        socket.close();
        await closed;
        if (name === 'Dante') await dante().logged({ user: 'alice', target: `127.0.0.1:${url.port}` });
        else await squid().logged({ user: 'alice', method: 'CONNECT', url: url.host, status: 200 });
      });
    });
  });
});
