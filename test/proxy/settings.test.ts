import {
  type Environment,
  explainRoute,
  formatProxy,
  InvalidOptionError,
  InvalidProxyUrlError,
  type RouteSettings,
  resolveRoute,
} from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { catchError } from './catch-error.ts';

const URL_HTTP = 'http://origin.example/';
const URL_HTTPS = 'https://origin.example/';
const ENV: Environment = { http_proxy: 'env-http', https_proxy: 'env-https', no_proxy: 'local.example' };
const SYSTEM = { http: 'sys-http', https: 'sys-https', socks: 'sys-socks', bypass: ['sys-local.example'] };

/** `direct`, or the kind of route and the proxy; and the setting that decided. */
function ask(url: string, settings: RouteSettings): string {
  const { route, source } = explainRoute(url, settings);
  expect(resolveRoute(url, settings)).toStrictEqual(route);
  return `${route.kind === 'direct' ? 'direct' : `${route.kind} ${formatProxy(route.proxy)}`} by ${source}`;
}

describe('precedence', () => {
  test.each<[string, RouteSettings, string, string]>([
    [
      'explicit beats the environment',
      { http_proxy: 'mine', env: ENV },
      URL_HTTP,
      'forward http://mine:80 by option http_proxy',
    ],
    [
      'explicit covers https',
      { http_proxy: 'mine', env: ENV },
      URL_HTTPS,
      'tunnel http://mine:80 by option http_proxy',
    ],
    [
      'explicit ignores no_proxy',
      { http_proxy: 'mine', env: ENV },
      'http://local.example/',
      'forward http://mine:80 by option http_proxy',
    ],
    [
      'explicit noProxy applies',
      { http_proxy: 'mine', noProxy: 'origin.example', env: ENV },
      URL_HTTP,
      'direct by option noProxy',
    ],
    [
      'noProxy inside applies',
      { http_proxy: { url: 'mine', noProxy: ['origin.example'] } },
      URL_HTTP,
      'direct by option http_proxy.noProxy',
    ],
    [
      'both noProxy apply',
      { http_proxy: { url: 'mine', noProxy: 'a.example' }, noProxy: 'origin.example' },
      URL_HTTP,
      'direct by option noProxy',
    ],
    [
      'noProxy applies to the environment',
      { noProxy: 'origin.example', env: ENV },
      URL_HTTP,
      'direct by option noProxy',
    ],
    [
      'noProxy replaces no_proxy',
      { noProxy: 'a.example', env: ENV },
      'http://local.example/',
      'forward http://env-http:80 by env:http_proxy',
    ],
    [
      'an empty noProxy switches no_proxy off',
      { noProxy: [], env: ENV },
      'http://local.example/',
      'forward http://env-http:80 by env:http_proxy',
    ],
    [
      'noProxy replaces the system list',
      { noProxy: '', env: {}, system: SYSTEM },
      'http://sys-local.example/',
      'forward http://sys-http:80 by system',
    ],
    ['null is direct', { http_proxy: null, env: ENV, system: SYSTEM }, URL_HTTP, 'direct by option http_proxy'],
    [
      'undefined inherits',
      { http_proxy: undefined, env: ENV },
      URL_HTTP,
      'forward http://env-http:80 by env:http_proxy',
    ],
    [
      'the environment beats the system',
      { env: ENV, system: SYSTEM },
      URL_HTTPS,
      'tunnel http://env-https:80 by env:https_proxy',
    ],
    [
      'trustEnv: false skips the environment',
      { trustEnv: false, env: ENV, system: SYSTEM },
      URL_HTTPS,
      'tunnel http://sys-https:80 by system',
    ],
    [
      'trustEnv: false skips no_proxy',
      { trustEnv: false, env: { no_proxy: '*' }, system: SYSTEM },
      URL_HTTPS,
      'tunnel http://sys-https:80 by system',
    ],
    [
      'no_proxy applies to the system',
      { env: { no_proxy: 'origin.example' }, system: SYSTEM },
      URL_HTTPS,
      'direct by env:no_proxy',
    ],
    ['the system has its own list', { env: {}, system: SYSTEM }, 'http://sys-local.example/', 'direct by system'],
    ['nothing is direct', { env: {} }, URL_HTTP, 'direct by none'],
    [
      'labels are used',
      { http_proxy: 'mine', source: 'setHttpProxy', env: {} },
      URL_HTTP,
      'forward http://mine:80 by setHttpProxy',
    ],
    [
      'labels of the system',
      { env: {}, system: { http: 'x', source: 'macOS' } },
      URL_HTTP,
      'forward http://x:80 by macOS',
    ],
    [
      'URL objects',
      { http_proxy: new URL('https://mine:8443') },
      URL_HTTP,
      'forward https://mine:8443 by option http_proxy',
    ],
    ['http over SOCKS', { http_proxy: 'socks5://mine' }, URL_HTTP, 'socks socks5://mine:1080 by option http_proxy'],
    ['https over SOCKS', { http_proxy: 'socks4a://mine' }, URL_HTTPS, 'socks socks4a://mine:1080 by option http_proxy'],
    ['ws is tunnelled', { http_proxy: 'mine' }, 'ws://origin.example/', 'tunnel http://mine:80 by option http_proxy'],
    [
      'wss is tunnelled',
      { http_proxy: 'https://mine' },
      'wss://origin.example/',
      'tunnel https://mine:443 by option http_proxy',
    ],
  ])('%s', (_name, settings, url, answer) => {
    expect(ask(url, settings)).toBe(answer);
  });

  test.each([
    ['http', 'http://a.example/', 'forward http://sys-http:80'],
    ['https', 'https://a.example/', 'tunnel http://sys-https:80'],
    ['ws', 'ws://a.example/', 'socks socks5h://sys-socks:1080'],
    ['wss', 'wss://a.example/', 'socks socks5h://sys-socks:1080'],
  ])('takes the system proxy for %s', (_scheme, url, way) => {
    expect(ask(url, { env: {}, system: SYSTEM })).toBe(`${way} by system`);
  });

  test.each([
    ['http', { socks: 'http://s' }, 'http://a.example/', 'socks socks5h://s:1080 by system'],
    ['https', { http: 'h', socks: 's' }, 'https://a.example/', 'socks socks5h://s:1080 by system'],
    ['https without a fallback to http', { http: 'h' }, 'https://a.example/', 'direct by none'],
    ['ws', { http: 'h', https: ' ' }, 'ws://a.example/', 'tunnel http://h:80 by system'],
    ['wss', { http: 'h' }, 'wss://a.example/', 'direct by none'],
  ])('falls back for %s', (_scheme, system, url, answer) => {
    expect(ask(url, { env: {}, system })).toBe(answer);
  });

  test('reads process.env at the time of the call', () => {
    expect(ask(URL_HTTP, {})).toBe('direct by none');
    process.env.http_proxy = 'http://from-process:1';
    try {
      expect(ask(URL_HTTP, {})).toBe('forward http://from-process:1 by env:http_proxy');
      expect(ask(URL_HTTP, { env: {} })).toBe('direct by none');
    } finally {
      delete process.env.http_proxy;
    }
  });

  test('gives the identical proxy for equal settings, whatever their form', () => {
    const ways: readonly RouteSettings[] = [
      { http_proxy: 'http://u:p@same.example:1' },
      { env: { http_proxy: 'http://u:p@same.example:1' } },
      { http_proxy: { http: 'http://u:p@same.example:1' } },
      { http_proxy: { url: 'http://u:p@same.example:1' } },
    ];
    const proxies = ways.map((settings) => Reflect.get(resolveRoute(URL_HTTP, settings), 'proxy'));
    expect(new Set(proxies).size).toBe(1);
    const options = () => ({
      url: 'http://same.example:1',
      auth: { username: 'u', password: 'p' },
      headers: { 'X-A': 'b' },
    });
    const [first, second] = [
      resolveRoute(URL_HTTP, { http_proxy: options() }),
      resolveRoute(URL_HTTP, { http_proxy: options() }),
    ];
    expect(Reflect.get(first, 'proxy')).toBe(Reflect.get(second, 'proxy'));
  });
});

