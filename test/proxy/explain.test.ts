import { explainRoute, type RouteSettings } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';

const HTTP = 'http://origin.example/';
const HTTPS = 'https://origin.example/';

describe('explainRoute', () => {
  test('tells the whole story', () => {
    const env = {
      HTTPS_PROXY: '',
      all_proxy: 'http://user:secret@proxy.example:3128',
      no_proxy: 'a.example, foo.*.com',
    };
    expect(
      JSON.parse(JSON.stringify(explainRoute('https://user:secret@origin.example/?token=secret', { env }))),
    ).toEqual({
      route: {
        kind: 'tunnel',
        proxy: {
          scheme: 'http',
          host: 'proxy.example',
          port: 3128,
          credentials: { username: 'user', password: '***' },
        },
      },
      source: 'env:all_proxy',
      rule: 'the first variable for https URLs that has a value',
      considered: [
        { source: 'option http_proxy', reason: 'is not given' },
        { source: 'env:HTTPS_PROXY', reason: 'is empty' },
        { source: 'env:no_proxy', reason: 'has no entry that matches origin.example' },
      ],
      warnings: [
        "env:no_proxy: 'foo.*.com' never matches, because it has a wildcard elsewhere than in front, as in *.example.com",
      ],
    });
  });

  test.each<[string, string, RouteSettings, string[]]>([
    [
      'an explicit proxy',
      HTTP,
      { http_proxy: 'p', source: 'call http_proxy' },
      ['environment: is not read: call http_proxy wins'],
    ],
    ['an explicit null', HTTP, { http_proxy: null }, ['environment: is not read: option http_proxy wins']],
    [
      'a map without a key',
      HTTP,
      { http_proxy: { https: 'p' }, trustEnv: false },
      ['option http_proxy: has no key for http://origin.example:80', 'environment: is not read: trustEnv is false'],
    ],
    [
      'an explicit bypass',
      HTTP,
      { http_proxy: 'p', noProxy: 'a.example' },
      ['environment: is not read: option http_proxy wins', 'option noProxy: has no entry that matches origin.example'],
    ],
    [
      'the whole way to the system',
      HTTPS,
      { env: { https_proxy: '' }, system: { socks: 's', bypass: ['b.example'] } },
      [
        'option http_proxy: is not given',
        'env:https_proxy: is empty',
        'env:all_proxy: is not set',
        'env:http_proxy: is not set',
        'system: has no https proxy',
        'env:no_proxy: is not set',
        'system: has no entry that matches origin.example',
      ],
    ],
    [
      'nothing set',
      'wss://origin.example/',
      { env: {} },
      [
        'option http_proxy: is not given',
        'env:wss_proxy: is not set',
        'env:socks_proxy: is not set',
        'env:https_proxy: is not set',
        'env:all_proxy: is not set',
      ],
    ],
  ])('lists what it passed over: %s', (_name, url, settings, expected) => {
    expect(explainRoute(url, settings).considered.map(({ source, reason }) => `${source}: ${reason}`)).toEqual(
      expected,
    );
  });

  test.each<[string, string, RouteSettings, string[]]>([
    ['nothing odd', HTTP, { env: { http_proxy: 'http://p', no_proxy: 'a.example' } }, []],
    [
      'a proxy for other schemes only',
      HTTP,
      { env: { HTTPS_PROXY: 'p', wss_proxy: 'p', ws_proxy: '' } },
      ['env:HTTPS_PROXY is set, but not for http URLs', 'env:wss_proxy is set, but not for http URLs'],
    ],
    [
      'http_proxy for wss',
      'wss://origin.example/',
      { env: { http_proxy: 'p' } },
      ['env:http_proxy is set, but not for wss URLs'],
    ],
    [
      'CGI',
      HTTP,
      { env: { REQUEST_METHOD: 'GET', HTTP_PROXY: 'evil' } },
      ['env:HTTP_PROXY is not read: REQUEST_METHOD is set, so it may come from a request header'],
    ],
    [
      'CGI for https',
      HTTPS,
      { env: { REQUEST_METHOD: 'GET', Http_Proxy: 'evil' } },
      ['env:Http_Proxy is not read: REQUEST_METHOD is set, so it may come from a request header'],
    ],
    ['CGI where http_proxy counts', HTTP, { env: { REQUEST_METHOD: 'GET', http_proxy: 'http://p' } }, []],
    ['no scheme', HTTP, { env: { http_proxy: 'p' } }, ['env:http_proxy has no scheme and is taken for http://']],
    [
      'no scheme, SOCKS',
      'wss://origin.example/',
      { env: { socks_proxy: 'p' } },
      ['env:socks_proxy has no scheme and is taken for socks5h://'],
    ],
    [
      'no scheme, option',
      HTTP,
      { http_proxy: { url: 'p' } },
      ['option http_proxy has no scheme and is taken for http://'],
    ],
    [
      'an empty variable hides another',
      HTTP,
      { env: { http_proxy: '', HTTP_PROXY: 'http://p' } },
      ['env:HTTP_PROXY does not count: env:http_proxy exists and is empty'],
    ],
    [
      'an empty no_proxy hides another',
      HTTP,
      { env: { http_proxy: 'http://p', no_proxy: '', NO_PROXY: '*' } },
      ['env:NO_PROXY does not count: env:no_proxy exists and is empty'],
    ],
    [
      'unusable entries',
      HTTP,
      { env: { http_proxy: 'http://p', no_proxy: 'http://u:secret@x.example/y 1.5 10.0.0.0/99 a:b' } },
      [
        "env:no_proxy: 'http://***@x.example' never matches, because it has a scheme",
        "env:no_proxy: '1.5' never matches, because it is part of an IP address or an odd spelling of one; write it like 192.168.0.0/16",
        "env:no_proxy: '10.0.0.0/99' never matches, because its number of bits does not fit the address",
        "env:no_proxy: 'a:b' never matches, because its port is not a number from 1 to 65535",
      ],
    ],
    [
      'an unusable entry of the system',
      HTTP,
      { env: {}, system: { http: 'http://p', bypass: ['<local>x y*'] } },
      [
        "system: '<local>x' never matches, because it is not a host name or an IP address",
        "system: 'y*' never matches, because it has a wildcard elsewhere than in front, as in *.example.com",
      ],
    ],
    [
      'another port',
      HTTP,
      { http_proxy: 'http://p', noProxy: 'origin.example:8080' },
      ["option noProxy: 'origin.example:8080' names port 8080, the request goes to 80"],
    ],
    [
      'the host of a wildcard',
      HTTP,
      { http_proxy: 'http://p', noProxy: '*.origin.example' },
      ["option noProxy: '*.origin.example' matches subdomains only; write origin.example for the host as well"],
    ],
    [
      'a password SOCKS 4 cannot send',
      HTTP,
      { http_proxy: 'socks4://u:secret@p' },
      ['option http_proxy has a password, but SOCKS 4 sends the user name only'],
    ],
    ['a user name SOCKS 4 can send', HTTP, { http_proxy: 'socks4://u@p' }, []],
  ])('warns: %s', (_name, url, settings, expected) => {
    expect(explainRoute(url, settings).warnings).toEqual(expected);
  });

  test.each([
    [{ http_proxy: 'p' }, 'one proxy for every URL'],
    [{ http_proxy: { url: 'p' } }, 'one proxy for every URL'],
    [{ http_proxy: { http: 'p' } }, "key 'http'"],
    [{ http_proxy: { all: null } }, "key 'all': null means direct"],
    [{ http_proxy: null }, 'null means direct'],
    [{ http_proxy: 'p', noProxy: ['x.example', '.ORIGIN.example'] }, "entry '.ORIGIN.example' matches origin.example"],
    [{ env: {}, system: { http: 'p' } }, 'its http proxy'],
    [{ env: {} }, 'no proxy is set for http URLs'],
  ])('gives the rule for %j', (settings: RouteSettings, rule) => {
    expect(explainRoute(HTTP, settings).rule).toBe(rule);
  });
});
