import { inspect } from 'node:util';
import {
  explainRoute,
  formatProxy,
  getEnvironProxies,
  type HttpProxy,
  parseProxyUrl,
  resolveRoute,
} from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { catchError } from './catch-error.ts';
import { print } from './print.ts';

const URL_HTTP = 'http://origin.example/';
const PLAIN = 'hunter two%';
const ESCAPED = 'hunter%20two%25';
const VALUE = `http://user:${ESCAPED}@proxy.example:3128`;
const OPTIONS = {
  url: 'http://proxy.example',
  auth: { username: 'user', password: PLAIN },
  headers: { 'X-Token': 'header-secret' },
};
const AUTHORIZED = { url: 'http://proxy.example', headers: { 'Proxy-Authorization': 'Basic header-secret' } };

function routeFor(http_proxy: HttpProxy): object {
  return resolveRoute(URL_HTTP, { http_proxy, env: {} });
}

function failFor(http_proxy: HttpProxy): Error {
  return catchError(() => resolveRoute(URL_HTTP, { http_proxy, env: {} }));
}

describe('passwords and header values are not in', () => {
  test.each<[string, () => unknown]>([
    ['a proxy server', () => parseProxyUrl(VALUE)],
    ['its credentials', () => parseProxyUrl(VALUE).credentials],
    ['a copy of its credentials', () => ({ ...parseProxyUrl(VALUE).credentials })],
    ['a clone of it', () => structuredClone(Object.assign({}, parseProxyUrl(VALUE).credentials))],
    ['its text', () => formatProxy(parseProxyUrl(VALUE))],
    ['a token as user name', () => formatProxy(parseProxyUrl(`http://${ESCAPED}@proxy`))],
    ['credentials that are a token', () => parseProxyUrl(`http://${ESCAPED}:@proxy`)],
    ['a route', () => routeFor(VALUE)],
    ['a route from an URL', () => routeFor(new URL(VALUE))],
    ['a route from a map', () => routeFor({ all: VALUE })],
    ['a route from options', () => routeFor(OPTIONS)],
    ['a route with headers', () => routeFor(AUTHORIZED)],
    ['the headers', () => Reflect.get(Reflect.get(routeFor(OPTIONS), 'proxy'), 'headers')],
    ['an explanation', () => explainRoute(URL_HTTP, { http_proxy: OPTIONS })],
    [
      'an explanation from the environment',
      () => explainRoute(URL_HTTP, { env: { http_proxy: VALUE, no_proxy: VALUE } }),
    ],
    [
      'an explanation from the system',
      () => explainRoute(URL_HTTP, { env: {}, system: { http: VALUE, bypass: [VALUE] } }),
    ],
    ['the environment', () => getEnvironProxies({ http_proxy: VALUE, no_proxy: VALUE })],
    ['one variable', () => getEnvironProxies({ http_proxy: VALUE }).http],
    ['an error about the port', () => failFor(`http://user:${ESCAPED}@proxy:0`)],
    ['an error about the host', () => failFor(`http://user:${ESCAPED}@`)],
    ['an error about the path', () => failFor(`${VALUE}/path`)],
    ['an error about the scheme', () => failFor(`gopher://user:${ESCAPED}@proxy`)],
    ['an error about an escape', () => failFor(`http://user:${ESCAPED}%@proxy`)],
    ['an error about a raw slash', () => failFor(`http://user:${ESCAPED}/@proxy`)],
    ['an error about a raw @ and slash', () => failFor('http://user:x@hunter/two@proxy.example')],
    ['an error about a raw hash', () => failFor(`http://user:${ESCAPED}#@proxy`)],
    ['an error about a forgotten host', () => failFor(`http://user:${ESCAPED}`)],
    ['an error about a control character', () => failFor(`http://user:${ESCAPED}\u0001@proxy`)],
    ['an error about a SOCKS password', () => failFor(`socks5://user:${ESCAPED.repeat(40)}@proxy`)],
    ['an error about two passwords', () => failFor({ ...OPTIONS, url: VALUE })],
    ['an error about two authorizations', () => failFor({ ...AUTHORIZED, url: VALUE })],
    ['an error about a header', () => failFor({ url: 'http://proxy', headers: { A: 'header-secret\n' } })],
    ['an error about an auth', () => failFor({ url: 'http://proxy', auth: { username: 'a:b', password: PLAIN } })],
    ['an error about a key', () => failFor({ [VALUE]: 'p' })],
    ['an error about a noProxy entry', () => failFor({ url: 'http://proxy', noProxy: VALUE })],
    ['an error about a variable', () => catchError(() => resolveRoute(URL_HTTP, { env: { http_proxy: `${VALUE}x` } }))],
    ['an error about the URL', () => catchError(() => resolveRoute(`ftp://user:${ESCAPED}@origin.example/`))],
    ['an error about a malformed URL', () => catchError(() => resolveRoute(`http://user:${ESCAPED}@:1:2/`))],
  ])('%s', (_name, make) => {
    const printed = print(make());
    expect(printed).not.toBe('');
    for (const secret of [PLAIN, ESCAPED, encodeURIComponent(PLAIN), 'hunter', 'header-secret']) {
      expect(printed).not.toContain(secret);
    }
  });

  test('but can be read by those who ask for them', () => {
    const route = resolveRoute(URL_HTTP, { http_proxy: OPTIONS });
    if (route.kind === 'direct') throw new Error('went direct');
    expect(route.proxy.credentials?.password).toBe(PLAIN);
    expect(route.proxy.headers?.['X-Token']).toBe('header-secret');
    expect(getEnvironProxies({ http_proxy: VALUE }).http?.value).toBe(VALUE);
  });

  test('what is printed instead is still of use', () => {
    const { credentials, headers } = { headers: undefined, ...Reflect.get(routeFor(OPTIONS), 'proxy') };
    expect(inspect(credentials)).toBe("{ username: 'user', password: '***' }");
    expect(String(credentials)).toBe('user:***');
    expect(inspect(headers)).toBe("{ 'X-Token': '***' }");
    expect(JSON.stringify(getEnvironProxies({ HTTP_PROXY: VALUE, no_proxy: 'a.example, b.example' }))).toBe(
      '{"http":{"variable":"HTTP_PROXY","value":"http://***@proxy.example:3128"},' +
        '"no":{"variable":"no_proxy","value":"a.example, b.example"}}',
    );
  });
});
