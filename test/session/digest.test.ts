import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { BodyReplayError, type HttpResponse, Session } from '@cloudlane/session';
import { describe, expect, test } from '@jest/globals';
import { HTTPDigestAuth } from '../../packages/session/src/digest-auth.ts';
import {
  type DigestInput,
  digestResponse,
  findAlgorithm,
  hashCredentials,
  hashUsername,
  toBytes,
} from '../../packages/session/src/digest-hash.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { failureOf, newTransport, origin, proxy, socks } from '../transport/lab.ts';
import { prepare, send, sendPrepared } from './auth-loop.ts';
import { type DigestSettings, digestOrigin, USER } from './digest-lab.ts';

function newAuth(): HTTPDigestAuth {
  return new HTTPDigestAuth(USER.username, USER.password);
}

describe('the response to a challenge is that of', () => {
  const mufasa = ['Mufasa', 'http-auth@example.org', 'Circle of Life'] as const;
  const rfc7616 = {
    method: 'GET',
    uri: '/dir/index.html',
    nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v',
    cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
    qop: 'auth',
    nc: '00000001',
    body: '',
  } as const;
  const rfc2617 = {
    ...rfc7616,
    nonce: 'dcd98b7102dd2f0e8b11d0f600bfb0c093',
    cnonce: '0a4f113b',
  } as const;
  const jason = ['Jäsøn Doe', 'api@example.org', 'Secret, or not?'] as const;
  const errata4897 = {
    ...rfc7616,
    uri: '/doe.json',
    nonce: '5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK',
    cnonce: 'NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v',
  } as const;

  test.each<
    [source: string, algorithm: string, who: readonly [string, string, string], input: DigestInput, response: string]
  >([
    ['RFC 7616 §3.9.1, MD5', 'MD5', mufasa, rfc7616, '8ca523f5e9506fed4657c9700eebdbec'],
    [
      'RFC 7616 §3.9.1, SHA-256',
      'SHA-256',
      mufasa,
      rfc7616,
      '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1',
    ],
    // The RFC's own figures are those of a SHA-512 cut short, which is another hash.
    [
      'RFC 7616 §3.9.2 with erratum 4897',
      'SHA-512-256',
      jason,
      errata4897,
      '3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5',
    ],
    [
      'RFC 2617 §3.5',
      'md5',
      ['Mufasa', 'testrealm@host.com', 'Circle Of Life'],
      rfc2617,
      '6629fae49393a05397450978507c4ef1',
    ],
    // RFC 2069 §2.4, whose own figure is wrong: erratum 749.
    [
      'RFC 2069 with erratum 749',
      'MD5',
      ['Mufasa', 'testrealm@host.com', 'CircleOfLife'],
      { ...rfc2617, qop: null },
      '1949323746fe6a43ef61f9606e7febea',
    ],
  ])('%s', (_, name, [username, realm, password], input, response) => {
    const algorithm = findAlgorithm(name);
    if (!algorithm) throw new Error(`${name} is not known`);
    const credentials = hashCredentials(algorithm.hash, username, toBytes(realm), password);
    expect(digestResponse(algorithm, credentials, input)).toBe(response);
  });

  test('RFC 7616 §3.9.2 with erratum 4897, for the user name', () => {
    const hashed = '793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b';
    expect(hashUsername('sha512-256', jason[0], jason[1])).toBe(hashed);
  });

  test('a realm as the bytes that the server sent', () => {
    expect(hashCredentials('md5', 'ü', toBytes('café'), 'ß')).toBe('b70b4a9a24a2a7f78101c9ed95084a69');
  });

  test.each(['', 'SHA-1', 'SHA-384', 'MD5-session', 'MD5 ', '-sess'])('no algorithm called %j', (name) => {
    expect(findAlgorithm(name)).toBeNull();
  });
});

const ALGORITHMS = ['MD5', 'SHA', 'SHA-256', 'SHA-512', 'SHA-512-256'].flatMap((name) => [name, `${name}-sess`]);

