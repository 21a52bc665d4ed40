// How a session follows redirects: RFC 9110 §15.4, and what no redirect may get out of it.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { PassThrough, Readable, Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  BodyReplayError,
  type HttpResponse,
  RedirectError,
  type RequestOptions,
  Session,
  SessionClosedError,
  type SessionOptions,
  TooManyRedirectsError,
} from '@cloudlane/session';
import type { LabOrigin, OriginHandler } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { failureOf, newTransport, origin, proxy, until } from '../transport/lab.ts';
import { newGate, overRoutes, type RouteLab, redirecting, seenBy, writeFiles } from './lab.ts';

const STATUSES = [301, 302, 303, 307, 308] as const;
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'] as const;

/** The rule in other words than the code's. */
function expectedMethod(status: number, method: string, strictMode: boolean): string {
  if (status === 303) return method === 'HEAD' ? 'HEAD' : 'GET';
  if (method === 'POST' && !strictMode && status < 303) return 'GET';
  return method;
}

describe('method and body at the target', () => {
  overRoutes((route) => {
    test.each(STATUSES.flatMap((status) => [false, true].map((strictMode) => [status, strictMode] as const)))(
      'after %d, with strictMode %s',
      async (status, strictMode) => {
        const target = await route.origin(redirecting({ '/from': [status, '/to'] }));
        const session = await route.session({ strictMode, prefetch: true });
        for (const method of METHODS) {
          const data = method === 'GET' || method === 'HEAD' ? null : `body of ${method}`;
          const headers = { 'Content-Language': 'en', 'Content-Disposition': 'x', 'X-Kept': '1' };
          await session.request(method, `${target.url}/from`, { allowRedirects: true, data, ...(data && { headers }) });
          const seen = target.requests.at(-1);
          const next = expectedMethod(status, method, strictMode);
          const isKept = data !== null && status !== 303 && next === method;
          expect([seen?.target, seen?.method, seen?.body.toString()]).toEqual(['/to', next, isKept ? data : '']);
          const names = Object.keys(seen?.headers ?? {}).filter((name) => /^content-(?!length)|^x-/.test(name));
          const expected = ['content-language', 'content-disposition', 'x-kept'];
          expect(names).toEqual(data === null ? [] : isKept ? expected : ['x-kept']);
        }
        expect(target.requests).toHaveLength(10);
      },
    );

    test.each(['json', 'data'] as const)('a dropped body (%s) takes its headers along', async (kind) => {
      const target = await route.origin(redirecting({ '/from': [303, '/to'] }));
      const session = await route.session({ prefetch: true });
      await session.post(`${target.url}/from`, { [kind]: { a: 1 } });
      expect(target.requests[0]?.headers['content-type']).toBeDefined();
      const { headers } = target.requests[1] ?? {};
      const about = ['content-type', 'content-length', 'transfer-encoding'].filter(
        (name) => headers && name in headers,
      );
      expect(about).toEqual([]);
    });
  });
});

/** Text as a server that sends UTF-8 puts it into a header. */
function inUtf8(text: string): string {
  return Buffer.from(text).toString('latin1');
}

