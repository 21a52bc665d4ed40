// Options in depth: R17, whose every key has a test of its own in requests-r01-r20.test.ts, and R42 of Requests' "Advanced
// usage" (reference/promises.md §1.5).
import { Readable, Writable } from 'node:stream';
import {
  HTTPDigestAuth,
  HttpStatusError,
  type RequestOptions,
  Session,
  type SessionOptions,
  VERSION,
} from '@cloudlane/session';
import { closedPort } from '@cloudlane/testing';
import { CloudlaneError, sharedTransport, TransportError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { certificate, failureOf, newTransport, origin, proxy, until } from '../transport/lab.ts';
import { digestOrigin, USER } from './digest-lab.ts';
import { answering, newGate, overRoutes, redirecting, seenBy } from './lab.ts';
import { lateWay } from './late-way.ts';

/** Keeps what is written to it. */
class Lines extends Writable {
  readonly #chunks: string[] = [];

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.#chunks.push(chunk.toString());
    callback();
  }

  get all(): string[] {
    return this.#chunks.join('').split('\n').slice(0, -1);
  }

  /** Method and URL of each; the rest is as promised. */
  get columns(): string[][] {
    return this.all.map((line) => {
      expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {3}[A-Z]+ {3}\S+( {3}.+)?$/);
      return line.split('   ').slice(1);
    });
  }
}

async function allFree(session: Session): Promise<void> {
  await until(() => session.transport.connections.every(({ state }) => state === 'IDLE' || state === 'CLOSED'));
}

