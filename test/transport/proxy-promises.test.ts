// What a pool of connections promises about its proxies, by the ids under which the promises were noted: C for httpcore,
// whose reference they are.
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { type LabOrigin, type LabProxy, startAnyProxy } from '@cloudlane/testing';
import { ProxyTunnelError, Transport, type TransportOptions, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, certificate, failureOf, newTransport, origin, proxy, type Scheme, trusting, use } from './lab.ts';

async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  return await text((await transport.send(request)).body);
}

/** The names of a message's headers, as they were written. */
function namesOf({ rawHeaders }: { readonly rawHeaders: readonly string[] } = { rawHeaders: [] }): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 0);
}

test('C1 the two mechanisms have names of their own in connections', async () => {
  const [plain, secure, through] = [await origin(), await origin('https'), await proxy()];
  const transport = newTransport();
  for (const { url } of [plain, secure]) await getText(transport, { url, http_proxy: through.url });
  expect(transport.connections.map(({ kind }) => kind)).toEqual(['tunnel', 'forward']);
  expect(transport.connections.map((connection) => inspect(connection).replace(/ .*/, ''))).toEqual([
    '<TunnelHTTPConnection',
    '<ForwardHTTPConnection',
  ]);
});

describe('C2 http is forwarded', () => {
  test('in absolute form, with the Host of the origin, and the proxy’s headers on every request', async () => {
    const [server, through] = [await origin(), await proxy()];
    const transport = newTransport();
    const http_proxy = { url: through.url, headers: { 'X-Tenant': 'a' } };
    for (const path of ['/one?q', '/two#part']) await getText(transport, { url: `${server.url}${path}`, http_proxy });
    const host = new URL(server.url).host;
    expect(through.hops).toMatchObject([
      { kind: 'forward', target: `${server.url}/one?q`, headers: { host, 'x-tenant': 'a' } },
      { kind: 'forward', target: `${server.url}/two`, headers: { host, 'x-tenant': 'a' } },
    ]);
  });

  test('with the final dot of a full name for who looks it up, and without it in Host', async () => {
    const server = await origin();
    const through = await proxy('http', { hosts: { 'origin.example': '127.0.0.1' } });
    const authority = `origin.example:${server.port}`;
    await getText(newTransport(), { url: `http://origin.example.:${server.port}/a`, http_proxy: through.url });
    expect(through.hops).toMatchObject([
      { target: `http://origin.example.:${server.port}/a`, headers: { host: authority } },
    ]);
    expect(server.requests).toHaveLength(1);
  });

  test('and the request’s own header wins over the proxy’s', async () => {
    const [server, through] = [await origin(), await proxy()];
    const http_proxy = { url: through.url, headers: { 'X-Tenant': 'proxy' } };
    await getText(newTransport(), { url: server.url, http_proxy, headers: { 'x-tenant': 'request' } });
    expect(namesOf(through.hops[0]).filter((name) => /x-tenant/i.test(name))).toEqual(['x-tenant']);
    expect(through.hops[0]?.headers['x-tenant']).toBe('request');
  });
});

describe('C3 https is tunnelled', () => {
  test('by one CONNECT with Host and the credentials, of which the origin sees nothing', async () => {
    const [server, through] = [await origin('https'), await proxy('http', { auth: AUTH })];
    await getText(newTransport(), { url: server.url, http_proxy: through.urlWithCredentials });
    const authority = new URL(server.url).host;
    expect(through.hops).toMatchObject([{ kind: 'connect', method: 'CONNECT', target: authority, authorized: true }]);
    expect(namesOf(through.hops[0])).toEqual(['Host', 'Proxy-Authorization']);
    expect(namesOf(server.requests[0])).toEqual(['Host', 'Connection']);
  });

  test('and a refusal keeps its status, headers and page; the connection is gone', async () => {
    const body = '<h1>No</h1>';
    const through = await proxy('http', {
      misbehaviour: { kind: 'reply', status: 451, headers: { 'X-Why': 'law' }, body, keepOpen: true },
    });
    const transport = newTransport();
    const sent = transport.send({ url: 'https://x.example', http_proxy: through.url });
    const error = await failureOf(sent, ProxyTunnelError);
    expect([error.status, error.headers['x-why'], String(error.body)]).toEqual([451, 'law', body]);
    await through.waitUntilIdle();
    expect(transport.connections).toEqual([]);
  });
});

