// Requests' "Advanced usage", the rows about proxies (reference/promises.md §1.5), and the opposite of its defects.
import { inspect } from 'node:util';
import { InvalidOptionError, InvalidProxyUrlError, type ProxyMap } from '@cloudlane/proxy';
import { Session, type SessionOptions } from '@cloudlane/session';
import { createCa, type LabProxy, type LabSocks } from '@cloudlane/testing';
import {
  ProxyAuthenticationError,
  ProxyError,
  ProxyTlsError,
  SocksError,
  type TransportOptions,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';

import { SECRETS, secretsIn } from '../support/secrets.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { AUTH, failureOf, newTransport, origin, proxy, type Scheme, socks, withCredentials } from '../transport/lab.ts';
import { overRoutes, redirecting } from './lab.ts';

const SCHEMES = ['http', 'https'] as const;

/** Origins tell by these addresses how a call came. */
const ADDRESSES = { direct: '127.0.0.1', A: '127.0.0.2', B: '127.0.0.3', E: '127.0.0.4' } as const;
type Way = keyof typeof ADDRESSES;

function newSession(options: SessionOptions = {}, transport: TransportOptions = {}): Session {
  return new Session({ transport: newTransport(transport), prefetch: true, ...options });
}

function start(kind: 'http' | 'socks', way: Way): Promise<LabProxy | LabSocks> {
  return kind === 'http' ? proxy('http', { localAddress: ADDRESSES[way] }) : socks({ localAddress: ADDRESSES[way] });
}

/** The keys of a map that can decide for a URL, the one that counts most first. */
function keysFor(url: string): string[] {
  const { protocol, hostname, port } = new URL(url);
  const scheme = protocol.slice(0, -1);
  return [`${scheme}://${hostname}:${port}`, `${scheme}://${hostname}`, scheme, `all://${hostname}`, 'all'];
}

const KINDS = SCHEMES.flatMap((scheme) => (['http', 'socks'] as const).map((kind) => [scheme, kind] as const));

describe('R43 proxies by scheme and host', () => {
  describe.each(KINDS)('%s origin, %s proxies:', (scheme, kind) => {
    /** The ways that calls took, by what the origin saw. */
    async function setUp(): Promise<{
      url: string;
      urls: Readonly<Record<'A' | 'B', string>>;
      env: Readonly<Record<string, string>>;
      came: () => (Way | undefined)[];
      kinds: () => string[];
    }> {
      const [target, A, B, E] = await Promise.all([
        origin(scheme),
        start(kind, 'A'),
        start(kind, 'B'),
        start('http', 'E'),
      ]);
      const ways = Object.keys(ADDRESSES) as Way[];
      const came = () =>
        target.requests.map(({ remoteAddress }) => ways.find((way) => ADDRESSES[way] === remoteAddress));
      const env = { http_proxy: E.url, https_proxy: E.url };
      const kinds = () => [...A.hops, ...B.hops].map((hop) => hop.kind);
      return { url: target.url, urls: { A: A.url, B: B.url }, env, came, kinds };
    }

    test.each([0, 1, 2, 3, 4])('the key that counts most decides (%d)', async (first) => {
      const { url, urls, env, came } = await setUp();
      const keys = keysFor(url);
      const proxies: ProxyMap = Object.fromEntries(
        keys.slice(first).map((key, index) => [key, index === 0 ? urls.A : urls.B]),
      );
      await newSession({ env }).get(url, { proxies });
      await newSession({ env }).get(url, { http_proxy: proxies });
      await newSession({ env, proxies }).get(url);
      await newSession({ env, http_proxy: proxies }).get(url);
      expect(came()).toEqual(['A', 'A', 'A', 'A']);
    });

    test.each([0, 1, 2, 3, 4])('null under it is direct, whatever the environment says (%d)', async (first) => {
      const { url, urls, env, came } = await setUp();
      const keys = keysFor(url);
      const proxies = Object.fromEntries(keys.slice(first).map((key, index) => [key, index === 0 ? null : urls.A]));
      await newSession({ env }).get(url, { proxies });
      await newSession({ env, proxies }).get(url);
      expect(came()).toEqual(['direct', 'direct']);
    });

    test('keys of other schemes, hosts and ports say nothing', async () => {
      const { url, urls, env, came } = await setUp();
      const other = scheme === 'http' ? 'https' : 'http';
      const proxies = {
        [other]: urls.A,
        [`${scheme}://127.0.0.1:1`]: urls.A,
        [`${scheme}://127.0.0.2`]: urls.A,
        'all://other.example': urls.A,
      };
      await newSession({ env }).get(url, { proxies });
      await newSession({ env }).get(url, { proxies: {} });
      await newSession({ env }).get(url, { proxies: { [scheme]: undefined } });
      expect(came()).toEqual(['E', 'E', 'E']);
    });

    test('the environment’s no_proxy is not for them, their own noProxy is', async () => {
      const { url, urls, env, came } = await setUp();
      const session = newSession({ env: { ...env, no_proxy: '*' } });
      await session.get(url, { proxies: { all: urls.A } });
      await session.get(url, { proxies: { all: urls.A, noProxy: '127.0.0.1' } });
      await session.get(url, { proxies: { all: urls.A, noProxy: 'other.example, 10.0.0.0/8' } });
      await session.get(url, { proxies: { all: urls.A }, noProxy: ['127.0.0.0/8'] });
      expect(came()).toEqual(['A', 'direct', 'A', 'direct']);
    });

    test('https is always tunnelled, http is forwarded', async () => {
      const { url, urls, kinds } = await setUp();
      await newSession().get(url, { proxies: { [scheme]: urls.A } });
      expect(kinds()).toEqual([kind === 'socks' ? 'socks' : scheme === 'https' ? 'connect' : 'forward']);
    });

    test('a call’s are laid over the session’s, and are of no other call', async () => {
      const { url, urls, came } = await setUp();
      const session = newSession({ proxies: { [scheme]: urls.A } });
      await session.get(url, { proxies: { [scheme]: urls.B } });
      await session.get(url, { proxies: { 'all://127.0.0.1': urls.B } });
      await session.get(url);
      session.proxies = { [scheme]: urls.B };
      await session.get(url);
      expect(came()).toEqual(['B', 'A', 'A', 'B']);
    });
  });

  test.each(SCHEMES)('a %s call through a value without a scheme goes to an http proxy', async (scheme) => {
    const [target, A] = await Promise.all([origin(scheme), proxy()]);
    await newSession().get(target.url, { proxies: { [scheme]: new URL(A.url).host } });
    await newSession({ http_proxy: new URL(A.url).host }).get(target.url);
    expect([A.hops.length, target.requests.length]).toEqual([2, 2]);
  });

  test.each(SCHEMES)('credentials in a value are decoded, for a %s call', async (scheme) => {
    const auth = { username: 'us er@/ü', password: SECRETS.proxyPassword };
    const [target, A, S] = await Promise.all([origin(scheme), proxy('http', { auth }), socks({ auth })]);
    for (const { urlWithCredentials } of [A, S])
      await newSession().get(target.url, { proxies: { all: urlWithCredentials } });
    for (const { hops } of [A, S]) expect(hops).toMatchObject([{ authorized: true, username: auth.username }]);
  });

  test('each hop of a redirect takes the map’s proxy for it', async () => {
    const [A, B] = await Promise.all([start('http', 'A'), start('http', 'B')]);
    const secure = await origin('https');
    const plain = await origin('http', { handler: redirecting({ '/from': [302, `${secure.url}/to`] }) });
    const env = { no_proxy: '*' };
    await newSession({ env }).get(`${plain.url}/from`, { proxies: { http: A.url, https: B.url } });
    expect([plain, secure].map(({ requests }) => requests[0]?.remoteAddress)).toEqual([ADDRESSES.A, ADDRESSES.B]);
  });

  test.each<[what: string, options: object]>([
    ['both names of one setting', { proxies: {}, http_proxy: null }],
    ['a URL in proxies', { proxies: 'http://proxy.example' }],
    ['an empty value', { proxies: { http: '' } }],
    ['options in proxies', { proxies: { url: 'http://proxy.example' } }],
    ['a key that can never match', { proxies: { ftp: 'http://proxy.example' } }],
    ['a key for a port of all', { proxies: { 'all://a.example:1': 'http://proxy.example' } }],
  ])('%s is refused', async (_, options) => {
    const target = await origin();
    expect(() => newSession(options)).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_INVALID/) }));
    await expect(newSession().get(target.url, options)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_INVALID/),
    });
    expect(target.connectionCount).toBe(0);
  });
});

