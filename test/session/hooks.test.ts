// Hooks: rows R28 to R34 of Requests' "Advanced usage" (reference/promises.md §1.5).
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Connection } from '@cloudlane/connection';
import { InvalidOptionError } from '@cloudlane/proxy';
import {
  type HookContext,
  type Hooks,
  HTTPDigestAuth,
  PreparedRequest,
  type RequestArgs,
  Session,
} from '@cloudlane/session';
import { describe, expect, test } from '@jest/globals';
import { expectWarning } from '../support/hygiene.ts';
import { certificate, failureOf, newTransport, origin, proxy, until } from '../transport/lab.ts';
import { digestOrigin, USER } from './digest-lab.ts';
import { newGate, overRoutes, redirecting, seenBy } from './lab.ts';
import { lateWay } from './late-way.ts';

const NAMES = ['args', 'preRequest', 'response', 'postRequest'] as const;

/** One of each, that write their names down. */
function logging(log: string[], mark = ''): Hooks {
  return Object.fromEntries(NAMES.map((name) => [name, () => void log.push(`${mark}${name}`)]));
}

/** Adds headers to those of the call. */
function adding(headers: Readonly<Record<string, string>>): (args: RequestArgs) => void {
  return (args) => {
    args.headers = { ...args.headers, ...headers };
  };
}

describe('R28 there are four hooks, in their order', () => {
  overRoutes((route) => {
    test.each(['get', 'prepare'] as const)(
      'args, auth, preRequest, the wire, response, postRequest: %s',
      async (way) => {
        const log: string[] = [];
        const target = await route.origin((_, response) => {
          log.push('wire');
          response.end();
        });
        const session = await route.session({ hooks: logging(log), auth: () => void log.push('auth') });
        const request = way === 'get' ? null : session.prepare('GET', target.url);
        expect(log).toEqual([]);
        await (request?.send() ?? session.get(target.url));
        expect(log).toEqual(['args', 'auth', 'preRequest', 'wire', 'response', 'postRequest']);
      },
    );

    test('each runs once, for the first request and the last answer, over redirects', async () => {
      const target = await route.origin(redirecting({ '/1': [302, '/2'], '/2': [307, '/3'] }));
      const seen: string[] = [];
      const hooks: Hooks = {
        args: ({ url }) => void seen.push(`args ${new URL(url).pathname}`),
        preRequest: ({ url }) => void seen.push(`preRequest ${url.pathname}`),
        response: ({ url, status, history }) => void seen.push(`response ${url.pathname} ${status} ${history.length}`),
        postRequest: ({ url }, { response }) => void seen.push(`postRequest ${url.pathname} ${response?.status}`),
      };
      await seenBy(await (await route.session({ hooks })).get(`${target.url}/1`));
      expect(seen).toEqual(['args /1', 'preRequest /1', 'response /3 200 2', 'postRequest /3 200']);
    });

    test('and over the challenge of Digest', async () => {
      const log: string[] = [];
      const target = await digestOrigin(route.scheme === 'https' ? { tls: certificate } : {});
      const auth = new HTTPDigestAuth(USER.username, USER.password);
      const session = await route.session({ hooks: logging(log), auth, prefetch: true });
      expect((await session.post(target.url, { data: 'x' })).status).toBe(200);
      expect(target.answers).toEqual([401, 200]);
      expect(log).toEqual(NAMES);
    });

    test('and over second tries', async () => {
      const log: string[] = [];
      const { url, options, tries } = await lateWay(route, await route.origin(), 2);
      const session = await route.session({ ...options, hooks: logging(log), maxRetries: 1, prefetch: true });
      expect((await session.get(url)).status).toBe(200);
      expect([tries(), log]).toEqual([2, NAMES]);
    });

    test('response and postRequest do not run for a call that fails, nor for an answer of safeMode', async () => {
      const log: string[] = [];
      const session = await route.session({ hooks: logging(log) });
      const { url, options } = await lateWay(route, await route.origin(), Number.POSITIVE_INFINITY);
      await expect(session.get(url, options)).rejects.toMatchObject({ code: expect.stringContaining('CONNECT') });
      expect((await session.get(url, { ...options, safeMode: true })).status).toBe(0);
      expect(log).toEqual(['args', 'preRequest', 'args', 'preRequest']);
    });

    test('one that takes its time is waited for', async () => {
      const log: string[] = [];
      const target = await route.origin((_, response) => {
        log.push('wire');
        response.end();
      });
      const slow = (name: string) => async (): Promise<void> => {
        await nextTurn();
        log.push(name);
      };
      const hooks = Object.fromEntries(NAMES.map((name) => [name, slow(name)]));
      await (await route.session({ hooks })).get(target.url);
      expect(log).toEqual(['args', 'preRequest', 'wire', 'response', 'postRequest']);
    });

    test('preRequest sees what will go out, auth and cookies too, and may change it', async () => {
      const target = await route.origin();
      let seen: unknown;
      const preRequest = (request: PreparedRequest): void => {
        seen = [request.method, request.url.search, request.header('authorization'), request.header('cookie')];
        request.setHeader('X-Signed', String(request.body));
        request.body = 'changed';
      };
      const options = { params: { p: 1 }, auth: ['user', 'pw'] as const, cookies: { c: '1' }, data: 'body' };
      const response = await (await route.session({ hooks: { preRequest } })).post(target.url, options);
      const { headers, body } = await seenBy(response);
      expect(seen).toEqual(['POST', '?p=1', `Basic ${btoa('user:pw')}`, 'c=1']);
      expect([headers['x-signed'], body]).toEqual(['body', 'changed']);
    });

    test('those of the session of a connection run for its calls', async () => {
      const target = await route.origin(({ headers }, response) => {
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ seen: headers['x-hook'] ?? null }));
      });
      const log: string[] = [];
      const settings = { transport: newTransport(), http_proxy: await route.setting(), env: {} };
      const args = [adding({ 'X-Hook': 'args' }), () => void log.push('args')];
      const connection = new Connection({ baseUrl: target.url, ...settings, hooks: { ...logging(log), args } });
      const { object } = await connection.request('/path', { method: 'POST', json: { a: 1 } });
      expect(object).toEqual({ seen: 'args' });
      expect(log).toEqual(NAMES);
      expect(target.requests.map((request) => [request.target, request.body.toString()])).toEqual([
        ['/path', '{"a":1}'],
      ]);
    });
  });
});