describe('a Location', () => {
  const ROWS: readonly (readonly [what: string, location: (base: URL) => string, target: string, hash: string])[] = [
    ['absolute', ({ origin: base }) => `${base}/abs?q=1`, '/abs?q=1', '#part'],
    ['without a host', () => '/path', '/path', '#part'],
    ['relative to the path', () => 'side', '/dir/side', '#part'],
    ['up the path', () => '../up/./x', '/up/x', '#part'],
    ['of a query alone', () => '?q=2', '/dir/from?q=2', '#part'],
    ['without a scheme', ({ host }) => `//${host}/plain`, '/plain', '#part'],
    ['with a fragment of its own', () => '/path#own', '/path', '#own'],
    ['of a fragment alone, once', () => '/next#own', '/next', '#own'],
    ['in UTF-8', () => inUtf8('/grün/ö?q=ü'), '/gr%C3%BCn/%C3%B6?q=%C3%BC', '#part'],
    ['in Latin-1', () => '/caf\xe9?q=\xfc', '/caf%E9?q=%FC', '#part'],
    ['percent-encoded', () => '/a%20b%2Fc?d=%C3%BC&e=%zz', '/a%20b%2Fc?d=%C3%BC&e=%zz', '#part'],
    ['with spaces', () => '/a b?c d', '/a%20b?c%20d', '#part'],
  ];

  overRoutes((route) => {
    test.each(ROWS)('%s', async (_, location, path, hash) => {
      const target: LabOrigin = await route.origin((request, response) => {
        if (request.url === '/dir/from?x=1') {
          response.writeHead(302, { Location: location(new URL(target.url)) });
        }
        response.end();
      });
      const response = await (await route.session()).get(`${target.url}/dir/from?x=1#part`);
      expect(target.requests.map((request) => request.target)).toEqual(['/dir/from?x=1', path]);
      expect([response.url.hash, response.history[0]?.url.hash]).toEqual([hash, '#part']);
      expect(`${response.url.pathname}${response.url.search}`).toBe(path);
    });

    test.each([
      'ftp://127.0.0.1/x',
      'file:///etc/passwd',
      'javascript:alert(1)',
      'data:text/plain,x',
      'ws://127.0.0.1/',
      'http://',
      'https://[::1/',
      'http://exa mple/',
      'http://127.0.0.1:99999/',
    ])('%s is not followed', async (location) => {
      const target = await route.origin(redirecting({ '/1': [302, '/2'], '/2': [307, location] }));
      const session = await route.session();
      const error = await failureOf(session.get(`${target.url}/1`), RedirectError);
      expect(error).toMatchObject({ code: 'ERR_REDIRECT', status: 307, url: `${target.url}/2`, redirects: 1 });
      expect(session.transport.connections.map(({ state }) => state)).toEqual(['IDLE']);
      const safe = await session.get(`${target.url}/1`, { safeMode: true });
      expect([safe.status, safe.error?.name, safe.history.length]).toEqual([0, 'RedirectError', 1]);
    });

    test.each([undefined, ''])('%j is none', async (location) => {
      const target = await route.origin((_, response) => {
        if (location !== undefined) response.setHeader('Location', location);
        response.writeHead(302, { 'Content-Length': 4 }).end('here');
      });
      const response = await (await route.session()).get(target.url);
      expect([response.status, await response.text(), target.requests.length]).toEqual([302, 'here', 1]);
    });

    test.each([300, 304, 305, 306, 201])('of a %d is not followed', async (status) => {
      const target = await route.origin(redirecting({ '/from': [status, '/to'] }));
      const response = await (await route.session({ prefetch: true })).get(`${target.url}/from`);
      expect([response.status, response.headers.location, response.history]).toEqual([status, '/to', []]);
      expect(target.requests).toHaveLength(1);
    });

    test('keeps the credentials of the URL that led to it, on the same origin', async () => {
      const target: LabOrigin = await route.origin((request, response) => {
        const next = { '/1': '2', '/2': `${target.url}/3` }[request.url ?? ''];
        if (next !== undefined) response.writeHead(302, { Location: next });
        response.end();
      });
      const other = await route.origin(redirecting({ '/1': [302, `${target.url}/back`] }));
      const session = await route.session();
      const withUser = (url: string) => url.replace('//', `//user:${encodeURIComponent(SECRETS.originPassword)}@`);
      await session.get(withUser(`${target.url}/1`));
      const basic = `Basic ${Buffer.from(`user:${SECRETS.originPassword}`).toString('base64')}`;
      expect(target.requests.map(({ headers }) => headers.authorization === basic)).toEqual([true, true, true]);
      await session.get(withUser(`${other.url}/1`));
      expect(target.requests.at(-1)?.headers.authorization).toBeUndefined();
    });
  });
});

