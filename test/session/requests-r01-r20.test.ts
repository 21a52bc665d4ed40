// Requests' "Advanced usage", row by row (reference/promises.md §1.5); R9 to R12 are in verification.test.ts.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as api from '@cloudlane/session';
import { HttpStatusError, Session, type SessionOptions, StreamConsumedError } from '@cloudlane/session';
import { closedPort, type OriginHandler } from '@cloudlane/testing';
import { CloudlaneError, sharedTransport, TimeoutError, TransportError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectWarning } from '../support/hygiene.ts';
import { closeAfterTest } from '../support/resources.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { ca, certificate, failureOf, newTransport, origin, proxy, socks, until } from '../transport/lab.ts';
import { answering, newGate, overRoutes, redirecting, seenBy, writeFiles } from './lab.ts';

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

const { get, options, head, post, put, patch, delete: remove } = api;
const functions = { get, options, head, post, put, patch, delete: remove } as const;
const METHODS = ['get', 'options', 'head', 'post', 'put', 'patch', 'delete'] as const;

/** What can be given to a session and to a call, and where an origin sees it. */
type Attribute = 'headers' | 'params' | 'cookies' | 'auth' | 'hooks';

function given(attribute: Attribute, value: string): Pick<SessionOptions & api.RequestOptions, Attribute> {
  const hook = (args: api.RequestArgs): void => {
    args.headers = { ...args.headers, 'X-Hook': value };
  };
  return {
    [attribute]: {
      headers: { 'X-A': value },
      params: { a: value },
      cookies: { a: value },
      auth: [value, 'pw'],
      hooks: { args: hook },
    }[attribute],
  };
}

async function seenOf(attribute: Attribute, response: api.HttpResponse): Promise<string | undefined> {
  const { target, headers } = await seenBy(response);
  const seen = {
    headers: headers['x-a'],
    params: target,
    cookies: headers.cookie,
    auth: headers.authorization,
    hooks: headers['x-hook'],
  };
  return seen[attribute];
}

describe('R1 a session persists its parameters, and a call’s come before them', () => {
  const ROWS: readonly (readonly [Attribute, of: string, orOf: string])[] = [
    ['headers', 'session', 'call'],
    ['params', '/?a=session', '/?a=call'],
    ['cookies', 'a=session', 'a=call'],
    ['auth', basic('session', 'pw'), basic('call', 'pw')],
    ['hooks', 'session', 'call'],
  ];

  overRoutes((route) => {
    test.each(ROWS)('%s', async (attribute, ofSession, ofCall) => {
      const target = await route.origin();
      const session = await route.session(given(attribute, 'session'));
      const seen: (string | undefined)[] = [];
      for (const options of [{}, {}, given(attribute, 'call'), {}]) {
        seen.push(await seenOf(attribute, await session.get(target.url, options)));
      }
      expect(seen).toEqual([ofSession, ofSession, ofCall, ofSession]);
      expect(target.requests).toHaveLength(4);
    });

    test('timeout', async () => {
      const target = await route.origin(() => {});
      const session = await route.session({ timeout: { firstByte: 20 } });
      const outOfTime = async (options?: api.RequestOptions) =>
        (await failureOf(session.get(target.url, options), TimeoutError)).milliseconds;
      expect([await outOfTime(), await outOfTime(), await outOfTime({ timeout: { firstByte: 10 } })]).toEqual([
        20, 20, 10,
      ]);
    });

    test('config', async () => {
      const target = await route.origin(redirecting({ '/from': [302, '/to'] }));
      const session = await route.session({ allowRedirects: false });
      const statuses: number[] = [];
      for (const options of [{}, {}, { allowRedirects: true }]) {
        const response = await session.get(`${target.url}/from`, options);
        statuses.push(response.status);
        await response.content();
      }
      expect(statuses).toEqual([302, 302, 200]);
    });
  });

  test('proxies', async () => {
    const [target, A, B] = await Promise.all([origin(), proxy(), proxy()]);
    const session = new Session({ transport: newTransport(), prefetch: true, proxies: { http: A.url } });
    for (const options of [{}, {}, { proxies: { http: B.url } }]) await session.get(target.url, options);
    expect([A.hops.length, B.hops.length]).toEqual([2, 1]);
  });

  test('verify', async () => {
    const target = await origin('https');
    expectWarning('CLOUDLANE_INSECURE', target.url);
    const session = new Session({ transport: newTransport({ tls: {} }), prefetch: true, verify: false });
    expect([(await session.get(target.url)).status, (await session.get(target.url)).status]).toEqual([200, 200]);
    await expect(session.get(target.url, { verify: true })).rejects.toMatchObject({ code: 'ERR_TLS' });
  });

  test('cert', async () => {
    const target = await origin('https', { tls: { ...certificate, clientCa: ca.certificate } });
    const [own, other] = await Promise.all(['own', 'other'].map((name) => ca.issue({ names: [name], client: true })));
    const [one = '', two = ''] = await writeFiles({
      'one.pem': `${own?.cert}${own?.key}`,
      'two.pem': `${other?.cert}${other?.key}`,
    });
    const session = new Session({ transport: newTransport(), prefetch: true, cert: one });
    for (const options of [{}, {}, { cert: two }, { cert: null }]) await session.get(target.url, options);
    expect(target.requests.map(({ clientCertificate }) => clientCertificate)).toEqual(['own', 'own', 'other', null]);
  });
});

