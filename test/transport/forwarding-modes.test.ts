// The two options that change how a proxy is used: forwarding for https, tunnels for http.
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import { createCa, startSocks } from '@cloudlane/testing';
import { ProxyResponseError, type Transport, type TransportOptions, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, ca, failureOf, newTransport, origin, proxy, type Scheme, use } from './lab.ts';

async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  return await text((await transport.send(request)).body);
}

interface Row {
  readonly origin: Scheme;
  readonly via: Scheme | null;
  readonly options: TransportOptions;
  readonly printed: string;
  /** Kind of the route and of the proxy's hop. */
  readonly kind: 'direct' | 'forward' | 'connect';
  /** Which hops are inside TLS of ours, seen from the connection: origin, proxy. */
  readonly tls: readonly [origin: boolean, proxy: boolean];
}

const both: TransportOptions = { useForwardingForHttps: true };
const ROWS: readonly Row[] = [
  { origin: 'http', via: null, options: {}, printed: 'HTTPConnection', kind: 'direct', tls: [false, false] },
  { origin: 'https', via: null, options: {}, printed: 'HTTPConnection', kind: 'direct', tls: [true, false] },
  { origin: 'http', via: 'http', options: {}, printed: 'ForwardHTTPConnection', kind: 'forward', tls: [false, false] },
  { origin: 'https', via: 'http', options: {}, printed: 'TunnelHTTPConnection', kind: 'connect', tls: [true, false] },
  { origin: 'http', via: 'https', options: {}, printed: 'ForwardHTTPConnection', kind: 'forward', tls: [false, true] },
  { origin: 'https', via: 'https', options: {}, printed: 'TunnelHTTPConnection', kind: 'connect', tls: [true, true] },
  {
    origin: 'http',
    via: 'https',
    options: both,
    printed: 'ForwardHTTPConnection',
    kind: 'forward',
    tls: [false, true],
  },
  {
    origin: 'https',
    via: 'https',
    options: both,
    printed: 'ForwardHTTPConnection',
    kind: 'forward',
    tls: [false, true],
  },
  { origin: 'https', via: null, options: both, printed: 'HTTPConnection', kind: 'direct', tls: [true, false] },
  {
    origin: 'http',
    via: 'http',
    options: { tunnelHttp: true },
    printed: 'TunnelHTTPConnection',
    kind: 'connect',
    tls: [false, false],
  },
  {
    origin: 'http',
    via: 'https',
    options: { tunnelHttp: true },
    printed: 'TunnelHTTPConnection',
    kind: 'connect',
    tls: [false, true],
  },
];

test.each(ROWS)('$origin origin, $via proxy, $options: $printed', async (row) => {
  const server = await origin(row.origin);
  const through = row.via && (await proxy(row.via, { auth: AUTH, ca: ca.certificate }));
  const transport = newTransport(row.options);
  const request = { url: `${server.url}/path?q`, http_proxy: through?.urlWithCredentials ?? null };
  for (let call = 0; call < 2; call += 1) {
    const response = await transport.send(request);
    const kind = row.kind === 'connect' ? 'tunnel' : row.kind;
    expect([response.route.kind, response.explanation.route.kind]).toEqual([kind, kind]);
    expect(JSON.parse(await text(response.body))).toMatchObject({ method: 'GET', target: '/path?q' });
  }
  const [connection] = transport.connections;
  expect(String(connection).split(' ')[0]).toBe(`<${row.printed}`);
  expect(connection).toMatchObject({ requestCount: 2 });
  expect([connection?.tls !== null, connection?.proxyTls !== null]).toEqual(row.tls);
  // Whoever forwards is the one that TLS with an https origin is with.
  expect(server.requests.map(({ headers }) => headers.via)).toEqual(
    new Array(2).fill(row.kind === 'forward' ? '1.1 cloudlane-lab' : undefined),
  );
  if (through === null) return;
  const target = row.kind === 'connect' ? new URL(server.url).host : request.url;
  const hops = through.hops.map((hop) => [hop.kind, hop.target, hop.authorized, hop.alpnOffered.join()]);
  const alpn = row.via === 'https' ? 'http/1.1' : '';
  expect(hops).toEqual(new Array(row.kind === 'connect' ? 1 : 2).fill([row.kind, target, true, alpn]));
});