describe('a map', () => {
  const FULL = {
    'https://origin.example:8443': 'p1',
    'https://origin.example': 'p2',
    https: 'p3',
    'all://origin.example': 'p4',
    all: 'p5',
  };

  test.each([
    ['https://origin.example:8443/', [], 'p1'],
    ['https://origin.example:8443/', ['https://origin.example:8443'], 'p2'],
    ['https://origin.example/', [], 'p2'],
    ['https://origin.example:8443/', ['https://origin.example:8443', 'https://origin.example'], 'p3'],
    ['https://other.example/', [], 'p3'],
    ['https://origin.example/', ['https://origin.example', 'https'], 'p4'],
    ['http://origin.example/', [], 'p4'],
    ['wss://origin.example/', [], 'p4'],
    ['ws://sub.origin.example/', [], 'p5'],
  ])('sends %s, without the keys %j, to %s', (url, without: readonly string[], proxy) => {
    const map = Object.fromEntries(Object.entries(FULL).filter(([key]) => !without.includes(key)));
    const route = resolveRoute(url, { http_proxy: map, env: {} });
    expect(route.kind === 'direct' ? undefined : route.proxy.host).toBe(proxy);
  });

  test.each([
    ['HTTPS://Origin.Example', 'https://origin.example/'],
    ['https://origin.example.', 'https://origin.example/'],
    ['https://origin.example', 'https://origin.example./'],
    ['https://origin.example:443', 'https://origin.example/'],
    ['http://origin.example:80', 'http://origin.example/'],
    ['ws://origin.example:80', 'ws://origin.example/'],
    ['https://bücher.example', 'https://xn--bcher-kva.example/'],
    ['https://[0:0::1]:443', 'https://[::1]/'],
    ['all://[::1]', 'http://[::1]:8080/'],
    ['http://[::ffff:10.0.0.1]', 'http://10.0.0.1/'],
    ['WSS', 'wss://origin.example/'],
  ])('finds the key %j for %s', (key, url) => {
    expect(ask(url, { http_proxy: { [key]: 'p' }, env: {} })).toMatch(/http:\/\/p:80 by option http_proxy$/);
    expect(explainRoute(url, { http_proxy: { [key]: 'p' }, env: {} }).rule).toBe(`key '${key}'`);
  });

  test.each<[string, RouteSettings['http_proxy'], string, string]>([
    ['null is direct for a scheme', { https: null, all: 'p' }, URL_HTTPS, 'direct by option http_proxy'],
    [
      'null is direct for a host',
      { 'https://origin.example': null, https: 'p' },
      URL_HTTPS,
      'direct by option http_proxy',
    ],
    ['undefined looks further', { https: undefined, all: 'p' }, URL_HTTPS, 'tunnel http://p:80 by option http_proxy'],
    [
      'without a key the environment decides',
      { http: 'p' },
      URL_HTTPS,
      'tunnel http://env-https:80 by env:https_proxy',
    ],
    [
      'http does not cover https',
      { http: 'p' },
      'wss://origin.example/',
      'tunnel http://env-https:80 by env:https_proxy',
    ],
    ['an empty map says nothing', {}, URL_HTTP, 'forward http://env-http:80 by env:http_proxy'],
    ['noProxy applies', { all: 'p', noProxy: 'origin.example' }, URL_HTTP, 'direct by option http_proxy.noProxy'],
    [
      'noProxy alone applies to the environment',
      { noProxy: 'origin.example' },
      URL_HTTP,
      'direct by option http_proxy.noProxy',
    ],
    ['no_proxy does not apply', { all: 'p' }, 'http://local.example/', 'forward http://p:80 by option http_proxy'],
  ])('%s', (_name, http_proxy, url, answer) => {
    expect(ask(url, { http_proxy, env: { ...ENV, wss_proxy: undefined } })).toBe(answer);
  });

  test.each([
    [{ ftp: 'p' }],
    [{ socks: 'p' }],
    [{ no_proxy: 'p' }],
    [{ 'https://': 'p' }],
    [{ 'https://a.example/': 'p' }],
    [{ 'https://a.example/path': 'p' }],
    [{ 'https://user:secret@a.example': 'p' }],
    [{ 'all://a.example:80': 'p' }],
    [{ 'ftp://a.example': 'p' }],
    [{ 'https://*.example': undefined, 'https://a b': 'p' }],
    [{ 'https://a.example:0x50': 'p' }],
    [{ 'https://a.example:99999': 'p' }],
    [{ 'a.example': 'p' }],
    [{ 'https:/a.example': 'p' }],
    [{ 'https://::1': 'p' }],
    [{ '': 'p' }],
    [{ 'user:secret@proxy:1': 'p' }],
    [{ scheme: 'http', host: 'proxy', port: 80 }],
    [{ http: 'p', HTTP: 'q' }],
    [{ 'http://a.example': 'p', 'http://A.example.': 'q' }],
  ])('refuses %j', (http_proxy) => {
    const error = catchError(() => Reflect.apply(resolveRoute, undefined, [URL_HTTP, { http_proxy, env: {} }]));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'http_proxy' });
    expect(error.message).not.toContain('secret');
  });

  test('names the key of a value that cannot be used, and only when a request needs it', () => {
    const settings = { http_proxy: { http: 'good', https: '' }, env: {} };
    expect(resolveRoute(URL_HTTP, settings).kind).toBe('forward');
    const error = catchError(() => resolveRoute(URL_HTTPS, settings));
    expect(error).toBeInstanceOf(InvalidProxyUrlError);
    expect(error).toMatchObject({ source: "option http_proxy['https']" });
  });
});

