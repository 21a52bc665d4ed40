// What HTTP proxies of others do in ways of their own.
import { text } from 'node:stream/consumers';
import { closedPort } from '@cloudlane/testing';
import { ProxyResponseError, ProxyTunnelError, TlsError, Transport, type TransportOptions } from '@cloudlane/transport';
import { expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  running,
  startMitmproxy,
  startNginx,
  startPrivoxy,
  startSquid,
  startTinyproxy,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { echoOf, failureOf, withCredentials } from './lab.ts';

const open = (options?: TransportOptions): Transport => closeAfterTest(new Transport(options));
const NOBODY = 'nowhere.invalid';
const MINE = { username: 'mine', password: 'mine' };
const MINE_IN_BASIC = 'Basic bWluZTptaW5l';

describeReal('Squid', [...needs.squid], () => {
  const squid = running(startSquid);

  test.each([
    ['nobody knows', async () => NOBODY, /^(?:500|502|503) /],
    ['refuses', async () => `127.0.0.1:${await closedPort()}`, /^503 /],
  ])('tells an origin that %s, with its page, on CONNECT and forwarded', async (_, host, says) => {
    const [authority, transport] = [await host(), open()];
    const request = { http_proxy: squid().openUrl };
    const tunnel = await failureOf(transport.send({ url: `https://${authority}`, ...request }), ProxyTunnelError);
    expect(tunnel).toMatchObject({ hop: 'proxy', phase: 'proxy-handshake' });
    const forward = await failureOf(transport.send({ url: `http://${authority}`, ...request }), ProxyResponseError);
    expect(forward).toMatchObject({ hop: 'proxy', phase: 'response' });
    for (const error of [tunnel, forward]) {
      expect(`${error.status} `).toMatch(says);
      expect(error.headers['x-squid-error']).toMatch(/^ERR_/);
      expect(String(error.body)).toContain('<html>');
    }
  });
});

describeReal('Tinyproxy', [...needs.tinyproxy, ...needs.nginx], () => {
  const tinyproxy = running(startTinyproxy);
  const nginx = running(startNginx);

  test('answers a wrong password with 401 in HTTP/1.0: a refused tunnel', async () => {
    const http_proxy = withCredentials(tinyproxy().basicUrl, { ...tinyproxy().credentials, password: 'wrong' });
    const sent = open().send({ url: `${nginx().httpsUrl}/echo`, http_proxy });
    const error = await failureOf(sent, ProxyTunnelError);
    expect(error).toMatchObject({ code: 'ERR_PROXY_TUNNEL', status: 401, hop: 'proxy', retryable: false });
    expect(String(error.body)).toContain('Unauthorized');
  });

  test('answers a wrong password of a forwarded request with 401, which is told as the answer', async () => {
    const http_proxy = withCredentials(tinyproxy().basicUrl, { ...tinyproxy().credentials, password: 'wrong' });
    const response = await open().send({ url: `${nginx().httpUrl}/echo`, http_proxy });
    expect(response.status).toBe(401);
    expect(await text(response.body)).toContain('Unauthorized');
  });

  test('passes on credentials that nobody asked for: the origin sees them, forwarded, and never in a tunnel', async () => {
    const http_proxy = withCredentials(tinyproxy().openUrl, MINE);
    const transport = open({ tls: { ca: nginx().ca } });
    const forwarded = await echoOf(transport, { url: `${nginx().httpUrl}/echo`, http_proxy });
    expect(forwarded).toMatchObject({ from: tinyproxy().outgoingAddress, proxyAuthorization: MINE_IN_BASIC });
    const tunnelled = await echoOf(transport, { url: `${nginx().httpsUrl}/echo`, http_proxy });
    expect(tunnelled).toMatchObject({ from: tinyproxy().outgoingAddress, proxyAuthorization: '' });
  });

  test('tells an origin that cannot be reached with 500', async () => {
    const [http_proxy, transport] = [tinyproxy().openUrl, open()];
    for (const authority of [NOBODY, `127.0.0.1:${await closedPort()}`]) {
      const error = await failureOf(transport.send({ url: `https://${authority}`, http_proxy }), ProxyTunnelError);
      expect(error).toMatchObject({ status: 500, retryable: false });
      expect(String(error.body)).toContain('<html');
      // Without a mark of its own, its page cannot be told from an answer of the origin.
      const response = await transport.send({ url: `http://${authority}`, http_proxy });
      expect([response.status, (await text(response.body)).includes('<html')]).toEqual([500, true]);
    }
  });

  // It closes after each answer, and has said neither that nor anything else.
  test('closes without a word, and still every request arrives once: 20 in a row', async () => {
    const transport = open();
    const [url, http_proxy] = [`${nginx().httpUrl}/echo`, tinyproxy().openUrl];
    const direct = open();
    const before = await echoOf(direct, { url, http_proxy: null });
    for (let call = 0; call < 20; call += 1) {
      const method = ['GET', 'POST', 'PUT', 'POST', 'DELETE'][call % 5] ?? 'GET';
      const hasBody = method.startsWith('P');
      async function* pieces(): AsyncGenerator<string> {
        yield 'piece ';
        yield 'by piece';
      }
      const body = hasBody ? (call % 2 === 0 ? pieces() : 'whole') : null;
      expect(await echoOf(transport, { method, url, http_proxy, body })).toMatchObject({ method, requests: 1 });
    }
    const fresh = await echoOf(open(), { url, http_proxy: null });
    // One connection of nginx for each, and the one that asks.
    expect(fresh.connection).toBe(before.connection + 21);
  });
});

describeReal('Privoxy', [...needs.privoxy], () => {
  const privoxy = running(startPrivoxy);

  test.each([
    ['nobody knows', async () => NOBODY, 404],
    ['refuses', async () => `127.0.0.1:${await closedPort()}`, 503],
  ])('tells an origin that %s', async (_, host, status) => {
    const [authority, transport, http_proxy] = [await host(), open(), privoxy().openUrl];
    const error = await failureOf(transport.send({ url: `https://${authority}`, http_proxy }), ProxyTunnelError);
    expect(error).toMatchObject({ status, hop: 'proxy', retryable: status === 503 });
    expect(String(error.body)).toContain('<html');
    const response = await transport.send({ url: `http://${authority}`, http_proxy });
    expect([response.status, (await text(response.body)).includes('<html')]).toEqual([status, true]);
  });
});

describeReal('mitmproxy', [...needs.mitmproxy, ...needs.nginx], () => {
  const mitmproxy = running(startMitmproxy);
  const nginx = running(startNginx);

  test('shows a certificate of its own, which is trusted if tls.ca says so', async () => {
    const request = { url: `${nginx().httpsUrl}/echo`, http_proxy: mitmproxy().url };
    const error = await failureOf(open().send(request), TlsError);
    expect(error).toMatchObject({ code: 'ERR_TLS', phase: 'origin-tls', hop: 'origin', hasConnectedToProxy: true });
    expect(error.message).toContain('if you trust its authority, give that in tls.ca');
    const echo = await echoOf(open({ tls: { ca: mitmproxy().ca } }), request);
    expect(echo.from).toBe(mitmproxy().outgoingAddress);
  });

  test.each([
    ['nobody knows', async () => NOBODY],
    ['refuses', async () => `127.0.0.1:${await closedPort()}`],
  ])('grants a tunnel to an origin that %s, and answers 502 within', async (_, host) => {
    const [authority, transport] = [await host(), open({ tls: { ca: mitmproxy().ca } })];
    const response = await transport.send({ url: `https://${authority}`, http_proxy: mitmproxy().url });
    expect(response.status).toBe(502);
    expect(await text(response.body)).toContain('502 Bad Gateway');
    // Whoever does not trust it learns no more than that.
    await failureOf(open().send({ url: `https://${authority}`, http_proxy: mitmproxy().url }), TlsError);
  });

  test('passes on credentials that nobody asked for, forwarded', async () => {
    const http_proxy = withCredentials(mitmproxy().url, MINE);
    const transport = open({ tls: { ca: mitmproxy().ca } });
    const forwarded = await echoOf(transport, { url: `${nginx().httpUrl}/echo`, http_proxy });
    expect(forwarded.proxyAuthorization).toBe(MINE_IN_BASIC);
    const tunnelled = await echoOf(transport, { url: `${nginx().httpsUrl}/echo`, http_proxy });
    expect(tunnelled.proxyAuthorization).toBe('');
  });
});
