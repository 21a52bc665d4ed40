// The table of routes.test.ts on proxies and an origin of others: what they saw, told by themselves.
import { text } from 'node:stream/consumers';
import {
  ProxyAuthenticationError,
  ProxyError,
  ProxyResponseError,
  ProxyTunnelError,
  Transport,
  type TransportRequest,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  type RealProxy,
  running,
  startNginx,
  startSquid,
  startTinyproxy,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { failureOf } from './lab.ts';

function newTransport(originCa: string, proxyCa?: string): Transport {
  const transport = new Transport({
    tls: { ca: originCa },
    ...(proxyCa !== undefined && { proxyTls: { ca: proxyCa } }),
  });
  return closeAfterTest(transport);
}

/** What nginx says that it saw. */
interface Echo {
  readonly method: string;
  readonly from: string;
  readonly requests: number;
  readonly proxyAuthorization: string;
}

async function echoOf(transport: Transport, request: TransportRequest): Promise<Echo> {
  const response = await transport.send(request);
  expect(response.status).toBe(200);
  return JSON.parse(await text(response.body));
}

function withCredentials(url: string, { username, password }: RealProxy['credentials']): string {
  const full = new URL(url);
  full.username = username;
  full.password = encodeURIComponent(password);
  return full.href;
}

const SCHEMES = ['http', 'https'] as const;

describeReal('Squid in front of nginx', [...needs.squid, ...needs.nginx], () => {
  const squid = running(startSquid);
  const nginx = running(startNginx);
  const originUrl = (scheme: (typeof SCHEMES)[number]) => (scheme === 'http' ? nginx().httpUrl : nginx().httpsUrl);

  describe.each(SCHEMES)('through an %s proxy', (proxyScheme) => {
    const wayIn = (auth: 'none' | 'right' | 'wrong'): string => {
      const { basicUrl, tlsBasicUrl, credentials } = squid();
      const url = proxyScheme === 'http' ? basicUrl : tlsBasicUrl;
      if (auth === 'none') return url;
      return withCredentials(url, auth === 'right' ? credentials : { ...credentials, password: 'wrong' });
    };

    test.each(SCHEMES)('with the right password to an %s origin', async (scheme) => {
      const transport = newTransport(nginx().ca, squid().ca);
      const request = { url: `${originUrl(scheme)}/echo`, http_proxy: wayIn('right') };
      const first = await echoOf(transport, request);
      expect(first).toMatchObject({ method: 'GET', from: squid().outgoingAddress, proxyAuthorization: '' });
      // One connection for both, at the proxy and at the origin.
      expect((await echoOf(transport, request)).requests).toBe(first.requests + 1);
      expect(transport.connections.map(({ kind, requestCount }) => [kind, requestCount])).toEqual([
        [scheme === 'http' ? 'forward' : 'tunnel', 2],
      ]);
      await transport.close();
      const method = scheme === 'http' ? 'GET' : 'CONNECT';
      const url = scheme === 'http' ? request.url : new URL(request.url).host;
      await expect(squid().logged({ user: 'alice', method, url })).resolves.toMatchObject({ status: 200 });
    });

    test.each(
      SCHEMES.flatMap((scheme) => [
        [scheme, 'none', 'it wants credentials'] as const,
        [scheme, 'wrong', 'the credentials were not accepted'] as const,
      ]),
    )('to an %s origin with password: %s', async (scheme, auth, hint) => {
      const transport = newTransport(nginx().ca, squid().ca);
      const url = `${originUrl(scheme)}/status/500?${proxyScheme}-${auth}`;
      const error = await failureOf(transport.send({ url, http_proxy: wayIn(auth) }), ProxyAuthenticationError);
      expect(error).toMatchObject({ status: 407, schemes: ['basic'], hop: 'proxy', hasConnectedToProxy: true });
      expect(error.message).toContain(hint);
      expect(String(error.body)).toContain('ERR_CACHE_ACCESS_DENIED');
    });
  });

  test('an upload and a download of 1 MiB arrive whole, in a tunnel', async () => {
    const transport = newTransport(nginx().ca);
    const url = `${nginx().httpsUrl}/files/up.bin`;
    const http_proxy = withCredentials(squid().basicUrl, squid().credentials);
    const content = Buffer.alloc(1024 * 1024, 'cloudlane ');
    async function* parts(): AsyncGenerator<Buffer> {
      for (let at = 0; at < content.length; at += 50_000) yield content.subarray(at, at + 50_000);
    }
    const put = await transport.send({ method: 'PUT', url, http_proxy, body: parts() });
    put.body.resume();
    expect(put.status).toBe(201);
    expect(await text((await transport.send({ url, http_proxy })).body)).toBe(content.toString());
  });

  test('a name that nobody knows is told by the proxy, on CONNECT and forwarded', async () => {
    const transport = newTransport(nginx().ca);
    const http_proxy = squid().openUrl;
    const tunnel = await failureOf(transport.send({ url: 'https://nowhere.invalid', http_proxy }), ProxyTunnelError);
    expect(tunnel).toMatchObject({
      hop: 'proxy',
      phase: 'proxy-handshake',
      headers: { 'x-squid-error': expect.stringMatching(/^ERR_/) },
    });
    const forward = await failureOf(transport.send({ url: 'http://nowhere.invalid', http_proxy }), ProxyResponseError);
    expect(forward).toMatchObject({ hop: 'proxy', headers: { 'x-squid-error': expect.stringMatching(/^ERR_/) } });
  });
});

describeReal('Tinyproxy in front of nginx', [...needs.tinyproxy, ...needs.nginx], () => {
  const tinyproxy = running(startTinyproxy);
  const nginx = running(startNginx);

  test.each(SCHEMES)('forwards or tunnels to an %s origin, also where it closes without a word', async (scheme) => {
    const transport = newTransport(nginx().ca);
    const url = `${scheme === 'http' ? nginx().httpUrl : nginx().httpsUrl}/echo`;
    const http_proxy = withCredentials(tinyproxy().basicUrl, tinyproxy().credentials);
    for (let call = 0; call < 3; call += 1) {
      const echo = await echoOf(transport, { url, http_proxy });
      expect(echo).toMatchObject({ from: tinyproxy().outgoingAddress, proxyAuthorization: '' });
    }
  });

  // It answers a wrong password with 401, on CONNECT as well, and in HTTP/1.0.
  test('tells a wrong password as a refused tunnel', async () => {
    const transport = newTransport(nginx().ca);
    const http_proxy = withCredentials(tinyproxy().basicUrl, { ...tinyproxy().credentials, password: 'wrong' });
    const error = await failureOf(transport.send({ url: `${nginx().httpsUrl}/echo`, http_proxy }), ProxyError);
    expect(error).toMatchObject({ code: 'ERR_PROXY_TUNNEL', status: 401, hop: 'proxy' });
  });
});