describe('R2 cookies persist, each for its host, path, scheme and time', () => {
  const setting =
    (...cookies: readonly string[]): OriginHandler =>
    ({ url }, response) => {
      if (url === '/set') response.setHeader('Set-Cookie', [...cookies]);
      response.end();
    };

  overRoutes((route) => {
    test('not for another host, and for every port of its own', async () => {
      const [target, neighbour] = [await route.origin(setting('a=1')), await route.origin()];
      const session = await route.session();
      await session.get(`${target.url}/set`);
      await session.get(`${target.url}/`);
      await (await session.get(neighbour.url)).content();
      await session.get(`${target.url.replace('127.0.0.1', 'localhost')}/other`);
      expect(target.requests.map(({ headers }) => headers.cookie)).toEqual([undefined, 'a=1', undefined]);
      expect(neighbour.requests.map(({ headers }) => headers.cookie)).toEqual(['a=1']);
    });

    test('under its path only', async () => {
      const target = await route.origin(setting('deep=1; Path=/in', 'all=1; Path=/'));
      const session = await route.session();
      for (const path of ['/set', '/in/side', '/in', '/inn']) await session.get(`${target.url}${path}`);
      expect(target.requests.map(({ headers }) => headers.cookie)).toEqual([
        undefined,
        'deep=1; all=1',
        'deep=1; all=1',
        'all=1',
      ]);
    });

    test('Secure over https only', async () => {
      const target = await route.origin(setting('s=1; Secure', 'p=1'));
      const session = await route.session();
      await session.get(`${target.url}/set`);
      await session.get(target.url);
      expect(target.requests[1]?.headers.cookie).toBe(route.scheme === 'https' ? 's=1; p=1' : 'p=1');
    });

    test('until it expires', async () => {
      const past = new Date(Date.now() - 1_000).toUTCString();
      const target = await route.origin(setting('gone=1; Max-Age=0', `past=1; Expires=${past}`, 'kept=1; Max-Age=60'));
      const session = await route.session();
      session.cookies.set('past', 'before', { url: target.url });
      await session.get(`${target.url}/set`);
      await session.get(target.url);
      expect(target.requests.map(({ headers }) => headers.cookie)).toEqual(['past=before', 'kept=1']);
    });

    test('of another domain is refused', async () => {
      const target = await route.origin(setting('foreign=1; Domain=api.example'));
      const session = await route.session();
      await session.get(`${target.url}/set`);
      expect([...session.cookies]).toEqual([]);
    });

    test('set by a redirect is sent to where it leads', async () => {
      const target = await route.origin((request, response) => {
        if (request.url === '/from') response.writeHead(302, { Location: '/to', 'Set-Cookie': 'hop=1' });
        response.end();
      });
      const session = await route.session();
      await session.get(`${target.url}/from`);
      expect(target.requests.map(({ headers }) => headers.cookie)).toEqual([undefined, 'hop=1']);
    });
  });
});

describe('R2 cookies of a domain', () => {
  test.each(['forward', 'socks'] as const)(
    'are for all hosts below it, those of a public suffix for none: %s',
    async (way) => {
      const hosts = { 'shop.co.uk': '127.0.0.1', 'www.shop.co.uk': '127.0.0.1' };
      const A = await (way === 'socks' ? socks({ hosts }) : proxy('http', { hosts }));
      const cookies = ['shop=1; Domain=shop.co.uk', 'suffix=1; Domain=co.uk', 'host=1'];
      const target = await origin('http', {
        handler: (_, response) => void response.setHeader('Set-Cookie', cookies).end(),
      });
      const session = new Session({ transport: newTransport(), http_proxy: A.url });
      for (const host of ['shop.co.uk', 'www.shop.co.uk']) await session.get(target.url.replace('127.0.0.1', host));
      await session.get(target.url.replace('127.0.0.1', 'shop.co.uk'));
      const seen = target.requests.map(({ headers }) => headers.cookie);
      expect(seen).toEqual([undefined, 'shop=1', 'shop=1; host=1']);
    },
  );
});

