// Auth, and a form that is posted with it: rows R35 to R38 and R41 of Requests' "Advanced usage" (reference/promises.md
// §1.5). R37 against Apache is in digest-real.test.ts.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Auth,
  AuthBase,
  HTTPBasicAuth,
  HTTPDigestAuth,
  type HttpResponse,
  type PreparedRequest,
  type RequestOptions,
  Session,
} from '@cloudlane/session';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { certificate, origin, until } from '../transport/lab.ts';
import { digestOrigin, USER } from './digest-lab.ts';
import { newGate, overRoutes, redirecting, seenBy } from './lab.ts';

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

describe('R35 any function may be auth, and change the request', () => {
  const signs = (request: PreparedRequest): void => {
    request.setHeader('X-Signature', `${request.method} ${request.url.pathname}${request.url.search} ${request.body}`);
  };
  const async = async (request: PreparedRequest): Promise<void> => {
    await nextTurn();
    signs(request);
  };
  const returning = (request: PreparedRequest): PreparedRequest => {
    signs(request);
    return request;
  };
  const FUNCTIONS: readonly (readonly [string, Auth])[] = [
    ['that returns nothing', signs],
    ['that returns the request', returning],
    ['that takes its time', async],
    ['that returns the request later', async (request: PreparedRequest) => returning(request)],
  ];

  overRoutes((route) => {
    test.each(FUNCTIONS)('one %s', async (_, auth) => {
      const target = await route.origin();
      const session = await route.session({ params: { s: 1 } });
      const { headers } = await seenBy(
        await session.post(`${target.url}/path`, { auth, data: 'body', params: { c: 2 } }),
      );
      expect(headers['x-signature']).toBe('POST /path?s=1&c=2 body');
    });

    test('one that changes URL and body, too', async () => {
      const target = await route.origin();
      const auth = (request: PreparedRequest): void => {
        request.url.searchParams.set('sign', 'ed');
        request.body = 'other';
      };
      const session = await route.session({ auth });
      expect(await seenBy(await session.post(target.url, { data: 'body' }))).toMatchObject({
        target: '/?sign=ed',
        body: 'other',
        headers: { 'content-length': '5' },
      });
    });

    test('one that returns another request: that is sent', async () => {
      const target = await route.origin();
      const session = await route.session();
      const other = session.prepare('PUT', `${target.url}/other`, { data: 'other' });
      const response = await session.get(`${target.url}/first`, { auth: () => other });
      expect(await seenBy(response)).toMatchObject({ method: 'PUT', target: '/other', body: 'other' });
      expect(response.request).toBe(other);
    });

    test.each([
      ['text', 'Basic x'],
      ['something like a request', { headers: {} }],
      ['false', false],
    ])('one must not return %s', async (_, returned) => {
      const target = await route.origin();
      const session = await route.session();
      const auth = (() => returned) as unknown as Auth;
      await expect(session.get(target.url, { auth })).rejects.toMatchObject({
        code: 'ERR_INVALID_OPTION',
        option: 'auth',
      });
      expect(target.requests).toHaveLength(0);
    });

    test('a new token for each call, got by a call of its own', async () => {
      const tokens = await route.origin(({ url = '' }, response) => void response.end(`token ${url}`));
      const target = await route.origin();
      const session = await route.session();
      let got = 0;
      const auth = async (request: PreparedRequest): Promise<void> => {
        got += 1;
        const answer = await session.get(`${tokens.url}/${got}`, { auth: null });
        request.setHeader('Authorization', await answer.text());
      };
      session.auth = auth;
      const seen = [await session.get(target.url), await session.get(target.url)].map(seenBy);
      expect((await Promise.all(seen)).map(({ headers }) => headers.authorization)).toEqual(['token /1', 'token /2']);
    });

    test('one that fails ends the call, and nothing is sent', async () => {
      const target = await route.origin();
      const session = await route.session({ safeMode: true });
      const auth = async (): Promise<void> => {
        throw new RangeError('no token');
      };
      await expect(session.get(target.url, { auth })).rejects.toThrow('no token');
      expect(target.requests).toHaveLength(0);
    });

    test('it runs again at a redirect within the origin, not for another', async () => {
      const other = await route.origin();
      const target = await route.origin(redirecting({ '/1': [302, '/2'], '/2': [302, `${other.url}/3`] }));
      const auth = (request: PreparedRequest): void => request.setHeader('X-Path', request.url.pathname);
      const session = await route.session();
      const { headers } = await seenBy(await session.get(`${target.url}/1`, { auth }));
      expect(target.requests.map((request) => request.headers['x-path'])).toEqual(['/1', '/2']);
      expect(headers['x-path']).toBeUndefined();
    });
  });
});

