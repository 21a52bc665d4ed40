import { expect, test } from '@jest/globals';
import { describeReal, needs, running, startNginx, startSquid, startTinyproxy } from '../support/real-servers.ts';
import { basic, get, getInside, openTunnel } from './http-client.ts';
import { testLeavesNothing } from './leftovers.ts';
import { runPlainOrigin } from './plain-origin.ts';

const originPort = runPlainOrigin();

describeReal('real Squid', needs.squid, () => {
  const squid = running(startSquid);

  test('refuses a forwarded request without credentials', async () => {
    const path = `http://127.0.0.1:${originPort()}/refused?a=1`;
    const answer = await get(squid().basicUrl, { path });
    expect(answer.status).toBe(407);
    expect(answer.headers['proxy-authenticate']).toMatch(/^Basic /);
    await expect(squid().logged({ url: path })).resolves.toMatchObject({ user: null, method: 'GET', status: 407 });
  });

  test('forwards with credentials, from its own address, and logs the user', async () => {
    const path = `http://127.0.0.1:${originPort()}/passed`;
    const answer = await get(squid().basicUrl, { path, headers: basic(squid().credentials) });
    expect(answer).toMatchObject({ status: 200, body: `${squid().outgoingAddress} /passed` });
    await expect(squid().logged({ url: path })).resolves.toMatchObject({ user: 'alice', method: 'GET', status: 200 });
    expect((await squid().log()).length).toBeGreaterThan(0);
  });

  test('tunnels to a name that it alone can resolve, and logs the tunnel when it has ended', async () => {
    const target = `${squid().privateHost}:${originPort()}`;
    const { status, socket } = await openTunnel(squid().openUrl, target);
    expect(status).toBe(200);
    expect((await getInside(socket, `http://${target}/tunnelled`)).body).toBe('127.0.0.2 /tunnelled');
    await expect(squid().logged({ url: target })).resolves.toMatchObject({
      user: null,
      method: 'CONNECT',
      status: 200,
    });
  });

  testLeavesNothing(startSquid);
});

describeReal('real nginx', needs.nginx, () => {
  const nginx = running(startNginx);

  test('tells what it saw', async () => {
    const answer = await get(`${nginx().httpUrl}/echo`);
    expect(JSON.parse(answer.body)).toMatchObject({ method: 'GET', from: '127.0.0.1', proxyAuthorization: '' });
  });

  test('has a port for clients with a certificate', async () => {
    const { mtlsUrl, ca, client } = nginx();
    expect((await get(`${mtlsUrl}/echo`, { ca })).status).toBe(400);
    const answer = await get(`${mtlsUrl}/echo`, { ca, ...client });
    expect(JSON.parse(answer.body)).toMatchObject({ scheme: 'https', client: expect.stringContaining('CN=client') });
  });

  testLeavesNothing(startNginx);
});

describeReal('real Tinyproxy', needs.tinyproxy, () => {
  const tinyproxy = running(startTinyproxy);

  test('forwards with credentials and calls their absence 407', async () => {
    const path = `http://127.0.0.1:${originPort()}/`;
    expect((await get(tinyproxy().basicUrl, { path })).status).toBe(407);
    expect((await get(tinyproxy().basicUrl, { path, headers: basic(tinyproxy().credentials) })).body).toBe(
      '127.0.0.3 /',
    );
    expect((await get(tinyproxy().openUrl, { path })).body).toBe('127.0.0.3 /');
  });

  testLeavesNothing(startTinyproxy);
});