describe('R3 a session has every method of the main API', () => {
  overRoutes((route) => {
    test.each(METHODS)('%s, by a session, prepared, and on its own', async (method) => {
      const target = await route.origin();
      const session = await route.session();
      const [verify = ''] = await writeFiles({ 'ca.pem': ca.certificate });
      closeAfterTest({ [Symbol.asyncDispose]: async () => sharedTransport().closeIdle() });
      const options = { http_proxy: await route.setting(), verify, headers: { 'X-A': '1' } };
      const answers = [
        await session[method](target.url, options),
        await session.request(method, target.url, options),
        await session.prepare(method, target.url, options).send(),
        await functions[method](target.url, options),
        await api.request(method, target.url, options),
        await api.prepare[method](target.url, options).send(),
      ];
      await Promise.all(answers.map((answer) => answer.content()));
      const expected = answers.map(() => [method.toUpperCase(), '1']);
      expect(target.requests.map((request) => [request.method, request.headers['x-a']])).toEqual(expected);
    });

    test.each(METHODS)('%s follows redirects unless it is head', async (method) => {
      const target = await route.origin(redirecting({ '/from': [307, '/to'] }));
      const session = await route.session();
      const response = await session[method](`${target.url}/from`);
      await response.content();
      expect(response.status).toBe(method === 'head' ? 307 : 200);
      expect(target.requests).toHaveLength(method === 'head' ? 1 : 2);
    });
  });

  test('the functions and the session share one signature', () => {
    type Same<A, B> = [A, B] extends [B, A] ? true : false;
    type Shared = {
      [K in (typeof METHODS)[number] | 'request']: Same<(typeof api)[K], Session[K]>;
    };
    const shared: Shared = {
      get: true,
      options: true,
      head: true,
      post: true,
      put: true,
      patch: true,
      delete: true,
      request: true,
    };
    for (const name of Object.keys(shared)) expect(Reflect.get(api, name)).toHaveLength(name === 'request' ? 3 : 2);
  });
});

describe('R4 a cookie that one answer sets is sent by the next request', () => {
  overRoutes((route) => {
    test('as in the example', async () => {
      const target = await route.origin(({ url = '', headers }, response) => {
        const [, name, value] = /^\/cookies\/set\/(\w+)\/(\w+)$/.exec(url) ?? [];
        if (name !== undefined) response.setHeader('Set-Cookie', `${name}=${value}; Path=/`);
        response.end(JSON.stringify({ cookies: headers.cookie ?? null }));
      });
      const session = await route.session();
      const first = await session.get(`${target.url}/cookies/set/sessioncookie/123456789`);
      expect(await first.json()).toEqual({ cookies: null });
      expect(first.cookies).toEqual({ sessioncookie: '123456789' });
      const second = await session.get(`${target.url}/cookies`);
      expect(await second.json()).toEqual({ cookies: 'sessioncookie=123456789' });
      expect(session.cookies.get('sessioncookie')).toBe('123456789');
    });
  });
});

describe('R5 a session is built with defaults, and closes what it opened', () => {
  overRoutes((route) => {
    test('auth and headers of the constructor are in every request', async () => {
      const target = await route.origin();
      const session = await route.session({ auth: ['user', 'pass'], headers: { 'x-test': 'true' } });
      const { headers } = await seenBy(await session.get(target.url, { headers: { 'x-test2': 'true' } }));
      expect(headers).toMatchObject({ authorization: basic('user', 'pass'), 'x-test': 'true', 'x-test2': 'true' });
    });

    test('after its dispose every server has seen the connection end', async () => {
      const target = await route.origin();
      const session = await route.session();
      await (await session.get(target.url)).content();
      expect(target.openSockets).toBe(1);
      await session[Symbol.asyncDispose]();
      await Promise.all([target.waitUntilIdle(), route.isProxied && route.proxy.waitUntilIdle()]);
      expect(session.transport.connections).toEqual([]);
      await session.close();
    });

    test(
      'after its close a process has no open handle, and ends',
      async () => {
        const target = await route.origin();
        await route.session();
        const [verify] = await writeFiles({ 'ca.pem': ca.certificate });
        const options = { http_proxy: await route.setting(), verify };
        const script = `
          import { Session } from '@cloudlane/session';
          const sockets = () => process.report.getReport().libuv.filter(({ type }) => type === 'tcp').length;
          process.report.excludeNetwork = true;
          const session = new Session(${JSON.stringify(options)});
          await (await session.get('${target.url}')).content();
          const before = sockets();
          await session[Symbol.asyncDispose]();
          while (sockets() > 0) await new Promise(setImmediate);
          process.on('exit', () => console.log(JSON.stringify([before, sockets()])));
        `;
        const { output, errors, code } = await runScript(script);
        expect({ output, errors, code }).toEqual({ output: '[1,0]\n', errors: '', code: 0 });
      },
      PROCESS_TIMEOUT,
    );
  });
});