describe('from https to http', () => {
  test.each(['direct', 'proxied'])('a redirect is refused, unless it is allowed: %s', async (way) => {
    const [plain, A] = await Promise.all([origin(), proxy()]);
    const secret = `user:${encodeURIComponent(SECRETS.originPassword)}@`;
    const location = `${plain.url.replace('//', `//${secret}`)}/to?token=${SECRETS.token}`;
    const secure = await origin('https', { handler: redirecting({ '/from': [302, location] }) });
    const http_proxy = way === 'direct' ? null : A.url;
    const session = new Session({ transport: newTransport(), http_proxy, prefetch: true });
    const error = await failureOf(session.get(`${secure.url}/from`), RedirectError);
    expect(error).toMatchObject({ code: 'ERR_REDIRECT_INSECURE', status: 302, redirects: 0 });
    expect(secretsIn(`${error.stack}${JSON.stringify(error)}`)).toEqual([]);
    expect([plain.connectionCount, A.hops.filter(({ kind }) => kind === 'forward')]).toEqual([0, []]);
    const response = await session.get(`${secure.url}/from`, { allowInsecureRedirects: true });
    expect([response.status, response.url.protocol, plain.requests.length]).toEqual([200, 'http:', 1]);
  });

  test('the other way round it is followed', async () => {
    const secure = await origin('https');
    const plain = await origin('http', { handler: redirecting({ '/from': [301, `${secure.url}/to`] }) });
    const response = await new Session({ transport: newTransport(), prefetch: true }).get(`${plain.url}/from`);
    expect([response.status, response.url.href]).toEqual([200, `${secure.url}/to`]);
  });
});

/** Where a redirect can lead away from an origin to another. */
const AWAY = ['host', 'port', 'scheme'] as const;

/** Redirects from A:/from to B:/via and B:/side, and back to A:/to and A:/end, where B differs from A in one thing. */
async function roundTrip(
  route: RouteLab,
  how: (typeof AWAY)[number],
  onFrom: Readonly<Record<string, string>> = {},
): Promise<{ home: LabOrigin; seen: () => { place: string; headers: Readonly<Record<string, unknown>> }[] }> {
  const scheme = how === 'scheme' ? (route.scheme === 'http' ? 'https' : 'http') : route.scheme;
  const requests: { place: string; headers: Readonly<Record<string, unknown>> }[] = [];
  const next = (path: string): string | undefined =>
    ({
      '/from': `${away?.url ?? home.url.replace('127.0.0.1', 'localhost')}/via`,
      '/via': '/side',
      '/side': `${home.url}/to`,
      '/to': '/end',
    })[path];
  const handler: OriginHandler = ({ url = '', headers, socket }, response) => {
    const isAway = headers.host?.startsWith('localhost') || socket.localPort === away?.port;
    requests.push({ place: `${isAway ? 'B' : 'A'}${url}`, headers });
    const location = next(url);
    if (location !== undefined) response.writeHead(307, { Location: location, ...(url === '/from' && onFrom) });
    response.end();
  };
  const away: LabOrigin | null = how === 'host' ? null : await route.origin(handler, scheme);
  const home: LabOrigin = await route.origin(handler);
  return { home, seen: () => requests };
}

