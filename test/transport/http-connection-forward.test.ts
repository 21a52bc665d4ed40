// One connection whose first hop forwards: absolute URLs, of one origin or of several.
import { text } from 'node:stream/consumers';
import { InvalidOptionError, type RouteSettings } from '@cloudlane/proxy';
import type { LabOrigin, LabProxy } from '@cloudlane/testing';
import type { HttpConnection, HttpConnectionRequest, TransportOptions } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, ca, certificate, failureOf, newTransport, origin, proxy, type Scheme } from './lab.ts';

async function ask(connection: HttpConnection, target: string, options?: HttpConnectionRequest): Promise<number> {
  await connection.request('GET', target, options);
  const response = await connection.getResponse();
  await text(response.body);
  return response.status;
}

const hosts = { 'proxy-only.example': '127.0.0.1' };

interface Forwarding {
  readonly how: string;
  readonly via: Scheme;
  /** What is opened, and with which settings. */
  open(through: LabProxy, server: LabOrigin, options?: TransportOptions): HttpConnection;
}

const HOWS: readonly Forwarding[] = (['http', 'https'] as const).flatMap((via) => [
  {
    how: `by an ${via} proxy that is set`,
    via,
    open: (through, server, options) =>
      newTransport(options).open(server.url, { http_proxy: through.urlWithCredentials }),
  },
  {
    how: `by an ${via} proxy that is opened by hand`,
    via,
    open: (through, _, options) =>
      newTransport(options).open(`${through.urlWithCredentials}/of?no#use`, { http_proxy: null }),
  },
]);

describe.each(HOWS)('U16 forwarding $how', ({ how, via, open }) => {
  const isSet = how.endsWith('set');
  const start = async () => {
    const through = await proxy(via, { auth: AUTH, hosts, ca: ca.certificate });
    return { through, server: await origin(), other: await origin(), secure: await origin('https') };
  };

  test('takes absolute URLs of http origins, one connection for all', async () => {
    const { through, server, other } = await start();
    const connection = open(through, server);
    await connection.connect();
    const elsewhere = `http://proxy-only.example:${other.port}`;
    for (const url of [server.url, other.url, elsewhere]) expect(await ask(connection, `${url}/a?b=c`)).toBe(200);
    expect(through.hops.map(({ kind, target, authorized }) => [kind, target, authorized])).toEqual(
      [server.url, other.url, elsewhere].map((url) => ['forward', `${url}/a?b=c`, true]),
    );
    expect(through.hops.map(({ headers }) => `http://${headers.host}`)).toEqual([server.url, other.url, elsewhere]);
    expect([through.connectionCount, connection.info?.requestCount]).toEqual([1, 3]);
    expect(connection).toMatchObject({
      proxyIsForwarding: true,
      proxyIsTunneling: false,
      isVerified: false,
      proxyIsVerified: via === 'https',
    });
  });

  test.each([
    ['#fragment', '/'],
    ['/path#fragment', '/path'],
    ['?query#fragment', '/?query'],
    ['', '/'],
    ['/a/../b/./c', '/b/c'],
    ['//x', '//x'],
    ['/ä b', '/%C3%A4%20b'],
  ])('normalises %s to %s, and no userinfo goes with it', async (rest, target) => {
    const { through, server, other } = await start();
    const connection = open(through, server);
    const url = new URL(other.url);
    url.username = 'me';
    url.password = SECRETS.originPassword;
    await ask(connection, `${url.href.slice(0, -1)}${rest}`);
    expect(through.hops).toMatchObject([{ target: `${other.url}${target}` }]);
    const basic = Buffer.from(`me:${SECRETS.originPassword}`).toString('base64');
    expect(other.requests).toMatchObject([{ headers: { authorization: `Basic ${basic}` } }]);
    if (rest === '') return;
    expect(await ask(connection, `http://proxy-only.example.:${other.port}/`)).toBe(200);
    expect(through.hops[1]).toMatchObject({ headers: { host: `proxy-only.example:${other.port}` } });
    expect(through.hops[1]?.headers).not.toHaveProperty('authorization');
  });

  test('takes https URLs with useForwardingForHttps over an https proxy alone', async () => {
    const { through, server, secure } = await start();
    const refused = open(through, server);
    await failureOf(refused.request('GET', secure.url), InvalidOptionError);
    expect([refused.isClosed, through.connectionCount]).toEqual([true, 0]);
    const connection = open(through, server, { useForwardingForHttps: true });
    if (via === 'http') {
      await failureOf(connection.request('GET', secure.url), InvalidOptionError);
      expect(through.connectionCount).toBe(0);
      return;
    }
    for (const url of [secure.url, server.url, secure.url]) expect(await ask(connection, `${url}/x`)).toBe(200);
    expect(through.hops.map(({ target, connection: number }) => [target, number])).toEqual([
      [`${secure.url}/x`, 1],
      [`${server.url}/x`, 1],
      [`${secure.url}/x`, 1],
    ]);
    expect(connection).toMatchObject({ isVerified: false, proxyIsVerified: true });
  });

  test("gives the proxy the caller's Proxy-Authorization, on each request alone", async () => {
    const { through, server, other } = await start();
    const bare = { ...through, urlWithCredentials: through.url };
    const connection = open(bare, server);
    const given = Buffer.from(`user:${SECRETS.proxyPassword}`).toString('base64');
    const headers = { 'Proxy-Authorization': `Basic ${given}`, 'Proxy-Connection': 'x' };
    expect(await ask(connection, other.url, { headers })).toBe(200);
    expect(through.hops[0]?.headers).not.toHaveProperty('proxy-connection');
    const again = ask(connection, other.url);
    if (isSet) await expect(again).rejects.toMatchObject({ code: 'ERR_PROXY_AUTHENTICATION' });
    else expect(await again).toBe(407);
    expect(through.hops.map(({ authorized }) => authorized)).toEqual([true, false]);
    await failureOf(ask(open(through, server), other.url, { headers }), InvalidOptionError);
  });
});