describe('R6 dictionaries merge by key, other values are replaced; the call’s come first', () => {
  overRoutes((route) => {
    test('headers whatever their spelling', async () => {
      const target = await route.origin();
      const session = await route.session({ headers: { 'X-Test': 'session', 'X-Kept': 'session' } });
      await seenBy(await session.get(target.url, { headers: { 'x-test': 'call', 'X-More': 'call' } }));
      const raw = target.requests[0]?.rawHeaders ?? [];
      const named = raw.flatMap((name, index) =>
        index % 2 === 0 && /^x-/i.test(name) ? [[name, raw[index + 1]]] : [],
      );
      expect(named).toEqual([
        ['x-test', 'call'],
        ['X-Kept', 'session'],
        ['X-More', 'call'],
      ]);
    });

    test('parameters and cookies, by name', async () => {
      const target = await route.origin();
      const session = await route.session({ params: { a: 's', b: 's' }, cookies: { a: 's', b: 's' } });
      const options = { params: { b: 'c', c: 'c', B: 'C' }, cookies: { b: 'c', c: 'c' } };
      const { target: path, headers } = await seenBy(await session.get(target.url, options));
      expect(path).toBe('/?a=s&b=c&c=c&B=C');
      expect(headers.cookie).toBe('a=s; b=c; c=c');
    });

    test('hooks, by name: a call’s are in the place of the session’s', async () => {
      const target = await route.origin();
      const calls: string[] = [];
      const log = (name: string) => () => void calls.push(name);
      const session = await route.session({
        hooks: { args: [log('s args 1'), log('s args 2')], response: log('s response') },
      });
      await seenBy(await session.get(target.url, { hooks: { args: log('c args'), postRequest: log('c post') } }));
      expect(calls).toEqual(['c args', 's response', 'c post']);
    });

    test('auth is replaced whole', async () => {
      const target = await route.origin();
      const session = await route.session({ auth: ['session', 'secret'] });
      const { headers } = await seenBy(await session.get(target.url, { auth: ['call', ''] }));
      expect(headers.authorization).toBe(basic('call', ''));
    });
  });

  test('proxies, by key', async () => {
    const [target, A, B] = await Promise.all([origin(), proxy(), proxy()]);
    const session = new Session({ transport: newTransport(), prefetch: true, proxies: { http: A.url, https: B.url } });
    await session.get(target.url, { proxies: { https: 'http://other.example' } });
    await session.get(target.url, { proxies: { http: B.url } });
    expect([A.hops.length, B.hops.length]).toEqual([1, 1]);
    expect(session.explain('https://api.example', { proxies: { http: A.url } }).route).toMatchObject({
      proxy: { port: B.port },
    });
  });

  test('deadlines, phase by phase', async () => {
    const target = await origin('http', { handler: () => {} });
    const session = new Session({ transport: newTransport(), timeout: { firstByte: 20, connect: 1_000 } });
    await expect(session.get(target.url, { timeout: { connect: 2_000 } })).rejects.toMatchObject({ milliseconds: 20 });
  });
});