describe('R29 hooks are given by name, for a session or a call', () => {
  overRoutes((route) => {
    test('one, or several that run one after the other', async () => {
      const target = await route.origin();
      const log: number[] = [];
      const push = (number: number) => () => void log.push(number);
      const slow = async (): Promise<void> => {
        await nextTurn();
        log.push(1);
      };
      const hooks: Hooks = {
        args: [slow, push(2)],
        preRequest: [],
        response: push(3),
        postRequest: [push(4), push(5)],
      };
      await seenBy(await (await route.session({ hooks })).get(target.url));
      expect(log).toEqual([1, 2, 3, 4, 5]);
    });

    test('a call’s stand in for the session’s of the same name alone; null is none', async () => {
      const target = await route.origin();
      const log: string[] = [];
      const session = await route.session({ hooks: logging(log, 'session ') });
      const call = (name: string) => () => void log.push(`call ${name}`);
      const hooks: Hooks = { args: call('args'), preRequest: null, response: undefined, postRequest: [] };
      await seenBy(await session.get(target.url, { hooks }));
      expect(log.splice(0)).toEqual(['call args', 'session response']);
      await seenBy(await session.get(target.url));
      expect(log).toEqual(NAMES.map((name) => `session ${name}`));
    });

    test('the session’s may be changed for later calls', async () => {
      const target = await route.origin();
      const log: string[] = [];
      const session = await route.session();
      const prepared = session.prepare('GET', target.url);
      session.hooks = logging(log);
      await seenBy(await prepared.send());
      expect(log).toEqual([]);
      await seenBy(await session.get(target.url));
      expect(log).toEqual(NAMES);
    });
  });

  test.each<[name: string, hooks: unknown]>([
    ['hooks.request', { request: () => {} }],
    ['hooks.pre_request', { pre_request: () => {} }],
    ['hooks.args', { args: 'print' }],
    ['hooks.response', { response: [() => {}, 7] }],
    ['hooks.toString', { toString: () => {} }],
  ])('%s is refused, for a session and for a call', async (option, hooks) => {
    const bad = { hooks } as { hooks: Hooks };
    expect(() => new Session(bad)).toThrow(expect.objectContaining({ option }));
    const target = await origin();
    await expect(new Session().get(target.url, bad)).rejects.toMatchObject({ option });
    expect(target.connectionCount).toBe(0);
  });

  test.each([7, 'args', () => {}])('%p are no hooks', async (hooks) => {
    const bad = { hooks } as unknown as { hooks: Hooks };
    expect(() => new Session(bad)).toThrow(InvalidOptionError);
    await failureOf(new Session().get('http://127.0.0.1:1', bad), InvalidOptionError);
  });
});