describe('R36 implementations extend AuthBase', () => {
  class Counting extends AuthBase {
    applied = 0;
    readonly challenges: number[] = [];
    readonly #most: number;

    constructor(most = 0) {
      super();
      this.#most = most;
    }

    apply(request: PreparedRequest): void {
      this.applied += 1;
      request.setHeader('X-Applied', String(this.applied));
    }

    override async answerChallenge({ status }: HttpResponse): Promise<boolean> {
      await nextTurn();
      this.challenges.push(status);
      return this.challenges.length <= this.#most;
    }
  }

  overRoutes((route) => {
    test('whose apply sees each request', async () => {
      const target = await route.origin();
      const auth = new Counting();
      const session = await route.session({ auth });
      for (const expected of ['1', '2']) {
        expect((await seenBy(await session.get(target.url))).headers['x-applied']).toBe(expected);
      }
      expect(auth.challenges).toEqual([]);
    });

    test.each([
      [0, 1],
      [1, 2],
      [2, 3],
      [99, 3],
    ])('whose answerChallenge may ask for another try: %d times makes %d requests', async (most, requests) => {
      const target = await route.origin((_, response) => void response.writeHead(401).end('no'));
      const auth = new Counting(most);
      const session = await route.session({ auth });
      const response = await session.put(target.url, { data: 'body' });
      expect([response.status, await response.text()]).toEqual([401, 'no']);
      expect(target.requests.map(({ headers, body }) => [headers['x-applied'], body.toString()])).toEqual(
        Array.from({ length: requests }, (_, index) => [String(index + 1), 'body']),
      );
      expect(route.connectionCounts(target).near).toBe(1);
    });

    test('which is not asked about 401 of another origin, nor of other statuses', async () => {
      const other = await route.origin((_, response) => void response.writeHead(401).end());
      const target = await route.origin(redirecting({ '/away': [302, other.url] }));
      const auth = new Counting(9);
      const session = await route.session({ auth, prefetch: true });
      expect((await session.get(`${target.url}/away`)).status).toBe(401);
      expect((await session.get(target.url)).status).toBe(200);
      expect([auth.challenges, other.requests.length]).toEqual([[], 1]);
    });
  });

  test.each([
    ['an object without apply', {}],
    ['a token', 'token'],
    ['a list of one', ['user']],
    ['a list of other things', ['user', 1]],
    ['a number', 7],
  ])('%s is refused', async (_, auth) => {
    expect(() => new Session({ auth: auth as never })).toThrow(expect.objectContaining({ option: 'auth' }));
    const target = await origin();
    await expect(new Session().get(target.url, { auth: auth as never })).rejects.toMatchObject({ option: 'auth' });
    expect(target.connectionCount).toBe(0);
  });
});

