import {
  type Environment,
  type EnvironProxies,
  getEnvironProxies,
  InvalidOptionError,
  InvalidProxyUrlError,
  resolveRoute,
} from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { catchError } from './catch-error.ts';

function list(proxies: EnvironProxies): Record<string, string> {
  return Object.fromEntries(
    Object.entries(proxies).map(([name, { variable, value }]) => [name, `${variable}=${value}`]),
  );
}

describe('getEnvironProxies', () => {
  test.each<[string, Environment, Record<string, string>]>([
    ['nothing', {}, {}],
    [
      'every name',
      {
        http_proxy: 'a',
        https_proxy: 'b',
        ws_proxy: 'c',
        wss_proxy: 'd',
        socks_proxy: 'e',
        all_proxy: 'f',
        no_proxy: 'g',
      },
      {
        http: 'http_proxy=a',
        https: 'https_proxy=b',
        ws: 'ws_proxy=c',
        wss: 'wss_proxy=d',
        socks: 'socks_proxy=e',
        all: 'all_proxy=f',
        no: 'no_proxy=g',
      },
    ],
    ['lower case first', { HTTP_PROXY: 'U', http_proxy: 'l', Http_Proxy: 'm' }, { http: 'http_proxy=l' }],
    ['then upper case', { HTTP_PROXY: 'U', Http_Proxy: 'm', hTTP_PROXY: 'n' }, { http: 'HTTP_PROXY=U' }],
    ['then code-unit order, wherever it stands', { HTTP_proxy: 'k', Http_Proxy: 'm' }, { http: 'HTTP_proxy=k' }],
    ['then code-unit order', { hTTP_PROXY: 'n', Http_Proxy: 'm', HTTP_proxy: 'k' }, { http: 'HTTP_proxy=k' }],
    ['an empty spelling hides the next', { http_proxy: '', HTTP_PROXY: 'U', HTTPS_PROXY: ' ', Https_Proxy: 'x' }, {}],
    [
      'an undefined one does not exist',
      { http_proxy: undefined, HTTP_PROXY: 'U', HTTPS_PROXY: undefined, Https_Proxy: 'x', Wss_Proxy: undefined },
      { http: 'HTTP_PROXY=U', https: 'Https_Proxy=x' },
    ],
    [
      'other names do not count',
      { npm_config_proxy: 'n', ftp_proxy: 'f', proxy: 'p', http_proxy_: 'x', xhttp_proxy: 'y' },
      {},
    ],
    ['CGI: exact http_proxy only', { REQUEST_METHOD: 'GET', HTTP_PROXY: 'evil', Http_Proxy: 'evil' }, {}],
    [
      'CGI: http_proxy counts',
      { REQUEST_METHOD: 'GET', http_proxy: 'l', HTTP_PROXY: 'evil' },
      { http: 'http_proxy=l' },
    ],
    ['CGI: also with an empty method', { REQUEST_METHOD: '', HTTP_PROXY: 'evil' }, {}],
    [
      'CGI: other names are untouched',
      { REQUEST_METHOD: 'GET', HTTPS_PROXY: 's', ALL_PROXY: 'a', NO_PROXY: 'n' },
      { https: 'HTTPS_PROXY=s', all: 'ALL_PROXY=a', no: 'NO_PROXY=n' },
    ],
  ])('%s', (_name, env, expected) => {
    expect(list(getEnvironProxies(env))).toEqual(expected);
  });

  test('without case, as on Windows, CGI takes http away altogether', () => {
    const values: Record<string, string> = { HTTP_PROXY: 'evil', REQUEST_METHOD: 'GET', ALL_PROXY: 'a' };
    const windows = new Proxy(values, { get: (target, name) => target[String(name).toUpperCase()] });
    expect(list(getEnvironProxies(windows))).toEqual({ all: 'all_proxy=a' });
    delete values.REQUEST_METHOD;
    expect(list(getEnvironProxies(windows))).toEqual({ http: 'http_proxy=evil', all: 'all_proxy=a' });
  });

  test.each([
    ['http as a proxy for https', { REQUEST_METHOD: 'GET', HTTP_PROXY: 'evil' }, 'https://a.example/'],
    ['http as a proxy for ws', { REQUEST_METHOD: 'GET', HTTP_PROXY: 'evil' }, 'ws://a.example/'],
  ])('CGI also keeps HTTP_PROXY from serving %s', (_name, env, url) => {
    expect(resolveRoute(url, { env })).toEqual({ kind: 'direct' });
  });

  test('lists the environment only where neither usual spelling exists', () => {
    let listed = 0;
    const env = new Proxy<Record<string, string>>(
      { HTTP_PROXY: 'p', no_proxy: 'a.example' },
      {
        ownKeys: (target) => {
          listed += 1;
          return Reflect.ownKeys(target);
        },
      },
    );
    resolveRoute('http://origin.example/', { env });
    expect(listed).toBe(0);
    resolveRoute('wss://origin.example/', { env });
    expect(listed).toBe(1);
  });

  test('refuses an environment that is none, and values that are not text', () => {
    const ask = (env: unknown) => catchError(() => Reflect.apply(getEnvironProxies, undefined, [env]));
    for (const env of ['http_proxy=p', 1, true]) expect(ask(env)).toBeInstanceOf(InvalidOptionError);
    expect(ask({ https_proxy: 1 })).toBeInstanceOf(InvalidProxyUrlError);
    expect(ask({ https_proxy: 1 })).toMatchObject({ source: 'env:https_proxy' });
    expect(ask({ no_proxy: {} })).toBeInstanceOf(InvalidOptionError);
  });
});

describe('a value', () => {
  test.each([
    ['http_proxy', 'proxy:1', 'http', 'http'],
    ['http_proxy', ' https://proxy:1 ', 'https', 'http'],
    ['all_proxy', 'socks4a://proxy:1', 'socks4a', 'http'],
    ['socks_proxy', 'proxy:1', 'socks5h', 'ws'],
    ['socks_proxy', 'http://proxy:1', 'socks5h', 'ws'],
    ['socks_proxy', 'HTTP://proxy:1', 'socks5h', 'ws'],
    ['SOCKS_PROXY', 'socks4://proxy:1', 'socks4', 'wss'],
    ['socks_proxy', 'https://proxy:1', 'https', 'wss'],
  ])('%s=%s is a %s proxy', (variable, value, scheme, target) => {
    const route = resolveRoute(`${target}://origin.example/`, { env: { [variable]: value } });
    expect(route.kind === 'direct' ? undefined : `${route.proxy.scheme}:${route.proxy.port}`).toBe(`${scheme}:1`);
  });

  test('of socks_proxy has the default port of SOCKS', () => {
    const route = resolveRoute('wss://origin.example/', { env: { socks_proxy: 'http://proxy' } });
    expect(route).toEqual({ kind: 'socks', proxy: { scheme: 'socks5h', host: 'proxy', port: 1080 } });
  });

  test('of socks_proxy plays no part for http and https', () => {
    expect(resolveRoute('https://origin.example/', { env: { socks_proxy: 'p' } }).kind).toBe('direct');
  });
});