describe('to another origin', () => {
  const headers = {
    Authorization: `Bearer ${SECRETS.token}`,
    Cookie: 'own=1',
    'X-Auth-Token': SECRETS.token,
    'x-api-key': SECRETS.token,
    'X-Harmless': '1',
  };
  const NAMES = ['authorization', 'cookie', 'x-auth-token', 'x-api-key', 'x-harmless'];
  const options = { allowInsecureRedirects: true } satisfies SessionOptions;

  overRoutes((route) => {
    test.each(AWAY)('(%s) the caller’s secret headers do not go, nor come back', async (how) => {
      const { home, seen } = await roundTrip(route, how);
      await (await route.session(options)).get(`${home.url}/from`, { headers });
      const names = seen().map((request) => [request.place, NAMES.filter((name) => name in request.headers)]);
      expect(names).toEqual([
        ['A/from', NAMES],
        ['B/via', ['x-harmless']],
        ['B/side', ['x-harmless']],
        ['A/to', ['x-harmless']],
        ['A/end', ['x-harmless']],
      ]);
    });

    test.each(AWAY)('(%s) nor do those of the session, its auth, and cookies without a host', async (how) => {
      const { home, seen } = await roundTrip(route, how);
      const session = await route.session({
        ...options,
        headers: { 'X-Auth-Token': SECRETS.token },
        cookies: { session: '1' },
        // Not all that authorizes has a name that says so.
        auth: (request) => request.setHeader('X-Pizza', SECRETS.token),
      });
      await session.get(`${home.url}/from`, { cookies: { call: '1' } });
      const names = ['x-auth-token', 'cookie', 'x-pizza'];
      expect(seen().map((request) => names.filter((name) => name in request.headers))).toEqual([names, [], [], [], []]);
      expect(seen()[0]?.headers.cookie).toBe('session=1; call=1');
    });

    test.each(AWAY)('(%s) cookies of the jar go by their own rules', async (how) => {
      const { home, seen } = await roundTrip(route, how, { 'Set-Cookie': 'jar=1' });
      await (await route.session(options)).get(`${home.url}/from`);
      const cookies = seen().map((request) => request.headers.cookie);
      // RFC 6265 §8.5: ports do not keep cookies apart.
      const onB = how === 'host' ? undefined : 'jar=1';
      expect(cookies).toEqual([undefined, onB, onB, 'jar=1', 'jar=1']);
    });

    test.each(AWAY)('(%s) auth is not asked again', async (how) => {
      const { home, seen } = await roundTrip(route, how);
      const asked: string[] = [];
      const session = await route.session({ ...options, auth: ({ url }) => void asked.push(url.pathname) });
      await session.get(`${home.url}/from`);
      expect([asked, seen().length]).toEqual([['/from'], 5]);
    });

    test('a Host header of the caller does not go; on the same origin it does', async () => {
      const other = await route.origin();
      const target: LabOrigin = await route.origin(redirecting({ '/1': [302, '/2'], '/2': [302, `${other.url}/3`] }));
      const session = await route.session();
      if (route.kind === 'forward') return; // A proxy puts the target's in its place (RFC 9112 §3.2.2).
      await session.get(`${target.url}/1`, { headers: { Host: 'virtual.example' }, prefetch: true });
      expect(target.requests.map((request) => request.headers.host)).toEqual(['virtual.example', 'virtual.example']);
      expect(other.requests.map((request) => request.headers.host)).toEqual([new URL(other.url).host]);
    });
  });

  overRoutes((route) => {
    test('cookies of the jar are looked up for each of them', async () => {
      const target = await route.origin(({ url }, response) => {
        const [cookie, location] = { '/1': ['a=2', '/2'], '/2': ['a=; Max-Age=0', '/3'] }[url ?? ''] ?? [];
        if (cookie !== undefined) response.writeHead(302, { 'Set-Cookie': cookie, Location: location });
        response.end();
      });
      const session = await route.session();
      session.cookies.set('a', '1', { url: target.url });
      session.cookies.set('first', '1', { url: target.url, path: '/1' });
      await session.get(`${target.url}/1`);
      expect(target.requests.map(({ headers }) => headers.cookie)).toEqual(['first=1; a=1', 'a=2', undefined]);
    });

    test('on the same origin all of it goes along', async () => {
      const target = await route.origin(redirecting({ '/from': [302, '/to'] }));
      const session = await route.session({ auth: (request) => request.setHeader('X-Pizza', '1') });
      await session.get(`${target.url}/from`, { headers, prefetch: true });
      const names = [...NAMES, 'x-pizza'];
      expect(target.requests.map((request) => names.filter((name) => name in request.headers))).toEqual([names, names]);
      await session.get(`${target.url}/from`, { cookies: { call: '1' }, prefetch: true });
      expect(target.requests.slice(2).map((request) => request.headers.cookie)).toEqual(['call=1', 'call=1']);
    });
  });
});