describe('an origin lets a request in', () => {
  test.each([null, ...ALGORITHMS])('with %s, and later ones without asking', async (algorithm) => {
    for (const qop of ['auth', 'auth-int', 'auth-int,auth', null]) {
      const target = await digestOrigin({ offers: [{ algorithm, qop }] });
      const auth = newAuth();
      for (const body of [null, 'text', 'text', Buffer.from('bytes')]) {
        const sending = body === null ? {} : { method: 'POST', data: body };
        const path = `/a%20b/?q='"${body?.length}&x=%22`;
        expect([qop, await send(auth, target.url + path, sending)]).toEqual([
          qop,
          { status: 200, text: `${body ?? ''}` },
        ]);
      }
      expect(target.answers).toEqual([401, 200, 200, 200, 200]);
      const { qop: used } = target.seen[0]?.params ?? {};
      expect(used).toBe(qop?.split(',').at(-1));
      if (qop !== null)
        expect(target.seen.map(({ params }) => params.nc)).toEqual(['00000001', '00000002', '00000003', '00000004']);
    }
  });

  test.each<[what: string, settings: DigestSettings, username: string]>([
    ['a realm with quotes and backslashes', { realm: 'say "hi", \\o/' }, USER.username],
    ['no opaque', { opaque: null }, USER.username],
    ['an empty opaque', { opaque: '' }, USER.username],
    ['a user name with quotes and backslashes', { username: 'DOM\\"x", a' }, 'DOM\\"x", a'],
    ['a user name with a colon', { username: 'a:b' }, 'a:b'],
    ['a user name that is to be hashed', { userhash: true }, USER.username],
    ['a user name beyond ASCII', { username: 'Jäsøn Doe' }, 'Jäsøn Doe'],
    ['a user name beyond ASCII, in UTF-8', { username: "Jäsøn 'D' (*%)", charset: 'UTF-8' }, "Jäsøn 'D' (*%)"],
    ['a user name beyond ASCII that is to be hashed', { username: 'Jäsøn', charset: 'UTF-8', userhash: true }, 'Jäsøn'],
    ['a user name in decomposed form', { username: 'J\u00e4', charset: 'UTF-8' }, 'Ja\u0308'],
    ['a plain user name where UTF-8 is wanted', { charset: 'UTF-8', userhash: false }, USER.username],
  ])('with %s', async (_, settings, username) => {
    const target = await digestOrigin(settings);
    const auth = new HTTPDigestAuth(username, USER.password);
    expect(await send(auth, target.url)).toEqual({ status: 200, text: '' });
    expect(target.answers).toEqual([401, 200]);
  });

  test('with a password in decomposed form', async () => {
    const target = await digestOrigin({ password: 'p\u00e4ss' });
    expect(await send(new HTTPDigestAuth(USER.username, 'pa\u0308ss'), target.url)).toMatchObject({ status: 200 });
  });

  test('when challenges of other schemes stand around', async () => {
    const others = ['Negotiate YII=, Basic realm="a, Digest realm=\\"b\\", nonce=x"', 'NTLM'] as const;
    const target = await digestOrigin({ others });
    expect(await send(newAuth(), target.url)).toMatchObject({ status: 200 });
  });

  test('with the strongest algorithm of those that are known', async () => {
    const names = ['MD5', 'SHA-9', 'SHA-256-sess', 'SHA-512-256', 'SHA-256', 'SHA'];
    const target = await digestOrigin({ offers: names.map((algorithm) => ({ algorithm, qop: 'auth' })) });
    await send(newAuth(), target.url);
    expect(target.seen[0]?.params.algorithm).toBe('SHA-512-256');
  });

  test.each(['forward', 'tunnel', 'socks'] as const)('over %s, with credentials for the proxy, too', async (way) => {
    const options = { auth: { username: 'user', password: SECRETS.proxyPassword } };
    const between = way === 'socks' ? await socks(options) : await proxy('http', options);
    const target = await digestOrigin();
    const [auth, transport] = [newAuth(), newTransport(way === 'tunnel' ? { tunnelHttp: true } : {})];
    for (const path of ['/a?b=1', '/c']) {
      const answer = await send(auth, target.url + path, { transport, http_proxy: between.urlWithCredentials });
      expect(answer).toMatchObject({ status: 200 });
    }
    expect(target.seen.map(({ params }) => [params.uri, params.nc])).toEqual([
      ['/a?b=1', '00000001'],
      ['/c', '00000002'],
    ]);
    const shown = between.hops.map((hop) => ('headers' in hop ? hop.headers.authorization : undefined));
    expect(shown.filter((header) => header !== undefined)).toHaveLength(way === 'forward' ? 2 : 0);
    expect(between.hops.map((hop) => ('kind' in hop ? hop.kind : 'socks'))).toEqual(
      { forward: ['forward', 'forward', 'forward'], tunnel: ['connect'], socks: ['socks'] }[way],
    );
  });
});

