// The rules of RFC 6265, and what a caller does with a jar.
import { inspect } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { CookieJar } from '../../packages/session/src/cookie-jar.ts';
import type { SetCookieOptions } from '../../packages/session/src/cookie-rules.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

/** A jar that has seen these answers. */
function jarOf(...answers: readonly (readonly [url: string, ...setCookie: string[]])[]): CookieJar {
  const jar = new CookieJar();
  for (const [url, ...setCookie] of answers) jar.store(new URL(url), setCookie);
  return jar;
}

/** The header of a request that the caller did not ask for by name: stored cookies alone. */
function sentTo(jar: CookieJar, url: string): string | null {
  return jar.header(new URL(url), { isOwnOrigin: false });
}

function reasonOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof InvalidOptionError) return `${error.option} ${error.reason}`;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a cookie that an answer sets', () => {
  test.each<[rule: string, from: string, setCookie: string, to: string, sent: string | null]>([
    ['goes back to its host', 'http://a.lab.example/', 'n=1', 'http://a.lab.example/', 'n=1'],
    ['is shared by the ports of a host', 'http://a.lab.example:8080/', 'n=1', 'http://a.lab.example:9090/', 'n=1'],
    ['is shared by http and https', 'http://a.lab.example/', 'n=1', 'https://a.lab.example/', 'n=1'],
    ['is shared by https and wss', 'https://a.lab.example/', 'n=1; Secure', 'wss://a.lab.example/', 'n=1'],
    ['without Domain stays with its host', 'http://a.lab.example/', 'n=1', 'http://b.lab.example/', null],
    ['without Domain goes to no host below', 'http://lab.example/', 'n=1', 'http://a.lab.example/', null],
    [
      'with Domain goes to the hosts below',
      'http://a.lab.example/',
      'n=1; Domain=lab.example',
      'http://b.lab.example/',
      'n=1',
    ],
    [
      'with Domain goes to the domain itself',
      'http://a.lab.example/',
      'n=1; Domain=.lab.example',
      'http://lab.example/',
      'n=1',
    ],
    [
      'with Domain goes further down',
      'http://lab.example/',
      'n=1; Domain=LAB.example',
      'http://x.y.lab.example/',
      'n=1',
    ],
    [
      'with Domain goes to no other name of the same ending',
      'http://lab.example/',
      'n=1; Domain=lab.example',
      'http://xlab.example/',
      null,
    ],
    ['with an empty Domain stays with its host', 'http://lab.example/', 'n=1; Domain=', 'http://a.lab.example/', null],
    [
      'for another domain is refused',
      'http://a.lab.example/',
      'n=1; Domain=other.example',
      'http://other.example/',
      null,
    ],
    ['for a host below is refused', 'http://lab.example/', 'n=1; Domain=a.lab.example', 'http://a.lab.example/', null],
    ['for a public suffix is refused', 'http://shop.co.uk/', 'n=1; Domain=co.uk', 'http://shop.co.uk/', null],
    ['for a top-level domain is refused', 'http://shop.com/', 'n=1; Domain=com', 'http://shop.com/', null],
    ['for a private suffix is refused', 'http://me.github.io/', 'n=1; Domain=github.io', 'http://you.github.io/', null],
    [
      'for a special top-level domain is refused',
      'http://lab.example/',
      'n=1; Domain=example',
      'http://lab.example/',
      null,
    ],
    [
      'of a public suffix for itself stays with it',
      'http://github.io/',
      'n=1; Domain=github.io',
      'http://github.io/',
      'n=1',
    ],
    [
      'of a public suffix for itself goes to none below',
      'http://github.io/',
      'n=1; Domain=github.io',
      'http://me.github.io/',
      null,
    ],
    [
      'of a public suffix with a final dot is refused',
      'http://shop.co.uk./',
      'n=1; Domain=co.uk.',
      'http://other.co.uk./',
      null,
    ],
    [
      'of a host below a public suffix',
      'http://a.shop.co.uk/',
      'n=1; Domain=shop.co.uk',
      'http://b.shop.co.uk/',
      'n=1',
    ],
    ['of an IPv4 address', 'http://127.0.0.1/', 'n=1', 'http://127.0.0.1:81/', 'n=1'],
    ['of an IPv4 address that names itself', 'http://127.0.0.1/', 'n=1; Domain=127.0.0.1', 'http://127.0.0.1/', 'n=1'],
    [
      'of an IPv4 address for a part of it is refused',
      'http://127.0.0.1/',
      'n=1; Domain=0.0.1',
      'http://127.0.0.1/',
      null,
    ],
    ['of an IPv6 address', 'http://[::1]/', 'n=1; Domain=[::1]', 'http://[::1]:81/', 'n=1'],
    ['of localhost', 'http://localhost/', 'n=1', 'http://localhost:81/', 'n=1'],
    [
      'of localhost for itself goes to none below',
      'http://localhost/',
      'n=1; Domain=localhost',
      'http://a.localhost/',
      null,
    ],
    [
      'of a host below localhost for all of it is refused',
      'http://a.localhost/',
      'n=1; Domain=localhost',
      'http://a.localhost/',
      null,
    ],
    ['of a private name', 'http://intranet/', 'n=1; Domain=intranet', 'http://intranet/', 'n=1'],
    [
      'of a private name for hosts below it is refused',
      'http://wiki.intranet/',
      'n=1; Domain=intranet',
      'http://intranet/',
      null,
    ],
    [
      'of a private domain',
      'http://wiki.corp.intranet/',
      'n=1; Domain=corp.intranet',
      'http://git.corp.intranet/',
      'n=1',
    ],
    ['of the bare name test', 'http://test/', 'n=1', 'http://test/', 'n=1'],
    ['of the bare name local', 'http://local/', 'n=1; Domain=local', 'http://local/', 'n=1'],
    ['of printer.local', 'http://printer.local/', 'n=1; Domain=printer.local', 'http://www.printer.local/', 'n=1'],
    ['of a host in .test', 'http://a.lab.test/', 'n=1; Domain=lab.test', 'http://b.lab.test/', 'n=1'],
    ['of a host with an underscore', 'http://my_service:80/', 'n=1', 'http://my_service/', 'n=1'],
    ['of a host with a final dot', 'http://lab.example./', 'n=1', 'http://lab.example/', 'n=1'],
    [
      'of an international domain',
      'http://a.bücher.example/',
      'n=1; Domain=bücher.example',
      'http://b.xn--bcher-kva.example/',
      'n=1',
    ],
    ['with Secure goes over https', 'https://lab.example/', 'n=1; Secure', 'https://lab.example/', 'n=1'],
    ['with Secure does not go over http', 'https://lab.example/', 'n=1; Secure', 'http://lab.example/', null],
    ['with Secure does not go over http on loopback', 'https://127.0.0.1/', 'n=1; Secure', 'http://127.0.0.1/', null],
    ['with Secure is refused over http', 'http://lab.example/', 'n=1; Secure', 'https://lab.example/', null],
    ['with Secure is refused over http on loopback', 'http://localhost/', 'n=1; Secure', 'https://localhost/', null],
    ['goes below the directory of its request', 'http://h.example/v1/login', 'n=1', 'http://h.example/v1/users', 'n=1'],
    ['goes to no other directory', 'http://h.example/v1/login', 'n=1', 'http://h.example/v2/users', null],
    ['goes to the directory itself', 'http://h.example/v1/login', 'n=1', 'http://h.example/v1', 'n=1'],
    ['of the first level goes everywhere', 'http://h.example/login', 'n=1', 'http://h.example/v2/users', 'n=1'],
    ['with Path goes below it', 'http://h.example/', 'n=1; Path=/v1', 'http://h.example/v1/x?y', 'n=1'],
    ['with Path goes to no path that begins alike', 'http://h.example/', 'n=1; Path=/v1', 'http://h.example/v10', null],
    ['with Path is case-sensitive', 'http://h.example/', 'n=1; Path=/V1', 'http://h.example/v1', null],
    ['with a final slash in Path', 'http://h.example/', 'n=1; Path=/v1/', 'http://h.example/v1', null],
    ['with a percent sign in Path', 'http://h.example/', 'n=1; Path=/a%20b', 'http://h.example/a%20b/c', 'n=1'],
    ['from a directory with a percent sign', 'http://h.example/a%2fb/c', 'n=1', 'http://h.example/a%2fb/d', 'n=1'],
    ['with a Path that is none', 'http://h.example/v1/x', 'n=1; Path=v2', 'http://h.example/v1/y', 'n=1'],
    [
      'may be for a path that its request does not have',
      'http://h.example/a',
      'n=1; Path=/b',
      'http://h.example/b',
      'n=1',
    ],
    [
      'with a date to come',
      'http://h.example/',
      'n=1; Expires=Fri, 31 Dec 2199 23:59:59 GMT',
      'http://h.example/',
      'n=1',
    ],
    [
      'with a date in the past',
      'http://h.example/',
      'n=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
      'http://h.example/',
      null,
    ],
    [
      'with a date of the old form',
      'http://h.example/',
      'n=1; Expires=Sunday, 06-Nov-94 08:49:37 GMT',
      'http://h.example/',
      null,
    ],
    ['with a date that is none', 'http://h.example/', 'n=1; Expires=tomorrow', 'http://h.example/', 'n=1'],
    ['with Max-Age=0', 'http://h.example/', 'n=1; Max-Age=0', 'http://h.example/', null],
    ['with a negative Max-Age', 'http://h.example/', 'n=1; Max-Age=-1', 'http://h.example/', null],
    ['with an endless Max-Age', 'http://h.example/', 'n=1; Max-Age=99999999999999999999', 'http://h.example/', 'n=1'],
    [
      'with Max-Age and a date: the first counts',
      'http://h.example/',
      'n=1; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
      'http://h.example/',
      'n=1',
    ],
    ['with HttpOnly', 'http://h.example/', 'n=1; HttpOnly', 'http://h.example/', 'n=1'],
    ['with SameSite=Strict', 'http://h.example/', 'n=1; SameSite=Strict', 'http://h.example/', 'n=1'],
    [
      'with an attribute that nobody knows',
      'http://h.example/',
      'n=1; Priority=High; Partitioned',
      'http://h.example/',
      'n=1',
    ],
    [
      'keeps its value as it came',
      'http://h.example/',
      'n="a%20b\\ {"x":[1,2]}=="',
      'http://h.example/',
      'n="a%20b\\ {"x":[1,2]}=="',
    ],
    ['keeps bytes above ASCII', 'http://h.example/', 'n=\u00c3\u00a9', 'http://h.example/', 'n=\u00c3\u00a9'],
    [
      'keeps a final byte that Unicode calls a blank',
      'http://h.example/',
      'n=\u00c3\u00a0 \t;',
      'http://h.example/',
      'n=\u00c3\u00a0',
    ],
    ['may have no value', 'http://h.example/', 'n=', 'http://h.example/', 'n='],
    ['loses the blanks around it', 'http://h.example/', '  n  =  1  ; Path = /', 'http://h.example/', 'n=1'],
    ['without a name is refused', 'http://h.example/', '=1', 'http://h.example/', null],
    ['without an equals sign is refused', 'http://h.example/', 'n', 'http://h.example/', null],
    ['without anything is refused', 'http://h.example/', '', 'http://h.example/', null],
    ['with a control character is refused', 'http://h.example/', 'n=a\u0001b', 'http://h.example/', null],
    ['with DEL, which no header can carry, is refused', 'http://h.example/', 'n=a\u007fb', 'http://h.example/', null],
    ['with a character of no byte is refused', 'http://h.example/', 'n=\u20ac', 'http://h.example/', null],
    ['__Secure- with Secure', 'https://h.example/', '__Secure-n=1; Secure', 'https://h.example/', '__Secure-n=1'],
    ['__Secure- without Secure is refused', 'https://h.example/', '__Secure-n=1', 'https://h.example/', null],
    ['__Secure- in other letters is refused as well', 'https://h.example/', '__SECURE-n=1', 'https://h.example/', null],
    [
      '__Host- with all it asks for',
      'https://h.example/',
      '__Host-n=1; Secure; Path=/',
      'https://h.example/',
      '__Host-n=1',
    ],
    ['__Host- without Secure is refused', 'https://h.example/', '__Host-n=1; Path=/', 'https://h.example/', null],
    ['__Host- without Path is refused', 'https://h.example/', '__Host-n=1; Secure', 'https://h.example/', null],
    [
      '__Host- with another Path is refused',
      'https://h.example/',
      '__Host-n=1; Secure; Path=/v1',
      'https://h.example/v1',
      null,
    ],
    [
      '__Host- with Domain is refused',
      'https://h.example/',
      '__Host-n=1; Secure; Path=/; Domain=h.example',
      'https://h.example/',
      null,
    ],
  ])('%s', (_rule, from, setCookie, to, sent) => {
    expect(sentTo(jarOf([from, setCookie]), to)).toBe(sent);
  });

  test('a refused one does not keep the others of its answer out', () => {
    const jar = jarOf(['http://shop.co.uk/', 'a=1', 'b=2; Domain=co.uk', 'c', 'd=4']);
    expect(sentTo(jar, 'http://shop.co.uk/')).toBe('a=1; d=4');
  });

  test.each(['\t', '\u007f', '\u0001'])('with %j in its path is refused', (character) => {
    expect(jarOf(['http://h.example/', `n=1; Path=/a${character}b`]).size).toBe(0);
  });

  test('that never ends does so in the year 9999', () => {
    const [cookie] = jarOf(['http://h.example/', `n=1; Max-Age=${'9'.repeat(400)}`]);
    expect(cookie?.expires).toEqual(new Date('9999-12-31T00:00:00Z'));
  });

  test('longest path first, then the one that came first, also if it was renewed', () => {
    const jar = jarOf(
      ['http://h.example/', 'a=1', 'b=2; Path=/x', 'c=3', 'd=4; Path=/x/y', 'e=5; Path=/x'],
      ['http://h.example/', 'a=6'],
    );
    expect(sentTo(jar, 'http://h.example/x/y')).toBe('d=4; b=2; e=5; a=6; c=3');
  });

  test('the same name for two paths is sent twice, and read as the longest', () => {
    const jar = jarOf(['http://h.example/', 'a=1', 'a=2; Path=/x']);
    expect(sentTo(jar, 'http://h.example/x')).toBe('a=2; a=1');
    expect(jar.get('a', 'http://h.example/x')).toBe('2');
  });

  test.each(['a=; Max-Age=0', 'a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT'])(
    '%s takes away the one it names, and no other',
    (end) => {
      const jar = jarOf(['http://h.example/', 'a=1', 'a=2; Path=/x', 'b=3'], ['http://h.example/', end]);
      expect([...jar].map(({ name, path }) => name + path)).toEqual(['a/x', 'b/']);
    },
  );

  test('ends after Max-Age, however often it was sent', () => {
    const start = Date.now();
    const clock = jest.spyOn(Date, 'now').mockReturnValue(start);
    const jar = jarOf(['http://h.example/', 'a=1; Max-Age=10', 'b=2']);
    clock.mockReturnValue(start + 9_999);
    expect(sentTo(jar, 'http://h.example/')).toBe('a=1; b=2');
    expect([...jar].map(({ expires }) => expires?.getTime())).toEqual([start + 10_000, undefined]);
    clock.mockReturnValue(start + 10_000);
    expect([jar.size, jar.get('a'), sentTo(jar, 'http://h.example/')]).toEqual([1, undefined, 'b=2']);
  });

  test('over http stands in for none that is Secure, wherever the two overlap', () => {
    const jar = jarOf(
      ['https://a.lab.example/', 'sid=good; Secure; Domain=lab.example; Path=/x'],
      ['http://b.lab.example/', 'sid=bad; Domain=lab.example; Path=/x/y'],
      ['http://lab.example/', 'sid=bad; Path=/x'],
      ['http://lab.example/', 'sid=; Domain=lab.example; Path=/x; Max-Age=0'],
      ['http://lab.example/', 'sid=other; Path=/'],
      ['http://lab.example/', 'other=1; Path=/x'],
    );
    expect(sentTo(jar, 'https://lab.example/x')).toBe('sid=good; other=1; sid=other');
    jar.store(new URL('https://lab.example/'), ['sid=new; Domain=lab.example; Path=/x']);
    expect(sentTo(jar, 'http://lab.example/x')).toBe('sid=new; other=1; sid=other');
  });
});

