// The table of routes.test.ts on HTTP proxies and an origin of others: what they saw, told by themselves. What each of
// them does in its own way is in real-proxy-quirks.test.ts.
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { ProxyAuthenticationError, Transport, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import {
  type Credentials,
  describeReal,
  needs,
  type RealNginx,
  running,
  startHaproxy,
  startMitmproxy,
  startNginx,
  startPrivoxy,
  startSquid,
  startStunnel,
  startTinyproxy,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { echoOf, failureOf, withCredentials } from './lab.ts';

/** One way in to a proxy. */
interface Way {
  readonly url: string;
  /** What the proxy wants. @defaultValue nothing */
  readonly credentials?: Credentials;
  /** Where the origin sees it come from. */
  readonly from: string;
  /** Signed the certificate of an https proxy. */
  readonly proxyCa?: string;
  /** Signs what the proxy shows as the certificate of origins. @defaultValue it does not look into TLS */
  readonly interceptor?: string;
  /** Whether a forwarded connection is closed after each answer. @defaultValue false */
  readonly closes?: boolean;
}

const CONTENT = Buffer.alloc(1024 * 1024, 'cloudlane ');
const UPLOADS: [string, () => TransportRequest['body']][] = [
  ['a raw', () => CONTENT],
  ['a streamed', () => Readable.from(parts())],
];

async function* parts(): AsyncGenerator<Buffer> {
  for (let at = 0; at < CONTENT.length; at += 50_000) yield CONTENT.subarray(at, at + 50_000);
}

const portOf = (url: string): number => Number(new URL(url).port);

/** The table for one server and the ways in to it. */
function testWays<S>(
  nginx: () => RealNginx,
  server: () => S,
  ways: Readonly<Record<string, (server: S) => Way>>,
): void {
  const rows = Object.entries(ways).flatMap(([name, way]) =>
    (['http', 'https'] as const).map((scheme) => ({ name, way, scheme })),
  );

  describe.each(rows)('$name, to an $scheme origin', ({ way, scheme }) => {
    const originUrl = (): string => (scheme === 'http' ? nginx().httpUrl : nginx().httpsUrl);
    function open(): { transport: Transport; http_proxy: string } & Way {
      const known = way(server());
      const { url, credentials, proxyCa, interceptor } = known;
      const tls = { ca: interceptor ?? nginx().ca };
      const transport = new Transport({ tls, ...(proxyCa !== undefined && { proxyTls: { ca: proxyCa } }) });
      const http_proxy = credentials ? withCredentials(url, credentials) : url;
      return { ...known, transport: closeAfterTest(transport), http_proxy };
    }

    test('json comes from the proxy, over one connection for all', async () => {
      const { transport, http_proxy, from, closes = false } = open();
      const request = { url: `${originUrl()}/echo`, http_proxy };
      const posted = await echoOf(transport, { ...request, method: 'POST', body: '{"größe":1}' });
      expect(posted).toMatchObject({ method: 'POST', from, proxyAuthorization: '' });
      const [first, second] = [await echoOf(transport, request), await echoOf(transport, request)];
      expect(second).toMatchObject({ method: 'GET', from, proxyAuthorization: '' });
      const kind = scheme === 'http' ? 'forward' : 'tunnel';
      if (closes && kind === 'forward') return expect(second.requests).toBe(1);
      // What a forward proxy does beyond itself is its own affair: Privoxy opens a connection for each request.
      if (kind === 'tunnel')
        expect(second).toMatchObject({ connection: first.connection, requests: first.requests + 1 });
      const [{ requestCount = 0 } = {}, ...others] = transport.connections;
      expect([requestCount >= 2, others]).toEqual([true, []]);
    });

    test.each(UPLOADS)('%s upload and a streamed download of 1 MiB arrive whole', async (_, body) => {
      const { transport, http_proxy } = open();
      const url = `${originUrl()}/files/up.bin`;
      const put = await transport.send({ method: 'PUT', url, http_proxy, body: body() ?? null });
      put.body.resume();
      expect([201, 204]).toContain(put.status);
      const get = await transport.send({ url, http_proxy });
      expect((await buffer(get.body)).equals(CONTENT)).toBe(true);
      const gone = await transport.send({ method: 'DELETE', url, http_proxy });
      gone.body.resume();
      expect(gone.status).toBe(204);
    });
  });

  const wanting = rows.flatMap((row) => (['none', 'wrong'] as const).map((auth) => ({ ...row, auth })));
  // The one proxy that tells a wrong password otherwise has a test of its own.
  const refusals = wanting.filter(
    ({ name, auth }) => name.includes('password') && !(name.includes('401') && auth === 'wrong'),
  );
  if (refusals.length === 0) return;
  test.each(refusals)(
    '$name, to an $scheme origin, wants credentials, and got: $auth',
    async ({ way, scheme, auth }) => {
      const { url, credentials = { username: '', password: '' }, proxyCa = '' } = way(server());
      const transport = closeAfterTest(new Transport({ tls: { ca: nginx().ca }, proxyTls: { ca: proxyCa } }));
      const http_proxy = auth === 'none' ? url : withCredentials(url, { ...credentials, password: 'wrong' });
      const target = `${scheme === 'http' ? nginx().httpUrl : nginx().httpsUrl}/echo`;
      const before = await echoOf(transport, { url: target, http_proxy: null });
      const error = await failureOf(transport.send({ url: target, http_proxy }), ProxyAuthenticationError);
      expect(error).toMatchObject({ status: 407, schemes: ['basic'], hop: 'proxy', hasConnectedToProxy: true });
      expect(error.message).toContain(auth === 'none' ? 'it wants credentials' : 'the credentials were not accepted');
      expect(error.body.length).toBeGreaterThan(0);
      // Nothing else has come to nginx on or beside the connection that was there before.
      const after = await echoOf(transport, { url: target, http_proxy: null });
      expect(after).toMatchObject({ connection: before.connection, requests: before.requests + 1 });
      const fresh = closeAfterTest(new Transport({ tls: { ca: nginx().ca } }));
      expect((await echoOf(fresh, { url: target, http_proxy: null })).connection).toBe(before.connection + 1);
    },
  );
}

describeReal('Squid in front of nginx', [...needs.squid, ...needs.nginx], () => {
  const [nginx, squid] = [running(startNginx), running(startSquid)];
  testWays(nginx, squid, {
    'an open http proxy': ({ openUrl: url, outgoingAddress: from }) => ({ url, from }),
    'an open https proxy': ({ tlsUrl: url, outgoingAddress: from, ca: proxyCa }) => ({ url, from, proxyCa }),
    'an http proxy with a password': ({ basicUrl: url, outgoingAddress: from, credentials }) => ({
      url,
      from,
      credentials,
    }),
    'an https proxy with a password': ({ tlsBasicUrl: url, outgoingAddress: from, credentials, ca: proxyCa }) => ({
      url,
      from,
      credentials,
      proxyCa,
    }),
  });

  test.each(['http', 'https'] as const)('logs the user, and where to: %s', async (scheme) => {
    const url = `${scheme === 'http' ? nginx().httpUrl : nginx().httpsUrl}/echo?logged`;
    const transport = new Transport({ tls: { ca: nginx().ca } });
    await echoOf(transport, { url, http_proxy: withCredentials(squid().basicUrl, squid().credentials) });
    // The line of a tunnel is written at its end.
    await transport.close();
    const line = scheme === 'http' ? { method: 'GET', url } : { method: 'CONNECT', url: new URL(url).host };
    await expect(squid().logged({ user: 'alice', ...line })).resolves.toMatchObject({ status: 200 });
  });

  describeReal('behind Privoxy', needs.privoxy, () => {
    const privoxy = running(() => startPrivoxy({ forward: squid().openUrl }));
    testWays(nginx, privoxy, { 'an open proxy': ({ openUrl: url }) => ({ url, from: squid().outgoingAddress }) });
  });

  describeReal('behind stunnel', needs.stunnel, () => {
    const stunnel = running(() => startStunnel({ targetPort: portOf(squid().basicUrl) }));
    testWays(nginx, stunnel, {
      'an https proxy with a password': ({ url, ca: proxyCa }) => {
        const { outgoingAddress: from, credentials } = squid();
        return { url, from, credentials, proxyCa };
      },
    });
  });

  describeReal('behind HAProxy', needs.haproxy, () => {
    const haproxy = running(() => startHaproxy({ originPort: 9, proxyPort: portOf(squid().openUrl) }));
    testWays(nginx, haproxy, {
      'an open https proxy': ({ tlsProxyUrl: url, ca: proxyCa }) => ({ url, from: squid().outgoingAddress, proxyCa }),
    });
  });
});

describeReal('Tinyproxy in front of nginx', [...needs.tinyproxy, ...needs.nginx], () => {
  testWays(running(startNginx), running(startTinyproxy), {
    'an open proxy': ({ openUrl: url, outgoingAddress: from }) => ({ url, from, closes: true }),
    'a proxy with a password (401)': ({ basicUrl: url, outgoingAddress: from, credentials }) => ({
      url,
      from,
      credentials,
      closes: true,
    }),
  });
});

describeReal('Privoxy in front of nginx', [...needs.privoxy, ...needs.nginx], () => {
  testWays(running(startNginx), running(startPrivoxy), {
    'an open proxy': ({ openUrl: url }) => ({ url, from: '127.0.0.1' }),
  });
});

describeReal('mitmproxy in front of nginx', [...needs.mitmproxy, ...needs.nginx], () => {
  const nginx = running(startNginx);
  testWays(nginx, running(startMitmproxy), {
    'an open proxy that looks into TLS': ({ url, outgoingAddress: from, ca: interceptor }) => ({
      url,
      from,
      interceptor,
    }),
  });
  const withPassword = running(() => startMitmproxy({ withPassword: true }));
  testWays(nginx, withPassword, {
    'a proxy with a password that looks into TLS': ({ url, outgoingAddress: from, credentials, ca: interceptor }) => ({
      url,
      from,
      credentials,
      interceptor,
    }),
  });
});