describe('R37 Basic and Digest come with it', () => {
  const BASIC: readonly (readonly [string, Pick<RequestOptions, 'auth'>, userinfo: string, expected: string])[] = [
    ['a pair', { auth: ['user', 'pw'] }, '', basic('user', 'pw')],
    ['the class', { auth: new HTTPBasicAuth('user', 'pw') }, '', basic('user', 'pw')],
    ['UTF-8', { auth: ['üser', 'pä:ß €'] }, '', basic('üser', 'pä:ß €')],
    ['an empty password', { auth: ['user', ''] }, '', basic('user', '')],
    ['the URL’s, decoded', {}, 'us%C3%A9r:p%40%3A%2F@', basic('usér', 'p@:/')],
    ['the URL’s user alone', {}, 'user@', basic('user', '')],
    ['a pair rather than the URL’s', { auth: ['user', 'pw'] }, 'other:other@', basic('user', 'pw')],
  ];

  overRoutes((route) => {
    test.each(BASIC)('Basic with %s', async (_, options, userinfo, expected) => {
      const target = await route.origin();
      const url = target.url.replace('://', `://${userinfo}`);
      const session = await route.session();
      const response = await session.get(url, options);
      expect((await seenBy(response)).headers.authorization).toBe(expected);
      // A second one must not go out beside.
      const names = target.requests[0]?.rawHeaders.filter((name) => name.toLowerCase() === 'authorization');
      expect(names).toHaveLength(1);
    });

    test.each(['MD5', 'MD5-sess', 'SHA', 'SHA-256', 'SHA-256-sess', 'SHA-512', 'SHA-512-256', null])(
      'Digest with %s: one 401 for five requests, bodies sent again',
      async (algorithm) => {
        const {
          origin: target,
          url,
          seen,
          answers,
        } = await digestOrigin({
          offers: [{ algorithm, qop: 'auth' }],
          // What a list must not be cut at.
          others: ['Basic realm="a, b", Negotiate', 'Klingon x="y,z"'],
          realm: 'a "quoted", realm',
          ...(route.scheme === 'https' && { tls: certificate }),
        });
        const session = await route.session({ auth: new HTTPDigestAuth(USER.username, USER.password), prefetch: true });
        for (let index = 0; index < 5; index += 1) {
          const response = await session.put(`${url}/path/${index}`, { data: `body ${index}`, params: { q: 'a b' } });
          expect([response.status, await response.text()]).toEqual([200, `body ${index}`]);
        }
        expect(answers).toEqual([401, 200, 200, 200, 200, 200]);
        expect(seen.map(({ params }) => [params.uri, params.nc])).toEqual(
          [1, 2, 3, 4, 5].map((count) => [`/path/${count - 1}?q=a%20b`, `0000000${count}`]),
        );
        expect(route.connectionCounts(target).near).toBe(1);
      },
    );

    test('Digest: a stale nonce is replaced within the call', async () => {
      const { url, answers } = await digestOrigin({ uses: 2, ...(route.scheme === 'https' && { tls: certificate }) });
      const session = await route.session({ auth: new HTTPDigestAuth(USER.username, USER.password), prefetch: true });
      for (let index = 0; index < 5; index += 1) expect((await session.get(url)).status).toBe(200);
      expect(answers).toEqual([401, 200, 200, 401, 200, 200, 401, 200]);
    });

    test('Digest: a stream is begun again if that can be', async () => {
      const { url, seen } = await digestOrigin(route.scheme === 'https' ? { tls: certificate } : {});
      const session = await route.session({ prefetch: true });
      const auth = () => new HTTPDigestAuth(USER.username, USER.password);
      const stream = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('streamed');
      };
      expect((await session.post(url, { auth: auth(), data: stream })).status).toBe(200);
      expect(seen.map(({ body }) => body)).toEqual(['streamed']);
      await expect(session.post(url, { auth: auth(), data: stream() })).rejects.toMatchObject({
        code: 'ERR_BODY_REPLAY',
      });
    });

    test('Digest: a wrong password is a 401, after one try', async () => {
      const { url, answers } = await digestOrigin(route.scheme === 'https' ? { tls: certificate } : {});
      const session = await route.session({ prefetch: true });
      const auth = new HTTPDigestAuth(USER.username, SECRETS.token);
      expect((await session.get(url, { auth })).status).toBe(401);
      expect(answers).toEqual([401, 401]);
    });
  });

  test('a colon in the user name is refused', async () => {
    expect(() => new HTTPBasicAuth('a:b', 'c')).toThrow(expect.objectContaining({ option: 'auth.username' }));
    const sending = new Session().get('http://127.0.0.1:1', { auth: ['a:b', 'c'] });
    await expect(sending).rejects.toMatchObject({ option: 'auth.username' });
  });
});

