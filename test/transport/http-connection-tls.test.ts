// One connection: names, TLS of its hops, and what it says of their certificates.
import { X509Certificate } from 'node:crypto';
import dns from 'node:dns';
import { once } from 'node:events';
import { createServer, type ServerOptions } from 'node:https';
import { isIP } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  type HttpConnection,
  type OpenOptions,
  ProxyTlsError,
  TlsError,
  type TlsOptions,
  TransportError,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectWarning } from '../support/hygiene.ts';
import { ca, certificate, failureOf, newTransport, origin, proxy, type Scheme, trusting, use } from './lab.ts';

async function ask(connection: HttpConnection): Promise<string> {
  await connection.request('GET', '/');
  return text((await connection.getResponse()).body);
}

type LookupDone = (error: Error | null, address: string | dns.LookupAddress[], family: number) => void;

/** Has every name lead to 127.0.0.1, and returns those that were asked for. */
async function stubDns(): Promise<string[]> {
  const asked: string[] = [];
  const { lookup } = dns;
  const stub = (name: string, options: dns.LookupOptions, done: LookupDone): void => {
    if (isIP(name) === 0) asked.push(name);
    lookup('127.0.0.1', options, done);
  };
  Object.assign(dns, { lookup: stub });
  await use({ [Symbol.asyncDispose]: async () => void Object.assign(dns, { lookup }) });
  return asked;
}

