import { checkHttpProxy, formatHttpProxy, formatProxy, type HttpProxy, listProxies } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { catchError } from './catch-error.ts';

/** What a caller without types may give. */
function check(value: unknown): unknown {
  return Reflect.apply(checkHttpProxy, undefined, [value, 'setHttpProxy']);
}

describe('checkHttpProxy', () => {
  test.each<[HttpProxy | undefined]>([
    [undefined],
    [null],
    ['proxy.example'],
    [new URL('socks5://proxy.example')],
    [{ url: 'proxy.example', auth: { username: 'u', password: 'p' }, headers: { 'X-A': 'b' }, noProxy: '*' }],
    [{}],
    [{ all: null, http: undefined, 'https://api.example:8443': 'proxy.example', noProxy: '*' }],
  ])('takes %p', (value) => {
    expect(() => checkHttpProxy(value, 'setHttpProxy')).not.toThrow();
  });

  test.each<[unknown, string]>([
    ['', 'setHttpProxy'],
    [false, 'setHttpProxy'],
    [['proxy.example'], 'setHttpProxy'],
    ['http://user:secret@proxy.example:0', 'setHttpProxy'],
    [{ url: 'ftp://user:secret@proxy.example', noProxy: '*' }, 'setHttpProxy'],
    [{ http: 'proxy.example', wss: 'http://user:secret@' }, "setHttpProxy['wss']"],
    [{ 'https://api.example': 'ftp://secret@proxy.example', noProxy: '*' }, "setHttpProxy['https://api.example']"],
    [{ 'all://api.example': { url: 'proxy.example' } }, "setHttpProxy['all://api.example']"],
    [{ all: 'proxy.example', HTTP: '' }, "setHttpProxy['HTTP']"],
  ])('refuses %p by the name %s', (value, source) => {
    const error = catchError(() => check(value));
    expect(error).toMatchObject({ code: 'ERR_INVALID_PROXY_URL', source });
    expect(`${error.message} ${error.stack}`).not.toContain('secret');
  });

  test.each<[unknown, string]>([
    [{ ftp: 'proxy.example' }, 'http_proxy'],
    [{ http: 'one.example', HTTP: 'two.example' }, 'http_proxy'],
    [{ url: 'proxy.example', port: 3128 }, 'http_proxy'],
    [{ url: 'http://u:p@proxy.example', auth: { username: 'u', password: 'secret' } }, 'http_proxy.auth'],
    [{ url: 'proxy.example', headers: { 'a b': 'secret' }, noProxy: '*' }, 'http_proxy.headers'],
    [{ url: 'proxy.example', noProxy: 'foo.*.com' }, 'http_proxy.noProxy'],
    [{ all: 'proxy.example', noProxy: 5 }, 'http_proxy.noProxy'],
  ])('refuses %p for its %s', (value, option) => {
    const error = catchError(() => check(value));
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option });
    expect(`${error.message} ${error.stack}`).not.toContain('secret');
  });
});

describe('listProxies', () => {
  test.each<[HttpProxy | undefined, readonly string[]]>([
    [undefined, []],
    [null, []],
    [{}, []],
    [{ http: null, all: undefined, noProxy: 'a.example' }, []],
    ['one.example', ['http://one.example:80']],
    [new URL('socks5://one.example'), ['socks5://one.example:1080']],
    [{ url: 'one.example', auth: { username: 'u', password: 'p' }, noProxy: '*' }, ['http://u:***@one.example:80']],
    [
      { wss: 'one.example', 'all://api.example': null, 'https://api.example': 'https://two.example', noProxy: '*' },
      ['http://one.example:80', 'https://two.example:443'],
    ],
  ])('finds in %p: %j', (value, proxies) => {
    expect(listProxies(value).map(formatProxy)).toEqual(proxies);
  });

  test('refuses a proxy that cannot be used', () => {
    const error = catchError(() => listProxies({ http: 'one.example', https: 'ftp://two.example' }));
    expect(error).toMatchObject({ code: 'ERR_INVALID_PROXY_URL', source: "option http_proxy['https']" });
  });
});

describe('formatHttpProxy', () => {
  const FULL = 'http://user:secret@one.example';

  test.each<[HttpProxy | undefined, unknown]>([
    [undefined, undefined],
    [null, null],
    [FULL, 'http://user:***@one.example:80'],
    [new URL(FULL), 'http://user:***@one.example:80'],
    [{ url: FULL, headers: { 'X-A': 'secret' }, noProxy: '*' }, 'http://user:***@one.example:80'],
    [{ url: 'one.example', auth: { username: 'user', password: 'secret' } }, 'http://user:***@one.example:80'],
    [{}, {}],
    [
      { HTTPS: FULL, 'all://api.example': null, http: undefined, noProxy: 'internal.example' },
      { HTTPS: 'http://user:***@one.example:80', 'all://api.example': null, noProxy: 'internal.example' },
    ],
  ])('shows %p as %j', (value, shown) => {
    expect(formatHttpProxy(value)).toEqual(shown);
  });

  test.each<[HttpProxy]>([
    [{ all: 'one.example', noProxy: 'http://user:secret@a.example' }],
    [{ 'http://user:secret@a.example': 'one.example' }],
  ])('shows nothing of %p, which cannot be used', (value) => {
    const error = catchError(() => formatHttpProxy(value));
    expect(`${error.message} ${error.stack}`).not.toContain('secret');
  });
});