describe('R44 the environment configures proxies', () => {
  const ROWS: readonly (readonly [env: Readonly<Record<string, Way>>, http: Way, https: Way])[] = [
    [{ http_proxy: 'A' }, 'A', 'A'],
    [{ HTTP_PROXY: 'A' }, 'A', 'A'],
    [{ https_proxy: 'A' }, 'direct', 'A'],
    [{ HTTPS_PROXY: 'A' }, 'direct', 'A'],
    [{ HTTP_PROXY: 'A', HTTPS_PROXY: 'B' }, 'A', 'B'],
    [{ http_proxy: 'A', HTTP_PROXY: 'B', https_proxy: 'B', HTTPS_PROXY: 'A' }, 'A', 'B'],
    [{ all_proxy: 'A', http_proxy: 'B' }, 'B', 'A'],
    [{ ALL_PROXY: 'A' }, 'A', 'A'],
  ];

  describe.each(['http', 'socks'] as const)('by %s proxies:', (kind) => {
    test.each(ROWS)('%j', async (variables, http, https) => {
      const [plain, secure, A, B] = await Promise.all([origin(), origin('https'), start(kind, 'A'), start(kind, 'B')]);
      const env = Object.fromEntries(
        Object.entries(variables).map(([name, way]) => [name, way === 'A' ? A.url : B.url]),
      );
      const session = newSession({ env });
      for (const { url } of [plain, secure]) await session.get(url);
      const came = [plain, secure].map(({ requests }) => requests[0]?.remoteAddress);
      expect(came).toEqual([ADDRESSES[http], ADDRESSES[https]]);
      // Nor is any of it looked at if it is not trusted.
      for (const { url } of [plain, secure]) await newSession({ env, trustEnv: false }).get(url);
      for (const { url } of [plain, secure]) await newSession({ env: { ...env, NO_PROXY: '127.0.0.1' } }).get(url);
      const later = [plain, secure].flatMap(({ requests }) => requests.slice(1).map((each) => each.remoteAddress));
      expect(later).toEqual([ADDRESSES.direct, ADDRESSES.direct, ADDRESSES.direct, ADDRESSES.direct]);
    });
  });

  test(
    'as in the example: HTTPS_PROXY without a scheme is an http proxy, for the process',
    async () => {
      const [A, B, plain, secure] = await Promise.all([proxy(), proxy(), origin(), origin('https')]);
      const script = `
        import { get } from '@cloudlane/session';
        for (const url of ${JSON.stringify([plain.url, secure.url])})
          console.log((await get(url, { prefetch: true, verify: false })).status);
        process.exit();
      `;
      const env = { HTTP_PROXY: A.url, HTTPS_PROXY: new URL(B.url).host };
      const { output, errors } = await runScript(script, env);
      expect(output).toBe('200\n200\n');
      expect(errors).toContain('CLOUDLANE_INSECURE');
      expect([A.hops.map(({ kind }) => kind), B.hops.map(({ kind }) => kind)]).toEqual([['forward'], ['connect']]);
    },
    PROCESS_TIMEOUT,
  );

  test.each(['session', 'call'] as const)('what a %s says comes before it', async (place) => {
    const [target, A, E] = await Promise.all([origin(), start('http', 'A'), start('http', 'E')]);
    const options = { proxies: { http: A.url } };
    const session = newSession({ env: { http_proxy: E.url }, ...(place === 'session' && options) });
    await session.get(target.url, place === 'call' ? options : {});
    expect([A.hops.length, E.connectionCount]).toEqual([1, 0]);
  });
});

