// What stands in front of others, TLS for a proxy and a balancer for an origin, in ways of their own.
import { text } from 'node:stream/consumers';
import { createCa } from '@cloudlane/testing';
import {
  ProxyResponseError,
  ProxyTlsError,
  ResetError,
  TimeoutError,
  Transport,
  type TransportOptions,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  running,
  startHaproxy,
  startNginx,
  startSquid,
  startStunnel,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { echoOf, expectNothingLeft, failureOf } from './lab.ts';

const open = (options?: TransportOptions): Transport => closeAfterTest(new Transport(options));
const portOf = (url: string): number => Number(new URL(url).port);

describeReal('In front of Squid and nginx', [...needs.squid, ...needs.nginx], () => {
  const squid = running(startSquid);
  const nginx = running(startNginx);

  describeReal('stunnel, a TLS end of the proxy', needs.stunnel, () => {
    const clients = createCa();
    const stunnel = running(async () =>
      startStunnel({ targetPort: portOf(squid().openUrl), clientCa: (await clients).certificate }),
    );
    const urlOf = (scheme: string): string => `${scheme === 'http' ? nginx().httpUrl : nginx().httpsUrl}/echo`;

    describe.each(['http', 'https'] as const)('to an %s origin', (scheme) => {
      test('takes a client certificate of proxyTls', async () => {
        const { cert, key } = await (await clients).issue({ names: ['client.example'], client: true });
        const transport = open({ tls: { ca: nginx().ca }, proxyTls: { ca: stunnel().ca, cert, key } });
        const echo = await echoOf(transport, { url: urlOf(scheme), http_proxy: stunnel().url });
        expect(echo.from).toBe(squid().outgoingAddress);
      });

      // In TLS 1.3 the handshake is over for the client before the server has looked at its certificate.
      const late = scheme === 'http' ? /^re(quest|sponse)$/ : /^proxy-handshake$/;
      test.each([
        ['TLSv1.2', 'none', /^proxy-tls$/, 'alert'],
        ['TLSv1.2', 'of a stranger', /^proxy-tls$/, 'alert'],
        ['TLSv1.3', 'none', late, 'it wants a client certificate: give proxyTls.cert and proxyTls.key'],
        ['TLSv1.3', 'of a stranger', late, 'alert'],
      ] as const)('refuses who shows in %s a certificate: %s', async (maxVersion, whose, phase, says) => {
        const stranger = await (await createCa()).issue({ names: ['client.example'], client: true });
        const own = whose === 'none' ? {} : { cert: stranger.cert, key: stranger.key };
        const transport = open({ tls: { ca: nginx().ca }, proxyTls: { ca: stunnel().ca, maxVersion, ...own } });
        const sent = transport.send({ url: urlOf(scheme), http_proxy: stunnel().url });
        const error = await failureOf(sent, ProxyTlsError);
        expect(error).toMatchObject({ code: 'ERR_PROXY_TLS', hop: 'proxy', proxy: stunnel().url, retryable: false });
        expect(error.phase).toMatch(phase);
        expect(error.message).toContain(says);
        await expectNothingLeft(transport);
      });
    });

    test('each hop is shown the client certificate of its own options', async () => {
      const { cert, key } = await (await clients).issue({ names: ['client.example'], client: true });
      const request = { url: `${nginx().mtlsUrl}/echo`, http_proxy: stunnel().url };
      const proxyTls = { ca: stunnel().ca, cert, key };
      const both = open({ tls: { ca: nginx().ca, ...nginx().client }, proxyTls });
      expect(await echoOf(both, request)).toMatchObject({ client: expect.stringMatching(/^CN=client,/) });
      // That of the proxy is not shown to the origin, which wants one too.
      const response = await open({ tls: { ca: nginx().ca }, proxyTls }).send(request);
      expect(response.status).toBe(400);
      expect(await text(response.body)).toContain('No required SSL certificate was sent');
    });
  });

  describeReal('HAProxy, an origin with faults', needs.haproxy, () => {
    const haproxy = running(() => startHaproxy({ originPort: portOf(nginx().httpUrl) }));
    const ways = (['http', 'https'] as const).flatMap((scheme) => [
      [scheme, 'direct'] as const,
      [scheme, 'through Squid'] as const,
    ]);

    describe.each(ways)('by %s, %s', (scheme, way) => {
      const isForwarded = scheme === 'http' && way !== 'direct';
      function request(path: string) {
        const url = `${scheme === 'http' ? haproxy().httpUrl : haproxy().httpsUrl}${path}`;
        return { url, http_proxy: way === 'direct' ? null : squid().openUrl };
      }
      const transport = () => open({ tls: { ca: haproxy().ca } });

      test('hands over what is behind it', async () => {
        expect(await echoOf(transport(), request('/echo'))).toMatchObject({ method: 'GET', from: '127.0.0.1' });
      });

      test.each([503, 504])('hands over its %i', async (status) => {
        const response = await transport().send(request(`/fault/${status}`));
        expect(response.status).toBe(status);
        expect(await text(response.body)).toContain(String(status));
      });

      test('ends the connection without an answer', async () => {
        const sent = transport().send(request('/fault/reject'));
        // Squid has a page for it.
        if (isForwarded) {
          expect(await failureOf(sent, ProxyResponseError)).toMatchObject({
            status: 502,
            hop: 'proxy',
            retryable: true,
          });
        } else {
          expect(await failureOf(sent, ResetError)).toMatchObject({
            phase: 'response',
            hop: 'origin',
            retryable: false,
          });
        }
      });

      // Within TLS it does not forget, but resets.
      if (scheme === 'https') return;
      test('forgets the connection: the deadline for the first byte tells', async () => {
        const sent = transport().send({ ...request('/fault/silent'), timeout: { firstByte: 300 } });
        expect(await failureOf(sent, TimeoutError)).toMatchObject({ deadline: 'firstByte', phase: 'response' });
      });
    });
  });
});
