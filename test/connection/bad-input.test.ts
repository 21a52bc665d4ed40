// What cannot be used is refused where it is given, by name, and never becomes another way out.
import { Connection, type ConnectionOptions } from '@cloudlane/connection';
import type { HttpProxy } from '@cloudlane/proxy';
import { blackHole, closedPort, type LabProxy, type Misbehaviour } from '@cloudlane/testing';
import { TransportError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import {
  AUTH,
  expectNothingLeft,
  failureOf,
  newTransport,
  origin,
  proxy,
  trusting,
  until,
  use,
} from '../transport/lab.ts';
import { connectTo } from './lab.ts';

const PASSWORD = encodeURIComponent(SECRETS.proxyPassword);
const FORM =
  'Write it as scheme://user:password@host:port, the scheme being http, https, socks4, socks4a, socks5 or socks5h.';

describe('a proxy that cannot be one', () => {
  const BROKEN: readonly [name: string, value: unknown, reason: RegExp][] = [
    ['an unknown scheme', `ftp://user:${PASSWORD}@proxy.example`, /scheme/],
    ['no host', `http://user:${PASSWORD}@:3128`, /host/],
    ['a port beyond 65535', `http://user:${PASSWORD}@proxy.example:65536`, /port/],
    ['a port that is no number', `http://user:${PASSWORD}@proxy.example:http`, /port/],
    ['a port of 0', `http://user:${PASSWORD}@proxy.example:0`, /port/],
    ['a path', `http://user:${PASSWORD}@proxy.example/path`, /path/],
    ['a query', `http://user:${PASSWORD}@proxy.example?query`, /query/],
    ['a control character', `http://user:${PASSWORD}@pro\u0007xy.example`, /control/],
    ['a line break', `http://user:${PASSWORD}@proxy.example\r\nX: y`, /control|line|space/],
    ['a broken escape', `http://user:%E0%A4%A@proxy.example`, /percent|escape|encod/i],
    ['a colon in the user name', `http://us%3Aer:${PASSWORD}@proxy.example`, /colon/],
    ['an empty text', '', /null/],
    ['blanks', '  ', /null/],
    ['a number', 3128, /string/],
    ['false', false, /null/],
    ['a list', ['http://proxy.example'], /string/],
    ['an object with a broken url', { url: `ftp://user:${PASSWORD}@proxy.example` }, /scheme/],
  ];

  /** Each place that takes a proxy, and what errors call it. */
  const GIVEN: Readonly<Record<string, (value: HttpProxy, target: { url: string }) => Promise<unknown>>> = {
    'constructor http_proxy': async (http_proxy, target) => connectTo(target, { http_proxy }),
    setHttpProxy: async (value, target) => connectTo(target).setHttpProxy(value),
    'call http_proxy': (http_proxy, target) => connectTo(target).request('/', { http_proxy }),
  };

  test.each(
    Object.keys(GIVEN).flatMap((source) => BROKEN.map(([name, value, reason]) => ({ source, name, value, reason }))),
  )('$source with $name', async ({ source, value, reason }) => {
    const target = await origin();
    const error: unknown = await GIVEN[source]?.(value as HttpProxy, target).catch((each: unknown) => each);
    expect(error).toMatchObject({
      name: 'InvalidProxyUrlError',
      code: 'ERR_INVALID_PROXY_URL',
      source,
      reason: expect.stringMatching(reason),
      message: expect.stringContaining(FORM),
    });
    expect(secretsIn(String(Reflect.get(Object(error), 'stack')))).toEqual([]);
    expect(target.connectionCount).toBe(0);
  });

  test.each<[map: Record<string, string>, source: string]>([
    [{ http: 'ftp://a.example' }, "constructor http_proxy['http']"],
    [{ https: 'ftp://a.example' }, "constructor http_proxy['https']"],
    [{ all: 'ftp://a.example', http: 'http://b.example', https: 'http://b.example' }, "constructor http_proxy['all']"],
    [{ wss: 'ftp://a.example' }, "constructor http_proxy['wss']"],
    [{ 'https://api.example:8443': 'ftp://a.example' }, "constructor http_proxy['https://api.example:8443']"],
    [{ 'all://api.example': 'ftp://a.example' }, "constructor http_proxy['all://api.example']"],
  ])('anywhere in a map is found at once: %j', (http_proxy, source) => {
    expect(() => new Connection({ baseUrl: 'https://api.example', http_proxy })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_PROXY_URL', source }),
    );
  });

  test('shows the value with its password masked', () => {
    const http_proxy = `http://user:${PASSWORD}@proxy.example/path`;
    expect(() => new Connection({ baseUrl: 'https://api.example', http_proxy })).toThrow(
      /^The proxy given by constructor http_proxy \(http:\/\/\*\*\*@proxy\.example\) cannot be used: /,
    );
  });

  test('in the environment fails the call with the variable’s name', async () => {
    const target = await origin();
    const env = { http_proxy: `ftp://user:${PASSWORD}@proxy.example` };
    // Only a call that needs it fails.
    const connection = connectTo(target, { env });
    const refused = expect.objectContaining({ code: 'ERR_INVALID_PROXY_URL', source: 'env:http_proxy' });
    await expect(connection.request('/')).rejects.toEqual(refused);
    expect(() => connection.explain('/')).toThrow(refused);
    expect(target.connectionCount).toBe(0);
    await connection.request('/', { http_proxy: null });
    expect(target.connectionCount).toBe(1);
  });
});

describe('options', () => {
  const baseUrl = 'https://api.example';
  const auth = { username: 'user', password: SECRETS.proxyPassword };

  test.each<[name: string, options: object, option: string, reason: RegExp]>([
    ['noProxy with a scheme', { noProxy: 'https://internal.example' }, 'noProxy', /has a scheme.*An entry is host/],
    ['noProxy with a path', { noProxy: ['internal.example/path'] }, 'noProxy', /path/],
    ['noProxy with a wildcard inside', { noProxy: 'a.*.example' }, 'noProxy', /wildcard/],
    ['noProxy with half an address', { noProxy: '192.168.' }, 'noProxy', /192\.168\.0\.0\/16/],
    ['noProxy with a mask too long', { noProxy: '10.0.0.0/33' }, 'noProxy', /bits/],
    ['noProxy of another type', { noProxy: 5 }, 'noProxy', /neither/],
    [
      'noProxy inside http_proxy',
      { http_proxy: { url: 'http://proxy.example', noProxy: 'x://y' } },
      'http_proxy.noProxy',
      /scheme/,
    ],
    ['trustEnv of another type', { trustEnv: 'no' }, 'trustEnv', /boolean/],
    [
      'credentials twice',
      { http_proxy: { url: `http://me:${PASSWORD}@proxy.example`, auth } },
      'http_proxy.auth',
      /credentials already/,
    ],
    [
      'half of the credentials',
      { http_proxy: { url: 'http://proxy.example', auth: { username: 'u' } } },
      'http_proxy.auth',
      /password/,
    ],
    [
      'credentials and Proxy-Authorization',
      { http_proxy: { url: 'http://proxy.example', auth, headers: { 'Proxy-Authorization': 'x' } } },
      'http_proxy.headers',
      /contradicts/,
    ],
    [
      'headers for a SOCKS proxy',
      { http_proxy: { url: 'socks5://proxy.example', headers: { a: 'b' } } },
      'http_proxy.headers',
      /SOCKS/,
    ],
    ['an unknown part of http_proxy', { http_proxy: { url: 'http://proxy.example', port: 3128 } }, 'http_proxy', /key/],
    [
      'a map key that can never match',
      { http_proxy: { htps: 'http://proxy.example' } },
      'http_proxy',
      /'htps' can never match/,
    ],
    [
      'two map keys that mean the same',
      { http_proxy: { http: 'http://a.example', HTTP: 'http://b.example' } },
      'http_proxy',
      /same/,
    ],
    [
      'proxyTls beside an http proxy',
      { proxyTls: {}, http_proxy: 'http://proxy.example' },
      'proxyTls',
      /constructor http_proxy names a http:\/\/ one/,
    ],
    [
      'proxyTls beside a SOCKS proxy',
      { proxyTls: {}, http_proxy: { url: 'socks5h://proxy.example' } },
      'proxyTls',
      /socks5h/,
    ],
    ['an unknown part of tls', { tls: { rejectUnauthorized: false } }, 'tls.rejectUnauthorized', /unknown/],
    ['a certificate without its key', { proxyTls: { cert: 'x' } }, 'proxyTls.cert', /belong together/],
    ['an authority that cannot be read', { tls: { verify: '/does/not/exist.pem' } }, 'tls.verify', /cannot be read/],
    ['a deadline below 0', { timeout: -1 }, 'timeout.total', /milliseconds/],
    ['an unknown deadline', { timeout: { read: 5 } }, 'timeout', /read/],
    ['http_proxy in another spelling', { httpProxy: 'http://proxy.example' }, 'httpProxy', /called http_proxy/],
    ['proxy', { proxy: 'http://proxy.example' }, 'proxy', /called http_proxy/],
    ['what nobody knows', { retires: 3 }, 'retires', /no such option/],
  ])('%s', (_name, options, option, reason) => {
    const build = () => new Connection({ baseUrl, ...options });
    expect(build).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_OPTION', option, reason: expect.stringMatching(reason) }),
    );
    expect(secretsIn(String(thrownBy(build)))).toEqual([]);
  });

  test('that only look like a contradiction are fine', () => {
    const fine: readonly ConnectionOptions[] = [
      { proxyTls: {} },
      { proxyTls: {}, http_proxy: null },
      { proxyTls: {}, http_proxy: 'https://proxy.example' },
      { proxyTls: {}, http_proxy: { http: 'http://proxy.example', https: 'https://proxy.example' } },
      { noProxy: [] },
      { noProxy: '*' },
      { http_proxy: { 'https://api.example': null, all: 'http://proxy.example', noProxy: 'internal.example' } },
      { http_proxy: 'proxy.example:3128' },
      { env: { http_proxy: 'ftp://broken.example', no_proxy: 'x://y' } },
    ];
    for (const options of fine) expect(new Connection({ baseUrl, ...options }).baseUrl.host).toBe('api.example');
  });

  test('proxyTls is no hindrance to a later http proxy', async () => {
    const [target, A, B] = await Promise.all([origin(), proxy('https'), proxy('http')]);
    const connection = connectTo(target, { proxyTls: trusting.proxyTls, http_proxy: A.url });
    await connection.request('/');
    await connection.setHttpProxy(B.url).request('/');
    expect([A.hops.length, B.hops.length]).toEqual([1, 1]);
  });

  test('of a call: noProxy of the connection holds for its proxy too', async () => {
    const [target, A] = await Promise.all([origin(), proxy()]);
    await connectTo(target, { noProxy: '127.0.0.1' }).request('/', { http_proxy: A.url });
    expect([A.connectionCount, target.requests.length]).toEqual([0, 1]);
  });

  test('a header that cannot be sent is refused without its value', async () => {
    const target = await origin();
    const headers = { Authorization: `${SECRETS.token}\r\nX-Injected: 1` };
    const error: unknown = await connectTo(target)
      .request('/', { headers })
      .catch((each: unknown) => each);
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION' });
    expect(secretsIn(String(error))).toEqual([]);
    expect(target.connectionCount).toBe(0);
  });
});