describe('R7 a null takes away what the session has', () => {
  overRoutes((route) => {
    test('a header, whatever its spelling, on the wire too', async () => {
      const target = await route.origin();
      const session = await route.session({ headers: { 'X-Gone': '1', 'X-Kept': '1' } });
      await seenBy(await session.get(target.url, { headers: { 'x-gone': null } }));
      const [request] = target.requests;
      expect(request?.headers).toMatchObject({ 'x-kept': '1', 'user-agent': expect.any(String) });
      expect(request?.rawHeaders.filter((name) => name.toLowerCase() === 'x-gone')).toEqual([]);
    });

    test('the built-in headers, on the wire too', async () => {
      const target = await route.origin();
      const session = await route.session();
      const headers = { 'user-agent': null, ACCEPT: null, 'accept-Encoding': null };
      await session.get(target.url, { headers, prefetch: true });
      session.headers['User-Agent'] = null;
      session.headers.accept = null;
      session.headers['accept-encoding'] = null;
      await session.get(target.url, { prefetch: true });
      for (const { rawHeaders } of target.requests) {
        const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
        // A proxy that forwards says so (RFC 9110 §7.6.3).
        expect(names.filter((name) => name !== 'via').toSorted()).toEqual(['connection', 'host']);
      }
      expect(target.requests).toHaveLength(2);
    });

    test('a parameter, a cookie, auth', async () => {
      const target = await route.origin();
      const session = await route.session({
        params: { gone: 1, kept: 1 },
        cookies: { gone: '1', kept: '1' },
        auth: ['user', 'pass'],
      });
      session.cookies.set('stored', '1', { url: target.url });
      const options = { params: { gone: null }, cookies: { gone: null, stored: null }, auth: null };
      const { target: path, headers } = await seenBy(await session.get(target.url, options));
      expect([path, headers.cookie, headers.authorization]).toEqual(['/?kept=1', 'kept=1', undefined]);
      const after = await seenBy(await session.get(target.url));
      expect([after.target, after.headers.authorization]).toEqual(['/?gone=1&kept=1', basic('user', 'pass')]);
    });

    test('hooks', async () => {
      const target = await route.origin();
      const calls: string[] = [];
      const session = await route.session({
        hooks: { args: () => void calls.push('args'), response: () => void calls.push('response') },
      });
      await seenBy(await session.get(target.url, { hooks: { args: null } }));
      expect(calls).toEqual(['response']);
    });
  });

  test('nothing is sent for the built-in headers, byte for byte', async () => {
    const heads: string[] = [];
    const server = createServer((socket) => {
      socket.on('data', (bytes) => {
        heads.push(bytes.toString('latin1'));
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      });
    });
    closeAfterTest({ [Symbol.asyncDispose]: async () => void server.close() });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    const host = `127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`;
    const session = new Session({ transport: newTransport(), headers: { Accept: null, 'accept-encoding': null } });
    await session.get(`http://${host}/x`, { headers: { 'USER-AGENT': null } });
    expect(heads).toEqual([`GET /x HTTP/1.1\r\nHost: ${host}\r\nConnection: keep-alive\r\n\r\n`]);
  });

  test('a proxy', async () => {
    const [target, A] = await Promise.all([origin(), proxy()]);
    const session = new Session({ transport: newTransport(), prefetch: true, proxies: { http: A.url } });
    await session.get(target.url, { proxies: { http: null } });
    expect([A.connectionCount, target.requests.length]).toEqual([0, 1]);
  });
});

describe('R8 a session’s values are readable, and a change is for later requests', () => {
  test('every one of them', () => {
    const options = {
      params: { a: 1 },
      auth: ['user', 'pass'],
      timeout: 1_000,
      hooks: { response: () => {} },
      verify: false,
      cert: null,
      noProxy: ['direct.example'],
      trustEnv: false,
      http_proxy: 'http://proxy.example',
      allowRedirects: false,
      maxRedirects: 3,
      allowInsecureRedirects: true,
      strictMode: true,
      prefetch: true,
      keepAlive: false,
      maxRetries: 2,
      safeMode: true,
      dangerMode: true,
      encodeUri: false,
      hookErrors: 'throw',
      verbose: new PassThrough(),
      debug: 'curl',
    } as const;
    const session = new Session({ ...options, headers: { 'X-A': '1' }, cookies: { a: '1' } });
    for (const [name, value] of Object.entries(options))
      expect([name, Reflect.get(session, name)]).toEqual([name, value]);
    expect([session.headers['x-a'], session.cookies.get('a')]).toEqual(['1', '1']);
    expect(Object.keys(session.headers)).toEqual(['User-Agent', 'Accept', 'Accept-Encoding', 'X-A']);
    for (const [name, value] of Object.entries({ ...options, timeout: 5, maxRedirects: 1, verify: true })) {
      Reflect.set(session, name, value);
      expect(Reflect.get(session, name)).toBe(value);
    }
  });

  overRoutes((route) => {
    const change = (session: Session): void => {
      session.headers['X-A'] = 'after';
      session.params.a = 'after';
      session.auth = ['after', ''];
      session.hooks = {};
      session.allowRedirects = false;
      session.cookies = { a: 'after' };
      session.timeout = 1;
      session.verify = '/nowhere';
      session.http_proxy = 'http://127.0.0.1:1';
    };
    const before: SessionOptions = {
      headers: { 'X-A': 'before' },
      params: { a: 'before' },
      auth: ['before', ''],
      cookies: { a: 'before' },
    };
    const asBefore = {
      target: '/to',
      headers: { 'x-a': 'before', authorization: basic('before', ''), cookie: 'a=before' },
    };

    test('not for one that is prepared', async () => {
      const target = await route.origin(redirecting({ '/from?a=before': [302, '/to'] }));
      const session = await route.session(before);
      const prepared = session.prepare('GET', `${target.url}/from`);
      change(session);
      expect(await seenBy(await prepared.send())).toMatchObject(asBefore);
    });

    test('not for one that is under way', async () => {
      const gate = newGate();
      const target = await route.origin(async (request, response) => {
        await gate.opened;
        await redirecting({ '/from?a=before': [302, '/to'] })(request, response);
      });
      const session = await route.session(before);
      const answer = session.get(`${target.url}/from`);
      await target.waitForRequests(1);
      change(session);
      gate.open();
      expect(await seenBy(await answer)).toMatchObject(asBefore);
    });

    test.each(['request', 'prepare'] as const)('not for a %s whose hook is still thinking', async (way) => {
      const gate = newGate();
      const target = await route.origin(redirecting({ '/from?a=before': [302, '/to'] }));
      const session = await route.session({ ...before, hooks: { args: () => gate.opened } });
      const url = `${target.url}/from`;
      const answer = way === 'request' ? session.get(url) : session.prepare('GET', url).send();
      change(session);
      gate.open();
      expect(await seenBy(await answer)).toMatchObject(asBefore);
    });
  });
});