describe('useForwardingForHttps', () => {
  test('shows nothing of an https request to an http or SOCKS proxy: it is refused', async () => {
    const [server, plain, socks] = [await origin('https'), await proxy('http'), await use(startSocks())];
    const transport = newTransport(both);
    for (const http_proxy of [plain.url, socks.url]) {
      const error = await failureOf(transport.send({ url: server.url, http_proxy }), InvalidOptionError);
      expect(error.option).toBe('useForwardingForHttps');
      expect(error.message).toContain('needs https:// proxies');
    }
    expect([plain.connectionCount, socks.connectionCount, server.connectionCount]).toEqual([0, 0, 0]);
  });

  test('leaves http requests through such a proxy alone', async () => {
    const [server, plain] = [await origin(), await proxy()];
    await getText(newTransport(both), { url: server.url, http_proxy: plain.url });
    expect(plain.hops).toMatchObject([{ kind: 'forward' }]);
  });

  test('leaves the origin’s certificate to the proxy: ours is not asked', async () => {
    const strangers = await createCa();
    const server = await origin('https', { tls: await strangers.issue({ names: ['127.0.0.1'] }) });
    const [trusts, distrusts] = [
      await proxy('https', { ca: strangers.certificate }),
      await proxy('https', { ca: ca.certificate }),
    ];
    const transport = newTransport(both);
    await getText(transport, { url: server.url, http_proxy: trusts.url });
    const refused = await transport.send({ url: server.url, http_proxy: distrusts.url });
    expect(refused.status).toBe(502);
    refused.body.resume();
    expect(server.requests).toHaveLength(1);
  });

  test('tells the proxy’s own answer as its error', async () => {
    const through = await proxy('https', { misbehaviour: { kind: 'refuse-origin' } });
    const sent = newTransport(both).send({ url: 'https://x.example', http_proxy: through.url });
    expect(await failureOf(sent, ProxyResponseError)).toMatchObject({ status: 502, hop: 'proxy' });
  });

  test('shares one connection between https origins', async () => {
    const [one, two, through] = [
      await origin('https'),
      await origin('https'),
      await proxy('https', { ca: ca.certificate }),
    ];
    const transport = newTransport(both);
    for (const { url } of [one, two, one]) await getText(transport, { url, http_proxy: through.url });
    expect([through.connectionCount, through.hops.length]).toEqual([1, 3]);
  });
});

describe('tunnelHttp', () => {
  test('keeps a tunnel for each origin, and uploads arrive in it', async () => {
    const [one, two, through] = [await origin(), await origin(), await proxy()];
    const transport = newTransport({ tunnelHttp: true });
    for (const { url } of [one, two, one]) {
      await getText(transport, { url, http_proxy: through.url, method: 'POST', body: 'whole' });
    }
    expect(through.hops.map(({ kind, target }) => [kind, target])).toEqual(
      [one, two].map(({ url }) => ['connect', new URL(url).host]),
    );
    expect([...one.requests, ...two.requests].map(({ body }) => String(body))).toEqual(['whole', 'whole', 'whole']);
  });

  test('hands on what the origin says right behind the proxy’s answer', async () => {
    const early = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly';
    const [server, through] = [
      await origin(),
      await proxy('http', { misbehaviour: { kind: 'early-bytes', bytes: early } }),
    ];
    const transport = newTransport({ tunnelHttp: true });
    expect(await getText(transport, { url: server.url, http_proxy: through.url })).toBe('early');
  });

  test('does not go around a proxy that refuses it', async () => {
    const [server, through] = [await origin(), await proxy('http', { misbehaviour: { kind: 'reply', status: 403 } })];
    await expect(
      newTransport({ tunnelHttp: true }).send({ url: server.url, http_proxy: through.url }),
    ).rejects.toMatchObject({ code: 'ERR_PROXY_TUNNEL', status: 403 });
    expect(server.connectionCount).toBe(0);
  });
});