describe('the route of each hop', () => {
  const FROM = { A: '127.0.0.2', B: '127.0.0.3', direct: '127.0.0.1' } as const;
  const start = (way: keyof typeof FROM, auth = {}) => proxy('http', { localAddress: FROM[way], ...auth });

  /** http://127.0.0.1 → https://127.0.0.1 → http://localhost */
  async function chain(): Promise<{ first: string; from: () => (string | undefined)[] }> {
    const last = await origin();
    const secure = await origin('https', {
      handler: redirecting({ '/2': [302, `${last.url.replace('127.0.0.1', 'localhost')}/3`] }),
    });
    const plain = await origin('http', { handler: redirecting({ '/1': [302, `${secure.url}/2`] }) });
    const from = () => [plain, secure, last].map(({ requests }) => requests[0]?.remoteAddress);
    return { first: `${plain.url}/1`, from };
  }

  test('is the environment’s for its scheme and host', async () => {
    const [{ first, from }, A, B] = [await chain(), await start('A'), await start('B')];
    const env = { http_proxy: A.url, https_proxy: B.url, no_proxy: 'localhost' };
    const session = new Session({ transport: newTransport(), env, prefetch: true, allowInsecureRedirects: true });
    const response = await session.get(first);
    expect(from()).toEqual([FROM.A, FROM.B, FROM.direct]);
    expect([...response.history, response].map(({ route }) => route.kind)).toEqual(['forward', 'tunnel', 'direct']);
  });

  test('is that of an explicit http_proxy for all of them', async () => {
    const [{ first, from }, A, B] = [await chain(), await start('A'), await start('B')];
    const env = { http_proxy: B.url, https_proxy: B.url, no_proxy: 'localhost' };
    const session = new Session({ transport: newTransport(), env, prefetch: true, allowInsecureRedirects: true });
    await session.get(first, { http_proxy: A.url });
    expect(from()).toEqual([FROM.A, FROM.A, FROM.A]);
    expect(B.connectionCount).toBe(0);
  });

  test('does not change when the session’s does meanwhile', async () => {
    const [A, B, gate] = [await start('A'), await start('B'), newGate()];
    const target = await origin('http', {
      handler: async (request, response) => {
        await gate.opened;
        await redirecting({ '/from': [302, '/to'] })(request, response);
      },
    });
    const session = new Session({ transport: newTransport(), http_proxy: A.url, prefetch: true });
    const answer = session.get(`${target.url}/from`);
    await target.waitForRequests(1);
    session.setHttpProxy(B.url);
    gate.open();
    await answer;
    expect([A.hops.length, B.hops.length]).toEqual([2, 0]);
  });

  const own = { 'Proxy-Authorization': `Basic ${Buffer.from('user:own').toString('base64')}` };
  const auth = { auth: { username: 'user', password: 'own' } };

  test('with another proxy, the caller’s Proxy-Authorization stays behind', async () => {
    const [A, B] = [await start('A', auth), await start('B')];
    const secure = await origin('https');
    const plain = await origin('http', { handler: redirecting({ '/from': [302, `${secure.url}/to`] }) });
    const env = { http_proxy: A.url, https_proxy: B.url };
    const session = new Session({ transport: newTransport(), env, prefetch: true });
    await session.get(`${plain.url}/from`, { headers: own });
    expect(A.hops.map(({ headers }) => headers['proxy-authorization'])).toEqual([own['Proxy-Authorization']]);
    expect(B.hops.map(({ headers }) => headers['proxy-authorization'])).toEqual([undefined]);
  });

  test.each(['http', 'https'] as const)(
    'with the same proxy it goes along, to another %s origin too',
    async (scheme) => {
      const A = await start('A', auth);
      const other = await origin(scheme);
      const plain = await origin('http', { handler: redirecting({ '/from': [302, `${other.url}/to`] }) });
      const session = new Session({ transport: newTransport(), http_proxy: A.url, prefetch: true });
      await session.get(`${plain.url}/from`, { headers: own });
      expect(A.hops.map(({ username, authorized }) => [username, authorized])).toEqual([
        ['user', true],
        ['user', true],
      ]);
      expect(other.requests).toHaveLength(1);
    },
  );
});