/** Sends the head of an answer and a first byte, and the rest only when told to. */
function lateBody(gate: { readonly opened: Promise<void> }): OriginHandler {
  return async (_, response) => {
    response.writeHead(200, { 'Content-Length': 4 }).write('l');
    await gate.opened;
    response.end('ate');
  };
}

describe('R13 an answer is there with its headers, its body when it is asked for', () => {
  overRoutes((route) => {
    test('before the body was sent', async () => {
      const gate = newGate();
      const target = await route.origin(lateBody(gate));
      const response = await (await route.session()).get(target.url);
      expect([response.status, response.headers['content-length'], response.bodyUsed]).toEqual([200, '4', false]);
      gate.open();
      expect(await response.text()).toBe('late');
    });

    test('and a long body waits at the origin until somebody reads', async () => {
      let written = 0;
      const chunk = Buffer.alloc(64 * 1024, '.');
      const chunks = 1_000;
      const target = await route.origin((_, response) => {
        response.writeHead(200, { 'Content-Length': chunk.length * chunks });
        const write = (): void => {
          while (written < chunks) {
            written += 1;
            if (!response.write(chunk)) return void response.once('drain', write);
          }
          response.end();
        };
        write();
      });
      const response = await (await route.session()).get(target.url);
      expect(written).toBeLessThan(chunks);
      expect((await response.content()).length).toBe(chunk.length * chunks);
      expect(written).toBe(chunks);
    });
  });
});

describe('R14 until its body was read, an answer holds its connection', () => {
  overRoutes((route) => {
    test('and gives it back then', async () => {
      const target = await route.origin(answering('body'));
      const session = await route.session();
      const states = () => session.transport.connections.map(({ state }) => state);
      const held = await session.get(target.url);
      expect([held.bodyUsed, states()]).toEqual([false, ['ACTIVE']]);
      const other = await session.get(target.url);
      expect([other.reusedConnection, states()]).toEqual([false, ['ACTIVE', 'ACTIVE']]);
      await Promise.all([held.content(), other.content()]);
      expect([held.bodyUsed, states()]).toEqual([true, ['IDLE', 'IDLE']]);
      const next = await session.get(target.url);
      await next.content();
      expect([next.reusedConnection, route.connectionCounts(target).near]).toEqual([true, 2]);
    });
  });
});

describe('R15 content is downloaded once, and kept', () => {
  overRoutes((route) => {
    test('and pieces after it come from there', async () => {
      const target = await route.origin(answering('line 1\nline 2'));
      const response = await (await route.session()).get(target.url);
      const content = await response.content();
      expect(await response.content()).toBe(content);
      const lines: string[] = [];
      for await (const line of response.iterLines()) lines.push(line);
      const pieces: string[] = [];
      for await (const piece of response.iterContent(8)) pieces.push(piece.toString());
      expect([lines, pieces]).toEqual([
        ['line 1', 'line 2'],
        ['line 1\nl', 'ine 2'],
      ]);
      expect(target.requests).toHaveLength(1);
    });

    test('but not after a stream', async () => {
      const target = await route.origin(answering('body'));
      const response = await (await route.session()).get(target.url);
      const pieces: Buffer[] = [];
      for await (const piece of response.iterContent()) pieces.push(piece);
      expect(Buffer.concat(pieces).toString()).toBe('body');
      await failureOf(response.content(), StreamConsumedError);
      await failureOf(response.iterContent()[Symbol.asyncIterator]().next(), StreamConsumedError);
    });
  });
});