/** An https server of these options alone; its port. */
async function tlsServer(options: ServerOptions): Promise<number> {
  const server = createServer({ ...certificate, ...options }, (_, response) => void response.end('here'));
  await use({ [Symbol.asyncDispose]: async () => void server.close() });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

describe('U1 a name with a final dot', () => {
  test.each(['http', 'https'] as const)('is looked up with it; %s and TLS say it without', async (scheme) => {
    const server = await origin(scheme);
    const asked = await stubDns();
    const connection = newTransport().open(`${scheme}://localhost.:${server.port}`, { http_proxy: null });
    await ask(connection);
    expect(asked).toEqual(['localhost.']);
    expect(server.requests).toMatchObject([
      { headers: { host: `localhost:${server.port}` }, servername: scheme === 'https' ? 'localhost' : null },
    ]);
    expect([connection.host, connection.port, connection.url.hostname]).toEqual([
      'localhost',
      server.port,
      'localhost.',
    ]);
  });

  test('is told to the proxy with it, and to the origin in the tunnel without', async () => {
    const server = await origin('https');
    const through = await proxy('http', { hosts: { 'localhost.': '127.0.0.1' } });
    const connection = newTransport().open(`https://localhost.:${server.port}`, { http_proxy: through.url });
    await ask(connection);
    expect(through.hops).toMatchObject([{ target: `localhost.:${server.port}` }]);
    expect(server.requests).toMatchObject([{ headers: { host: `localhost:${server.port}` }, servername: 'localhost' }]);
    expect([connection.host, connection.port]).toEqual(['127.0.0.1', through.port]);
  });

  test.each([
    ['http://[::1]:81', '::1', 81],
    ['https://api.example', 'api.example', 443],
    ['http://API.example.', 'api.example', 80],
  ])('or without: %s has the first hop %s, port %i', (url, host, port) => {
    expect(newTransport().open(url, { http_proxy: null })).toMatchObject({ host, port });
  });
});

const fingerprint256 = new X509Certificate(certificate.cert).fingerprint256;
const wrong = fingerprint256.replace(/^../, (byte) => (byte === '00' ? '01' : '00'));
const other = await ca.issue({ names: ['elsewhere.example'] });
const expired = await ca.issue({ names: ['127.0.0.1'], notAfter: new Date(Date.now() - 1000) });
const client = await ca.issue({ names: ['client.example'], client: true });

describe('U2 TLS options', () => {
  test.each<[string, ServerOptions, TlsOptions, string | null]>([
    ['1.2 of a server that knows no more', { maxVersion: 'TLSv1.2' }, {}, null],
    ['1.3 from a server that has 1.2', { maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }, 'alert'],
    ['1.2 from a server that wants 1.3', { minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.2' }, 'alert'],
    ['the name it has', other, { servername: 'elsewhere.example' }, null],
    ['a name it does not have', other, {}, "IP: 127.0.0.1 is not in the cert's list"],
    ['one that is expired', expired, {}, 'certificate has expired'],
    ['of an unknown authority', {}, { ca: other.cert }, 'give that in tls.ca'],
    ['the pinned one', {}, { fingerprint256 }, null],
    ['the pinned one and nothing else', {}, { fingerprint256, verify: false }, null],
    ['another than the pinned one', {}, { fingerprint256: wrong }, `fingerprint is ${fingerprint256}`],
    [
      'another than the pinned one alone',
      {},
      { fingerprint256: wrong, verify: false },
      `fingerprint is ${fingerprint256}`,
    ],
  ])('take or refuse %s', async (_, server, tls, fault) => {
    const url = `https://127.0.0.1:${await tlsServer(server)}`;
    const connection = newTransport().open(url, {
      http_proxy: null,
      tls: { ...(tls.verify === false ? {} : trusting.tls), ...tls },
    });
    if (fault === null) {
      expect(await ask(connection)).toBe('here');
      expect(connection.isVerified).toBe(true);
    } else {
      const error = await failureOf(connection.connect(), TlsError);
      expect(error).toMatchObject({ phase: 'origin-tls', hop: 'origin' });
      expect(error.message).toContain(fault);
      expect([connection.isVerified, connection.isClosed]).toEqual([false, true]);
    }
    await connection.close();
  });

  test.each(['tls', 'proxyTls'] as const)('%s show a client certificate on their hop only', async (hop) => {
    const asking = { ...certificate, clientCa: ca.certificate, requireClientCertificate: true };
    const server = await origin('https', {
      tls: hop === 'tls' ? asking : { ...certificate, clientCa: ca.certificate },
    });
    const through = await proxy('https', {
      tls: hop === 'proxyTls' ? asking : { ...certificate, clientCa: ca.certificate },
    });
    const transport = newTransport();
    const options = { http_proxy: through.url };
    await ask(transport.open(server.url, { ...options, [hop]: { ...trusting[hop], ...client } }));
    expect([server.requests[0]?.clientCertificate, through.hops[0]?.clientCertificate]).toEqual(
      hop === 'tls' ? ['client.example', null] : [null, 'client.example'],
    );
    await failureOf(ask(transport.open(server.url, options)), TransportError);
    expect(server.requests).toHaveLength(1);
  });

  test.each<[string, OpenOptions, object]>([
    ['a key without its certificate', { tls: { key: client.key } }, { option: 'tls.cert' }],
    ['what is no option', { proxyTls: { minimum: 'TLSv1.3' } as TlsOptions }, { option: 'proxyTls.minimum' }],
  ])('with %s are refused before anything is opened', (_, options, expected) => {
    const open = () => newTransport().open('https://x.example', { http_proxy: 'https://p.example', ...options });
    expect(open).toThrow(expect.objectContaining({ code: 'ERR_INVALID_OPTION', ...expected }));
  });
});

describe('U8 U9 what is verified', () => {
  test.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])(
    'is told of each hop, with one warning for each that is not: origin %p, proxy %p',
    async (verifies, proxyVerifies) => {
      const server = await origin('https');
      const through = await proxy('https');
      const connection = newTransport().open(server.url, {
        http_proxy: through.url,
        tls: verifies ? trusting.tls : { verify: false },
        proxyTls: proxyVerifies ? trusting.proxyTls : { verify: false },
      });
      if (!verifies) expectWarning('CLOUDLANE_INSECURE', `of the origin ${server.url} is not verified`);
      if (!proxyVerifies) expectWarning('CLOUDLANE_INSECURE', `of the proxy 127.0.0.1:${through.port} is not verified`);
      for (const count of [1, 2]) {
        expect([connection.isVerified, connection.proxyIsVerified]).toEqual([false, null]);
        await connection.connect();
        expect([connection.isVerified, connection.proxyIsVerified]).toEqual([verifies, proxyVerifies]);
        expect(connection.isProxyVerified).toBe(proxyVerifies);
        await connection.close();
        expect(through.connectionCount).toBe(count);
      }
    },
  );

  test.each<[Scheme | 'socks5h' | null, Scheme, boolean, boolean | null]>([
    ['http', 'http', false, false],
    ['http', 'https', true, false],
    ['https', 'http', false, true],
    ['https', 'https', true, true],
    [null, 'http', false, null],
    [null, 'https', true, null],
  ])('by proxy %p to an %s origin: origin %p, proxy %p', async (via, scheme, isVerified, proxyIsVerified) => {
    const server = await origin(scheme);
    const through = via === 'http' || via === 'https' ? await proxy(via) : null;
    const connection = newTransport().open(server.url, { http_proxy: through?.url ?? null });
    expect(connection).toMatchObject({ isVerified: false, proxyIsVerified: null });
    await ask(connection);
    expect(connection).toMatchObject({ isVerified, proxyIsVerified, isProxyVerified: proxyIsVerified });
  });

  test.each([
    ['the origin', { tls: { ca: other.cert } }, TlsError, true],
    ['the proxy', { proxyTls: { ca: other.cert } }, ProxyTlsError, false],
  ] as const)('fails if it is not, for %s alone', async (_, options, expected, hasConnectedToProxy) => {
    const server = await origin('https');
    const through = await proxy('https');
    const connection = newTransport().open(server.url, { http_proxy: through.url, ...options });
    await failureOf(ask(connection), expected);
    expect([connection.hasConnectedToProxy, connection.proxyIsVerified]).toEqual([hasConnectedToProxy, null]);
    expect(server.requests).toEqual([]);
  });
});