describe('how many', () => {
  /** Each number leads to the next. */
  const counting: OriginHandler = ({ url }, response) => {
    const number = Number(url?.slice(1));
    response.writeHead(302, { Location: `/${number + 1}`, 'X-Number': number }).end('moved');
  };
  const upTo =
    (last: number): OriginHandler =>
    (request, response) =>
      request.url === `/${last}` ? void response.end('end') : counting(request, response);

  overRoutes((route) => {
    test.each([0, 1, 30])('maxRedirects %d lets that many through, and no more', async (maxRedirects) => {
      const [target, endless] = [await route.origin(upTo(maxRedirects)), await route.origin(counting)];
      const session = await route.session({ maxRedirects });
      const response = await session.get(`${target.url}/0`);
      expect([await response.text(), response.history.length]).toEqual(['end', maxRedirects]);
      const error = await failureOf(session.get(`${endless.url}/0`), TooManyRedirectsError);
      expect(error).toMatchObject({ code: 'ERR_TOO_MANY_REDIRECTS', status: 302, redirects: maxRedirects });
      expect(error).toBeInstanceOf(RedirectError);
      expect(endless.requests).toHaveLength(maxRedirects + 1);
    });

    test('30 unless told otherwise', async () => {
      const endless = await route.origin(counting);
      const error = await failureOf((await route.session()).get(`${endless.url}/0`), TooManyRedirectsError);
      expect([error.redirects, endless.requests.length]).toEqual([30, 31]);
    });

    test('the history holds them in order, and what each of them was', async () => {
      const target = await route.origin(upTo(3));
      const response = await (await route.session({ prefetch: true })).post(`${target.url}/0`, { data: 'x' });
      expect(
        response.history.map(({ status, url, headers, request, history }) => [
          status,
          url.pathname,
          headers['x-number'],
          request.method,
          history.length,
        ]),
      ).toEqual([
        [302, '/0', '0', 'POST', 0],
        [302, '/1', '1', 'GET', 1],
        [302, '/2', '2', 'GET', 2],
      ]);
      expect([response.url.pathname, response.request.method]).toEqual(['/3', 'GET']);
      for (const each of response.history) await expect(each.content()).resolves.toEqual(Buffer.from('moved'));
    });

    test.each(['GET', 'POST'])('none with allowRedirects: false, for %s', async (method) => {
      const target = await route.origin(counting);
      const session = await route.session({ prefetch: true });
      const response = await session.request(method, `${target.url}/0`, { allowRedirects: false });
      expect([response.status, await response.text(), response.history]).toEqual([302, 'moved', []]);
      expect(target.requests).toHaveLength(1);
    });

    test('none for HEAD, unless it is asked for', async () => {
      const target = await route.origin(upTo(1));
      const session = await route.session();
      expect((await session.head(`${target.url}/0`)).status).toBe(302);
      expect((await session.head(`${target.url}/0`, { allowRedirects: true })).status).toBe(200);
      expect(target.requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD', 'HEAD']);
    });

    test('all of them share one connection', async () => {
      const target = await route.origin(upTo(20));
      const session = await route.session();
      await (await session.get(`${target.url}/0`)).content();
      expect([target.requests.length, route.connectionCounts(target)]).toEqual([21, { near: 1, far: 1 }]);
    });

    test('a redirect with a long page does not keep its connection, nor is its page read', async () => {
      const target = await route.origin((request, response) => {
        if (request.url === '/to') return void response.end('end');
        response.writeHead(302, { Location: '/to', 'Content-Length': 1e9 });
        response.write(Buffer.alloc(1000));
      });
      const session = await route.session();
      expect(await (await session.get(`${target.url}/from`)).text()).toBe('end');
      await until(() => session.transport.connections.length === 1);
    });
  });
});

describe('a body that goes along', () => {
  const bytes = 'body of the call';
  const SOURCES: readonly (readonly [name: string, make: () => Pick<RequestOptions, 'data' | 'files' | 'json'>])[] = [
    ['text', () => ({ data: bytes })],
    ['bytes', () => ({ data: Buffer.from(bytes) })],
    ['a form', () => ({ data: { a: '1', b: ['2', '3'] } })],
    ['parameters', () => ({ data: new URLSearchParams('a=1') })],
    ['JSON', () => ({ json: { a: [1] } })],
    ['a Blob', () => ({ data: new Blob([bytes]) })],
    ['FormData', () => ({ data: formData() })],
    ['a function that makes bytes', () => ({ data: () => bytes })],
    ['a function that makes a stream', () => ({ data: () => Readable.from([bytes]) })],
    ['files', () => ({ data: { field: '1' }, files: { file: new File([bytes], 'x.txt') } })],
  ];

  function formData(): FormData {
    const form = new FormData();
    form.set('a', bytes);
    return form;
  }

  overRoutes((route) => {
    test.each(SOURCES)('from %s is sent again', async (_, make) => {
      const target = await route.origin(redirecting({ '/1': [307, '/2'], '/2': [308, '/3'] }));
      const session = await route.session({ prefetch: true });
      await session.put(`${target.url}/1`, make());
      const [one, two, three] = target.requests;
      expect(one?.body.length).toBeGreaterThan(0);
      for (const again of [two, three]) {
        expect([again?.method, again?.body.toString()]).toEqual(['PUT', one?.body.toString()]);
        expect(again?.headers['content-type']).toBe(one?.headers['content-type']);
        expect(again?.headers['content-length']).toBe(one?.headers['content-length']);
      }
    });

    test('from a file is read again', async () => {
      const [path = ''] = await writeFiles({ 'body.txt': bytes });
      await writeFile(path, bytes.repeat(10_000));
      const target = await route.origin(redirecting({ '/1': [307, '/2'] }));
      await (await route.session({ prefetch: true })).post(`${target.url}/1`, { files: { file: { path } } });
      const [one, two] = target.requests;
      expect(one?.body.includes(bytes.repeat(10_000))).toBe(true);
      expect(two?.body.equals(one?.body ?? Buffer.alloc(0))).toBe(true);
    });
  });
});

describe('a stream', () => {
  /** A generator that tells whether it was closed. */
  function generator(): { data: AsyncIterable<string>; isClosed: () => boolean } {
    let isClosed = false;
    async function* make(): AsyncGenerator<string> {
      try {
        yield 'a';
        yield 'b';
      } finally {
        isClosed = true;
      }
    }
    return { data: make(), isClosed: () => isClosed };
  }

  overRoutes((route) => {
    test('cannot be sent again', async () => {
      const target = await route.origin(redirecting({ '/from': [307, '/to'] }));
      const session = await route.session();
      const { data, isClosed } = generator();
      const error = await failureOf(session.post(`${target.url}/from`, { data }), BodyReplayError);
      expect(error).toMatchObject({ code: 'ERR_BODY_REPLAY', url: `${target.url}/from` });
      expect([target.requests[0]?.body.toString(), target.requests.length, isClosed()]).toEqual(['ab', 1, true]);
      expect(session.transport.connections.map(({ state }) => state)).toEqual(['IDLE']);
    });

    test('that is refused while it is sent is closed', async () => {
      const target = await route.origin({
        recordBodies: false,
        handler: (_, response) => void response.writeHead(307, { Location: '/to' }).end(),
      });
      const data = new PassThrough();
      data.write('endless');
      const session = await route.session();
      const closed = once(data, 'close');
      await failureOf(session.post(`${target.url}/from`, { data }), BodyReplayError);
      await closed;
      expect(target.requests).toHaveLength(1);
    });

    test('may be dropped with its method', async () => {
      const target = await route.origin(redirecting({ '/from': [303, '/to'] }));
      const { data, isClosed } = generator();
      const seen = await seenBy(await (await route.session()).post(`${target.url}/from`, { data }));
      expect([seen.method, seen.body, isClosed()]).toEqual(['GET', '', true]);
    });

    const expecting = { Expect: '100-continue' };
    const moving =
      (status: number): OriginHandler =>
      (request, response) => {
        if (request.url === '/from') return void response.writeHead(status, { Location: '/to' }).end();
        response.writeContinue();
        return redirecting({})(request, response);
      };

    test.each([307, 308])('that waits for 100 Continue is sent to where a %d leads', async (status) => {
      const target = await route.origin({ expectation: moving(status) });
      const { data, isClosed } = generator();
      const session = await route.session();
      const seen = await seenBy(await session.put(`${target.url}/from`, { data, headers: expecting }));
      expect([seen.method, seen.target, seen.body, isClosed()]).toEqual(['PUT', '/to', 'ab', true]);
    });

    test('that waits for it is closed if nothing is sent', async () => {
      const target = await route.origin({ expectation: moving(303) });
      const data = new PassThrough();
      const closed = once(data, 'close');
      const response = await (await route.session({ prefetch: true })).put(`${target.url}/from`, {
        data,
        headers: expecting,
      });
      await closed;
      expect([response.request.method, target.requests[1]?.headers.expect]).toEqual(['GET', undefined]);
    });
  });
});

describe('a chain', () => {
  const endless: OriginHandler = (_, response) => void response.writeHead(302, { Location: '/again' }).end();

  overRoutes((route) => {
    test('ends when its call is aborted between two requests', async () => {
      const target = await route.origin(endless);
      const controller = new AbortController();
      const reason = new Error('enough');
      let lines = 0;
      const verbose = new Writable({
        write(_chunk, _encoding, done) {
          lines += 1;
          if (lines === 3) controller.abort(reason);
          done();
        },
      });
      const session = await route.session({ verbose });
      await expect(session.get(target.url, { signal: controller.signal })).rejects.toBe(reason);
      expect(target.requests).toHaveLength(2);
      await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
    });

    test('ends when timeout.total is over', async () => {
      const target = await route.origin(endless);
      const session = await route.session({ maxRedirects: 1e9, timeout: { total: 50 } });
      await expect(session.get(target.url)).rejects.toMatchObject({ code: 'ERR_TIMEOUT', deadline: 'total' });
    });

    test('runs its hooks once: for the first request, and the last answer', async () => {
      const target = await route.origin(redirecting({ '/1': [302, '/2'], '/2': [302, '/3'] }));
      const calls: string[] = [];
      const session = await route.session({
        prefetch: true,
        hooks: {
          args: ({ url }) => void calls.push(`args ${new URL(url).pathname}`),
          preRequest: ({ url }) => void calls.push(`preRequest ${url.pathname}`),
          response: ({ url }) => void calls.push(`response ${url.pathname}`),
          postRequest: (_, { response }) => void calls.push(`postRequest ${response?.url.pathname}`),
        },
      });
      await session.get(`${target.url}/1`);
      expect(calls).toEqual(['args /1', 'preRequest /1', 'response /3', 'postRequest /3']);
    });

    test('goes on from the request that a hook has put in the place of the first', async () => {
      const target = await route.origin(redirecting({ '/other': [307, '/to'] }));
      const session = await route.session();
      const other = session.prepare('PUT', `${target.url}/other`, { data: 'other', headers: { 'X-Other': '1' } });
      const response = await session.get(`${target.url}/from`, { hooks: { preRequest: () => other } });
      const seen = await seenBy(response);
      expect([seen.method, seen.target, seen.body, seen.headers['x-other']]).toEqual(['PUT', '/to', 'other', '1']);
    });
  });
});

describe('closing the session', () => {
  overRoutes((route) => {
    test('lets a chain come to its end, and closes its connections then', async () => {
      const gate = newGate();
      const target = await route.origin(async (request, response) => {
        if (request.url === '/2') await gate.opened;
        await redirecting({ '/1': [302, '/2'], '/2': [302, '/3'] })(request, response);
      });
      const session = await route.session();
      const answer = session.get(`${target.url}/1`);
      await target.waitForRequests(2);
      await session.close();
      gate.open();
      expect((await seenBy(await answer)).target).toBe('/3');
      await target.waitUntilIdle();
    });

    test('refuses whatever was not sent before', async () => {
      const target = await route.origin();
      const session = await route.session();
      const prepared = session.prepare('GET', target.url);
      await session.close();
      await session.close();
      await failureOf(session.get(target.url), SessionClosedError);
      await failureOf(prepared.send(), SessionClosedError);
      expect(() => session.prepare('GET', target.url)).toThrow(SessionClosedError);
      expect(target.connectionCount).toBe(0);
    });

    const FAILURES: readonly (readonly [what: string, options: RequestOptions, code: string])[] = [
      ['by too many redirects', { maxRedirects: 0 }, 'ERR_TOO_MANY_REDIRECTS'],
      ['by a redirect to nowhere', {}, 'ERR_REDIRECT'],
      ['by its status', { dangerMode: true, allowRedirects: false, params: { not: 'found' } }, 'ERR_HTTP_STATUS'],
    ];
    test.each(FAILURES)('closes the connection of a call that failed %s', async (_, options, code) => {
      const target = await route.origin((request, response) => {
        if (request.url === '/?not=found') return void response.writeHead(404, { 'Content-Length': 0 }).end();
        response.writeHead(302, { Location: request.url === '/1' ? 'ftp://x/' : '/1' }).end();
      });
      const session = await route.session();
      await expect(session.get(target.url, options)).rejects.toMatchObject({ code });
      await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
      await session.close();
      await target.waitUntilIdle();
    });

    test('leaves the connections of other sessions alone', async () => {
      const target = await route.origin();
      const transport = newTransport();
      const [one, two] = [await route.session({ transport }), await route.session({ transport })];
      const gate: Promise<HttpResponse>[] = [one.get(target.url), two.get(target.url)];
      for (const response of await Promise.all(gate)) await response.content();
      await one.close();
      await until(() => transport.connections.length === 1);
      await nextTurn();
      const response = await two.get(target.url);
      await response.content();
      expect([response.reusedConnection, transport.connections.length]).toEqual([true, 1]);
    });
  });
});