describe('R30 a hook gets its data first, and then what it belongs to', () => {
  overRoutes((route) => {
    test('arguments, request or answer; and the session', async () => {
      const target = await route.origin();
      const seen: [unknown, HookContext][] = [];
      const hooks = Object.fromEntries(
        NAMES.map((name) => [name, (data: unknown, context: HookContext) => void seen.push([data, context])]),
      );
      const session = await route.session({ hooks });
      const response = await session.post(target.url, { data: 'body', params: { p: 1 } });
      await seenBy(response);
      const [args, before, answer, after] = seen;
      expect(args?.[0]).toEqual({ method: 'POST', url: target.url, data: 'body', params: { p: 1 } });
      expect(before?.[0]).toBeInstanceOf(PreparedRequest);
      expect([answer?.[0], after?.[0]]).toEqual([response, response.request]);
      expect(before?.[0]).toBe(after?.[0]);
      expect(seen.map(([, context]) => context.session === session)).toEqual([true, true, true, true]);
      expect(seen.map(([, context]) => context.response)).toEqual([undefined, undefined, undefined, response]);
    });
  });
});

describe('R31 an error in a hook is a warning, and the request goes on', () => {
  const failures = [
    [
      'throws',
      () => {
        throw new RangeError('the hook is broken');
      },
    ],
    [
      'rejects',
      async () => {
        await nextTurn();
        throw new RangeError('the hook is broken');
      },
    ],
  ] as const satisfies [string, () => unknown][];

  overRoutes((route) => {
    describe.each(NAMES)('%s', (name) => {
      test.each(failures)('that %s', async (_, fail) => {
        expectWarning('HOOK_ERROR', `A hook (${name}) failed, and was passed over: RangeError: the hook is broken`);
        const target = await route.origin();
        const data: unknown[] = [];
        const note = (each: unknown): void => void data.push(each);
        const session = await route.session();
        const hooks = { [name]: [note, fail, note] } as Hooks;
        const { body, method } = await seenBy(await session.put(target.url, { data: 'body', hooks }));
        expect([method, body]).toEqual(['PUT', 'body']);
        // The next one runs, on the same.
        expect(data).toHaveLength(2);
        expect(data[0]).toBe(data[1]);
      });

      test.each(failures)('that %s ends the call with hookErrors throw', async (_, fail) => {
        const target = await route.origin();
        const session = await route.session({ hookErrors: 'throw' });
        const next: unknown[] = [];
        const hooks = { [name]: [fail, (data: unknown) => void next.push(data)] } as Hooks;
        await expect(session.get(target.url, { hooks })).rejects.toThrow(new RangeError('the hook is broken'));
        expect([next.length, target.requests.length]).toEqual([0, name === 'args' || name === 'preRequest' ? 0 : 1]);
        // Nor does it leave a connection behind.
        await until(() => session.transport.connections.every(({ state }) => state === 'IDLE' || state === 'CLOSED'));
        // A call may go back.
        expectWarning('HOOK_ERROR', 'the hook is broken');
        await seenBy(await session.get(target.url, { hooks: { [name]: fail } as Hooks, hookErrors: 'warn' }));
      });
    });

    test('what is thrown may be anything', async () => {
      expectWarning('HOOK_ERROR', 'passed over: just text');
      const target = await route.origin();
      const hooks: Hooks = {
        args: () => {
          throw 'just text';
        },
      };
      expect((await seenBy(await (await route.session({ hooks })).get(target.url))).method).toBe('GET');
    });
  });
});

