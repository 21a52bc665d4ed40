import { X509Certificate } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import type { TlsFacts, Transport, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectWarning } from '../support/hygiene.ts';
import { certificate, newTransport, origin, proxy, type Scheme, SOCKS_SCHEMES, socks, trusting, until } from './lab.ts';

async function get(transport: Transport, request: TransportRequest): Promise<void> {
  await text((await transport.send(request)).body);
}

/** As TLS 1.3 shows a fresh session with the lab's certificate, under an IP address. */
const FRESH: TlsFacts = {
  protocol: 'TLSv1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
  isVerified: true,
  isResumed: false,
  servername: null,
  fingerprint256: new X509Certificate(certificate.cert).fingerprint256,
};
/** A resumed session shows no certificate. */
const RESUMED: TlsFacts = { ...FRESH, isResumed: true, fingerprint256: null };

describe('connections', () => {
  test('print by their kind, newest first', async () => {
    const [plain, secure, through, tlsProxy, socksProxy] = [
      await origin(),
      await origin('https'),
      await proxy(),
      await proxy('https'),
      await socks(),
    ];
    const transport = newTransport();
    await get(transport, { url: plain.url, http_proxy: null });
    await get(transport, { url: secure.url, http_proxy: null });
    for (const { url } of [through, tlsProxy]) {
      await get(transport, { url: plain.url, http_proxy: url });
      await get(transport, { url: secure.url, http_proxy: url });
    }
    for (const scheme of SOCKS_SCHEMES) await get(transport, { url: plain.url, http_proxy: socksProxy.urlFor(scheme) });
    await until(() => transport.connections.every(({ state }) => state === 'IDLE'));
    const [http, https] = [`http://127.0.0.1:${plain.port}`, `https://127.0.0.1:${secure.port}`];
    const printed = [
      `<Socks5Connection ['${http}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<Socks5Connection ['${http}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<Socks4Connection ['${http}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<Socks4Connection ['${http}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<TunnelHTTPConnection ['${https}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<ForwardHTTPConnection ['https://127.0.0.1:${tlsProxy.port}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<TunnelHTTPConnection ['${https}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<ForwardHTTPConnection ['http://127.0.0.1:${through.port}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<HTTPConnection ['${https}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<HTTPConnection ['${http}', HTTP/1.1, IDLE, Request Count: 1]>`,
    ];
    expect(transport.connections.map(String)).toEqual(printed);
    expect(inspect(transport.connections)).toBe(`[\n  ${printed.join(',\n  ')}\n]`);
    expect(transport.connections.map(({ id, proxyScheme }) => [id, proxyScheme])).toEqual([
      [10, 'socks5h'],
      [9, 'socks5'],
      [8, 'socks4a'],
      [7, 'socks4'],
      [6, 'https'],
      [5, 'https'],
      [4, 'http'],
      [3, 'http'],
      [2, null],
      [1, null],
    ]);
  });

  test('print the default port of their origin', async () => {
    const server = await origin('https');
    const through = await proxy('http', { hosts: { 'origin.example': `127.0.0.1:${server.port}` } });
    const transport = newTransport();
    await get(transport, { url: 'https://origin.example/', http_proxy: through.url });
    await until(() => transport.connections[0]?.state === 'IDLE');
    expect(String(transport.connections[0])).toBe(
      `<TunnelHTTPConnection ['https://origin.example:443', HTTP/1.1, IDLE, Request Count: 1]>`,
    );
  });

  test('show each state: being dialled, in use, and idle', async () => {
    const server = await origin('http', { handler: (_, response) => void response.end('x'.repeat(100_000)) });
    const transport = newTransport();
    const sent = transport.send({ url: server.url, http_proxy: null });
    await until(() => transport.connections.length === 1);
    expect(String(transport.connections[0])).toContain('CONNECTING, Request Count: 0]>');
    const response = await sent;
    expect(String(transport.connections[0])).toContain('ACTIVE, Request Count: 1]>');
    await text(response.body);
    await until(() => transport.connections[0]?.state === 'IDLE');
    expect(String(transport.connections[0])).toContain('IDLE, Request Count: 1]>');
  });
});