describe('U16 what is for the proxy', () => {
  test.each<[string, (server: LabOrigin, through: LabProxy) => HttpConnection]>([
    [
      'set by hand',
      ({ port }, { urlWithCredentials }) =>
        newTransport().open(urlWithCredentials, { http_proxy: null }).setTunnel('127.0.0.1', { port }),
    ],
    ['that is set', ({ url }, { urlWithCredentials }) => newTransport().open(url, { http_proxy: urlWithCredentials })],
  ])('never enters a tunnel %s', async (_, open) => {
    const [server, through] = [await origin('https'), await proxy('http', { auth: AUTH })];
    const connection = open(server, through);
    await ask(connection, '/', { headers: { 'Proxy-Connection': 'close' } });
    expect(through.hops).toMatchObject([{ authorized: true, username: AUTH.username }]);
    expect(Object.keys(server.requests[0]?.headers ?? {}).sort()).toEqual(['connection', 'host']);
  });

  test('never reaches the origin of a direct connection', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, { http_proxy: null });
    await ask(connection, server.url, { headers: { 'Proxy-Authorization': `Basic ${SECRETS.token}` } });
    expect(server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
  });

  test.each(['/', 'absolute'])(
    'is not taken for the credentials of the origin, nor these for others: %s',
    async (target) => {
      const server = await origin();
      const url = new URL(server.url);
      url.username = 'me';
      url.password = SECRETS.originPassword;
      const connection = newTransport().open(url, { http_proxy: null });
      url.hostname = 'changed.example';
      await ask(connection, target === '/' ? '/' : server.url);
      const basic = `Basic ${Buffer.from(`me:${SECRETS.originPassword}`).toString('base64')}`;
      expect(server.requests[0]?.headers.authorization).toBe(target === '/' ? basic : undefined);
    },
  );
});

describe('a connection refuses URLs of other origins', () => {
  const http_proxy = 'http://p.example:3128';
  test.each<[string, string, RouteSettings, string]>([
    ['on a direct route that nobody has called a proxy', 'http://a.example', { env: {} }, 'http://b.example'],
    [
      'on a direct route that noProxy has chosen',
      'http://a.example',
      { http_proxy, noProxy: ['a.example'] },
      'http://b.example',
    ],
    ['in a tunnel that is set', 'https://a.example', { http_proxy }, 'https://b.example'],
    ['of another scheme in a tunnel', 'https://a.example', { http_proxy }, 'http://b.example'],
    ['of another port', 'https://a.example', { http_proxy }, 'https://a.example:8443'],
    ['that settings have go direct', 'http://a.example', { http_proxy, noProxy: ['b.example'] }, 'http://b.example'],
    [
      'that settings have go elsewhere',
      'http://a.example',
      { http_proxy: { 'http://a.example': http_proxy, all: 'http://q.example' } },
      'http://b.example',
    ],
    ['that would be tunnelled', 'http://a.example', { http_proxy }, 'https://b.example'],
    ['through SOCKS', 'http://a.example', { http_proxy: 'socks5h://p.example' }, 'http://b.example'],
  ])('%s', async (_, url, settings, target) => {
    const transport = newTransport();
    const connection = transport.open(url, settings);
    const error = await failureOf(connection.request('GET', target), InvalidOptionError);
    expect(error.message).toMatch(/leads to http.*, but this connection to http/);
    expect([connection.isClosed, transport.connections]).toEqual([true, []]);
  });

  test('in a tunnel that is set by hand, with nothing sent', async () => {
    const [server, through] = [await origin('http', { tls: certificate }), await proxy()];
    const connection = newTransport().open(through.url, { http_proxy: null });
    connection.setTunnel('127.0.0.1', { port: server.port });
    for (const target of ['http://b.example/', through.url, server.url.replace('https:', 'http:'), 'ftp://b.example/'])
      await failureOf(connection.request('GET', target), InvalidOptionError);
    expect(through.connectionCount).toBe(0);
    await connection.request('GET', `${server.url}/here#there`);
    const response = await connection.getResponse();
    await text(response.body);
    expect([response.url.pathname, server.requests[0]?.target]).toEqual(['/here', '/here']);
  });

  test.each(['', 'path', '?query', '*', '//'])('and what is no path and no URL: %p', async (target) => {
    const connection = newTransport().open('http://127.0.0.1:9', { http_proxy: null, timeout: 5_000 });
    if (target === '//') await expect(connection.request('GET', target)).rejects.toMatchObject({ code: 'ERR_CONNECT' });
    else await failureOf(connection.request('GET', target), InvalidOptionError);
  });
});

test('what was connected before its first request is not waited for', async () => {
  const [server, through] = [await origin(), await proxy()];
  const connection = newTransport().open(server.url, { http_proxy: through.url });
  await connection.connect();
  await connection.request('POST', '/', { body: 'whole' });
  const response = await connection.getResponse();
  response.body.resume();
  expect(response.timings.queue).toBeNull();
  expect(through.connectionCount).toBe(1);
});