describe('R32 what a hook returns takes the place of its data', () => {
  overRoutes((route) => {
    test('args: another call is made', async () => {
      const target = await route.origin();
      const session = await route.session({ params: { of: 'session' } });
      const args = (before: RequestArgs): RequestArgs => ({
        ...before,
        method: 'POST',
        url: `${target.url}/other`,
        data: 'new',
      });
      const last = (seen: RequestArgs): void => void expect(seen.data).toBe('new');
      const response = await session.get('http://nowhere.invalid', { hooks: { args: [args, last] } });
      expect(await seenBy(response)).toMatchObject({ method: 'POST', target: '/other?of=session', body: 'new' });
    });

    test('preRequest: another request is sent', async () => {
      const target = await route.origin();
      const session = await route.session();
      const other = session.prepare('PUT', `${target.url}/other`, { data: 'new', headers: { 'X-Other': '1' } });
      const seen: unknown[] = [];
      const hooks: Hooks = {
        preRequest: [() => other, (request) => void seen.push(request)],
        postRequest: (request) => void seen.push(request),
      };
      const response = await session.get(`${target.url}/first`, { hooks });
      expect(await seenBy(response)).toMatchObject({ method: 'PUT', target: '/other', body: 'new' });
      expect(seen).toEqual([other, other]);
      expect(response.request).toBe(other);
      expect(target.requests).toHaveLength(1);
    });

    test('response: the caller gets another, and the first is released', async () => {
      const target = await route.origin();
      const session = await route.session();
      const other = await session.get(`${target.url}/other`, { prefetch: true });
      const seen: unknown[] = [];
      const hooks: Hooks = {
        response: [async () => other, (response) => void seen.push(response)],
        postRequest: (_, { response }) => void seen.push(response),
      };
      expect(await session.get(`${target.url}/first`, { hooks })).toBe(other);
      expect(seen).toEqual([other, other]);
      await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
    });

    test.each([undefined, null])('%p keeps it', async (nothing) => {
      const target = await route.origin();
      const hooks = Object.fromEntries(NAMES.map((name) => [name, async () => nothing]));
      const response = await (await route.session({ hooks })).put(target.url, { data: 'body' });
      expect(await seenBy(response)).toMatchObject({ method: 'PUT', body: 'body' });
    });

    const WRONG: readonly (readonly [(typeof NAMES)[number], returned: unknown, message: string])[] = [
      ['args', 'text', 'string; return an object with method and url, or nothing'],
      ['args', false, 'boolean; return an object with method and url, or nothing'],
      ['args', { method: 'GET' }, 'an object (Object); return an object with method and url, or nothing'],
      ['preRequest', 0, 'number; return a PreparedRequest, or nothing'],
      ['preRequest', { method: 'GET', url: 'x' }, 'an object (Object); return a PreparedRequest, or nothing'],
      ['response', '', 'string; return an HttpResponse, or nothing'],
      ['response', new Response('x'), 'an object (Response); return an HttpResponse, or nothing'],
      ['postRequest', [], 'an object (Array); return a PreparedRequest, or nothing'],
      ['postRequest', Object.create(null), 'an object (plain); return a PreparedRequest, or nothing'],
    ];

    test.each(WRONG)('%s must not return %p', async (name, returned, message) => {
      const target = await route.origin();
      const session = await route.session();
      const hooks = { [name]: () => returned } as Hooks;
      const error = await failureOf(session.get(target.url, { hooks }), InvalidOptionError);
      expect([error.option, error.message]).toEqual([`hooks.${name}`, expect.stringContaining(`returned ${message}`)]);
      await until(() => session.transport.connections.every(({ state }) => state === 'IDLE' || state === 'CLOSED'));
    });
  });
});

