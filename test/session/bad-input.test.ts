// What a session is given in a form that it does not take is refused by name, and never sent as something else.
import { InvalidOptionError } from '@cloudlane/proxy';
import { type RequestOptions, Session, type SessionOptions, withParams } from '@cloudlane/session';
import { describe, expect, test } from '@jest/globals';
import { newTransport, origin } from '../transport/lab.ts';

function newSession(options: SessionOptions = {}): Session {
  return new Session({ transport: newTransport(), env: {}, prefetch: true, ...options });
}

/** What a wrong option leads to, wherever it is given; values that types forbid come as such. */
async function refusalOf(options: unknown, place: 'session' | 'call'): Promise<unknown> {
  const target = await origin();
  try {
    if (place === 'session') await newSession(options as SessionOptions).get(target.url);
    else await newSession().get(target.url, options as RequestOptions);
    return 'none';
  } catch (error) {
    expect(target.requests).toEqual([]);
    return error;
  }
}

const refused = (option: string, reason: RegExp): object =>
  expect.objectContaining({ code: 'ERR_INVALID_OPTION', option, reason: expect.stringMatching(reason) });

describe('params', () => {
  test('may be URLSearchParams, names that repeat included, of a session and of a call', async () => {
    const target = await origin();
    const session = newSession({ params: new URLSearchParams('a=1&b=2&b=3') });
    await session.get(target.url);
    await session.get(target.url, { params: new URLSearchParams('b=4&c=%2520') });
    await session.get(target.url, { params: { b: null, d: 5n } });
    await session.get(target.url, { params: new URLSearchParams('b=4'), encodeUri: false });
    expect(target.requests.map((request) => request.target)).toEqual([
      '/?a=1&b=2&b=3',
      '/?a=1&b=4&c=%2520',
      '/?a=1&d=5',
      '/?a=1&b=4',
    ]);
  });

  test('as URLSearchParams are fields to the hook args', async () => {
    const target = await origin();
    const args = (call: { params?: RequestOptions['params'] }): void => {
      call.params = { ...call.params, added: 'x' };
    };
    await newSession({ hooks: { args } }).get(target.url, { params: new URLSearchParams('a=1&a=2') });
    expect(target.requests[0]?.target).toBe('/?a=1&a=2&added=x');
  });

  test('leave out what in a list is null', () => {
    const params = { a: [1, null, undefined, 2] as number[] };
    expect(withParams(new URL('http://api.example'), params).search).toBe('?a=1&a=2');
  });

  describe.each(['session', 'call'] as const)('of a %s', (place) => {
    test.each<[params: unknown, reason: RegExp]>([
      ['a=b', /text.*URLSearchParams/],
      [[['a', 'b']], /list/],
      [new Map([['a', 'b']]), /Map/],
      [5, /number/],
    ])('%p are refused', async (params, reason) => {
      expect(await refusalOf({ params }, place)).toEqual(refused('params', reason));
    });

    test.each<[value: unknown, reason: RegExp]>([
      [{ b: 1 }, /Object/],
      [new Date(0), /Date.*toISOString/],
      [[new Date(0)], /Date/],
      [[['b']], /list/],
      [() => 'b', /function/],
    ])('with %p are refused', async (value, reason) => {
      expect(await refusalOf({ params: { a: value } }, place)).toEqual(refused('params.a', reason));
    });
  });
});

describe('headers', () => {
  test('may be Headers, of a session and of a call, and set later', async () => {
    const target = await origin();
    const session = newSession({ headers: new Headers({ 'X-A': 'session', 'X-B': 'session' }) });
    await session.get(target.url, {
      headers: new Headers([
        ['x-a', 'one'],
        ['x-a', 'two'],
      ]),
    });
    session.headers = { ...session.headers, 'X-B': 'later' };
    await session.get(target.url);
    expect(target.requests.map(({ headers }) => [headers['x-a'], headers['x-b']])).toEqual([
      ['one, two', 'session'],
      ['session', 'later'],
    ]);
  });

  test('as Headers are a record to the hook args', async () => {
    const target = await origin();
    const args = (call: { headers?: RequestOptions['headers'] }): void => {
      call.headers = { ...call.headers, 'X-Added': 'x' };
    };
    await newSession({ hooks: { args } }).get(target.url, { headers: new Headers({ 'X-A': 'call' }) });
    expect(target.requests[0]?.headers).toMatchObject({ 'x-a': 'call', 'x-added': 'x' });
  });

  test('of one session are taken by another', async () => {
    const target = await origin();
    const { headers } = newSession({ headers: { 'X-A': 'first' } });
    await newSession({ headers }).get(target.url);
    await newSession().get(target.url, { headers });
    await newSession().get(target.url, { headers: newSession().prepare('GET', target.url, { headers }).headers });
    expect(target.requests.map((request) => request.headers['x-a'])).toEqual(['first', 'first', 'first']);
  });

  describe.each(['session', 'call'] as const)('of a %s', (place) => {
    test.each<[headers: unknown, reason: RegExp]>([
      ['a: b', /text/],
      [[['a', 'b']], /list/],
      [new Map([['a', 'b']]), /Map.*Headers/],
    ])('%p are refused', async (headers, reason) => {
      expect(await refusalOf({ headers }, place)).toEqual(refused('headers', reason));
    });

    test.each<[value: unknown, reason: RegExp]>([
      [{ b: 1 }, /Object/],
      [new Date(0), /Date/],
      [[{}], /Object/],
    ])('with %p are refused', async (value, reason) => {
      expect(await refusalOf({ headers: { 'X-A': value } }, place)).toEqual(refused('headers.X-A', reason));
    });
  });
});