describe('options', () => {
  test('give credentials and headers to the proxy', () => {
    const auth = { username: 'us@er', password: 'p:/%' };
    const headers = { 'X-Team': 'blue' };
    const route = resolveRoute(URL_HTTP, { http_proxy: { url: 'http://proxy:3128', auth, headers } });
    if (route.kind === 'direct') throw new Error('went direct');
    expect(route.proxy.credentials?.username).toBe('us@er');
    expect(route.proxy.credentials?.password).toBe('p:/%');
    expect(Object.entries(route.proxy.headers ?? {})).toEqual([['X-Team', 'blue']]);
    expect({ ...route.proxy.headers }).toEqual({ 'X-Team': 'blue' });
    const names: string[] = [];
    for (const name in route.proxy.headers) names.push(name);
    expect(names).toEqual(['X-Team']);
    expect(formatProxy(route.proxy)).toBe('http://us%40er:***@proxy:3128');
  });

  test('keep credentials of the url beside headers, and leave empty headers out', () => {
    const route = resolveRoute(URL_HTTP, { http_proxy: { url: 'http://u:p@proxy', headers: { A: 'b' } } });
    expect(route.kind === 'direct' ? undefined : route.proxy.credentials?.password).toBe('p');
    expect(resolveRoute(URL_HTTP, { http_proxy: { url: 'proxy', headers: {} } })).toStrictEqual(
      resolveRoute(URL_HTTP, { http_proxy: 'proxy' }),
    );
  });

  test.each<[string, unknown]>([
    ['http_proxy.auth', { url: 'http://u:p@proxy', auth: { username: 'a', password: 'secret' } }],
    ['http_proxy.auth', { url: 'http://u@proxy', auth: { username: 'a', password: 'secret' } }],
    ['http_proxy.auth', { url: 'http://proxy', auth: { username: 'a:b', password: 'secret' } }],
    ['http_proxy.auth', { url: 'http://proxy', auth: { username: 'a', password: 'secret\n' } }],
    ['http_proxy.auth', { url: 'http://proxy', auth: { username: 'a', password: 'secret\ud800' } }],
    ['http_proxy.auth', { url: 'http://proxy', auth: { username: '', password: '' } }],
    ['http_proxy.auth', { url: 'http://proxy', auth: { username: 'a' } }],
    ['http_proxy.auth', { url: 'http://proxy', auth: { username: 'a', password: 1 } }],
    ['http_proxy.auth', { url: 'http://proxy', auth: 'a:secret' }],
    ['http_proxy.auth', { url: 'http://proxy', auth: null }],
    ['http_proxy.auth', { url: 'socks5://proxy', auth: { username: 'a', password: 'secret'.repeat(43) } }],
    ['http_proxy.headers', { url: 'http://proxy', headers: ['a: secret'] }],
    ['http_proxy.headers', { url: 'http://proxy', headers: null }],
    ['http_proxy.headers', { url: 'http://proxy', headers: { 'a b': 'secret' } }],
    ['http_proxy.headers', { url: 'http://proxy', headers: { toJSON: 'secret' } }],
    ['http_proxy.headers', { url: 'http://proxy', headers: { a: 'secret\r\nb: c' } }],
    ['http_proxy.headers', { url: 'http://proxy', headers: { a: 'secret\u20ac' } }],
    ['http_proxy.headers', { url: 'http://proxy', headers: { a: 1 } }],
    ['http_proxy.headers', { url: 'http://proxy', headers: { a: 'secret', A: 'secret' } }],
    ['http_proxy.headers', { url: 'http://u:p@proxy', headers: { 'proxy-authorization': 'Basic secret' } }],
    ['http_proxy.headers', { url: 'socks5://proxy', headers: { a: 'secret' } }],
    ['http_proxy', { url: 'http://proxy', password: 'secret' }],
    ['http_proxy.noProxy', { url: 'http://proxy', noProxy: 1 }],
    ['http_proxy.noProxy', { url: 'http://proxy', noProxy: null }],
    ['http_proxy.noProxy', { all: 'http://proxy', noProxy: new URL('http://a.example') }],
  ])('%s is refused in %j', (option, http_proxy) => {
    const error = catchError(() => Reflect.apply(resolveRoute, undefined, [URL_HTTP, { http_proxy, env: {} }]));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option });
    expect(`${error.message} ${error.stack}`).not.toContain('secret');
  });

  test.each(['Host', 'content-length', 'Transfer-Encoding', 'CONNECTION', 'Keep-Alive', 'TE', 'Trailer', 'Upgrade'])(
    'the header %s for the proxy is refused by its name',
    (name) => {
      const http_proxy = { url: 'http://proxy', headers: { 'X-A': 'b', [name]: 'secret' } };
      const error = catchError(() => resolveRoute(URL_HTTPS, { http_proxy, env: {} }));
      expect(error).toBeInstanceOf(InvalidOptionError);
      expect(error).toMatchObject({
        option: 'http_proxy.headers',
        reason: `${name} is written by the client itself; leave it out`,
      });
      expect(`${error.message} ${error.stack}`).not.toContain('secret');
    },
  );

  test.each<[unknown]>([
    [''],
    [' '],
    [false],
    [true],
    [0],
    [3128],
    [['http://proxy']],
    [new Map([['http', 'http://proxy']])],
    [() => 'http://proxy'],
    [Symbol('proxy')],
    [{ url: '' }],
    [{ url: undefined }],
    [{ url: null }],
    [{ url: 7 }],
    [{ http: '' }],
    [{ http: false }],
    [{ http: { url: 'http://proxy' } }],
    ['ftp://proxy'],
  ])('http_proxy: %p is refused, never direct', (http_proxy) => {
    for (const ask of [resolveRoute, explainRoute]) {
      const error = catchError(() =>
        Reflect.apply(ask, undefined, [URL_HTTP, { http_proxy, env: {}, source: 'constructor http_proxy' }]),
      );
      expect(error).toBeInstanceOf(InvalidProxyUrlError);
      expect(error).toMatchObject({ source: expect.stringMatching(/^constructor http_proxy/) });
    }
  });

  test.each<[string, Record<string, unknown>]>([
    ['noProxy', { noProxy: 5 }],
    ['noProxy', { noProxy: null }],
    ['noProxy', { noProxy: ['a', 5] }],
    ['noProxy', { noProxy: 'good.example, foo.*.com' }],
    ['noProxy', { noProxy: ['http://user:secret@a.example'] }],
    ['noProxy', { noProxy: '192.168.' }],
    ['noProxy', { noProxy: '10.0.0.0/40' }],
    ['noProxy', { noProxy: 'a.example/path', http_proxy: null }],
    ['trustEnv', { trustEnv: 'no' }],
    ['env', { env: 'http_proxy=p' }],
    ['env', { env: { http_proxy: 'p', no_proxy: 1 } }],
    ['system', { system: 'p' }],
    ['system', { system: null }],
    ['system.source', { system: { source: 1 } }],
    ['system.bypass', { env: {}, system: { http: 'p', bypass: 1 } }],
    ['source', { source: 1 }],
  ])('%s is refused in %j', (option, settings) => {
    const error = catchError(() => Reflect.apply(resolveRoute, undefined, [URL_HTTP, settings]));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ option });
    expect(error.message).not.toContain('secret');
  });

  test('an unusable noProxy entry is named with the forms that are accepted', () => {
    expect(catchError(() => resolveRoute(URL_HTTP, { noProxy: 'a.example, foo.*.com' })).message).toBe(
      "The option noProxy cannot be used: the entry 'foo.*.com' can never match, because it has a wildcard elsewhere than " +
        'in front, as in *.example.com. An entry is host, .host, *.host, address or address/bits, each with an optional ' +
        ':port, or *.',
    );
  });
});

describe('a broken variable', () => {
  const BROKEN: Environment = { https_proxy: 'http://user:secret@:1', http_proxy: 'good', no_proxy: 'local.example' };

  test('stops a request that needs it', () => {
    const error = catchError(() => resolveRoute(URL_HTTPS, { env: BROKEN }));
    expect(error).toBeInstanceOf(InvalidProxyUrlError);
    expect(error).toMatchObject({ source: 'env:https_proxy' });
  });

  test.each([
    ['another scheme', URL_HTTP, BROKEN],
    ['a bypassed host', 'https://local.example/', BROKEN],
    ['an earlier variable', 'wss://origin.example/', { ...BROKEN, wss_proxy: 'good' }],
  ])('does no harm to %s', (_name, url, env) => {
    expect(() => resolveRoute(url, { env })).not.toThrow();
  });
});