describe('a nonce', () => {
  test('that is stale is replaced', async () => {
    const target = await digestOrigin({ uses: 2 });
    const auth = newAuth();
    for (let times = 0; times < 5; times += 1) expect(await send(auth, target.url)).toMatchObject({ status: 200 });
    expect(target.answers).toEqual([401, 200, 200, 401, 200, 200, 401, 200]);
    expect(target.seen.map(({ params }) => params.nc).join(' ')).toBe('00000001 00000002 00000001 00000002 00000001');
  });

  test('that is refused without a word, where it was used before, is replaced', async () => {
    const target = await digestOrigin({ uses: 1, tellsStale: false });
    const auth = newAuth();
    for (let times = 0; times < 3; times += 1) expect(await send(auth, target.url)).toMatchObject({ status: 200 });
    expect(target.answers).toEqual([401, 200, 401, 200, 401, 200]);
  });

  test('that is stale at once is replaced as often as requests are sent', async () => {
    const target = await digestOrigin({ uses: 0 });
    expect(await send(newAuth(), target.url)).toEqual({ status: 401, text: 'stale' });
    expect(target.answers).toEqual([401, 401, 401]);
  });

  test.each([undefined, 'the same for all'])('serves requests at once (%s)', async (nonce) => {
    let waiting = 0;
    let answer = (): void => {};
    const allWait = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const hold = () => {
      waiting += 1;
      if (waiting === 8) answer();
      return allWait;
    };
    const target = await digestOrigin({ hold, ...(nonce !== undefined && { nonce }) });
    const auth = newAuth();
    const transport = newTransport();
    const burst = () => Promise.all(Array.from({ length: 8 }, () => send(auth, target.url, { transport })));
    expect((await burst()).map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect((await burst()).map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect(target.answers.filter((status) => status === 401)).toHaveLength(8);
    const counts = target.seen.map(({ params }) => `${params.nonce} ${params.nc}`);
    expect(new Set(counts).size).toBe(16);
  });

  test('is used only for the URIs that the challenge names', async () => {
    const target = await digestOrigin({ domain: '/in http://elsewhere.example/' });
    const auth = newAuth();
    for (const path of ['/in/a', '/in/b', '/out', '/out', '/in/c'])
      expect(await send(auth, target.url + path)).toMatchObject({ status: 200 });
    expect(target.answers).toEqual([401, 200, 200, 401, 200, 401, 200, 200]);
  });

  test('is shown to no other origin', async () => {
    const targets = [await digestOrigin({ realm: 'one' }), await digestOrigin({ realm: 'other' })];
    const open = await origin();
    const auth = newAuth();
    for (let round = 0; round < 2; round += 1) {
      for (const target of targets) expect(await send(auth, target.url)).toMatchObject({ status: 200 });
      await send(auth, open.url);
    }
    expect(targets.map(({ answers }) => answers)).toEqual([
      [401, 200, 200],
      [401, 200, 200],
    ]);
    expect(open.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  test('is shown to no other origin, even if the request turns to one after its challenge', async () => {
    const target = await digestOrigin();
    const open = await origin();
    class Turning extends HTTPDigestAuth {
      override answerChallenge(response: HttpResponse): boolean {
        const answer = super.answerChallenge(response);
        response.request.url = new URL(open.url);
        return answer;
      }
    }
    const auth = new Turning(USER.username, USER.password);
    expect(await send(auth, target.url)).toMatchObject({ status: 200 });
    expect(open.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });
});

describe('a 401 is the answer', () => {
  test('after one try with the wrong password, each time', async () => {
    const target = await digestOrigin();
    const auth = new HTTPDigestAuth(USER.username, 'wrong');
    for (let times = 0; times < 2; times += 1)
      expect(await send(auth, target.url)).toEqual({ status: 401, text: 'wrong' });
    // Not more often: some origins lock an account after a few of them.
    const tries = target.origin.requests.map(({ headers }) => headers.authorization !== undefined);
    expect(tries).toEqual([false, true, false, true]);
  });

  test('also where the same request is sent again', async () => {
    const target = await digestOrigin();
    const request = prepare(target.url, { auth: new HTTPDigestAuth(USER.username, 'wrong') });
    await sendPrepared(request);
    await sendPrepared(request);
    expect(target.answers).toEqual([401, 401, 401, 401]);
  });

  test('if the origin wants a hash of a body that is a stream', async () => {
    const target = await digestOrigin({ offers: [{ algorithm: 'MD5', qop: 'auth-int' }] });
    const auth = newAuth();
    const sending = () => ({ method: 'PUT', data: Readable.from([Buffer.from('stream')]) });
    expect(await send(auth, target.url, sending())).toMatchObject({ status: 401 });
    expect(await send(auth, target.url)).toMatchObject({ status: 200 });
    expect(await send(auth, target.url, sending())).toMatchObject({ status: 401 });
    expect(target.answers).toEqual([401, 401, 200, 401]);
  });

  test.each<[what: string, challenge: string]>([
    ['no challenge', ''],
    ['Basic only', 'Basic realm="x"'],
    ['another scheme that looks alike', 'Digester realm="x", nonce="y"'],
    ['an unknown algorithm', 'Digest realm="x", nonce="y", algorithm=SHA3'],
    ['no nonce', 'Digest realm="x"'],
    ['no realm', 'Digest nonce="x"'],
    ['an unknown qop', 'Digest realm="x", nonce="y", qop="auth-conf"'],
  ])('to %s', async (_, challenge) => {
    const handler: NonNullable<Parameters<typeof origin>[1]>['handler'] = (_request, response) =>
      void response.writeHead(401, challenge === '' ? {} : { 'WWW-Authenticate': challenge }).end();
    const target = await origin('http', { handler });
    expect(await send(newAuth(), target.url)).toMatchObject({ status: 401 });
    expect(target.requests).toHaveLength(1);
  });
});

test('a stream is begun again after the challenge', async () => {
  const target = await digestOrigin();
  const data = () => Readable.from([Buffer.from('again '), Buffer.from('and again')]);
  const answer = await send(newAuth(), target.url, { method: 'POST', data });
  expect(answer).toEqual({ status: 200, text: 'again and again' });
});

test('a stream that cannot be begun again fails the call', async () => {
  const target = await digestOrigin();
  const data = Readable.from([Buffer.from('once')]);
  await failureOf(send(newAuth(), target.url, { method: 'POST', data }), BodyReplayError);
  expect(target.answers).toEqual([401]);
});

test('a redirect within the origin is followed with the same nonce; one to another origin without', async () => {
  const open = await origin();
  const redirects: Readonly<Record<string, string>> = { '/a': '/b?c', '/b?c': `${open.url}/elsewhere` };
  const target = await digestOrigin({ redirects });
  const session = new Session({ transport: newTransport(), http_proxy: null, auth: newAuth() });
  await (await session.get(`${target.url}/a`)).content();
  expect(target.answers).toEqual([401, 302, 302]);
  expect(target.seen.map(({ params }) => [params.uri, params.nc])).toEqual([
    ['/a', '00000001'],
    ['/b?c', '00000002'],
  ]);
  expect(open.requests.map(({ target: path, headers }) => [path, headers.authorization])).toEqual([
    ['/elsewhere', undefined],
  ]);
});

test('the request target is the one on the wire, byte for byte', () => {
  const auth = newAuth();
  const request = prepare('http://origin.example/a/b?c');
  request.target = '/a/../b?"c"';
  challenge(auth, request, 'Digest realm="r", nonce="n", qop="auth"');
  auth.apply(request);
  expect(request.header('Authorization')).toContain('uri="/a/../b?\\"c\\""');
});

test('what a hop before has sent is not sent again', () => {
  const request = prepare('http://origin.example/', { headers: { authorization: 'Digest username="x"' } });
  newAuth().apply(request);
  expect(request.header('Authorization')).toBeUndefined();
});

test('a header of the caller stays until the origin asks', () => {
  const request = prepare('http://origin.example/', { headers: { authorization: 'Custom mine' } });
  newAuth().apply(request);
  expect(request.header('Authorization')).toBe('Custom mine');
});

test('a user name that no header can carry is refused', () => {
  expect(() => new HTTPDigestAuth('a\r\nb', 'c')).toThrow(InvalidOptionError);
});

test('nothing printable has a secret', async () => {
  const auth = newAuth();
  const target = await digestOrigin();
  const request = prepare(target.url, { auth });
  await sendPrepared(request);
  const shown = [auth, request].flatMap((each) => [
    JSON.stringify(each),
    String(each),
    inspect(each, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
  ]);
  expect(secretsIn(shown.join('\n'))).toEqual([]);
  expect(shown.join('\n')).not.toMatch(/response=|nonce=/);
});

function challenge(auth: HTTPDigestAuth, request: ReturnType<typeof prepare>, field: string): boolean {
  const response = { request, headers: { 'www-authenticate': field } };
  return Reflect.apply(auth.answerChallenge, auth, [response]);
}
