import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import { ProxyTlsError, sharedTransport, TlsError, Transport, type TransportOptions } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectWarning } from '../support/hygiene.ts';
import { ca, certificate, expectNothingLeft, failureOf, newTransport, origin, proxy, use } from './lab.ts';

const { cert, key } = certificate;

test.each<[string, unknown]>([
  ['agent', { agent: {} }],
  ['timeouts', { timeouts: {} }],
  ['keepAlive', { keepAlive: 'yes' }],
  ['maxSockets', { maxSockets: 0 }],
  ['maxSockets', { maxSockets: 1.5 }],
  ['maxSockets', { maxSockets: '5' }],
  ['maxIdleSockets', { maxIdleSockets: -1 }],
  ['idleTimeout', { idleTimeout: -1 }],
  ['idleTimeout', { idleTimeout: 2 ** 31 }],
  ['idleTimeout', { idleTimeout: Number.NaN }],
  ['forwardReuse', { forwardReuse: 'always' }],
  ['tls', { tls: null }],
  ['proxyTls', { proxyTls: 'strict' }],
  ['tls.rejectUnauthorized', { tls: { rejectUnauthorized: false } }],
  ['proxyTls.agent', { proxyTls: { agent: {} } }],
  ['tls.verify', { tls: { verify: '/no/such/file.pem' } }],
  ['tls.verify', { tls: { verify: 0 } }],
  ['tls.verify', { tls: { verify: '/etc/hosts', ca: ca.certificate } }],
  ['tls.fingerprint256', { tls: { fingerprint256: 'AB:CD' } }],
  ['tls.fingerprint256', { tls: { fingerprint256: 'x'.repeat(64) } }],
  ['tls.ca', { tls: { verify: false, ca: ca.certificate } }],
  ['tls.cert', { tls: { cert } }],
  ['tls.cert', { tls: { key } }],
  ['tls.passphrase', { tls: { passphrase: 'x' } }],
  ['tls', { tls: { cert: 'not PEM', key: 'not PEM' } }],
  ['tls', { tls: { minVersion: 'TLSv9' } }],
  ['proxyTls', { proxyTls: { cert, key: 'not PEM' } }],
])('refuses %s: %o', (option, options) => {
  const refused = () => new Transport(options as TransportOptions);
  expect(refused).toThrow(InvalidOptionError);
  expect(refused).toThrow(expect.objectContaining({ code: 'ERR_INVALID_OPTION', option }));
});

describe('a misspelled proxy is no direct connection', () => {
  test.each(['httpProxy', 'proxy', 'proxyUrl', 'HTTP_PROXY'])('%s', async (name) => {
    const server = await origin();
    const transport = newTransport();
    const misspelled = { [name]: 'http://proxy.example' };
    const error = await failureOf(transport.send({ url: server.url, ...misspelled }), InvalidOptionError);
    expect(error.message).toContain('the proxy is called http_proxy');
    expect(() => transport.open(server.url, misspelled)).toThrow('the proxy is called http_proxy');
    expect(() => transport.agents(misspelled)).toThrow('the proxy is called http_proxy');
    expect(server.connectionCount).toBe(0);
  });
});

test('takes undefined for not given', async () => {
  const options = { keepAlive: undefined, maxSockets: undefined, tls: undefined, timeout: undefined };
  await use(new Transport(options as never));
});

test('takes Infinity for no limit', async () => {
  await use(new Transport({ maxSockets: Number.POSITIVE_INFINITY, maxIdleSockets: Number.POSITIVE_INFINITY }));
});

test.each([
  ['x.example/path', 'url'],
  ['//x.example', 'url'],
  ['ftp://x.example', 'url'],
  ['', 'url'],
])('refuses the URL %j', async (url, option) => {
  const error = await failureOf(newTransport().send({ url, http_proxy: null }), InvalidOptionError);
  expect(error).toMatchObject({ option });
});

test('a URL that is none is not told, as it may hold a password', async () => {
  const error = await failureOf(newTransport().send({ url: 'http://u:hidden@ x' }), InvalidOptionError);
  expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain('hidden');
});