describe('a cookie that the caller gives without a host', () => {
  const OWN = new URL('http://h.example/');

  test('goes to the origin of each call, and to no other', () => {
    const jar = new CookieJar({ a: '1', b: null, c: undefined }).set('d', '2');
    expect(jar.header(OWN, { isOwnOrigin: true })).toBe('a=1; d=2');
    expect(jar.header(OWN, { isOwnOrigin: false })).toBeNull();
    expect([...jar].map(({ name, domain }) => [name, domain])).toEqual([
      ['a', null],
      ['d', null],
    ]);
  });

  test('the later of it and a received one counts', () => {
    const jar = new CookieJar({ sid: 'given' });
    jar.store(OWN, ['sid=received']);
    expect(jar.header(OWN, { isOwnOrigin: true })).toBe('sid=received');
    expect(jar.header(new URL('http://other.example/'), { isOwnOrigin: true })).toBe('sid=given');
    jar.set('sid', 'later');
    expect(jar.header(OWN, { isOwnOrigin: true })).toBe('sid=later');
    expect(jar.header(OWN, { isOwnOrigin: false })).toBe('sid=received');
    expect(jar.get('sid', OWN)).toBe('later');
  });

  test.each(['__Secure-a', '__Host-a'])('%s goes over https only', (name) => {
    const jar = new CookieJar({ [name]: '1' });
    expect(jar.header(OWN, { isOwnOrigin: true })).toBeNull();
    expect(jar.header(OWN, { given: { [name]: '2' }, isOwnOrigin: true })).toBeNull();
    expect(jar.header(new URL('https://h.example/'), { isOwnOrigin: true })).toBe(`${name}=1`);
  });
});