describe('R33 an args hook sees the URL of each call', () => {
  overRoutes((route) => {
    test('as it was written, before parameters', async () => {
      const target = await route.origin();
      const printed: unknown[] = [];
      const session = await route.session({ hooks: { args: ({ url }) => void printed.push(url) }, params: { a: 1 } });
      const url = new URL(`${target.url}/object`);
      for (const each of [`${target.url}/a/../b`, url]) await seenBy(await session.get(each, { params: { b: 2 } }));
      expect(printed).toEqual([`${target.url}/a/../b`, url]);
      expect(target.requests.map((request) => request.target)).toEqual(['/b?a=1&b=2', '/object?a=1&b=2']);
    });

    test('of a prepared request, as it is when it is sent', async () => {
      const target = await route.origin();
      const printed: string[] = [];
      const session = await route.session({
        hooks: { args: ({ url }) => void printed.push(String(url)) },
        params: { a: 1 },
      });
      const request = session.prepare('GET', `${target.url}/first`, { params: { b: 2 } });
      request.url.pathname = '/second';
      expect((await seenBy(await request.send())).target).toBe('/second?a=1&b=2');
      expect(printed).toEqual([`${target.url}/second?a=1&b=2`]);
    });
  });
});

describe('R34 an args hook changes the call', () => {
  overRoutes((route) => {
    test.each(['call', 'session'] as const)(
      'Yo of the hook and X-Testing of the call reach the origin (hook of the %s)',
      async (place) => {
        const target = await route.origin();
        const hooks = { args: adding({ Yo: 'Yo' }) };
        const session = await route.session(place === 'session' ? { hooks } : {});
        const options = { headers: { 'X-Testing': 'True' }, ...(place === 'call' && { hooks }) };
        const { headers } = await seenBy(await session.get(target.url, options));
        expect(headers).toMatchObject({ yo: 'Yo', 'x-testing': 'True' });
        // The caller's own objects stay as they were.
        expect(options.headers).toEqual({ 'X-Testing': 'True' });
      },
    );

    const CHANGES: readonly (readonly [string, (args: RequestArgs) => void, object])[] = [
      ['method', (args) => void Object.assign(args, { method: 'DELETE' }), { method: 'DELETE' }],
      ['url', (args) => void Object.assign(args, { url: `${args.url}/deeper` }), { target: '/path/deeper?s=1&c=1' }],
      ['params', (args) => void Object.assign(args, { params: { h: 1, s: null } }), { target: '/path?h=1' }],
      ['data', (args) => void Object.assign(args, { data: { form: 'field' } }), { body: 'form=field' }],
      [
        'headers',
        (args) => void Object.assign(args, { headers: { 'x-s': null } }),
        { headers: expect.not.objectContaining({ 'x-s': '1' }) },
      ],
      [
        'cookies',
        (args) => void Object.assign(args, { cookies: { h: '1' } }),
        { headers: expect.objectContaining({ cookie: 'h=1' }) },
      ],
      [
        'auth',
        (args) => void Object.assign(args, { auth: ['a', 'b'] }),
        { headers: expect.objectContaining({ authorization: 'Basic YTpi' }) },
      ],
    ];

    test.each(CHANGES)('its %s', async (_, change, expected) => {
      const target = await route.origin();
      const session = await route.session({ params: { s: 1 }, headers: { 'X-S': '1' }, hooks: { args: change } });
      const response = await session.post(`${target.url}/path`, { params: { c: 1 }, data: 'body' });
      expect(await seenBy(response)).toMatchObject(expected);
    });

    test.each(CHANGES.filter(([name]) => name !== 'url' && name !== 'params'))(
      'its %s, prepared',
      async (_, change, expected) => {
        const target = await route.origin();
        const session = await route.session({ params: { s: 1 }, headers: { 'X-S': '1' }, hooks: { args: change } });
        const request = session.prepare('POST', `${target.url}/path`, { params: { c: 1 }, data: 'body' });
        expect(await seenBy(await request.send())).toMatchObject(expected);
      },
    );

    test('prepared: what the caller has changed since holds', async () => {
      const target = await route.origin();
      const session = await route.session({ hooks: { args: adding({ Yo: 'Yo' }) }, headers: { 'X-S': '1' } });
      const request = session.prepare('POST', target.url, { json: { a: 1 } });
      request.setHeader('X-Late', '1');
      request.setHeader('X-S', null);
      request.body = '{"b":2}';
      const { headers, body } = await seenBy(await request.send());
      expect(headers).toMatchObject({ yo: 'Yo', 'x-late': '1', 'content-type': 'application/json' });
      expect([headers['x-s'], body]).toEqual([undefined, '{"b":2}']);
    });

    test('prepared: a body from a function still follows a redirect', async () => {
      const target = await route.origin(redirecting({ '/from': [307, '/to'] }));
      let made = 0;
      const data = (): AsyncIterable<Uint8Array> => {
        made += 1;
        return streamOf('fresh');
      };
      const session = await route.session({ hooks: { args: adding({ Yo: 'Yo' }) } });
      const request = session.prepare('PUT', `${target.url}/from`, { data });
      const seen = await seenBy(await request.send());
      expect([seen.body, seen.target, made]).toEqual(['fresh', '/to', 2]);
    });

    test('prepared: a target that is not to be encoded stays as it was written', async () => {
      const target = await route.origin();
      const session = await route.session({ encodeUri: false, hooks: { args: adding({ Yo: 'Yo' }) } });
      await seenBy(await session.prepare('GET', `${target.url}/a|b/../c`).send());
      expect(target.requests[0]?.target).toBe('/a|b/../c');
    });

    test('a signal of send reaches the request that a hook has changed', async () => {
      const target = await route.origin(() => {});
      const session = await route.session({ hooks: { args: adding({ Yo: 'Yo' }) } });
      const controller = new AbortController();
      const sending = session.prepare('GET', target.url).send({ signal: controller.signal });
      await target.waitForRequests(1);
      controller.abort();
      await expect(sending).rejects.toBe(controller.signal.reason);
    });

    test('what the session is told while a hook thinks is for later calls', async () => {
      const target = await route.origin();
      const gate = newGate();
      const session = await route.session({ headers: { 'X-S': 'then' }, hooks: { args: () => gate.opened } });
      const answer = session.get(target.url);
      session.headers = { 'X-S': 'now' };
      gate.open();
      expect((await seenBy(await answer)).headers['x-s']).toBe('then');
    });
  });

  test('its proxy', async () => {
    const [target, A, B] = await Promise.all([origin(), proxy(), proxy()]);
    const args = (each: RequestArgs): void => {
      each.http_proxy = B.url;
    };
    const session = new Session({ transport: newTransport(), http_proxy: A.url, hooks: { args }, prefetch: true });
    await session.get(target.url);
    await session.prepare('GET', target.url).send();
    await session.get(target.url, { hooks: { args: null } });
    expect([A.hops.length, B.hops.length]).toEqual([1, 2]);
  });

  test('an option that does not exist is refused, also from a hook', async () => {
    const args = (each: RequestArgs): RequestArgs => ({ ...each, proxy: 'http://127.0.0.1:1' }) as RequestArgs;
    const sending = new Session({ hooks: { args } }).get('http://127.0.0.1:1');
    await expect(sending).rejects.toMatchObject({ option: 'proxy', message: expect.stringContaining('http_proxy') });
  });
});

async function* streamOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