describe('R17 maxRetries tries again at once while nothing has reached the origin', () => {
  overRoutes((route) => {
    test.each([
      [1, 2],
      [3, 4],
      [5, 3],
    ])('%d: a way that opens with try %d', async (maxRetries, opensAt) => {
      const target = await route.origin();
      const { url, options, tries } = await lateWay(route, target, opensAt);
      const session = await route.session({ maxRetries });
      expect((await seenBy(await session.post(url, { ...options, data: 'body' }))).body).toBe('body');
      expect([tries(), target.requests.length]).toEqual([opensAt, 1]);
    });

    test('too few of them end with the last error', async () => {
      const target = await route.origin();
      const { url, options, tries } = await lateWay(route, target, 4);
      const session = await route.session({ maxRetries: 2 });
      const error = await failureOf(session.get(url, options), TransportError);
      expect([error.retryable, tries(), target.requests.length]).toEqual([true, 3, 0]);
    });

    test('a body from a function is made anew for each try', async () => {
      const { url, options, tries } = await lateWay(route, await route.origin(), 2);
      const made: Readable[] = [];
      const data = (): Readable => {
        const stream = Readable.from([Buffer.from(`body ${made.length}`)]);
        made.push(stream);
        return stream;
      };
      const session = await route.session({ maxRetries: 9 });
      expect((await seenBy(await session.put(url, { ...options, data }))).body).toBe('body 1');
      expect([tries(), made.length]).toEqual([2, 2]);
      // None stays open.
      expect(made.map(({ destroyed }) => destroyed)).toEqual([true, true]);
    });

    test('a stream that cannot be begun again is not tried again', async () => {
      const { url, options, tries } = await lateWay(route, await route.origin(), 2);
      const session = await route.session({ maxRetries: 9 });
      const data = Readable.from([Buffer.from('once')]);
      await failureOf(session.put(url, { ...options, data }), TransportError);
      expect([tries(), data.destroyed]).toEqual([1, true]);
    });

    test('what the origin has seen is not sent again', async () => {
      const target = await route.origin(({ socket }) => void socket.destroy());
      const session = await route.session({ maxRetries: 9, prefetch: true });
      const outcome = await session.get(target.url).catch((error: unknown) => error);
      // A forward proxy answers for an origin that does not.
      if (route.kind === 'forward') expect(outcome).toMatchObject({ status: 502 });
      else expect(outcome).toMatchObject({ code: 'ERR_RESET', retryable: false });
      expect(target.requests).toHaveLength(1);
    });

    test('nor is what was aborted, or ran out of time', async () => {
      const target = await route.origin(() => {});
      const lines = new Lines();
      const session = await route.session({ maxRetries: 9, verbose: lines });
      const controller = new AbortController();
      const sending = session.get(target.url, { signal: controller.signal });
      await target.waitForRequests(1);
      controller.abort();
      await expect(sending).rejects.toBe(controller.signal.reason);
      await expect(session.get(target.url, { timeout: 30 })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' });
      expect(lines.all).toHaveLength(2);
    });
  });
});

describe('R17 safeMode makes an answer of what does not get through', () => {
  overRoutes((route) => {
    test('with the error, and nothing else in it', async () => {
      const { url, options } = await lateWay(route, await route.origin(), Number.POSITIVE_INFINITY);
      const session = await route.session({ safeMode: true });
      const response = await session.put(`${url}/path`, { ...options, data: 'body' });
      expect(response.error).toBeInstanceOf(TransportError);
      expect(response).toMatchObject({ status: 0, statusText: '', ok: false, headers: {}, connection: null });
      expect([response.url.pathname, response.request.method, response.history]).toEqual(['/path', 'PUT', []]);
      expect([await response.text(), (await response.content()).length, response.cookies]).toEqual(['', 0, {}]);
      expect(response.explanation.route.kind).toBe(route.kind);
      expect(response.elapsed).toBeGreaterThan(0);
      expect(() => response.raiseForStatus()).toThrow(response.error ?? undefined);
      expect(String(response)).toBe(`<Response [${response.error?.name}]>`);
      response.release();
    });

    test('with the redirects that came before', async () => {
      const dead = `${route.scheme}://127.0.0.1:${await closedPort()}`;
      const target = await route.origin(redirecting({ '/': [302, '/'], '/dead': [302, `${dead}/`] }));
      const session = await route.session({ safeMode: true, maxRedirects: 2 });
      const looped = await session.get(target.url);
      expect(looped).toMatchObject({ status: 0, error: { code: 'ERR_TOO_MANY_REDIRECTS' } });
      expect(looped.history).toHaveLength(2);
      if (route.kind === 'forward') return;
      const response = await session.get(`${target.url}/dead`);
      expect(response.history.map(({ status }) => status)).toEqual([302]);
      expect(response.error).toBeInstanceOf(TransportError);
    });

    test('with dangerMode also of a status', async () => {
      const target = await route.origin(answering('no', { status: 404 }));
      const session = await route.session({ safeMode: true, dangerMode: true });
      const response = await session.get(target.url);
      expect([response.status, response.error]).toEqual([404, expect.any(HttpStatusError)]);
      expect(await response.text()).toBe('no');
      await allFree(session);
    });

    test('but not of an abort', async () => {
      const target = await route.origin(() => {});
      const session = await route.session({ safeMode: true });
      const controller = new AbortController();
      const sending = session.get(target.url, { signal: controller.signal });
      await target.waitForRequests(1);
      controller.abort();
      await expect(sending).rejects.toBe(controller.signal.reason);
    });

    test('nor of what a caller does wrong', async () => {
      const session = await route.session({ safeMode: true });
      const bad = { maxRetries: -1 };
      for (const sending of [session.get('no url'), session.get('http://127.0.0.1:1', bad)]) {
        await expect(sending).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' });
      }
      const broken = { auth: () => 7 as never };
      await expect(session.get('http://127.0.0.1:1', broken)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' });
    });

    test('nor when it is off for the call', async () => {
      const { url, options } = await lateWay(route, await route.origin(), Number.POSITIVE_INFINITY);
      const session = await route.session({ safeMode: true });
      await failureOf(session.get(url, { ...options, safeMode: false }), CloudlaneError);
    });
  });
});

describe('R17 dangerMode raises a status from 400 on', () => {
  overRoutes((route) => {
    test.each([
      [200, false],
      [302, false],
      [399, false],
      [400, true],
      [599, true],
    ])('%d: %s', async (status, isRaised) => {
      const target = await route.origin(answering('x'.repeat(100), { status }));
      const session = await route.session({ dangerMode: true });
      const sending = session.get(`${target.url}/path`);
      if (isRaised) {
        const error = await failureOf(sending, HttpStatusError);
        expect([error.status, error.url, error.code]).toEqual([status, `${target.url}/path`, 'ERR_HTTP_STATUS']);
      } else expect((await (await sending).content()).length).toBe(100);
      // Its body was released: the connection is used again.
      await allFree(session);
      const next = await session.get(target.url, { dangerMode: false });
      expect([next.status, next.reusedConnection]).toEqual([status, true]);
      await next.content();
    });

    test('after the hook response has seen it', async () => {
      const target = await route.origin(answering('no', { status: 500 }));
      const seen: number[] = [];
      const session = await route.session({
        dangerMode: true,
        hooks: { response: ({ status }) => void seen.push(status) },
      });
      await failureOf(session.get(target.url), HttpStatusError);
      expect(seen).toEqual([500]);
    });

    test('only that of the last answer', async () => {
      const target = await route.origin(redirecting({ '/1': [302, '/2'] }));
      const session = await route.session({ dangerMode: true });
      expect((await seenBy(await session.get(`${target.url}/1`))).target).toBe('/2');
    });
  });
});

describe('R17 encodeUri false sends the target byte for byte', () => {
  const TARGETS = [
    '/a/../b/./c//d',
    '/%7e%7E%zz%',
    '/"<>`{}|\\^[]',
    "/?'&a=b+c&&=",
    '?only=query',
    '/path?',
    '/a?b?c#fragment',
  ];

  overRoutes((route) => {
    test.each(TARGETS)('%s', async (written) => {
      const target = await route.origin();
      const session = await route.session({ encodeUri: false });
      await seenBy(await session.get(`${target.url}${written}`));
      const [path = ''] = written.split('#');
      const expected = path.startsWith('/') ? path : `/${path}`;
      expect(target.requests[0]?.target).toBe(expected);
    });

    test.each<[string, RequestOptions['params'], string]>([
      ['/path', { a: 'b|c', 'd&': ['{', 1] }, '/path?a=b|c&d&={&d&=1'],
      ['/path?x', { a: '+%' }, '/path?x&a=+%'],
      ['/path', { none: null }, '/path'],
    ])('%s with parameters %j', async (written, params, expected) => {
      const target = await route.origin();
      const session = await route.session();
      await seenBy(await session.get(`${target.url}${written}`, { params, encodeUri: false }));
      expect(target.requests[0]?.target).toBe(expected);
    });

    test('but nothing that would be another request', async () => {
      const target = await route.origin();
      const session = await route.session({ encodeUri: false });
      for (const split of ['/a b', '/a HTTP/1.1', '/\r\nX-Evil: 1\r\n\r\n', '/\u0000']) {
        await expect(session.get(`${target.url}${split}`)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' });
        await expect(session.get(target.url, { params: { p: split } })).rejects.toMatchObject({ option: 'target' });
      }
      expect(target.requests).toHaveLength(0);
    });
  });
});

describe('R17 maxSockets and maxIdleSockets', () => {
  overRoutes((route) => {
    test('no more connections at once, no more kept; close() closes them', async () => {
      let [atOnce, most] = [0, 0];
      const gate = newGate();
      const target = await route.origin(async (_, response) => {
        atOnce += 1;
        most = Math.max(most, atOnce);
        await gate.opened;
        atOnce -= 1;
        response.end('x');
      });
      const session = await route.session({ maxSockets: 3, maxIdleSockets: 2 });
      expect(session.transport).not.toBe(sharedTransport());
      const answers = session.map(Array(9).fill(target.url), { size: Number.POSITIVE_INFINITY });
      await target.waitForRequests(3);
      gate.open();
      await answers;
      expect(most).toBe(3);
      await until(() => session.transport.connections.length === 2);
      await session.close();
      await target.waitUntilIdle();
      expect(session.transport.connections.filter(({ state }) => state !== 'CLOSED')).toEqual([]);
      await expect(session.get(target.url)).rejects.toMatchObject({ code: 'ERR_SESSION_CLOSED' });
    });
  });

  test.each(['maxSockets', 'maxIdleSockets'])('%s is not for a transport that is given', (option) => {
    const options = { transport: newTransport(), [option]: 1 };
    expect(() => new Session(options)).toThrow(expect.objectContaining({ option }));
  });
});

describe('R17 baseHeaders and userAgent', () => {
  overRoutes((route) => {
    test.each<[string, SessionOptions, string | undefined]>([
      ['by itself', {}, `cloudlane/${VERSION}`],
      ['set', { userAgent: 'mine/1' }, 'mine/1'],
      ['none', { userAgent: null }, undefined],
      ['over baseHeaders', { userAgent: 'mine/1', baseHeaders: { 'user-agent': 'base' } }, 'mine/1'],
      ['of baseHeaders', { baseHeaders: { 'user-agent': 'base' } }, 'base'],
      ['of headers', { userAgent: 'mine/1', headers: { 'USER-AGENT': 'header' } }, 'header'],
      ['without base headers', { baseHeaders: {} }, undefined],
    ])('User-Agent %s', async (_, options, expected) => {
      const target = await route.origin();
      const { headers } = await seenBy(await (await route.session(options)).get(target.url));
      expect(headers['user-agent']).toBe(expected);
      expect(headers.accept).toBe(options.baseHeaders ? undefined : '*/*');
      expect(headers.host).toBe(new URL(target.url).host);
    });
  });
});

describe('R17 trustEnv', () => {
  test.each([true, false])('%s: proxies and authorities of the environment', async (trustEnv) => {
    const [target, A] = await Promise.all([origin('https'), proxy()]);
    const env = { https_proxy: A.url, REQUESTS_CA_BUNDLE: '/nowhere/ca.pem' };
    // Beside authorities of the transport's, those of the environment are not looked at.
    const transport = newTransport(trustEnv ? { tls: {} } : {});
    const session = new Session({ transport, env, trustEnv, prefetch: true });
    const sending = session.get(target.url);
    if (trustEnv)
      await expect(sending).rejects.toMatchObject({ message: expect.stringContaining('REQUESTS_CA_BUNDLE') });
    else expect((await sending).status).toBe(200);
    expect(session.explain(target.url).source).toEqual(
      trustEnv ? 'env:https_proxy' : expect.not.stringContaining('env'),
    );
    expect([A.connectionCount, session.explain(target.url).route.kind]).toEqual([0, trustEnv ? 'tunnel' : 'direct']);
  });
});

describe('R17 values that are of no use are refused by name', () => {
  const BAD: readonly (readonly [keyof SessionOptions & keyof RequestOptions, readonly unknown[]])[] = [
    ['allowRedirects', [1, 'yes', 'false']],
    ['maxRedirects', [-1, 1.5, '3', Number.NaN, Number.POSITIVE_INFINITY]],
    ['allowInsecureRedirects', [1, 'false']],
    ['strictMode', [1, 'no']],
    ['prefetch', [0, '']],
    ['keepAlive', [0, 'true', 5_000]],
    ['maxRetries', [-1, 0.5, '1', Number.NaN, Number.POSITIVE_INFINITY]],
    ['safeMode', [1]],
    ['dangerMode', ['true']],
    ['encodeUri', [0]],
    ['hookErrors', ['ignore', true]],
    ['verbose', [true, 'stderr', {}, { to: 1 }, console.log]],
    ['debug', [true, 'wget', {}, { format: 'wget' }]],
    ['verify', [1, {}]],
    ['timeout', [-1, Number.NaN, 'soon', { total: -1 }, { never: 1 }]],
    ['hooks', [{ request: () => {} }]],
    ['auth', ['token', [1, 2]]],
  ];

  test.each(BAD.flatMap(([name, values]) => values.map((value) => [name, value] as const)))(
    '%s: %p',
    async (name, value) => {
      const target = await origin();
      const options = { [name]: value } as RequestOptions;
      const option = expect.stringMatching(new RegExp(`^${name}\\b`));
      if (name !== 'verify') {
        expect(() => new Session(options)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_OPTION', option }));
      }
      const session = new Session({ transport: newTransport() });
      await expect(session.get(target.url, options)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option });
      expect(() => session.prepare('GET', target.url, options)).toThrow(expect.objectContaining({ option }));
      expect(target.connectionCount).toBe(0);
    },
  );

  test.each(['maxSockets', 'maxIdleSockets'])('%s', (option) => {
    for (const value of [0, -1, 1.5, '1'] as number[]) {
      if (option === 'maxIdleSockets' && value === 0) continue;
      expect(() => new Session({ [option]: value })).toThrow(expect.objectContaining({ option }));
    }
  });

  test.each([
    ['keep_alive', ''],
    ['follow', ''],
    ['toString', ''],
    ['proxy', 'http_proxy'],
    ['httpProxy', 'http_proxy'],
    ['proxyUrl', 'http_proxy'],
    ['https_proxy', 'http_proxy'],
  ])('%s is no option of a session or a call', async (option, hint) => {
    const message = expect.stringContaining(hint);
    const options = { [option]: 'http://127.0.0.1:1' };
    expect(() => new Session(options as SessionOptions)).toThrow(expect.objectContaining({ option, message }));
    const target = await origin();
    const session = new Session({ transport: newTransport() });
    await expect(session.get(target.url, options as RequestOptions)).rejects.toMatchObject({ option, message });
    await expect(session.map([{ url: target.url, ...options }], { onError: 'throw' })).rejects.toMatchObject({
      option,
    });
    expect(target.connectionCount).toBe(0);
  });

  test.each(['data', 'json', 'files', 'signal', 'method'])('%s is not a session’s', (option) => {
    expect(() => new Session({ [option]: 'x' })).toThrow(expect.objectContaining({ option }));
  });

  test.each(['transport', 'maxSockets', 'baseHeaders', 'userAgent', 'tls', 'proxyTls', 'trustEnv', 'env', 'har'])(
    '%s is not a call’s',
    async (option) => {
      const options = { [option]: {} } as RequestOptions;
      await expect(new Session().get('http://127.0.0.1:1', options)).rejects.toMatchObject({ option });
    },
  );
});

describe('R42 verbose writes a line for each request that goes out', () => {
  overRoutes((route) => {
    test('time, method and URL, before the request', async () => {
      const lines = new Lines();
      const linesThen: number[] = [];
      const target = await route.origin((_, response) => {
        linesThen.push(lines.all.length);
        response.end();
      });
      const session = await route.session({ verbose: lines, params: { p: 1 } });
      await session.get(`${target.url}/a`);
      await session.post(`${target.url}/b`, { data: 'body' });
      expect(lines.columns).toEqual([
        ['GET', `${target.url}/a?p=1`],
        ['POST', `${target.url}/b?p=1`],
      ]);
      expect(linesThen).toEqual([1, 2]);
    });

    test('for each hop of a chain', async () => {
      const lines = new Lines();
      const target = await route.origin(redirecting({ '/1': [302, '/2'], '/2': [303, '/3'], '/3': [307, '/4'] }));
      const session = await route.session();
      const response = await session.post(`${target.url}/1`, { data: 'x', verbose: lines });
      await seenBy(response);
      expect(lines.columns).toEqual([
        ['POST', `${target.url}/1`],
        ...[2, 3, 4].map((hop) => ['GET', `${target.url}/${hop}`]),
      ]);
      expect(lines.all).toHaveLength(response.history.length + 1);
    });

    test('for both requests of Digest', async () => {
      const lines = new Lines();
      const { url } = await digestOrigin(route.scheme === 'https' ? { tls: certificate } : {});
      const session = await route.session({ verbose: lines, prefetch: true });
      await session.get(url, { auth: new HTTPDigestAuth(USER.username, USER.password) });
      expect(lines.columns).toEqual([
        ['GET', `${url}/`],
        ['GET', `${url}/`],
      ]);
    });

    test('for each try', async () => {
      const { url, options, tries } = await lateWay(route, await route.origin(), 3);
      await seenBy(await (await route.session({ maxRetries: 2 })).get(url, options));
      expect(tries()).toBe(3);
    });

    test('for each of many', async () => {
      const lines = new Lines();
      const target = await route.origin();
      await (await route.session({ verbose: lines })).map(
        Array.from({ length: 5 }, (_, index) => `${target.url}/${index}`),
      );
      expect(lines.columns.map(([, url]) => url).sort()).toEqual(
        [0, 1, 2, 3, 4].map((index) => `${target.url}/${index}`),
      );
    });

    test('without secrets; the way is told if that is wanted', async () => {
      const lines = new Lines();
      const target = await route.origin();
      const session = await route.session({ verbose: { to: lines, showRoute: true } });
      const url = new URL(target.url);
      Object.assign(url, { username: 'user', password: SECRETS.originPassword });
      await seenBy(await session.get(url, { params: { token: SECRETS.token, plain: 'shown' } }));
      expect(secretsIn(lines.all.join('\n'))).toEqual([]);
      const [[, shown, way] = []] = lines.columns;
      expect(shown).toMatch(/^\w+:\/\/user:\*\*\*@127\.0\.0\.1:\d+\/\?token=\*\*\*&plain=shown$/);
      if (!route.isProxied) expect(way).toBe('direct');
      else expect(way).toMatch(new RegExp(`^${route.kind} \\w+://user:\\*\\*\\*@${new URL(route.proxy.url).host}$`));
    });

    test('not for a call that says null, and elsewhere for one that says where', async () => {
      const [lines, others] = [new Lines(), new Lines()];
      const target = await route.origin();
      const session = await route.session({ verbose: lines });
      await seenBy(await session.get(target.url, { verbose: null }));
      await seenBy(await session.get(target.url, { verbose: others }));
      expect([lines.all.length, others.all.length]).toEqual([0, 1]);
    });
  });
});