describe.each(['session', 'call'] as const)('cookies of a %s', (place) => {
  test.each<[cookies: unknown, reason: RegExp]>([
    ['a=b', /text/],
    [[['a', 'b']], /list/],
    [new Map([['a', 'b']]), /Map/],
  ])('%p are refused', async (cookies, reason) => {
    expect(await refusalOf({ cookies }, place)).toEqual(refused('cookies', reason));
  });
});

test('cookies that are taken away by null are refused, and stay', async () => {
  const session = newSession({ cookies: { a: '1' } });
  expect(() => Reflect.set(session, 'cookies', null)).toThrow(refused('cookies', /null/) as Error);
  expect(session.cookies.get('a')).toBe('1');
});

test('a jar is refused as cookies of a call, which would not store in it', async () => {
  const { cookies } = newSession({ cookies: { a: '1' } });
  expect(await refusalOf({ cookies }, 'call')).toEqual(refused('cookies', /CookieJar.*session/));
});

describe.each(['session', 'call'] as const)('options of a %s', (place) => {
  test.each<[name: string, value: unknown, reason: RegExp]>([
    ['cert', 5, /PEM/],
    ['cert', ['a.pem'], /PEM/],
    ['cert', { cert: 'a.pem' }, /PEM/],
    ['verify', 5, /PEM/],
    ['hooks', 5, /args/],
    ['hooks', [], /args/],
    ['verbose', 5, /stream/],
    ['verbose', true, /stream/],
    ['verbose', 'stderr', /stream/],
    ['debug', 5, /curl/],
    ['debug', true, /curl/],
    ['timeout', null, /milliseconds/],
    ['timeout', '5', /milliseconds/],
    ['noProxy', null, /\[\]/],
  ])('%s: %p is refused', async (name, value, reason) => {
    expect(await refusalOf({ [name]: value }, place)).toEqual(refused(name, reason));
  });

  test.each(['toString', 'constructor', '__proto__', 'timeuot'])('%s is none', async (name) => {
    const options = Object.defineProperty({}, name, { value: true, enumerable: true });
    expect(await refusalOf(options, place)).toEqual(refused(name, /no such option/));
  });

  test.each(['toString', 'constructor', 'after'])('hooks.%s is none', async (name) => {
    expect(await refusalOf({ hooks: { [name]: () => {} } }, place)).toEqual(refused(`hooks.${name}`, /unknown/));
  });
});

test.each<[name: string, value: unknown, reason: RegExp]>([
  ['transport', {}, /Transport/],
  ['transport', null, /Transport/],
  ['har', 5, /HarRecorder/],
  ['har', {}, /HarRecorder/],
  ['userAgent', 5, /text/],
  ['baseHeaders', 'a: b', /object/],
])('%s: %p of a session is refused', async (name, value, reason) => {
  expect(await refusalOf({ [name]: value }, 'session')).toEqual(refused(name, reason));
});

test.each<[name: string, value: unknown]>([
  ['timeout', null],
  ['noProxy', null],
  ['verbose', 5],
  ['hooks', 5],
  ['cert', 5],
])('%s: %p that is written to a session is refused by its next call', async (name, value) => {
  const target = await origin();
  const session = newSession();
  Reflect.set(session, name, value);
  await expect(session.get(target.url)).rejects.toEqual(refused(name, /./));
});

test('noProxy: null is refused where a route is explained, and a request prepared', () => {
  const options = { noProxy: null as unknown as string };
  expect(() => newSession().explain('http://api.example', options)).toThrow(InvalidOptionError);
  expect(() => newSession().prepare('GET', 'http://api.example', options)).toThrow(InvalidOptionError);
});

test('hooks: null are none, of a session and of a call', async () => {
  const target = await origin();
  const seen: string[] = [];
  const session = newSession({ hooks: null });
  session.hooks = { response: () => void seen.push('session') };
  await session.get(target.url, { hooks: null });
  await session.get(target.url);
  Reflect.set(session, 'hooks', null);
  await session.get(target.url);
  expect([seen, target.requests.length]).toEqual([['session'], 3]);
});

describe('options of map and of lines', () => {
  test.each<[options: object, option: string]>([
    [{ sze: 3 }, 'sze'],
    [{ toString: 3 }, 'toString'],
    [{ size: 0 }, 'size'],
  ])('map refuses %p', async (options, option) => {
    const target = await origin();
    const session = newSession();
    await expect(session.map([target.url], options)).rejects.toEqual(refused(option, /./));
    expect(() => session.imap([target.url], options)).toThrow(refused(option, /./) as Error);
    expect(target.requests).toEqual([]);
  });

  test.each<[options: object, option: string]>([
    [{ skipEmtpy: true }, 'skipEmtpy'],
    [{ constructor: 1 }, 'constructor'],
    [{ skipEmpty: 'yes' }, 'skipEmpty'],
    [{ delimiter: 5 }, 'delimiter'],
    [{ delimiter: '' }, 'delimiter'],
    [{ maxLength: '5' }, 'maxLength'],
  ])('iterLines refuses %p at once', async (options, option) => {
    const response = await newSession().get((await origin()).url);
    expect(() => response.iterLines(options)).toThrow(refused(option, /./) as Error);
  });
});
