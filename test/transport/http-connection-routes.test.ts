// One connection: which way the settings choose for it, and what the proxy and the origin see.
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { HttpConnection, TransportOptions } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, ca, failureOf, newTransport, origin, proxy, type Scheme, SOCKS_SCHEMES, socks } from './lab.ts';

async function ask(connection: HttpConnection, target = '/'): Promise<string> {
  await connection.request('GET', target);
  return text((await connection.getResponse()).body);
}

interface Choice {
  readonly id: string;
  readonly via: Scheme | null;
  readonly scheme: Scheme;
  readonly options?: TransportOptions;
  readonly shown: string;
  readonly hops: readonly string[];
}

const CHOICES: readonly Choice[] = [
  { id: 'U17', via: null, scheme: 'http', shown: 'HTTPConnection', hops: [] },
  { id: 'U18', via: null, scheme: 'https', shown: 'HTTPConnection', hops: [] },
  { id: 'U19', via: 'http', scheme: 'http', shown: 'ForwardHTTPConnection', hops: ['forward', 'forward'] },
  { id: 'U20', via: 'http', scheme: 'https', shown: 'TunnelHTTPConnection', hops: ['connect'] },
  { id: 'U21', via: 'https', scheme: 'http', shown: 'ForwardHTTPConnection', hops: ['forward', 'forward'] },
  { id: 'U22', via: 'https', scheme: 'https', shown: 'TunnelHTTPConnection', hops: ['connect'] },
  {
    id: 'U23',
    via: 'https',
    scheme: 'https',
    options: { useForwardingForHttps: true },
    shown: 'ForwardHTTPConnection',
    hops: ['forward', 'forward'],
  },
  {
    id: 'tunnelHttp',
    via: 'http',
    scheme: 'http',
    options: { tunnelHttp: true },
    shown: 'TunnelHTTPConnection',
    hops: ['connect'],
  },
];

describe.each(CHOICES)('$id proxy $via, $scheme origin, $options', ({ via, scheme, options, shown, hops }) => {
  test.each(['option', 'environment'])(`is a ${shown}, by %s`, async (how) => {
    const server = await origin(scheme);
    const through = via && (await proxy(via, { auth: AUTH, ca: ca.certificate }));
    const setting = through?.urlWithCredentials;
    const env =
      setting === undefined ? {} : { http_proxy: setting, https_proxy: setting, all_proxy: 'http://x.invalid' };
    const transport = newTransport(options);
    const connection = transport.open(server.url, how === 'option' ? { http_proxy: setting ?? null } : { env });
    const first = through ?? server;
    expect(connection).toMatchObject({ host: '127.0.0.1', port: first.port });
    expect(connection.proxyIsForwarding).toBe(hops.includes('forward'));
    expect(connection.proxyIsTunneling).toBe(hops.includes('connect'));
    for (const target of ['/one', `${server.url}/two`])
      expect(await ask(connection, target)).toContain(target.slice(-4));
    expect(String(connection)).toMatch(
      new RegExp(`^<${shown} \\['https?://127.0.0.1:\\d+', HTTP/1.1, .*Count: 2\\]>$`),
    );
    expect(through?.hops.map(({ kind }) => kind) ?? []).toEqual(hops);
    expect(through?.hops.every(({ authorized }) => authorized) ?? true).toBe(true);
    if (hops.includes('forward')) expect(through?.hops[0]?.target).toBe(`${server.url}/one`);
    else expect(server.requests).toMatchObject([{ target: '/one' }, { target: '/two' }]);
    expect([first.connectionCount, transport.connections.length]).toEqual([1, 1]);
    expect(connection.hasConnectedToProxy).toBe(via !== null);
    // Who speaks TLS with the origin: this side, or where the proxy forwards that.
    expect(connection.isVerified).toBe(scheme === 'https' && !hops.includes('forward'));
  });
});

describe('U21 an https proxy of unknown authority', () => {
  test.each(['http', 'https'] as const)('is refused for an %s origin', async (scheme) => {
    const [server, through] = [await origin(scheme), await proxy('https')];
    const connection = newTransport({ proxyTls: {} }).open(server.url, { http_proxy: through.url });
    await expect(ask(connection)).rejects.toMatchObject({ code: 'ERR_PROXY_TLS' });
    expect([through.hops, server.requests]).toEqual([[], []]);
  });
});

describe('U23 useForwardingForHttps', () => {
  test.each(['http://p.example:3128', 'socks5h://p.example'])(
    'is refused with %s, before anything is opened',
    (http_proxy) => {
      const transport = newTransport({ useForwardingForHttps: true });
      expect(() => transport.open('https://a.example', { http_proxy })).toThrow('needs https:// proxies');
      expect(String(transport.open('http://a.example', { http_proxy }))).toMatch(/ through .*, closed>$/);
    },
  );
});

describe.each(SOCKS_SCHEMES)('through %s', (via) => {
  test.each(['http', 'https'] as const)(
    'an %s origin is reached, on one connection, and again after close()',
    async (scheme) => {
      const [server, through] = [await origin(scheme), await socks()];
      const connection = newTransport().open(server.url, { http_proxy: through.urlFor(via) });
      expect(connection).toMatchObject({
        port: through.port,
        proxyIsForwarding: false,
        proxyIsTunneling: false,
        proxyIsVerified: null,
      });
      for (const count of [1, 2]) {
        await connection.connect();
        for (const target of ['/one', '/two']) expect(await ask(connection, target)).toContain(target);
        expect(connection).toMatchObject({
          hasConnectedToProxy: true,
          isVerified: scheme === 'https',
          proxyIsVerified: false,
        });
        expect(through.hops.map(({ target }) => target)).toEqual(Array(count).fill(`127.0.0.1:${server.port}`));
        await connection.close();
      }
      expect(server.requests).toHaveLength(4);
    },
  );
});

describe('the environment', () => {
  test('is read when the connection is opened, and not again', async () => {
    const [server, through] = [await origin(), await proxy()];
    const env: Record<string, string> = { http_proxy: through.url };
    const connection = newTransport().open(server.url, { env });
    env.http_proxy = 'nonsense://x';
    await ask(connection);
    await connection.close();
    await ask(connection);
    expect(through.hops.map(({ kind }) => kind)).toEqual(['forward', 'forward']);
    await connection.request('GET', '/');
    const { explanation, route, body } = await connection.getResponse();
    expect(explanation).toMatchObject({ source: 'env:http_proxy', route: { kind: 'forward' } });
    expect(route).toEqual(explanation.route);
    await text(body);
  });

  test('is not asked with http_proxy: null, nor with trustEnv: false', async () => {
    const server = await origin();
    const env = { http_proxy: 'nonsense://x' };
    expect(() => newTransport().open(server.url, { env })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_PROXY_URL' }),
    );
    for (const settings of [{ http_proxy: null }, { trustEnv: false }])
      await ask(newTransport().open(server.url, { env, ...settings }));
    expect(server.requests).toHaveLength(2);
  });

  test('may name hosts that go direct', async () => {
    const server = await origin();
    const env = { http_proxy: 'http://x.invalid', no_proxy: '127.0.0.1' };
    const connection = newTransport().open(server.url, { env });
    await ask(connection);
    expect(connection.info?.kind).toBe('direct');
  });
});

test.each<[string, unknown, object]>([
  ['no URL', 'a.example', { option: 'url' }],
  ['another scheme', 'ftp://a.example', { option: 'url' }],
])('%s is refused when it is opened', async (_, url, expected) => {
  const open = async () => newTransport().open(url as string, { http_proxy: null });
  expect(await failureOf(open(), InvalidOptionError)).toMatchObject(expected);
});
