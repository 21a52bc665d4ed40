import { createCa } from '@cloudlane/testing';
import { expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  running,
  SOCKS_SCHEMES,
  startHaproxy,
  startMicrosocks,
  startMitmproxy,
  startNginx,
  startPrivoxy,
  startSquid,
  startSshSocks,
  startStunnel,
  startTinyproxy,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { basic, get, getInside, openTunnel } from './http-client.ts';
import { testLeavesNothing } from './leftovers.ts';
import { runPlainOrigin } from './plain-origin.ts';

/** For tests that start servers of their own. */
const START_TIMEOUT = 20_000;

const port = runPlainOrigin();

/** For servers that only one test needs. */
async function during<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const server = await starting;
  closeAfterTest({ [Symbol.asyncDispose]: () => server.stop() });
  return server;
}

describeReal('real stunnel', [...needs.stunnel, ...needs.tinyproxy], () => {
  const tinyproxy = running(startTinyproxy);
  const behind = () => Number(new URL(tinyproxy().openUrl).port);

  test(
    'makes an HTTPS proxy of an HTTP proxy',
    async () => {
      const { url, ca } = await during(startStunnel({ targetPort: behind() }));
      const answer = await get(url, { ca, path: `http://127.0.0.1:${port()}/forwarded` });
      expect(answer).toMatchObject({ status: 200, body: '127.0.0.3 /forwarded' });
      const { status, socket } = await openTunnel(url, `127.0.0.1:${port()}`, { ca });
      expect(status).toBe(200);
      expect((await getInside(socket, `http://127.0.0.1:${port()}/inside`)).body).toBe('127.0.0.3 /inside');
    },
    START_TIMEOUT,
  );

  test(
    'demands a client certificate of one authority',
    async () => {
      const [clientCa, otherCa] = await Promise.all([createCa(), createCa()]);
      const names = ['client.example'];
      const [right, wrong] = await Promise.all(
        [clientCa, otherCa].map((authority) => authority.issue({ names, client: true })),
      );
      const { url, ca } = await during(startStunnel({ targetPort: behind(), clientCa: clientCa.certificate }));
      const path = `http://127.0.0.1:${port()}/`;
      await expect(get(url, { ca, path })).rejects.toMatchObject({ code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' });
      await expect(get(url, { ca, path, ...wrong })).rejects.toMatchObject({ code: expect.stringMatching(/_ALERT_/) });
      await expect(get(url, { ca, path, ...right })).resolves.toMatchObject({ status: 200 });
    },
    START_TIMEOUT,
  );

  testLeavesNothing(() => startStunnel({ targetPort: behind() }));
});

describeReal('real Privoxy', needs.privoxy, () => {
  const privoxy = running(startPrivoxy);

  test('forwards and tunnels, and logs both', async () => {
    const { openUrl } = privoxy();
    const url = `http://127.0.0.1:${port()}/forwarded`;
    expect((await get(openUrl, { path: url })).body).toBe('127.0.0.1 /forwarded');
    await privoxy().logged({ method: 'GET', url });
    const { status, socket } = await openTunnel(openUrl, `127.0.0.1:${port()}`);
    expect(status).toBe(200);
    expect((await getInside(socket, `http://127.0.0.1:${port()}/inside`)).body).toBe('127.0.0.1 /inside');
    await privoxy().logged({ method: 'CONNECT', url: `127.0.0.1:${port()}` });
  });

  testLeavesNothing(startPrivoxy);
});

describeReal('real Privoxy in front of Squid', [...needs.privoxy, ...needs.squid], () => {
  test(
    'forwards and tunnels through the second proxy',
    async () => {
      const squid = await during(startSquid());
      const { openUrl } = await during(startPrivoxy({ forward: squid.openUrl }));
      const target = `${squid.privateHost}:${port()}`;
      expect((await get(openUrl, { path: `http://${target}/forwarded` })).body).toBe('127.0.0.2 /forwarded');
      const { socket } = await openTunnel(openUrl, target);
      expect((await getInside(socket, `http://${target}/inside`)).body).toBe('127.0.0.2 /inside');
      await squid.logged({ method: 'CONNECT', url: target });
    },
    START_TIMEOUT,
  );
});

describeReal('real Privoxy in front of SOCKS', [...needs.privoxy, ...needs.microsocks, ...needs.sshSocks], () => {
  const privately = { microsocks: startMicrosocks, ssh: startSshSocks };

  test.each([
    ['microsocks', 'socks5'],
    ['ssh', 'socks4a'],
  ] as const)(
    'passes names on to %s by %s',
    async (name, scheme) => {
      expect(SOCKS_SCHEMES[name]).toContain(scheme);
      const socks = await during(privately[name]());
      const { openUrl } = await during(startPrivoxy({ forward: socks.openUrlFor(scheme) }));
      const target = `${socks.privateHost}:${port()}`;
      const answer = await get(openUrl, { path: `http://${target}/through` });
      expect(answer.body).toBe(`${socks.outgoingAddress} /through`);
      await socks.logged({ target });
    },
    START_TIMEOUT,
  );
});

describeReal('real mitmproxy', [...needs.mitmproxy, ...needs.nginx], () => {
  const nginx = running(startNginx);
  const target = () => new URL(nginx().httpsUrl).host;

  test(
    'looks into TLS, under its own certificate, from its own address',
    async () => {
      const mitmproxy = await during(startMitmproxy());
      const { status, socket } = await openTunnel(mitmproxy.url, target());
      expect(status).toBe(200);
      const { body } = await getInside(socket, `${nginx().httpsUrl}/echo`, { ca: mitmproxy.ca });
      expect(JSON.parse(body)).toMatchObject({ scheme: 'https', from: mitmproxy.outgoingAddress });
      await mitmproxy.logged({ user: null, method: 'CONNECT', url: target() });
      await mitmproxy.logged({ user: null, method: 'GET', url: `${nginx().httpsUrl}/echo`, status: 200 });

      const again = await openTunnel(mitmproxy.url, target());
      await expect(getInside(again.socket, nginx().httpsUrl, { ca: nginx().ca })).rejects.toMatchObject({
        code: expect.stringMatching(/CERT|ISSUER/),
      });
    },
    START_TIMEOUT,
  );

  test(
    'wants its password, and logs the user',
    async () => {
      const { url, credentials, logged } = await during(startMitmproxy({ withPassword: true }));
      expect((await openTunnel(url, target())).status).toBe(407);
      const wrong = { headers: basic({ ...credentials, password: 'wrong' }) };
      expect((await openTunnel(url, target(), wrong)).status).toBe(407);
      expect((await openTunnel(url, target(), { headers: basic(credentials) })).status).toBe(200);
      await expect(logged({ user: 'alice' })).resolves.toMatchObject({ method: 'CONNECT', url: target() });
      const path = `${nginx().httpUrl}/echo`;
      expect((await get(url, { path })).status).toBe(407);
      expect((await get(url, { path, headers: basic(credentials) })).status).toBe(200);
    },
    START_TIMEOUT,
  );

  test(
    'believes only the authority that it is told',
    async () => {
      const [told, misled] = await Promise.all([
        during(startMitmproxy({ upstreamCa: nginx().ca })),
        createCa().then(({ certificate }) => during(startMitmproxy({ upstreamCa: certificate }))),
      ]);
      for (const [mitmproxy, status] of [
        [told, 200],
        [misled, 502],
      ] as const) {
        const { socket } = await openTunnel(mitmproxy.url, target());
        const answer = await getInside(socket, `${nginx().httpsUrl}/echo`, {
          ca: mitmproxy.ca,
          rejectUnauthorized: false,
        });
        expect(answer.status).toBe(status);
      }
    },
    START_TIMEOUT,
  );

  testLeavesNothing(startMitmproxy);
});

describeReal('real HAProxy', [...needs.haproxy, ...needs.tinyproxy], () => {
  const tinyproxy = running(startTinyproxy);
  const proxyPort = () => Number(new URL(tinyproxy().openUrl).port);
  const haproxy = running(() => startHaproxy({ originPort: port(), proxyPort: proxyPort() }));

  test.each(['http', 'https'] as const)('leads to the origin by %s, or to a fault', async (scheme) => {
    const url = scheme === 'http' ? haproxy().httpUrl : haproxy().httpsUrl;
    const { ca } = haproxy();
    expect(await get(`${url}/some/path`, { ca })).toMatchObject({ status: 200, body: '127.0.0.1 /some/path' });
    expect((await get(`${url}/fault/503`, { ca })).status).toBe(503);
    expect((await get(`${url}/fault/504`, { ca })).status).toBe(504);
    await expect(get(`${url}/fault/reject`, { ca })).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('forgets a connection', async () => {
    const patience = AbortSignal.timeout(300);
    const answer = get(`${haproxy().httpUrl}/fault/silent`, { signal: patience });
    await expect(answer).rejects.toMatchObject({ code: 'ABORT_ERR' });
  });

  test('makes an HTTPS proxy of an HTTP proxy', async () => {
    const { tlsProxyUrl, ca } = haproxy();
    const answer = await get(tlsProxyUrl, { ca, path: `http://127.0.0.1:${port()}/forwarded` });
    expect(answer).toMatchObject({ status: 200, body: '127.0.0.3 /forwarded' });
  });

  testLeavesNothing(() => startHaproxy({ originPort: port() }));
});