describe('a proxy that fails', () => {
  type Failure = readonly [name: string, misbehaviour: Misbehaviour | null, http: object, https: object];

  const FAILURES: readonly Failure[] = [
    [
      'does not let us in',
      null,
      { code: 'ERR_PROXY_AUTHENTICATION', hop: 'proxy', phase: 'response', hasConnectedToProxy: true },
      { code: 'ERR_PROXY_AUTHENTICATION', hop: 'proxy', phase: 'proxy-handshake', hasConnectedToProxy: true },
    ],
    [
      'cannot reach the origin',
      { kind: 'refuse-origin' },
      { code: 'ERR_PROXY_RESPONSE', hop: 'proxy', phase: 'response' },
      { code: 'ERR_PROXY_TUNNEL', hop: 'proxy', phase: 'proxy-handshake' },
    ],
    [
      'resets the connection',
      { kind: 'reset' },
      { code: 'ERR_RESET', hop: 'proxy', phase: 'response' },
      { code: expect.stringMatching(/^ERR_(RESET|PROXY)/), hop: 'proxy', phase: 'proxy-handshake' },
    ],
    [
      'answers what is no HTTP',
      { kind: 'garbage' },
      { code: 'ERR_PROTOCOL', hop: 'proxy', phase: 'response' },
      { code: 'ERR_PROXY_PROTOCOL', hop: 'proxy', phase: 'proxy-handshake' },
    ],
    [
      'never answers',
      { kind: 'hang' },
      { code: 'ERR_TIMEOUT', hop: 'proxy', phase: 'response', deadline: 'firstByte' },
      { code: 'ERR_TIMEOUT', hop: 'proxy', phase: 'proxy-handshake', deadline: 'handshake' },
    ],
  ];

  test.each(
    FAILURES.flatMap(([name, misbehaviour, http, https]) => [
      { scheme: 'http' as const, name, misbehaviour, expected: http },
      { scheme: 'https' as const, name, misbehaviour, expected: https },
    ]),
  )(
    '$name ($scheme origin): typed, no socket left, nothing sent by another way',
    async ({ scheme, misbehaviour, expected }) => {
      const target = await origin(scheme);
      const guarded = await proxy('http', { auth: AUTH, ...(misbehaviour && { misbehaviour }) });
      const transport = newTransport();
      const connection = connectTo(target, {
        transport,
        timeout: { handshake: 60, firstByte: 60 },
        http_proxy: guarded.urlWithCredentials.replace(PASSWORD, misbehaviour ? PASSWORD : 'wrong'),
      });
      const error = await failureOf(connection.request('/'), TransportError);
      expect(error).toMatchObject(expected);
      expect(error.proxy).toBe(guarded.url.replace('://', '://user:***@'));
      expect(secretsIn(`${error.stack} ${JSON.stringify(error)}`)).toEqual([]);
      expect(target.connectionCount).toBe(0);
      await closeIdle(guarded, connection);
    },
  );

  test('is not there', async () => {
    const target = await origin();
    const transport = newTransport();
    const connection = connectTo(target, { transport, http_proxy: `http://127.0.0.1:${await closedPort()}` });
    await expect(connection.request('/')).rejects.toMatchObject({
      code: 'ERR_PROXY_CONNECT',
      hop: 'proxy',
      phase: 'proxy-connect',
      hasConnectedToProxy: false,
      retryable: true,
    });
    await expectNothingLeft(transport, target);
    expect(target.connectionCount).toBe(0);
  });

  test('is behind a firewall that says nothing', async () => {
    const target = await origin();
    const hole = await use(blackHole());
    const transport = newTransport();
    const http_proxy = `http://${hole.host}:${hole.port}`;
    const connection = connectTo(target, { transport, http_proxy, timeout: { connect: 50 } });
    await expect(connection.request('/')).rejects.toMatchObject({
      code: 'ERR_TIMEOUT',
      hop: 'proxy',
      phase: 'proxy-connect',
      deadline: 'connect',
    });
    await expectNothingLeft(transport, target);
    expect(target.connectionCount).toBe(0);
  });

  test('has a name that nobody knows', async () => {
    const target = await origin();
    const connection = connectTo(target, { http_proxy: 'http://proxy.invalid:3128' });
    await expect(connection.request('/')).rejects.toMatchObject({ hop: 'proxy', phase: 'proxy-dns' });
    expect(target.connectionCount).toBe(0);
  });

  test('has a certificate that nobody vouches for', async () => {
    const [target, A] = await Promise.all([origin(), proxy('https')]);
    const connection = connectTo(target, { http_proxy: A.url, proxyTls: {} });
    await expect(connection.request('/')).rejects.toMatchObject({
      code: 'ERR_PROXY_TLS',
      hop: 'proxy',
      phase: 'proxy-tls',
    });
    expect([A.hops.length, target.connectionCount]).toEqual([0, 0]);
  });

  test('is SOCKS, and nobody listens', async () => {
    const target = await origin();
    const connection = connectTo(target, { http_proxy: `socks5h://127.0.0.1:${await closedPort()}` });
    await expect(connection.request('/')).rejects.toMatchObject({ code: 'ERR_PROXY_CONNECT', phase: 'proxy-connect' });
    expect(target.connectionCount).toBe(0);
  });
});

/** A refusal may leave its connection for the next call; nothing else may be open. */
async function closeIdle(guarded: LabProxy, connection: Connection): Promise<void> {
  const { transport } = connection.session;
  await until(() => transport.connections.every(({ state }) => state === 'IDLE'));
  await transport.close();
  await expectNothingLeft(transport, guarded);
}

function thrownBy(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}