describe.each([null, 'http', 'https'] as const)('C4 the same transport with %s proxy', (via) => {
  test.each(['http', 'https'] as const)(
    'carries requests, streams and errors of %s origins the same way',
    async (scheme) => {
      const server = await origin(scheme, { handler: (request, response) => void request.pipe(response) });
      const http_proxy = via === null ? null : (await proxy(via)).url;
      const transport = newTransport();
      const sent = { url: server.url, http_proxy, method: 'PUT', body: 'body' };
      expect(await getText(transport, sent)).toBe('body');
      const { status, body } = await transport.send({ ...sent, method: 'HEAD', body: null });
      expect([status, await text(body)]).toEqual([200, '']);
      const aborted = AbortSignal.abort(new Error('enough'));
      await expect(transport.send({ ...sent, signal: aborted })).rejects.toThrow('enough');
      await transport.close();
      await expect(transport.send(sent)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    },
  );
});

test('C5 an answer prints as <Response [200]>', async () => {
  const server = await origin();
  const response = await newTransport().send({ url: server.url, http_proxy: null });
  expect([String(response), inspect(response)]).toEqual(['<Response [200]>', '<Response [200]>']);
  response.body.resume();
});

test('C6 one proxy port speaks http, https, and every SOCKS', async () => {
  const [plain, secure] = [await origin(), await origin('https')];
  const through = await use(startAnyProxy({ tls: certificate }));
  const transport = newTransport();
  const schemes = ['http', 'https', 'socks4', 'socks4a', 'socks5', 'socks5h'] as const;
  for (const scheme of schemes) {
    for (const { url } of [plain, secure]) {
      const answer = JSON.parse(await getText(transport, { url, http_proxy: through.urlFor(scheme) }));
      expect(answer).toMatchObject({ method: 'GET' });
    }
  }
  expect([plain.requests.length, secure.requests.length, through.hops.length]).toEqual([6, 6, 12]);
  expect(through.hops.map(({ kind }) => kind)).toEqual([
    ...['forward', 'connect', 'forward', 'connect'],
    ...new Array(8).fill('socks'),
  ]);
});

test.each<[Scheme, 'direct' | 'http' | 'https' | 'socks5h', string]>([
  ['http', 'direct', 'direct'],
  ['https', 'direct', 'direct'],
  ['http', 'http', 'forward'],
  ['https', 'http', 'tunnel'],
  ['http', 'https', 'forward'],
  ['https', 'https', 'tunnel'],
  ['http', 'socks5h', 'socks'],
  ['https', 'socks5h', 'socks'],
])('C7 the way to an %s origin by %s is %s', async (scheme, via, kind) => {
  const server = await origin(scheme);
  const through = await use(startAnyProxy({ tls: certificate }));
  const response = await newTransport().send({
    url: server.url,
    http_proxy: via === 'direct' ? null : through.urlFor(via),
  });
  response.body.resume();
  expect([response.route.kind, response.explanation.route.kind]).toEqual([kind, kind]);
  expect(through.hops.map((hop) => hop.kind)).toEqual(kind === 'direct' ? [] : [kind === 'tunnel' ? 'connect' : kind]);
});

describe('C8 the proxy’s headers and credentials', () => {
  test.each<[string, (through: LabProxy) => TransportRequest['http_proxy']]>([
    ['in the URL', (through) => through.urlWithCredentials],
    ['as auth', (through) => ({ url: through.url, auth: AUTH })],
  ])('%s are sent once, also in both modes', async (_, setting) => {
    const [plain, secure, through] = [await origin(), await origin('https'), await proxy('http', { auth: AUTH })];
    const transport = newTransport();
    for (const { url } of [plain, secure]) await getText(transport, { url, http_proxy: setting(through) });
    for (const hop of through.hops) {
      expect(namesOf(hop).filter((name) => name === 'Proxy-Authorization')).toHaveLength(1);
      expect(hop.authorized).toBe(true);
    }
    expect(through.hops).toHaveLength(2);
  });

  test.each(['http', 'https'] as const)('that say it twice are refused, for %s', async (scheme) => {
    const [server, through] = [await origin(scheme), await proxy('http', { auth: AUTH })];
    const twice = [
      { http_proxy: { url: through.urlWithCredentials, headers: { 'Proxy-Authorization': 'Basic x' } } },
      { http_proxy: through.urlWithCredentials, headers: { 'Proxy-Authorization': 'Basic x' } },
    ];
    for (const options of twice)
      await failureOf(newTransport().send({ url: server.url, ...options }), InvalidOptionError);
    expect(through.connectionCount).toBe(0);
  });
});

describe('C9 forwarded requests to different origins', () => {
  async function forwardTwice(options: TransportOptions): Promise<{ transport: Transport; through: LabProxy }> {
    const [one, two, through] = [await origin(), await origin(), await proxy()];
    const transport = newTransport(options);
    for (const { url } of [one, two]) await getText(transport, { url, http_proxy: through.url });
    expect(through.hops.map(({ target }) => target)).toEqual([`${one.url}/`, `${two.url}/`]);
    return { transport, through };
  }

  test('share one connection', async () => {
    const { transport, through } = await forwardTwice({});
    expect(through.connectionCount).toBe(1);
    expect(transport.connections.map(String)).toEqual([
      `<ForwardHTTPConnection ['${through.url}', HTTP/1.1, IDLE, Request Count: 2]>`,
    ]);
  });

  test('don’t with forwardReuse: origin', async () => {
    const { transport, through } = await forwardTwice({ forwardReuse: 'origin' });
    expect(through.connectionCount).toBe(2);
    expect(transport.connections.map(({ requestCount }) => requestCount)).toEqual([1, 1]);
  });
});

test('C10 a tunnel for each origin is used again, and connections are shown newest first', async () => {
  const [one, two, through] = [await origin('https'), await origin('https'), await proxy()];
  const transport = newTransport();
  const calls: readonly LabOrigin[] = [one, two, one];
  for (const { url } of calls) await getText(transport, { url, http_proxy: through.url });
  expect([through.hops.length, through.connectionCount]).toEqual([2, 2]);
  expect(transport.connections.map(String)).toEqual([
    `<TunnelHTTPConnection ['${two.url}', HTTP/1.1, IDLE, Request Count: 1]>`,
    `<TunnelHTTPConnection ['${one.url}', HTTP/1.1, IDLE, Request Count: 2]>`,
  ]);
});

test.each(['http', 'https'] as const)('C11 a proxy is offered HTTP/1.1 only, for %s origins', async (scheme) => {
  const [server, through] = [await origin(scheme), await proxy('https')];
  await getText(newTransport(), { url: server.url, http_proxy: through.url });
  expect(through.hops).toMatchObject([{ alpnOffered: ['http/1.1'], alpn: 'http/1.1' }]);
});

describe('C12 an option is obeyed or refused', () => {
  test.each<[string, object]>([
    ['retries', { retries: 3 }],
    ['localAddress', { localAddress: '127.0.0.2' }],
    ['socketPath', { socketPath: '/run/proxy.sock' }],
    ['socketOptions', { socketOptions: {} }],
    ['http2', { http2: true }],
    ['proxyUrl', { proxyUrl: 'http://proxy.example' }],
    ['forwardReuse', { forwardReuse: 'origin', tunnelHttp: true }],
  ])('%s', (option, options) => {
    expect(() => new Transport({ ...trusting, ...options })).toThrow(InvalidOptionError);
    expect(() => new Transport({ ...trusting, ...options })).toThrow(option);
  });
});