interface Row {
  readonly scheme: Scheme;
  readonly via: Scheme | null;
  readonly tls: TlsFacts | null;
  readonly proxyTls: TlsFacts | null;
}

const ROWS: readonly Row[] = [
  { scheme: 'http', via: null, tls: null, proxyTls: null },
  { scheme: 'https', via: null, tls: FRESH, proxyTls: null },
  { scheme: 'http', via: 'http', tls: null, proxyTls: null },
  { scheme: 'https', via: 'http', tls: FRESH, proxyTls: null },
  { scheme: 'http', via: 'https', tls: null, proxyTls: FRESH },
  { scheme: 'https', via: 'https', tls: FRESH, proxyTls: FRESH },
];

describe.each(ROWS)('TLS of a connection to an $scheme origin by proxy $via', ({ scheme, via, tls, proxyTls }) => {
  test('is told of each hop, and resumed on each by the next connection', async () => {
    const server = await origin(scheme);
    const through = via && (await proxy(via));
    const transport = newTransport({ keepAlive: false });
    const request = { url: server.url, http_proxy: through?.url ?? null };
    const first = await transport.send(request);
    expect([first.connection?.tls, first.connection?.proxyTls]).toEqual([tls, proxyTls]);
    await text(first.body);
    const second = await transport.send(request);
    expect([second.connection?.tls, second.connection?.proxyTls]).toEqual([tls && RESUMED, proxyTls && RESUMED]);
    await text(second.body);
    expect(server.requests.map(({ resumed }) => resumed)).toEqual([false, tls !== null]);
    expect(through?.hops.map(({ resumed }) => resumed) ?? []).toEqual(through ? [false, proxyTls !== null] : []);
  });
});

test('a SOCKS proxy has no TLS, the origin behind it has', async () => {
  const [server, through] = [await origin('https'), await socks()];
  const { connection, body } = await newTransport().send({ url: server.url, http_proxy: through.url });
  await text(body);
  expect([connection?.tls, connection?.proxyTls]).toEqual([FRESH, null]);
});

describe('TLS facts', () => {
  async function factsWith(tls: TransportRequest['tls'], host = '127.0.0.1'): Promise<TlsFacts | null | undefined> {
    const server = await origin('https');
    const url = server.url.replace('127.0.0.1', host);
    const { connection, body } = await newTransport().send({ url, http_proxy: null, tls });
    await text(body);
    expect(server.requests[0]?.servername ?? null).toBe(connection?.tls?.servername ?? null);
    return connection?.tls;
  }

  test('name the host that was asked for, unless that is an address', async () => {
    expect(await factsWith(trusting.tls, 'localhost')).toMatchObject({ servername: 'localhost', isVerified: true });
    expect(await factsWith(trusting.tls)).toMatchObject({ servername: null, isVerified: true });
    expect(await factsWith({ ...trusting.tls, servername: 'origin.example' })).toMatchObject({
      servername: 'origin.example',
      isVerified: true,
    });
  });

  test.each<[string, TransportRequest['tls'], Partial<TlsFacts>]>([
    ['verify: false', { verify: false }, { isVerified: false }],
    [
      'verify: false and the pinned certificate',
      { verify: false, fingerprint256: String(FRESH.fingerprint256) },
      { isVerified: true },
    ],
    ['TLS 1.2', { ...trusting.tls, maxVersion: 'TLSv1.2' }, { protocol: 'TLSv1.2', isVerified: true }],
  ])('with %s say so', async (_, tls, facts) => {
    if (facts.isVerified === false) expectWarning('CLOUDLANE_INSECURE');
    expect(await factsWith(tls)).toMatchObject({ fingerprint256: FRESH.fingerprint256, ...facts });
  });
});
