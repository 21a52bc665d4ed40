// Where a redirect leads, and what goes along: RFC 9110 §10.2.2 and §15.4.
import { isRedirect, resolveLocation, survivesRedirect } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';

const BASE = 'https://api.example/v1/items?page=2';

/** As Node hands on the bytes of a header. */
function asHeader(text: string): string {
  return Buffer.from(text).toString('latin1');
}

describe('a Location is resolved', () => {
  test.each([
    ['absolute', 'https://other.example/x?y=1', 'https://other.example/x?y=1'],
    ['absolute, another scheme', 'http://api.example/x', 'http://api.example/x'],
    ['no http at all: for the caller to judge', 'ftp://files.example/x', 'ftp://files.example/x'],
    ['without a scheme', '//other.example:8443/x', 'https://other.example:8443/x'],
    ['an absolute path', '/v2', 'https://api.example/v2'],
    ['a relative path', 'next', 'https://api.example/v1/next'],
    ['one with dots', '../v2/./a', 'https://api.example/v2/a'],
    ['a query alone', '?page=3', 'https://api.example/v1/items?page=3'],
    ['a fragment alone', '#top', `${BASE}#top`],
    ['nothing', '', BASE],
    ['spaces around it', '  /v2  ', 'https://api.example/v2'],
    ['spaces in it', '/a b', 'https://api.example/a%20b'],
    ['percent escapes, which stay', '/a%2Fb%20c', 'https://api.example/a%2Fb%20c'],
    ['the default port, which is dropped', 'https://api.example:443/v2', 'https://api.example/v2'],
  ])('%s: %s', (_, location, expected) => {
    expect(resolveLocation(location, new URL(BASE))?.href).toBe(expected);
  });

  test.each(['https://', 'https://a b/', 'http://[::1', '//:80', 'https://api.example:99999/'])(
    'to null if it is no URL: %s',
    (location) => {
      expect(resolveLocation(location, new URL(BASE))).toBeNull();
    },
  );

  test('without a change to the URL it is seen from', () => {
    const base = new URL('https://user:word@api.example/a#top');
    const { href } = base;
    const resolved = resolveLocation('', base);
    resolved?.searchParams.set('x', '1');
    expect(base.href).toBe(href);
  });
});

describe('bytes beyond ASCII', () => {
  test.each([
    ['UTF-8 in the path', asHeader('/größe/日本'), 'https://api.example/gr%C3%B6%C3%9Fe/%E6%97%A5%E6%9C%AC'],
    ['UTF-8 in the query', asHeader('/?q=größe'), 'https://api.example/?q=gr%C3%B6%C3%9Fe'],
    ['UTF-8 in the host', asHeader('https://bücher.example/'), 'https://xn--bcher-kva.example/'],
    ['latin1, which goes back as it came', '/gr\xf6\xdfe', 'https://api.example/gr%F6%DFe'],
    ['latin1 in the query', '/?q=\xe4', 'https://api.example/?q=%E4'],
    ['UTF-8 that is cut off', '/\xc3\xb6\xc3', 'https://api.example/%C3%B6%C3'],
  ])('%s', (_, location, expected) => {
    expect(resolveLocation(location, new URL(BASE))?.href).toBe(expected);
  });
});

test.each([
  ['inherited', '/b', '#top', '#top'],
  ['inherited by another origin too', 'https://other.example/', '#top', '#top'],
  ["replaced by the Location's own", '/b#end', '#top', '#end'],
  ['absent if neither has one', '/b', '', ''],
])('a fragment is %s', (_, location, fragment, expected) => {
  expect(resolveLocation(location, new URL(`https://api.example/a${fragment}`))?.hash).toBe(expected);
});

describe('credentials', () => {
  const { originPassword } = SECRETS;
  const base = new URL('https://user@api.example/a');
  base.password = originPassword;

  test.each([
    ['inherited by a relative Location', '/b', ['user', originPassword]],
    ['inherited by an absolute one of the same origin', 'https://api.example/b', ['user', originPassword]],
    ['inherited where only the default port is written', 'https://api.example:443/b', ['user', originPassword]],
    ["replaced by the Location's own", 'https://other@api.example/b', ['other', '']],
    ['replaced by a password alone', 'https://:word@api.example/b', ['', 'word']],
    ['kept from another host', 'https://api.example.evil.example/b', ['', '']],
    ['kept from another port', 'https://api.example:8443/b', ['', '']],
    ['kept from another scheme', 'http://api.example/b', ['', '']],
    ['kept from another host without a scheme', '//other.example/b', ['', '']],
    ["the other origin's own, where it names some", 'https://them:word@other.example/b', ['them', 'word']],
  ])('are %s', (_, location, expected) => {
    const url = resolveLocation(location, base);
    const found = [url?.username, decodeURIComponent(url?.password ?? '')];
    // Compared by the test, so that none is printed.
    expect(found.every((part, index) => part === expected[index])).toBe(true);
  });
});

describe('an answer is a redirect', () => {
  test.each([301, 302, 303, 307, 308])('with status %d and a Location', (status) => {
    expect(isRedirect({ status, headers: { location: '/b' } })).toBe(true);
  });

  test.each([200, 201, 204, 101, 300, 304, 305, 306, 309, 400, 401])('but not with status %d', (status) => {
    expect(isRedirect({ status, headers: { location: '/b' } })).toBe(false);
  });

  test.each([['no Location', {}] as const, ['an empty one', { location: '' }] as const])(
    'but not with %s',
    (_, headers) => {
      expect(isRedirect({ status: 302, headers })).toBe(false);
    },
  );
});

describe('a header goes along with a redirect', () => {
  test.each([
    'authorization',
    'cookie',
    'host',
    'x-api-key',
    'x-auth-token',
    'x-amz-security-token',
    'proxy-authorization',
    'accept',
  ])('%s, on the same origin', (name) => {
    expect(survivesRedirect(name, true)).toBe(true);
  });

  test.each([
    ['authorization', false],
    ['cookie', false],
    ['cookie2', false],
    ['host', false],
    ['x-api-key', false],
    ['x-auth-token', false],
    ['x-amz-security-token', false],
    ['x-session-id', false],
    // Whether the proxy is still the same is not asked here.
    ['proxy-authorization', true],
    ['accept', true],
    ['accept-language', true],
    ['user-agent', true],
    ['origin', true],
    ['range', true],
    ['idempotency-key', true],
    ['x-request-id', true],
  ])('%s, to another origin: %s', (name, survives) => {
    expect(survivesRedirect(name, false)).toBe(survives);
  });
});

// Node's own `URL.canParse` says no to them once V8 has optimized it (20.20, 22.23).
test('a host beyond ASCII is one however often it is asked for', () => {
  const answers = new Set<string | undefined>();
  for (let times = 0; times < 100_000; times += 1)
    answers.add(resolveLocation('//b\xc3\xbccher.example/', new URL(BASE))?.host);
  expect([...answers]).toEqual(['xn--bcher-kva.example']);
});