describe('R16 prefetch waits for the whole body', () => {
  overRoutes((route) => {
    test.each(['session', 'call'] as const)('of the %s', async (place) => {
      const gate = newGate();
      const target = await route.origin(lateBody(gate));
      const session = await route.session(place === 'session' ? { prefetch: true } : {});
      const begun = newGate();
      let isHere = false;
      const options = { onDownloadProgress: begun.open, ...(place === 'call' && { prefetch: true }) };
      const answer = session.get(target.url, options).then((response) => {
        isHere = true;
        return response;
      });
      await begun.opened;
      await nextTurn();
      expect(isHere).toBe(false);
      gate.open();
      const response = await answer;
      expect(response.peekContent()?.toString()).toBe('late');
      expect(session.transport.connections.map(({ state }) => state)).toEqual(['IDLE']);
    });
  });
});

describe('R17 every key of Requests’ config does what it says', () => {
  overRoutes((route) => {
    test('base_headers', async () => {
      const target = await route.origin();
      const session = await route.session({ baseHeaders: { 'X-Base': '1' }, headers: { 'X-Own': '1' } });
      const { headers } = await seenBy(await session.get(target.url));
      expect(headers).toMatchObject({ 'x-base': '1', 'x-own': '1' });
      expect(headers['user-agent'] ?? headers.accept).toBeUndefined();
    });

    test('verbose', async () => {
      const target = await route.origin();
      const verbose = new PassThrough();
      await seenBy(await (await route.session({ verbose })).get(`${target.url}/path`));
      verbose.end();
      const line = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {3}GET {3}(\S+)\n$/;
      expect(line.exec(await text(verbose))?.[1]).toBe(`${target.url}/path`);
    });

    test('max_redirects', async () => {
      const target = await route.origin(redirecting({ '/1': [302, '/2'], '/2': [302, '/3'] }));
      const session = await route.session({ maxRedirects: 1 });
      await expect(session.get(`${target.url}/1`)).rejects.toMatchObject({ code: 'ERR_TOO_MANY_REDIRECTS' });
      expect((await session.get(`${target.url}/1`, { maxRedirects: 2, prefetch: true })).history).toHaveLength(2);
    });

    test('keep_alive', async () => {
      const target = await route.origin();
      await seenBy(await (await route.session({ keepAlive: false })).get(target.url));
      await target.waitUntilIdle();
      expect(target.requests).toHaveLength(1);
    });

    /** A URL that cannot be reached: its way ends at the first hop. */
    const deadEnd = async (): Promise<string> => {
      const url = `${route.scheme}://127.0.0.1:${await closedPort()}`;
      if (route.isProxied) route.proxy.misbehave({ kind: 'refuse', how: 'close-listener' });
      return url;
    };

    test.each([0, 2])('max_retries %d', async (maxRetries) => {
      const verbose = new PassThrough();
      const session = await route.session({ maxRetries, verbose });
      const error = await failureOf(session.post(await deadEnd(), { data: 'body' }), TransportError);
      expect(error.retryable).toBe(true);
      verbose.end();
      expect((await text(verbose)).trimEnd().split('\n')).toHaveLength(1 + maxRetries);
    });

    test('danger_mode', async () => {
      const target = await route.origin(({ url }, response) => void response.writeHead(Number(url?.slice(1))).end('x'));
      const session = await route.session({ dangerMode: true });
      for (const status of [400, 404, 500]) {
        expect((await failureOf(session.get(`${target.url}/${status}`), HttpStatusError)).status).toBe(status);
      }
      expect((await session.get(`${target.url}/399`, { prefetch: true })).status).toBe(399);
      expect((await session.get(`${target.url}/404`, { prefetch: true, dangerMode: false })).status).toBe(404);
      // Nor does a failure keep its connection.
      await until(() => session.transport.connections.every(({ state }) => state !== 'ACTIVE'));
    });

    test('safe_mode', async () => {
      const session = await route.session({ safeMode: true });
      const url = await deadEnd();
      const response = await session.get(url);
      expect([response.status, response.ok, await response.text()]).toEqual([0, false, '']);
      expect(response.error).toBeInstanceOf(CloudlaneError);
      expect(() => response.raiseForStatus()).toThrow(response.error?.message ?? 'an error');
      await failureOf(session.get(url, { safeMode: false }), CloudlaneError);
    });

    test.each([
      [301, true, 'POST'],
      [302, true, 'POST'],
      [303, true, 'GET'],
      [301, false, 'GET'],
      [302, false, 'GET'],
    ])('strict_mode: POST after %d with %s is %s', async (status, strictMode, method) => {
      const target = await route.origin(redirecting({ '/from': [status, '/to'] }));
      const session = await route.session({ strictMode });
      const seen = await seenBy(await session.post(`${target.url}/from`, { data: 'body' }));
      expect([seen.method, seen.body]).toEqual([method, method === 'POST' ? 'body' : '']);
    });

    test('pool_connections and pool_maxsize', async () => {
      const gate = newGate();
      const target = await route.origin(async (_, response) => {
        await gate.opened;
        response.end('x');
      });
      const session = await route.session({ maxSockets: 2, maxIdleSockets: 1 });
      const answers = Array.from({ length: 6 }, () => session.get(target.url, { prefetch: true }));
      await target.waitForRequests(2);
      gate.open();
      await Promise.all(answers);
      expect(route.connectionCounts(target).near).toBeLessThanOrEqual(6);
      await until(() => session.transport.connections.length === 1);
    });

    test.each([
      [true, '/b/?q=a%20b&p=%2F%26'],
      [false, '/a/../b/?q=a|b&p=/&'],
    ])('encode_uri %s', async (encodeUri, expected) => {
      const target = await route.origin();
      const session = await route.session({ encodeUri });
      const query = encodeUri ? 'q=a b' : 'q=a|b';
      await seenBy(await session.get(`${target.url}/a/../b/?${query}`, { params: { p: '/&' } }));
      expect(target.requests[0]?.target).toBe(expected);
    });
  });

  test('trust_env', async () => {
    const [target, A] = await Promise.all([origin(), proxy()]);
    const options = { transport: newTransport(), prefetch: true, env: { http_proxy: A.url } };
    await new Session({ ...options, trustEnv: false }).get(target.url);
    expect([A.connectionCount, target.requests.length]).toEqual([0, 1]);
    await new Session(options).get(target.url);
    expect([A.hops.length, target.requests.length]).toEqual([1, 2]);
  });
});

