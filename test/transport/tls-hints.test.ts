import { ProxyTlsError, TlsError, Transport } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { closeAfterTest } from '../support/resources.ts';
import { failureOf, origin, proxy } from './lab.ts';

const distrusting = (): Transport => closeAfterTest(new Transport());

describe('a TLS error names what to change', () => {
  test('the authority of an origin', async () => {
    const { url } = await origin('https');
    const error = await failureOf(distrusting().send({ url, http_proxy: null }), TlsError);
    expect(error.message).toMatch(/; if you trust its authority, give that in tls\.ca$/);
  });

  test('the authority of a proxy', async () => {
    const [{ url }, through] = [await origin(), await proxy('https')];
    const error = await failureOf(distrusting().send({ url, http_proxy: through.url }), ProxyTlsError);
    expect(error.message).toMatch(/; if you trust its authority, give that in proxyTls\.ca$/);
  });

  test('the scheme of a proxy that speaks no TLS', async () => {
    const [{ url }, through] = [await origin(), await proxy('http')];
    const http_proxy = through.url.replace('http:', 'https:');
    const error = await failureOf(distrusting().send({ url, http_proxy }), ProxyTlsError);
    expect(error.message).toMatch(/\S; it does not seem to speak TLS: write http:\/\/ for the proxy$/);
  });

  test('an origin that speaks no TLS', async () => {
    const url = (await origin('http')).url.replace('http:', 'https:');
    const error = await failureOf(distrusting().send({ url, http_proxy: null }), TlsError);
    expect(error.message).toMatch(/\S; it does not seem to speak TLS$/);
  });
});