describe('the cookies of one call', () => {
  const URL_X = new URL('http://h.example/x');
  const jar = new CookieJar({ given: '1' });
  jar.store(URL_X, ['got=2', 'got=3; Path=/x', 'kept=4']);

  test.each<[string, Record<string, string | null | undefined> | undefined, boolean, string | null]>([
    ['none', undefined, true, 'got=3; given=1; got=2; kept=4'],
    ['nothing', {}, true, 'got=3; given=1; got=2; kept=4'],
    ['undefined changes nothing', { got: undefined }, true, 'got=3; given=1; got=2; kept=4'],
    ['instead of a given one', { given: '9' }, true, 'got=3; got=2; kept=4; given=9'],
    ['instead of all received ones of the name', { got: '9' }, true, 'given=1; kept=4; got=9'],
    ['beside them', { call: '9' }, true, 'got=3; given=1; got=2; kept=4; call=9'],
    ['null leaves out a given one', { given: null }, true, 'got=3; got=2; kept=4'],
    ['null leaves out received ones', { got: null }, true, 'given=1; kept=4'],
    ['all left out', { got: null, given: null, kept: null }, true, null],
    ['not to another origin', { call: '9', got: '9' }, false, 'got=3; got=2; kept=4'],
    ['null counts at another origin too', { got: null }, false, 'kept=4'],
  ])('%s', (_name, given, isOwnOrigin, header) => {
    expect(jar.header(URL_X, { given, isOwnOrigin })).toBe(header);
    expect(jar.size).toBe(4);
  });

  test('are checked', () => {
    expect(reasonOf(() => jar.header(URL_X, { given: { a: 'b c' }, isOwnOrigin: true }))).toMatch(
      /^cookies\.a has a blank/,
    );
    expect(reasonOf(() => jar.header(URL_X, { given: { 'a=b': 'c' }, isOwnOrigin: false }))).toMatch(
      /^cookies the name "a=b"/,
    );
  });
});