describe('R18 connections are kept within a session', () => {
  overRoutes((route) => {
    test('one after the other, all requests share one', async () => {
      const target = await route.origin();
      const session = await route.session();
      for (let index = 0; index < 5; index += 1) {
        // A forwarded POST waits until the proxy has shown that it keeps connections open; see the transport's tests.
        const response = await session.put(`${target.url}/${index}`, { data: `body ${index}` });
        expect((await seenBy(response)).body).toBe(`body ${index}`);
        expect(response.reusedConnection).toBe(index > 0);
      }
      expect(target.requests).toHaveLength(5);
      expect(route.connectionCounts(target)).toEqual({ near: 1, far: 1 });
    });
  });
});

describe('R19 a connection is used again only when all of the body was read', () => {
  const LARGE = 1_000_000;

  overRoutes((route) => {
    test('not while a part of it is left', async () => {
      const target = await route.origin(answering(Buffer.alloc(LARGE)));
      const session = await route.session();
      const first = await session.get(target.url);
      const pieces = first.iterContent(10)[Symbol.asyncIterator]();
      await pieces.next();
      await (await session.get(target.url)).content();
      expect(route.connectionCounts(target).near).toBe(2);
      await pieces.return?.();
      await until(() => session.transport.connections.every(({ state }) => state !== 'ACTIVE'));
    });

    test.each([
      ['a short rest is read', 1_000, true],
      ['a long one is broken off', LARGE, false],
    ])('released, %s', async (_, length, isReused) => {
      const target = await route.origin(answering(Buffer.alloc(length)));
      const session = await route.session();
      await (await session.get(target.url)).drain();
      const next = await session.get(target.url);
      next.release();
      expect(next.reusedConnection).toBe(isReused);
      expect(route.connectionCounts(target).near).toBe(isReused ? 1 : 2);
    });

    test('a stream that is destroyed takes its connection along', async () => {
      const target = await route.origin(answering(Buffer.alloc(LARGE)));
      const session = await route.session();
      (await session.get(target.url)).body.destroy();
      await target.waitUntilIdle();
      expect(session.transport.connections.filter(({ state }) => state !== 'CLOSED')).toEqual([]);
    });
  });
});

describe('R20 without keepAlive every request has a connection of its own', () => {
  overRoutes((route) => {
    test.each(['session', 'call'] as const)('of the %s, and says so on the wire', async (place) => {
      const target = await route.origin();
      const session = await route.session(place === 'session' ? { keepAlive: false } : {});
      for (let index = 0; index < 3; index += 1) {
        const response = await session.get(target.url, place === 'call' ? { keepAlive: false } : {});
        await response.content();
        expect(response.reusedConnection).toBe(false);
      }
      expect(route.connectionCounts(target)).toEqual({ near: 3, far: 3 });
      // `Connection` is for the next hop alone (RFC 9110 §7.6.1).
      const seen = route.kind === 'forward' ? route.proxy.hops : target.requests;
      expect(seen.map((each) => 'headers' in each && each.headers.connection)).toEqual(['close', 'close', 'close']);
      await target.waitUntilIdle();
    });
  });
});