describe('R-D1 an https proxy is verified, whatever the origin’s scheme', () => {
  test.each(SCHEMES)('%s origin', async (scheme) => {
    const stranger = await createCa();
    const tls = await stranger.issue({ names: ['127.0.0.1'] });
    const [target, A] = await Promise.all([origin(scheme), proxy('https', { tls })]);
    const session = newSession({ http_proxy: A.url });
    for (const options of [{}, { verify: true }, { verify: false }]) {
      const error = await failureOf(session.get(target.url, options), ProxyTlsError);
      expect(error).toMatchObject({ phase: 'proxy-tls', hop: 'proxy' });
    }
    expect([A.hops, target.requests]).toEqual([[], []]);
    const trusting = newSession({ http_proxy: A.url }, { proxyTls: { ca: stranger.certificate } });
    expect((await trusting.get(target.url)).status).toBe(200);
    expect(A.hops).toHaveLength(1);
  });
});

describe('R-D2 credentials for a proxy never reach an origin', () => {
  const own = { 'Proxy-Authorization': `Basic ${Buffer.from(`user:${SECRETS.plainPassword}`).toString('base64')}` };
  const auth = { username: 'user', password: SECRETS.plainPassword };

  describe.each(SCHEMES)('%s origin:', (scheme) => {
    test.each(['session', 'call'] as const)('those in a header of the %s, which the proxy gets', async (place) => {
      const [target, A] = await Promise.all([origin(scheme), proxy('http', { auth })]);
      const session = newSession({ http_proxy: A.url, ...(place === 'session' && { headers: own }) });
      await session.get(target.url, place === 'call' ? { headers: own } : {});
      expect(A.hops).toMatchObject([{ authorized: true, username: 'user' }]);
      expect(target.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
    });

    test.each(['direct', 'socks'] as const)('those in a header, where no proxy wants it: %s', async (way) => {
      const target = await origin(scheme);
      const http_proxy = way === 'socks' ? (await socks()).url : null;
      await newSession({ http_proxy }).get(target.url, { headers: own });
      expect(target.requests[0]?.rawHeaders.join('\n')).not.toMatch(/proxy-/i);
      expect(target.requests).toHaveLength(1);
    });

    test('those of the setting, as options or in its URL', async () => {
      const [target, A] = await Promise.all([origin(scheme), proxy('http', { auth })]);
      await newSession({ http_proxy: { url: A.url, auth } }).get(target.url);
      await newSession({ http_proxy: withCredentials(A.url, auth) }).get(target.url);
      expect(A.hops.map(({ authorized }) => authorized)).toEqual([true, true]);
      expect(target.requests.map(({ rawHeaders }) => rawHeaders.join('\n').match(/proxy-|Basic/i))).toEqual([
        null,
        null,
      ]);
    });

    test('both at once contradict each other', async () => {
      const [target, A] = await Promise.all([origin(scheme), proxy('http', { auth })]);
      const answer = newSession({ http_proxy: { url: A.url, auth } }).get(target.url, { headers: own });
      expect((await failureOf(answer, InvalidOptionError)).option).toBe('headers.Proxy-Authorization');
      expect(A.connectionCount).toBe(0);
    });
  });

  overRoutes((route) => {
    test('the origin’s own are not the proxy’s', async () => {
      const target = await route.origin();
      const session = await route.session({ auth: ['user', SECRETS.originPassword], prefetch: true });
      await session.get(target.url);
      const basic = `Basic ${Buffer.from(`user:${SECRETS.originPassword}`).toString('base64')}`;
      expect(target.requests.map(({ headers }) => headers.authorization === basic)).toEqual([true]);
      for (const hop of route.isProxied ? route.proxy.hops : []) {
        expect('rawHeaders' in hop && hop.kind === 'connect' && hop.rawHeaders.includes(basic)).toBe(false);
      }
    });
  });
});

describe('R-D3 a user name alone is sent', () => {
  test.each(KINDS)('%s origin, %s proxy', async (scheme, kind) => {
    const auth = { username: 'solo', password: '' };
    const target = await origin(scheme);
    const A = await (kind === 'http' ? proxy('http', { auth }) : socks({ auth }));
    const response = await newSession({ http_proxy: A.url.replace('://', '://solo@') }).get(target.url);
    expect(response.status).toBe(200);
    expect(A.hops).toMatchObject([{ authorized: true, username: 'solo' }]);
  });
});

describe('R-D4 a proxy that wants credentials is one kind of error', () => {
  const WAYS: readonly (readonly [kind: 'http' | 'https' | 'socks', scheme: Scheme])[] = [
    ['http', 'http'],
    ['http', 'https'],
    ['https', 'http'],
    ['https', 'https'],
    ['socks', 'http'],
    ['socks', 'https'],
  ];
  const wrong = { username: 'user', password: SECRETS.plainPassword };

  test.each(WAYS)('%s proxy, %s origin', async (kind, scheme) => {
    const target = await origin(scheme);
    const A = kind === 'socks' ? await socks({ auth: AUTH }) : await proxy(kind, { auth: AUTH });
    for (const http_proxy of [A.url, withCredentials(A.url, wrong)]) {
      const session = newSession({ http_proxy });
      const error = await failureOf(session.get(target.url), ProxyError);
      expect(error).toBeInstanceOf(kind === 'socks' ? SocksError : ProxyAuthenticationError);
      const code = kind === 'socks' ? 'ERR_SOCKS_AUTHENTICATION' : 'ERR_PROXY_AUTHENTICATION';
      expect(error).toMatchObject({ code, hop: 'proxy', hasConnectedToProxy: true });
      if (error instanceof ProxyAuthenticationError) {
        expect(error).toMatchObject({ status: 407, schemes: ['basic'], realm: expect.any(String) });
        expect(error.body.toString()).toContain('407');
      }
      expect(error.message).toContain(new URL(A.url).host);
      expect(secretsIn(`${error.stack}${JSON.stringify(error)}${inspect(error, { depth: 9 })}`)).toEqual([]);
      const safe = await session.get(target.url, { safeMode: true });
      expect([safe.status, safe.error?.name]).toEqual([0, error.name]);
    }
    expect(target.connectionCount).toBe(0);
  });

  test('the 407 of an origin is none of it', async () => {
    const target = await origin('https', { handler: (_, response) => void response.writeHead(407).end('odd') });
    const A = await proxy();
    for (const http_proxy of [null, A.url]) {
      const response = await newSession({ http_proxy }).get(target.url);
      expect([response.status, await response.text()]).toEqual([407, 'odd']);
    }
  });
});

describe('R-D5 a proxy that cannot be used is refused by name, wherever it stands', () => {
  const secret = encodeURIComponent(SECRETS.proxyPassword);
  const BAD = [
    `socks9://user:${secret}@proxy.example`,
    `ftp://user:${secret}@proxy.example`,
    'http://',
    'http://:3128',
    `http://user:${secret}@`,
    `http://user:${secret}@proxy.example:99999`,
    `http://user:${secret}@proxy.example/path`,
    '://',
  ];

  test.each(BAD.map((value, index) => [index, value] as const))('value %d', async (_, value) => {
    const [plain, secure] = await Promise.all([origin(), origin('https')]);
    const errors: InvalidProxyUrlError[] = [];
    const sources: string[] = [];
    const note = async (make: () => unknown): Promise<void> => {
      const error = await failureOf((async () => make())(), InvalidProxyUrlError);
      errors.push(error);
      sources.push(error.source);
    };
    await note(() => new Session({ http_proxy: value }));
    await note(() => new Session({ proxies: { http: value } }));
    await note(() => newSession().setHttpProxy(value));
    await note(() => {
      newSession().http_proxy = value;
    });
    for (const { url } of [plain, secure]) {
      await note(() => newSession().get(url, { http_proxy: value }));
      await note(() => newSession().get(url, { proxies: { all: value } }));
      await note(() => newSession({ env: { ALL_PROXY: value } }).get(url));
    }
    expect(sources).toEqual([
      'constructor http_proxy',
      "constructor proxies['http']",
      'setHttpProxy',
      'setHttpProxy',
      ...[
        'call http_proxy',
        "call proxies['all']",
        'env:ALL_PROXY',
        'call http_proxy',
        "call proxies['all']",
        'env:ALL_PROXY',
      ],
    ]);
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'ERR_INVALID_PROXY_URL' });
      expect(secretsIn(`${error.stack}${inspect(error)}${JSON.stringify(error)}`)).toEqual([]);
    }
    expect([plain.connectionCount, secure.connectionCount]).toEqual([0, 0]);
  });

  test('the environment’s harms only the request that needs it', async () => {
    const [plain, secure] = await Promise.all([origin(), origin('https')]);
    const session = newSession({ env: { HTTPS_PROXY: 'socks9://proxy.example' } });
    expect((await session.get(plain.url)).status).toBe(200);
    await failureOf(session.get(secure.url), InvalidProxyUrlError);
    expect((await session.get(secure.url, { http_proxy: null })).status).toBe(200);
  });
});