describe('TLS with an origin', () => {
  const send = (url: string, options: TransportOptions) => newTransport(options).send({ url, http_proxy: null });

  test('is not trusted by default', async () => {
    const server = await origin('https');
    const error = await failureOf(send(server.url, { tls: {} }), TlsError);
    expect(error).toMatchObject({ code: 'ERR_TLS', phase: 'origin-tls', hop: 'origin', proxy: null, retryable: false });
    expect(server.requests).toEqual([]);
  });

  test('is trusted by the authorities of a file, or a list', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'cloudlane-'));
    await use({ [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) });
    const file = join(directory, 'ca.pem');
    await writeFile(file, ca.certificate);
    const server = await origin('https');
    expectWarning('CLOUDLANE_INSECURE', server.url);
    for (const tls of [{ verify: file }, { ca: [Buffer.from(ca.certificate)] }, { verify: false }]) {
      const { status, body } = await send(server.url, { tls });
      body.resume();
      expect(status).toBe(200);
    }
  });

  test.each([
    ['has expired', { names: ['127.0.0.1'], notAfter: new Date(0) }, 'certificate has expired'],
    ['is for another name', { names: ['other.example'] }, "does not match certificate's altnames"],
  ])('fails if the certificate %s', async (_, request, says) => {
    const server = await origin('https', { tls: await ca.issue(request) });
    const error = await failureOf(send(server.url, {}), TlsError);
    expect(error.message).toContain(says);
  });

  test('fails if there is no common version', async () => {
    const server = await origin('https');
    const old = await failureOf(
      send(server.url, { tls: { ca: ca.certificate, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' } }),
      TlsError,
    );
    expect(old.phase).toBe('origin-tls');
  });

  test('can be pinned to one certificate', async () => {
    const server = await origin('https');
    const { fingerprint256 } = new X509Certificate(cert);
    const tls = { ca: ca.certificate, fingerprint256 };
    const asOpensslShows = fingerprint256.replaceAll(':', '').toLowerCase();
    const pinned = newTransport({ tls: { ...tls, fingerprint256: asOpensslShows }, keepAlive: false });
    for (let count = 0; count < 2; count += 1) {
      await text((await pinned.send({ url: server.url, http_proxy: null })).body);
    }
    // A resumed session would not show the certificate again.
    expect(server.requests.map(({ resumed }) => resumed)).toEqual([false, false]);
    const other = fingerprint256.replace(/^../, (byte) => (byte === '00' ? '11' : '00'));
    const error = await failureOf(send(server.url, { tls: { ...tls, fingerprint256: other } }), TlsError);
    expect(error.message).toContain(`fingerprint is ${fingerprint256}, not ${other}`);
    expect(server.requests).toHaveLength(2);
  });
});

describe('a client certificate that is wanted and not given', () => {
  const demanding = { ...certificate, clientCa: ca.certificate, requireClientCertificate: true };
  const saysSo = (option: string): RegExp =>
    new RegExp(`; it wants a client certificate: give ${option}\\.cert and ${option}\\.key$`);

  test('is the fault of TLS with the origin', async () => {
    const server = await origin('https', { tls: demanding });
    const error = await failureOf(newTransport().send({ url: server.url, http_proxy: null }), TlsError);
    expect(error.message).toMatch(saysSo('tls'));
    expect(error).toMatchObject({ hop: 'origin', retryable: false });
  });

  test.each(['http', 'https'] as const)('is the fault of TLS with the proxy, for %s origins', async (scheme) => {
    const [server, through] = [await origin(scheme), await proxy('https', { tls: demanding })];
    const transport = newTransport();
    const error = await failureOf(transport.send({ url: server.url, http_proxy: through.url }), ProxyTlsError);
    expect(error.message).toMatch(saysSo('proxyTls'));
    expect(error).toMatchObject({ hop: 'proxy', retryable: false, hasConnectedToProxy: true });
    expect([through.hops.length, server.connectionCount]).toEqual([0, 0]);
    await expectNothingLeft(transport, through);
  });
});

test('the shared transport is one, and has the defaults', () => {
  expect(sharedTransport()).toBe(sharedTransport());
  expect(sharedTransport()).toBeInstanceOf(Transport);
});
