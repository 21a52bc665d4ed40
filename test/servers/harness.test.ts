import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestOptions, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  type RealProxy,
  running,
  startNginx,
  startSquid,
  startTinyproxy,
} from '../support/real-servers.ts';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function get(url: string, options: RequestOptions = {}): Promise<Answer> {
  const sent = request(url, { agent: false, ...options }).end();
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

function basic({ credentials: { username, password } }: RealProxy): { 'proxy-authorization': string } {
  return { 'proxy-authorization': `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}

const origin = createServer((incoming, outgoing) => outgoing.end(`${incoming.socket.remoteAddress} ${incoming.url}`));
let originPort = 0;
beforeAll(async () => {
  await once(origin.listen(0, '127.0.0.1'), 'listening');
  originPort = (origin.address() as AddressInfo).port;
});
afterAll(() => {
  origin.close();
});

describeReal('real Squid', needs.squid, () => {
  const squid = running(startSquid);

  test('refuses a forwarded request without credentials', async () => {
    const path = `http://127.0.0.1:${originPort}/refused?a=1`;
    const answer = await get(squid().basicUrl, { path });
    expect(answer.status).toBe(407);
    expect(answer.headers['proxy-authenticate']).toMatch(/^Basic /);
    await expect(squid().logged({ url: path })).resolves.toMatchObject({ user: null, method: 'GET', status: 407 });
  });

  test('forwards with credentials, from its own address, and logs the user', async () => {
    const path = `http://127.0.0.1:${originPort}/passed`;
    const answer = await get(squid().basicUrl, { path, headers: basic(squid()) });
    expect(answer).toMatchObject({ status: 200, body: `${squid().outgoingAddress} /passed` });
    await expect(squid().logged({ url: path })).resolves.toMatchObject({ user: 'alice', method: 'GET', status: 200 });
    expect((await squid().log()).length).toBeGreaterThan(0);
  });

  test('tunnels to a name that it alone can resolve, and logs the tunnel when it has ended', async () => {
    const target = `${squid().privateHost}:${originPort}`;
    const { hostname, port } = new URL(squid().openUrl);
    const socket = connect(Number(port), hostname);
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    const [head] = await once(socket, 'data');
    expect(String(head)).toMatch(/^HTTP\/1\.1 200 /);
    socket.write(`GET /tunnelled HTTP/1.1\r\nHost: ${target}\r\nConnection: close\r\n\r\n`);
    expect(await text(socket)).toContain('127.0.0.2 /tunnelled');
    await expect(squid().logged({ url: target })).resolves.toMatchObject({
      user: null,
      method: 'CONNECT',
      status: 200,
    });
  });
});

describeReal('real nginx', needs.nginx, () => {
  const nginx = running(startNginx);

  test('tells what it saw', async () => {
    const answer = await get(`${nginx().httpUrl}/echo`);
    expect(JSON.parse(answer.body)).toMatchObject({ method: 'GET', from: '127.0.0.1', proxyAuthorization: '' });
  });
});

describeReal('real Tinyproxy', needs.tinyproxy, () => {
  const tinyproxy = running(startTinyproxy);

  test('forwards with credentials and calls their absence 407', async () => {
    const path = `http://127.0.0.1:${originPort}/`;
    expect((await get(tinyproxy().basicUrl, { path })).status).toBe(407);
    expect((await get(tinyproxy().basicUrl, { path, headers: basic(tinyproxy()) })).body).toBe('127.0.0.3 /');
    expect((await get(tinyproxy().openUrl, { path })).body).toBe('127.0.0.3 /');
  });
});
