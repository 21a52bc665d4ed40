// The headers of a session and of a request: found in any spelling, and printed without what authorizes.
import { format, inspect } from 'node:util';
import { type PreparedRequest, Session } from '@cloudlane/session';
import { describe, expect, test } from '@jest/globals';
import { namedPairs } from '../../packages/session/src/cookie-rules.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { newTransport, origin } from '../transport/lab.ts';

const SECRET = {
  Authorization: `Bearer ${SECRETS.token}`,
  'X-Api-Key': SECRETS.plainPassword,
  Cookie: `a=${SECRETS.token}`,
};

function newSession(): Session {
  return new Session({ transport: newTransport(), env: {}, prefetch: true, headers: { ...SECRET, 'X-A': 'shown' } });
}

/** Every kind of headers that a program can come to hold. */
const HOLDERS: Readonly<Record<string, (session: Session) => object>> = {
  'of a session': (session) => session.headers,
  'of a session that were set': (session) => {
    session.headers = { ...SECRET, 'X-A': 'shown' };
    return session.headers;
  },
  'of a request': (session) => session.prepare('GET', 'http://api.example').headers,
  'of a request that were set': (session) => {
    const request = session.prepare('GET', 'http://api.example');
    request.headers = { ...SECRET, 'X-A': 'shown' };
    return request.headers;
  },
  'of a request that were merged': (session) => {
    const request = session.prepare('GET', 'http://api.example', { headers: { 'X-A': null } });
    request.mergeHeaders(new Headers({ 'X-A': 'shown' }));
    return request.headers;
  },
};

describe.each(Object.entries(HOLDERS))('headers %s', (_, hold) => {
  test('print without what authorizes', () => {
    const headers = hold(newSession());
    const forms = [
      inspect(headers),
      inspect(headers, { showProxy: true, showHidden: true, depth: 9 }),
      inspect({ within: [headers] }, { depth: 9 }),
      format('%o %O %j', headers, headers, headers),
      JSON.stringify(headers),
      JSON.stringify({ within: [headers] }),
    ];
    expect(secretsIn(forms.join('\n'))).toEqual([]);
    for (const form of forms) expect(form).toMatch(/Authorization.*shown/is);
  });

  test('give their real values to whoever reads them', () => {
    const headers = hold(newSession());
    expect({ ...headers }).toMatchObject(SECRET);
    expect(Object.fromEntries(Object.entries(headers))).toMatchObject(SECRET);
    expect(new Headers(Object.entries(headers)).get('authorization')).toBe(SECRET.Authorization);
    expect(structuredClone({ ...headers })).toMatchObject(SECRET);
    expect(Object.keys(headers)).not.toContain('toJSON');
  });

  test('are a plain object to whom it matters', () => {
    const headers = hold(newSession());
    const copy: object = { ...headers };
    expect(headers).toStrictEqual(copy);
    expect([Object.hasOwn(headers, 'toJSON'), String(headers), headers.constructor]).toEqual([
      false,
      '[object Object]',
      Object,
    ]);
  });
});

describe('headers of a session in any spelling', () => {
  test('are its own', () => {
    const { headers } = newSession();
    for (const name of ['user-agent', 'User-Agent', 'USER-AGENT'])
      expect([Object.hasOwn(headers, name), name in headers]).toEqual([true, true]);
    expect(Object.getOwnPropertyDescriptor(headers, 'x-a')).toEqual({
      value: 'shown',
      writable: true,
      enumerable: true,
      configurable: true,
    });
    expect([Object.hasOwn(headers, 'x-b'), Object.getOwnPropertyDescriptor(headers, 'x-b')]).toEqual([
      false,
      undefined,
    ]);
  });

  test('can be defined, once each', async () => {
    const target = await origin();
    const session = newSession();
    Object.defineProperty(session.headers, 'x-a', {
      value: 'defined',
      writable: true,
      enumerable: true,
      configurable: true,
    });
    expect(Object.keys(session.headers).filter((name) => /^x-a$/i.test(name))).toEqual(['x-a']);
    await session.get(target.url);
    expect(target.requests[0]?.headers['x-a']).toBe('defined');
  });

  test('may have the names of what every object has', async () => {
    const target = await origin();
    const session = newSession();
    for (const name of ['constructor', 'toJSON', 'hasOwnProperty']) session.headers[name] = 'own';
    await session.get(target.url, { headers: { valueOf: 'own' } });
    const { rawHeaders = [] } = target.requests[0] ?? {};
    expect(rawHeaders).toEqual(expect.arrayContaining(['constructor', 'toJSON', 'hasOwnProperty', 'valueOf']));
  });
});

test('headers that are set on a request are a copy, and go out', async () => {
  const target = await origin();
  const mine: Record<string, string> = { 'X-A': 'set' };
  const request: PreparedRequest = newSession().prepare('GET', target.url);
  request.headers = mine;
  request.headers['X-B'] = 'added';
  expect(mine).toEqual({ 'X-A': 'set' });
  await request.send();
  expect(target.requests[0]?.headers).toMatchObject({ 'x-a': 'set', 'x-b': 'added' });
  expect(target.requests[0]?.headers).not.toHaveProperty('authorization');
});

test.each<[fields: string[], cookies: Record<string, string>]>([
  [['foo'], {}],
  [['=x', ' = y', ''], {}],
  [['foo; Path=/'], {}],
  [['a=b; Path=/', ' c = d '], { a: 'b', c: 'd' }],
  [['a=b=c', 'd='], { a: 'b=c', d: '' }],
  [['a=1', 'a=2'], { a: '2' }],
])('Set-Cookie %j tells of the cookies %j', (fields, cookies) => {
  expect(namedPairs(fields)).toEqual(cookies);
});