describe('set', () => {
  test.each<[string, SetCookieOptions, string, string | null]>([
    ['with a url: that host', { url: 'http://h.example/v1/x' }, 'http://h.example/', 'n=1'],
    ['with a url: no host below', { url: 'http://h.example/' }, 'http://a.h.example/', null],
    ['with a domain: it', { domain: 'h.example' }, 'http://h.example/', 'n=1'],
    ['with a domain: hosts below', { domain: '.H.example.' }, 'http://a.h.example/', 'n=1'],
    ['with a domain of one word: it alone', { domain: 'intranet' }, 'http://intranet/', 'n=1'],
    ['with a domain of one word: not below', { domain: 'intranet' }, 'http://a.intranet/', null],
    ['with an address', { domain: '127.0.0.1' }, 'http://127.0.0.1/', 'n=1'],
    ['with an IPv6 address', { domain: '::1' }, 'http://[::1]/', 'n=1'],
    ['with both', { url: 'http://a.h.example/', domain: 'h.example' }, 'http://b.h.example/', 'n=1'],
    ['with a path', { domain: 'h.example', path: '/v1' }, 'http://h.example/v2', null],
    ['secure', { domain: 'h.example', secure: true }, 'http://h.example/', null],
    ['secure over https', { url: 'https://h.example/', secure: true }, 'https://h.example/', 'n=1'],
    ['with a maxAge', { domain: 'h.example', maxAge: 60 }, 'http://h.example/', 'n=1'],
    ['with an endless maxAge', { domain: 'h.example', maxAge: Number.POSITIVE_INFINITY }, 'http://h.example/', 'n=1'],
    ['with maxAge 0', { domain: 'h.example', maxAge: 0 }, 'http://h.example/', null],
    ['with an expires in the past', { domain: 'h.example', expires: new Date(0) }, 'http://h.example/', null],
  ])('%s', (_name, options, url, sent) => {
    expect(sentTo(new CookieJar().set('n', '1', options), url)).toBe(sent);
  });

  test.each<[SetCookieOptions & { name?: string }, string]>([
    [
      { domain: 'co.uk' },
      'cookies.n has the domain co.uk, below which hosts belong to different owners; give the url of one host',
    ],
    [{ url: 'http://a.co.uk/', domain: 'co.uk' }, 'cookies.n has the domain co.uk, below'],
    [{ url: 'http://a.example/', domain: 'b.example' }, 'cookies.n has a domain that a.example is not part of'],
    [{ domain: 'a b' }, 'cookies.n has a domain that is not a host name'],
    [{ domain: 'a.example/x' }, 'cookies.n has a domain that is not a host name'],
    [{ url: 'a.example' }, 'url is not an absolute URL'],
    [{ url: 'data:text/plain,x' }, 'url is not an absolute URL'],
    [{ url: 'http://a.example/', secure: true }, 'cookies.n is secure, but its url is not https'],
    [{ domain: 'a.example', path: 'v1' }, 'cookies.n has a path'],
    [{ domain: 'a.example', path: '/a;b' }, 'cookies.n has a path'],
    [{ domain: 'a.example', path: '/a\nb' }, 'cookies.n has a path'],
    [{ domain: 'a.example', maxAge: 1, expires: new Date() }, 'cookies.n has both expires and maxAge'],
    [{ domain: 'a.example', maxAge: Number.NaN }, 'cookies.n has a maxAge'],
    [{ domain: 'a.example', expires: new Date(Number.NaN) }, 'cookies.n has an expires'],
    [{ path: '/v1' }, 'cookies.n path needs a url or a domain'],
    [{ secure: true }, 'cookies.n secure needs a url or a domain'],
    [{ name: '__Secure-n', url: 'https://a.example/' }, 'cookies.__Secure-n has a name that asks for secure'],
    [{ name: '__Host-n', domain: 'a.example', secure: true }, 'cookies.__Host-n has a name that asks for a url'],
    [
      { name: '__Host-n', url: 'https://a.example/', secure: true, path: '/v1' },
      'cookies.__Host-n has a name that asks for a url',
    ],
  ])('refuses %j', ({ name = 'n', ...options }, reason) => {
    const jar = new CookieJar();
    expect(reasonOf(() => jar.set(name, '1', options))).toContain(reason);
    expect(jar.size).toBe(0);
  });

  const CHARACTERS = [...' ",;\\\t\r\n\0\u007fé€'];
  test.each(CHARACTERS)('refuses %j in a value, without printing it, and in a name', (character) => {
    const value = `${SECRETS.token}${character}x`;
    const reason = reasonOf(() => new CookieJar({ sid: value }));
    expect([reason.slice(0, 11), secretsIn(reason)]).toEqual(['cookies.sid', []]);
    expect(reasonOf(() => new CookieJar({ [`a${character}b`]: '1' }))).toMatch(/^cookies the name "/);
  });

  test.each(['', '(', ')', '<', '@', ':', '/', '[', '?', '=', '{'])('refuses the name %j', (name) => {
    expect(reasonOf(() => new CookieJar().set(name, '1'))).toMatch(/^cookies the name/);
  });

  test('refuses what is not text', () => {
    const given: unknown = JSON.parse('{ "a": 1 }');
    expect(reasonOf(() => Reflect.construct(CookieJar, [given]))).toBe('cookies.a is number; give text');
  });

  test.each(['', 'abc', "!#$%&'()*+-./:<=>?@[]^_`{|}~", '"quoted"'])('takes the value %s', (value) => {
    expect(new CookieJar({ a: value }).header(new URL('http://h.example'), { isOwnOrigin: true })).toBe(`a=${value}`);
  });
});

describe('a jar', () => {
  function filled(): CookieJar {
    const jar = new CookieJar({ sid: 'given' });
    jar.store(new URL('http://a.example/'), ['sid=1', 'lang=2; Path=/x', 'both=3']);
    jar.store(new URL('http://b.example/'), ['both=4; Domain=b.example']);
    return jar;
  }

  test('gets by name: a given one, the only one, or none', () => {
    const jar = filled();
    expect([jar.get('sid'), jar.get('lang'), jar.get('none')]).toEqual(['given', '2', undefined]);
    expect(reasonOf(() => jar.get('both'))).toBe(
      'cookies.both is there for several places, a.example/, b.example/; give the url as well',
    );
  });

  test('gets by URL what a request there would send', () => {
    const jar = filled();
    expect([jar.get('both', 'http://a.example/'), jar.get('both', new URL('http://c.b.example/'))]).toEqual(['3', '4']);
    expect([jar.get('lang', 'http://a.example/'), jar.get('lang', 'http://a.example/x')]).toEqual([undefined, '2']);
    expect(reasonOf(() => jar.get('both', 'a.example'))).toMatch(/^url /);
  });

  test.each<[string, { domain?: string; path?: string } | undefined, boolean, number]>([
    ['both', undefined, true, 3],
    ['both', { domain: 'B.example' }, true, 4],
    ['lang', { path: '/x' }, true, 4],
    ['lang', { path: '/' }, false, 5],
    ['both', { domain: 'c.example' }, false, 5],
    ['none', undefined, false, 5],
  ])('deletes %s %j', (name, where, deleted, left) => {
    const jar = filled();
    expect([jar.delete(name, where), jar.size]).toEqual([deleted, left]);
  });

  test('is cleared, or one domain of it', () => {
    const jar = filled();
    jar.clear('a.example');
    expect([...jar].map(({ domain }) => domain)).toEqual([null, 'b.example']);
    jar.clear();
    expect([jar.size, jar.header(new URL('http://b.example'), { isOwnOrigin: true })]).toEqual([0, null]);
  });

  test('tells all of a cookie', () => {
    const jar = jarOf([
      'https://a.b.example/x/y',
      'n=v; Domain=b.example; Secure; HttpOnly; SameSite=Lax; Expires=Fri, 31 Dec 2199 23:59:59 GMT',
    ]);
    expect([...jar]).toEqual([
      {
        name: 'n',
        value: 'v',
        domain: 'b.example',
        path: '/x',
        expires: new Date('2199-12-31T23:59:59Z'),
        secure: true,
        httpOnly: true,
        hostOnly: false,
        sameSite: 'lax',
      },
    ]);
  });

  test('prints names, hosts and how many, but no value', () => {
    const jar = new CookieJar({ token: 'tok3n-n3ver-to-be-printed' });
    jar.store(new URL('http://h.example/'), [`sid=${SECRETS.plainPassword}; Path=/x`]);
    const depth = { depth: 20, showHidden: true, getters: true };
    const forms = [jar, [jar], [...jar], { ...jar }].flatMap((each) => [
      inspect(each, depth),
      JSON.stringify(each),
      String(each),
    ]);
    expect(secretsIn([...forms, ...[...jar].map((cookie) => inspect(cookie, depth))].join('\n'))).toEqual([]);
    expect(inspect(jar)).toBe('<CookieJar [token of every origin, sid of h.example]>');
    expect(JSON.parse(JSON.stringify(jar))).toEqual({
      size: 2,
      cookies: [
        { name: 'token', domain: null, path: '/' },
        { name: 'sid', domain: 'h.example', path: '/x' },
      ],
    });
    expect([...jar].map(({ value }) => secretsIn(value))).toEqual([['token'], ['plainPassword']]);
  });

  test(
    'costs a program that sees no cookie neither the parser nor the list of public suffixes',
    async () => {
      const { output, errors } = await runScript(`
      import { createRequire } from 'node:module';
      import { CookieJar } from './packages/session/src/cookie-jar.ts';
      const { cache } = createRequire(import.meta.url);
      const loaded = () => Object.keys(cache).some((file) => /tough-cookie|tldts/.test(file));
      const jar = new CookieJar({ a: '1' });
      const url = new URL('http://h.example/');
      const before = [jar.header(url, { isOwnOrigin: true }), loaded()];
      jar.store(url, []);
      before.push(loaded());
      jar.store(url, ['b=2']);
      console.log(JSON.stringify([...before, loaded()]));
    `);
      expect(errors).toBe('');
      expect(JSON.parse(output)).toEqual(['a=1', false, false, true]);
    },
    PROCESS_TIMEOUT,
  );
});