describe('R38 the example', () => {
  /** Attaches HTTP Pizza Authentication to the given request. */
  class PizzaAuth extends AuthBase {
    readonly #username: string;

    constructor(username: string) {
      super();
      this.#username = username;
    }

    apply(request: PreparedRequest): void {
      request.setHeader('X-Pizza', this.#username);
    }
  }

  overRoutes((route) => {
    test('X-Pizza reaches the origin', async () => {
      const target = await route.origin();
      const session = await route.session();
      const { headers } = await seenBy(await session.get(`${target.url}/get`, { auth: new PizzaAuth('kenneth') }));
      expect(headers['x-pizza']).toBe('kenneth');
    });
  });
});

describe('R41 a form is posted with a pair as auth, and the answer is a stream', () => {
  const bytes = new Uint8Array([0, 255, 1]);
  const DATA: readonly (readonly [
    string,
    RequestOptions['data'],
    type: string | undefined,
    body: string | Uint8Array,
  ])[] = [
    [
      'fields',
      { track: 'requests & more', n: [1, 2] },
      'application/x-www-form-urlencoded',
      'track=requests+%26+more&n=1&n=2',
    ],
    ['URLSearchParams', new URLSearchParams({ a: 'ä' }), 'application/x-www-form-urlencoded', 'a=%C3%A4'],
    ['text, as it is', 'track=requests & more', undefined, 'track=requests & more'],
    ['bytes, as they are', bytes, undefined, bytes],
  ];

  overRoutes((route) => {
    test.each(DATA)('%s', async (_, data, type, body) => {
      const gates = [newGate(), newGate()] as const;
      const target = await route.origin(async (_request, response) => {
        response.write('{"id":1}\r\n');
        await gates[0].opened;
        response.write('\r\n{"id":2}\r\n');
        await gates[1].opened;
        response.end();
      });
      const session = await route.session();
      const response = await session.post(`${target.url}/filter.json`, {
        data,
        auth: ['username', SECRETS.originPassword],
      });
      const seen: unknown[] = [];
      for await (const line of response.iterLines({ skipEmpty: true })) {
        seen.push(JSON.parse(line));
        // Nothing more is sent before this line is here.
        gates[seen.length - 1]?.open();
      }
      expect(seen).toEqual([{ id: 1 }, { id: 2 }]);
      const [request] = target.requests;
      expect(request?.headers).toMatchObject({
        authorization: basic('username', SECRETS.originPassword),
        'content-length': String(body.length),
      });
      expect(request?.headers['content-type']).toBe(type);
      expect(request?.body).toEqual(Buffer.from(body as string));
      await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
    });

    test('a stream, as it comes', async () => {
      const gate = newGate();
      const received: string[] = [];
      const target = await route.origin({
        recordBodies: false,
        handler: async (request, response) => {
          for await (const chunk of request) {
            received.push(String(chunk));
            if (received.join('') === 'first') gate.open();
          }
          response.end('done');
        },
      });
      const data = async function* (): AsyncGenerator<string> {
        yield 'first';
        // Not held back until the whole body is there.
        await gate.opened;
        yield ' second';
      };
      const session = await route.session();
      const response = await session.post(target.url, { data: data(), auth: ['user', 'pw'] });
      expect([await response.text(), received.join('')]).toEqual(['done', 'first second']);
      expect(target.requests[0]?.headers).toMatchObject({
        authorization: basic('user', 'pw'),
        'transfer-encoding': 'chunked',
      });
    });
  });
});
