// Many requests at once: rows R21 to R27 of Requests' "Advanced usage" (reference/promises.md §1.5).
import { getEventListeners, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { InvalidOptionError } from '@cloudlane/proxy';
import * as api from '@cloudlane/session';
import {
  HttpResponse,
  type ManyRequest,
  type MapOptions,
  PreparedRequest,
  type RequestSource,
  type Session,
} from '@cloudlane/session';
import { closedPort, type LabOrigin, type OriginHandler } from '@cloudlane/testing';
import { ResetError, sharedTransport, TransportError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { closeAfterTest } from '../support/resources.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { ca, failureOf, newTransport, origin, proxy, until } from '../transport/lab.ts';
import { answering, newGate, overRoutes, type RouteLab, seenBy, writeFiles } from './lab.ts';

const METHODS = ['get', 'options', 'head', 'post', 'put', 'patch', 'delete'] as const;

function urls(target: LabOrigin, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${target.url}/${index}`);
}

/** Answers each request with its target. */
const echoTarget: OriginHandler = ({ url = '' }, response) => void response.end(url);

/** Text of the answers, and the names of the errors, in their places. */
function shown(outcomes: readonly (HttpResponse | Error)[]): Promise<string[]> {
  return Promise.all(outcomes.map((each) => (each instanceof HttpResponse ? each.text() : each.name)));
}

/** An origin that breaks off the answer to `/broken` once so many other requests are there, and answers none of those. */
async function breaking(
  route: RouteLab,
  others: number,
): Promise<{ target: LabOrigin; abandoned: readonly Promise<unknown>[] }> {
  const abandoned: Promise<unknown>[] = [];
  const waiting = newGate();
  if (others === 0) waiting.open();
  const target = await route.origin(async ({ url, socket }, response) => {
    if (url !== '/broken') {
      abandoned.push(once(response, 'close'));
      if (abandoned.length === others) waiting.open();
      return;
    }
    await waiting.opened;
    response.writeHead(200, { 'Content-Length': 10 });
    response.write('half', () => socket.destroy());
  });
  return { target, abandoned };
}

/** No connection of the session carries a request any more. */
async function nothingUnderWay(session: Session): Promise<void> {
  await until(() => session.transport.connections.every(({ state }) => state === 'IDLE' || state === 'CLOSED'));
}

/** Connections that carry a request. */
function underWayCount(session: Session): number {
  return session.transport.connections.filter(({ state }) => state === 'ACTIVE').length;
}

describe('R21 prepare has the API of the main functions, and returns requests that are not sent', () => {
  overRoutes((route) => {
    test.each(METHODS)('%s', async (method) => {
      const target = await route.origin();
      const [verify = ''] = await writeFiles({ 'ca.pem': ca.certificate });
      closeAfterTest({ [Symbol.asyncDispose]: async () => sharedTransport().closeIdle() });
      const options = { http_proxy: await route.setting(), verify, headers: { 'X-A': '1' }, params: { p: 1 } };
      const requests = [
        api.prepare[method](target.url, options),
        api.prepare.request(method, target.url, options),
        (await route.session()).prepare(method, target.url, options),
      ];
      for (const request of requests) expect(request).toBeInstanceOf(PreparedRequest);
      expect(requests.map((request) => [request.method, request.url.search, request.header('x-a')])).toEqual(
        Array(3).fill([method.toUpperCase(), '?p=1', '1']),
      );
      expect(route.connectionCounts(target).far).toBe(0);
      const answers = await api.map(requests);
      expect(answers.map((answer) => 'status' in answer && answer.status)).toEqual([200, 200, 200]);
      expect(target.requests.map((seen) => [seen.method, seen.target])).toEqual(
        Array(3).fill([method.toUpperCase(), '/?p=1']),
      );
    });
  });

  test(
    'and nothing of Node is patched, neither by the import nor by a request',
    async () => {
      const target = await origin();
      const script = `
        import { createRequire } from 'node:module';
        const require = createRequire(import.meta.url);
        const owners = ['net', 'tls', 'http', 'https', 'dns', 'stream', 'events', 'timers'].map((name) => require(name));
        const places = [globalThis, process, console, Promise, Promise.prototype, ...owners];
        for (const each of [owners[0].Socket, owners[1].TLSSocket, owners[2].Agent, owners[3].Agent]) places.push(each, each.prototype);
        // Some getters of Node load what they are asked for, and some of that is deprecated.
        const take = () => places.map((place) => Object.entries(Object.getOwnPropertyDescriptors(place)));
        for (const name of Object.getOwnPropertyNames(globalThis)) if (!['sys', 'punycode'].includes(name)) globalThis[name];
        const before = take();
        const { map, prepare } = await import('@cloudlane/session');
        const [answer] = await map([prepare.get('${target.url}')]);
        const after = take();
        const changed = before.flatMap((entries, place) => {
          const now = Object.fromEntries(after[place]);
          const known = new Set(entries.map(([name]) => name));
          return [
            ...entries.filter(([name, { value, get, set }]) => !now[name] || (typeof value === 'function' && now[name].value !== value) || now[name].get !== get || now[name].set !== set).map(([name]) => name),
            ...Object.keys(now).filter((name) => !known.has(name)),
          ];
        });
        process.stdout.write(JSON.stringify([answer.status, changed]));`;
      const { output, errors } = await runScript(script);
      expect([errors, output]).toEqual(['', JSON.stringify([200, []])]);
    },
    PROCESS_TIMEOUT,
  );
});

describe('R22 a list of requests is built without anything being sent', () => {
  overRoutes((route) => {
    test('until map sends it', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const requests = urls(target, 5).map((url) => session.prepare('GET', url));
      for (let turn = 0; turn < 10; turn += 1) await nextTurn();
      expect(route.connectionCounts(target)).toEqual({ near: 0, far: 0 });
      expect(requests.map(({ isSent }) => isSent)).toEqual(Array(5).fill(false));
      const sending = session.map(requests);
      expect(await shown(await sending)).toEqual(['/0', '/1', '/2', '/3', '/4']);
      expect(target.requests).toHaveLength(5);
    });

    test('nor is it by imap until somebody iterates', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const answers = session.imap(urls(target, 2));
      for (let turn = 0; turn < 10; turn += 1) await nextTurn();
      expect(route.connectionCounts(target)).toEqual({ near: 0, far: 0 });
      expect((await shown(await collect(answers))).sort()).toEqual(['/0', '/1']);
    });
  });
});

describe('R23 each request can be sent on its own', () => {
  overRoutes((route) => {
    test('once: later calls get the same answer', async () => {
      const target = await route.origin();
      const request = (await route.session()).prepare('POST', target.url, { data: 'body' });
      const sending = request.send();
      expect(request.send()).toBe(sending);
      const response = await sending;
      expect(await request.send()).toBe(response);
      expect((await seenBy(response)).body).toBe('body');
      expect([request.isSent, target.requests.length]).toEqual([true, 1]);
    });

    test('and again if that is asked for, with its body begun again', async () => {
      const target = await route.origin();
      const session = await route.session();
      const body = async function* () {
        yield Buffer.from('fresh');
      };
      const request = session.prepare('PUT', target.url, { data: body });
      const answers = [await request.send(), await request.send({ again: true }), await request.send({ again: true })];
      expect(new Set(answers).size).toBe(3);
      expect((await Promise.all(answers.map(seenBy))).map((seen) => seen.body)).toEqual(['fresh', 'fresh', 'fresh']);
      expect(await request.send()).toBe(answers[2]);
    });

    test('but not with a stream that was read; its first answer stays', async () => {
      const target = await route.origin();
      const request = (await route.session()).prepare('PUT', target.url, { data: new Blob(['x']).stream() });
      const response = await request.send();
      await expect(request.send({ again: true })).rejects.toMatchObject({ code: 'ERR_BODY_REPLAY' });
      expect(await request.send()).toBe(response);
      expect((await seenBy(response)).body).toBe('x');
      expect(target.requests).toHaveLength(1);
    });

    test('as map does: a request that was sent is not sent again', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const request = session.prepare('GET', `${target.url}/once`);
      const response = await request.send();
      const [first, second] = await session.map([request, request]);
      expect([first, second]).toEqual([response, response]);
      expect(await response.text()).toBe('/once');
      expect(target.requests).toHaveLength(1);
    });
  });
});

describe('R24 map sends all of them and keeps their order', () => {
  overRoutes((route) => {
    test('though the answers come in reverse', async () => {
      const held: (readonly [string, ServerResponse])[] = [];
      const answered: string[] = [];
      const target = await route.origin(({ url = '' }, response) => {
        held.push([url, response]);
        if (held.length === 5) void endInReverse();
      });
      /** Each once the one before has been received. */
      const endInReverse = async (): Promise<void> => {
        for (const [url, response] of held.sort(([a], [b]) => b.localeCompare(a))) {
          response.end(url);
          await until(() => answered.includes(url));
        }
      };
      const each = async (response: HttpResponse): Promise<string> => {
        const text = await response.text();
        answered.push(text);
        return text;
      };
      const results = await (await route.session()).map(urls(target, 5), { each });
      expect(results).toEqual(['/0', '/1', '/2', '/3', '/4']);
      expect(answered).toEqual(['/4', '/3', '/2', '/1', '/0']);
    });

    test('with what became of a dead host in its place', async () => {
      const target = await route.origin(echoTarget);
      const dead = `${route.scheme}://127.0.0.1:${await closedPort()}/dead`;
      const session = await route.session();
      const [first, failure, last] = await session.map([`${target.url}/0`, dead, `${target.url}/2`]);
      expect(await shown([first, last].filter((each) => each !== undefined))).toEqual(['/0', '/2']);
      // A forward proxy has an answer of its own for it.
      if (route.kind === 'forward') expect(failure).toMatchObject({ status: 503 });
      else expect(failure).toBeInstanceOf(TransportError);
    });

    test('and with safeMode an answer without a status', async () => {
      const { target } = await breaking(route, 0);
      const session = await route.session({ safeMode: true });
      const port = await closedPort();
      const refused = { url: target.url, http_proxy: `http://127.0.0.1:${port}` };
      const [answer] = await session.map([refused]);
      expect(answer).toMatchObject({ status: 0, error: { code: 'ERR_PROXY_CONNECT' } });
      const sending = session.map([refused], { onError: 'throw' });
      await expect(sending).rejects.toMatchObject({ code: 'ERR_PROXY_CONNECT' });
    });

    test('or the first failure ends it, and what is under way is over when map rejects', async () => {
      const { target, abandoned } = await breaking(route, 3);
      const session = await route.session();
      let returned = 0;
      const source = function* (): Generator<string> {
        try {
          yield* [`${target.url}/0`, `${target.url}/1`, `${target.url}/broken`, `${target.url}/3`];
          for (let index = 4; ; index += 1) yield `${target.url}/${index}`;
        } finally {
          returned += 1;
        }
      };
      const sending = session.map(source(), { onError: 'throw', size: 4 });
      const error = await failureOf(sending, ResetError);
      expect([error.phase, error.url]).toEqual(['body', `${target.url}/broken`]);
      expect(returned).toBe(1);
      await Promise.all([...abandoned, nothingUnderWay(session)]);
      expect(target.requests).toHaveLength(4);
    });

    test('or the first failure ends it; no request of it is pending then', async () => {
      const { target, abandoned } = await breaking(route, 3);
      const session = await route.session();
      const paths = ['/0', '/1', '/broken', '/3'];
      const requests = paths.map((path) => session.prepare('GET', `${target.url}${path}`));
      await failureOf(session.map(requests, { onError: 'throw' }), ResetError);
      const states = requests.map((request) => inspect(request.send()));
      expect(states.filter((state) => state.includes('<pending>'))).toEqual([]);
      await Promise.all(abandoned);
    });

    test('a status is no failure, unless dangerMode says so', async () => {
      const target = await route.origin(
        ({ url = '' }, response) => void response.writeHead(Number(url.slice(1))).end(),
      );
      const session = await route.session();
      const requests = [200, 404, 500].map((status) => `${target.url}/${status}`);
      const statuses = await session.map(requests, { onError: 'throw' });
      expect(statuses.map((answer) => 'status' in answer && answer.status)).toEqual([200, 404, 500]);
      session.dangerMode = true;
      expect(await shown(await session.map(requests))).toEqual(['', 'HttpStatusError', 'HttpStatusError']);
    });

    test('strings, URLs, descriptions and prepared requests, also of another session', async () => {
      const target = await route.origin();
      const [session, other] = [await route.session(), await route.session({ headers: { 'X-Of': 'other' } })];
      session.headers = { 'X-Of': 'this' };
      const answers = await session.map([
        `${target.url}/string`,
        new URL(`${target.url}/url`),
        { url: `${target.url}/spec` },
        { method: 'post', url: new URL(`${target.url}/post`), data: 'body', headers: { 'X-Of': 'spec' } },
        session.prepare('PUT', `${target.url}/prepared`, { json: 1 }),
        other.prepare('GET', `${target.url}/other`),
      ]);
      const seen = await Promise.all(
        answers.flatMap((answer) => (answer instanceof HttpResponse ? [seenBy(answer)] : [])),
      );
      expect(seen.map(({ method, target: path, body, headers }) => [method, path, body, headers['x-of']])).toEqual([
        ['GET', '/string', '', 'this'],
        ['GET', '/url', '', 'this'],
        ['GET', '/spec', '', 'this'],
        ['POST', '/post', 'body', 'spec'],
        ['PUT', '/prepared', '1', 'this'],
        ['GET', '/other', '', 'other'],
      ]);
    });
  });

  test('a prepared request takes the route of its own session', async () => {
    const [target, A, B] = await Promise.all([origin(), proxy(), proxy()]);
    const [one, two] = [A, B].map(({ url }) => new api.Session({ transport: newTransport(), http_proxy: url }));
    await one?.map([`${target.url}/a`, ...(two ? [two.prepare('GET', `${target.url}/b`)] : [])]);
    expect([A, B].map(({ hops }) => hops.map((hop) => hop.target))).toEqual([[`${target.url}/a`], [`${target.url}/b`]]);
  });

  test('what cannot be a request is an error in its place', async () => {
    const target = await origin('http', { handler: echoTarget });
    const bad: readonly unknown[] = ['/no-host', null, 7, {}, { url: target.url, proxy: 'x' }];
    const session = new api.Session({ transport: newTransport() });
    const answers = await session.map([target.url, ...(bad as ManyRequest[]), target.url]);
    expect(answers.map((each) => ('option' in each ? each.option : 'status' in each && each.status))).toEqual([
      ...[200, 'url', 'requests', 'requests', 'url', 'proxy', 200],
    ]);
    await failureOf(session.map(bad as ManyRequest[], { onError: 'throw' }), InvalidOptionError);
  });

  test('nothing to send is no answers', async () => {
    expect(await api.map([])).toEqual([]);
    expect(await collect(api.imap([]))).toEqual([]);
  });
});

describe('R25 map runs the hook response', () => {
  overRoutes((route) => {
    test('for every answer, whatever its status, and for none that did not come', async () => {
      const target = await route.origin(({ url = '', socket }, response) => {
        if (url === '/broken') socket.destroy();
        else response.writeHead(url === '/404' ? 404 : 200).end(url);
      });
      const seen: string[] = [];
      const session = await route.session({ hooks: { response: ({ url }) => void seen.push(url.pathname) } });
      const requests = ['/a', '/404', '/broken', '/b'].map((path) => `${target.url}${path}`);
      const own = session.prepare('GET', `${target.url}/own`, { hooks: { response: () => void seen.push('own') } });
      const answers = await session.map([...requests, own]);
      // A forward proxy answers for an origin that does not.
      const failed = route.kind === 'forward' ? ['/broken'] : [];
      expect(seen.sort()).toEqual(['/404', '/a', '/b', ...failed, 'own']);
      expect(answers.filter((each) => each instanceof HttpResponse)).toHaveLength(seen.length);
    });

    test('and takes what it returns', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const replacement = await session.get(`${target.url}/replacement`);
      const hooks = { response: (): HttpResponse => replacement };
      const answers = await session.map([{ url: `${target.url}/a`, hooks }, `${target.url}/b`]);
      expect(await shown(answers)).toEqual(['/replacement', '/b']);
    });
  });
});

describe('R26 size is how many are under way at once', () => {
  /** Holds back answers until as many requests are there as may be at once; counts them. */
  async function counting(
    route: RouteLab,
    size: number,
    total: number,
  ): Promise<{ target: LabOrigin; most: () => number }> {
    let [came, atOnce, most] = [0, 0, 0];
    let wave = newGate();
    const target = await route.origin(async ({ url = '' }, response) => {
      const { opened } = wave;
      [came, atOnce] = [came + 1, atOnce + 1];
      most = Math.max(most, atOnce);
      if (came % size === 0 || came === total) {
        wave.open();
        wave = newGate();
      }
      await opened;
      atOnce -= 1;
      response.end(url);
    });
    return { target, most: () => most };
  }

  overRoutes((route) => {
    test.each([
      [1, 4],
      [3, 10],
      [Number.POSITIVE_INFINITY, 40],
    ])('map with size %d: so many of %d at the origin, no more', async (size, total) => {
      const { target, most } = await counting(route, size, total);
      const session = await route.session();
      const answers = await shown(await session.map(urls(target, total), { size }));
      expect(answers).toEqual(urls(target, total).map((url) => new URL(url).pathname));
      expect(most()).toBe(Math.min(size, total));
      expect(route.connectionCounts(target).near).toBe(Math.min(size, total));
    });

    test.each([
      ['map', 64],
      ['imap', 2],
    ] as const)('%s has a size of %d unless told', async (way, size) => {
      const gate = newGate();
      const target = await route.origin(async (_, response) => {
        await gate.opened;
        response.end();
      });
      const session = await route.session();
      const requests = urls(target, size + 6);
      const answers = way === 'map' ? session.map(requests) : collect(session.imap(requests));
      await target.waitForRequests(size);
      expect(session.transport.connections).toHaveLength(size);
      gate.open();
      expect(await answers).toHaveLength(size + 6);
    });

    test('imap yields what is there first', async () => {
      const last = newGate();
      const target = await route.origin(async ({ url = '' }, response) => {
        if (url === '/0') await last.opened;
        response.end(url);
      });
      const seen: string[] = [];
      for await (const answer of (await route.session()).imap(urls(target, 4))) {
        seen.push(...(await shown([answer])));
        if (seen.length === 3) last.open();
      }
      expect(seen).toEqual(['/1', '/2', '/3', '/0']);
    });

    test('imap: who leaves early ends the rest and the source', async () => {
      const { target, abandoned } = await breaking(route, 2);
      let returned = 0;
      const source = async function* (): AsyncGenerator<string> {
        try {
          yield `${target.url}/broken`;
          for (let index = 0; ; index += 1) yield `${target.url}/${index}`;
        } finally {
          returned += 1;
        }
      };
      const session = await route.session();
      for await (const answer of session.imap(source(), { size: 3 })) {
        expect(answer).toBeInstanceOf(ResetError);
        break;
      }
      expect(returned).toBe(1);
      await nothingUnderWay(session);
      await Promise.all(abandoned);
    });

    test('imap sends nothing more while nobody takes what is there', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const answers = session.imap(urls(target, 10), { size: 2 })[Symbol.asyncIterator]();
      await answers.next();
      await target.waitForRequests(3);
      await nothingUnderWay(session);
      for (let turn = 0; turn < 20; turn += 1) await nextTurn();
      // One was taken, two are there and count.
      expect(target.requests).toHaveLength(3);
      await answers.next();
      await target.waitForRequests(4);
      await nothingUnderWay(session);
      for (let turn = 0; turn < 20; turn += 1) await nextTurn();
      expect(target.requests).toHaveLength(4);
      await answers.return?.();
    });

    test('imap with onError throw ends with the first failure', async () => {
      const { target, abandoned } = await breaking(route, 1);
      const session = await route.session();
      const requests = [`${target.url}/broken`, `${target.url}/0`];
      await failureOf(collect(session.imap(requests, { onError: 'throw' })), ResetError);
      await nothingUnderWay(session);
      await Promise.all(abandoned);
    });

    test('a signal ends everything at once, with its reason', async () => {
      const { target, abandoned } = await breaking(route, 3);
      const session = await route.session();
      const controller = new AbortController();
      const reason = new RangeError('enough');
      let returned = 0;
      const source = function* (): Generator<string> {
        try {
          yield* urls(target, 100);
        } finally {
          returned += 1;
        }
      };
      const sending = session.map(source(), { signal: controller.signal, size: 3 });
      await target.waitForRequests(3);
      controller.abort(reason);
      await expect(sending).rejects.toBe(reason);
      expect([returned, target.requests.length]).toEqual([1, 3]);
      await nothingUnderWay(session);
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
      await Promise.all(abandoned);
      // Aborted before it began: the source is not even looked at.
      await expect(session.map(source(), { signal: controller.signal })).rejects.toBe(reason);
      expect(target.requests).toHaveLength(3);
    });

    test('a signal is let go of at the end', async () => {
      const target = await route.origin(echoTarget);
      const { signal } = new AbortController();
      await (await route.session()).map(urls(target, 3), { signal });
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    });

    test('a signal ends what imap has under way although nobody takes an answer', async () => {
      const waiting = newGate();
      const closed: Promise<unknown>[] = [];
      const target = await route.origin(({ url = '' }, response) => {
        if (url === '/0') return void response.end('x');
        closed.push(once(response, 'close'));
        waiting.open();
      });
      const session = await route.session();
      const controller = new AbortController();
      const answers = session.imap(urls(target, 3), { signal: controller.signal })[Symbol.asyncIterator]();
      await answers.next();
      await waiting.opened;
      await target.waitForRequests(3);
      controller.abort();
      await Promise.all(closed);
      await expect(answers.next()).rejects.toBe(controller.signal.reason);
    });

    test('the signal of one request ends that one alone; that of map ends it, too', async () => {
      const { target } = await breaking(route, 0);
      const session = await route.session();
      const [own, all] = [new AbortController(), new AbortController()];
      const settled: string[] = [];
      const request = (path: string, signal?: AbortSignal): PreparedRequest =>
        session.prepare('GET', `${target.url}${path}`, { signal });
      const requests = [request('/a', own.signal), request('/b', own.signal), request('/c')];
      const sending = session.map(requests, { signal: all.signal }).finally(() => settled.push('map'));
      await target.waitForRequests(3);
      own.abort(new RangeError('own'));
      const outcomes = requests.map((each) => each.send().catch((error: unknown) => error));
      expect(await Promise.all(outcomes.slice(0, 2))).toEqual([own.signal.reason, own.signal.reason]);
      expect(settled).toEqual([]);
      all.abort();
      await expect(sending).rejects.toBe(all.signal.reason);
      await nothingUnderWay(session);
    });

    test('a request that was sent before is not ended with the batch', async () => {
      const gate = newGate();
      const target = await route.origin(async (_, response) => {
        await gate.opened;
        response.end('late');
      });
      const session = await route.session();
      const request = session.prepare('GET', target.url);
      const answer = request.send();
      await target.waitForRequests(1);
      const controller = new AbortController();
      const sending = session.map([request], { signal: controller.signal });
      await nextTurn();
      controller.abort();
      await expect(sending).rejects.toBe(controller.signal.reason);
      gate.open();
      expect(await (await answer).text()).toBe('late');
    });

    test('each makes of an answer what is kept; what it leaves unread is released', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const seen = await session.map(urls(target, 20), {
        size: 2,
        prefetch: false,
        each: async (response, index) => {
          expect(response.bodyUsed).toBe(false);
          if (index === 7) throw new RangeError('each');
          return index % 2 === 0 ? await response.text() : index;
        },
      });
      const expected = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? `/${index}` : index));
      expect(seen.toSpliced(7, 1, 7)).toEqual(expected);
      expect(seen[7]).toEqual(new RangeError('each'));
      await nothingUnderWay(session);
      expect(route.connectionCounts(target).near).toBeLessThanOrEqual(4);
    });

    test('each that fails ends map where failures do', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const each = (): never => {
        throw new RangeError('each');
      };
      await expect(session.map(urls(target, 9), { each, size: 2, onError: 'throw' })).rejects.toThrow('each');
      expect(target.requests.length).toBeLessThan(9);
    });

    test('prefetch false: answers are there with their heads', async () => {
      const gate = newGate();
      const target = await route.origin(async (_, response) => {
        response.writeHead(200, { 'Content-Length': 4 }).write('la');
        await gate.opened;
        response.end('te');
      });
      const session = await route.session();
      const answers = await session.map(urls(target, 3), { prefetch: false });
      expect(answers.map((each) => 'bodyUsed' in each && each.bodyUsed)).toEqual([false, false, false]);
      gate.open();
      expect(await shown(answers)).toEqual(['late', 'late', 'late']);
    });

    test.each(['map', 'imap'] as const)(
      'prefetch false: %s that ends early releases the answers nobody gets',
      async (way) => {
        const large = Buffer.alloc(1_000_000);
        const gate = newGate();
        const target = await route.origin(async ({ url, socket }, response) => {
          if (url !== '/broken') return void response.end(large);
          await gate.opened;
          socket.destroy();
        });
        const session = await route.session();
        const source = [`${target.url}/0`, `${target.url}/1`, `${target.url}/2`];
        const hooks = { response: () => gate.open() };
        if (way === 'map') {
          const broken = { url: `${target.url}/broken`, dangerMode: true };
          const requests = [{ url: source[0] ?? '', hooks }, broken];
          await expect(session.map(requests, { prefetch: false, onError: 'throw' })).rejects.toBeInstanceOf(Error);
        } else {
          const answers = session.imap(source, { prefetch: false, size: 3 })[Symbol.asyncIterator]();
          const first = await answers.next();
          await target.waitForRequests(3);
          await until(() => underWayCount(session) === 3);
          for (let turn = 0; turn < 50; turn += 1) await nextTurn();
          await answers.return?.();
          if (first.value instanceof HttpResponse) expect((await first.value.content()).length).toBe(large.length);
        }
        await nothingUnderWay(session);
      },
    );

    test('with prefetch a body that breaks off is a failure', async () => {
      const { target } = await breaking(route, 1);
      const session = await route.session();
      const requests = { url: `${target.url}/broken` };
      const other = session.get(`${target.url}/other`, { signal: AbortSignal.timeout(20_000) }).catch(() => {});
      const [answer] = await session.map([requests]);
      expect(answer).toBeInstanceOf(ResetError);
      await session.transport.close();
      await other;
    });

    test('the source is asked only when there is room', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      let [given, got, mostAhead] = [0, 0, 0];
      const source = function* (): Generator<string> {
        for (const url of urls(target, 30)) {
          given += 1;
          mostAhead = Math.max(mostAhead, given - got);
          yield url;
        }
      };
      const count = (): void => {
        got += 1;
      };
      await session.map(source(), { size: 3, each: count });
      expect([given, got, mostAhead]).toEqual([30, 30, 3]);
    });

    test('a source may take its time: answers do not wait for it', async () => {
      const target = await route.origin(echoTarget);
      const session = await route.session();
      const taken: string[] = [];
      const source = async function* (): AsyncGenerator<string> {
        for (const [index, url] of urls(target, 4).entries()) {
          await until(() => taken.length === index);
          yield url;
        }
      };
      await session.map(source(), { each: async (response) => void taken.push(await response.text()) });
      expect(taken).toEqual(['/0', '/1', '/2', '/3']);
    });

    test('a source that fails ends it', async () => {
      const { target, abandoned } = await breaking(route, 2);
      const session = await route.session();
      const source = async function* (): AsyncGenerator<string> {
        yield* urls(target, 2);
        await target.waitForRequests(2);
        throw new RangeError('no more');
      };
      await expect(session.map(source())).rejects.toThrow('no more');
      await nothingUnderWay(session);
      await Promise.all(abandoned);
    });

    test('a source that takes its time to end is waited for', async () => {
      const { target, abandoned } = await breaking(route, 0);
      let isOver = false;
      const source = async function* (): AsyncGenerator<string> {
        try {
          for (;;) yield `${target.url}/broken`;
        } finally {
          for (let turn = 0; turn < 20; turn += 1) await nextTurn();
          isOver = true;
        }
      };
      const session = await route.session();
      await failureOf(session.map(source(), { onError: 'throw', size: 1 }), ResetError);
      expect([isOver, abandoned.length]).toEqual([true, 0]);
    });

    test('a source that gives nothing for long does not keep map from ending', async () => {
      const { target, abandoned } = await breaking(route, 1);
      const session = await route.session();
      const stuck = newGate();
      let returned = 0;
      const source = async function* (): AsyncGenerator<string> {
        try {
          yield* [`${target.url}/0`, `${target.url}/broken`];
          await stuck.opened;
          yield `${target.url}/late`;
        } finally {
          returned += 1;
        }
      };
      await failureOf(session.map(source(), { onError: 'throw' }), ResetError);
      expect(returned).toBe(0);
      await nothingUnderWay(session);
      stuck.open();
      await until(() => returned === 1);
      expect(target.requests).toHaveLength(2);
      await Promise.all(abandoned);
    });
  });

  test('no more answers than size are in memory with each', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage: () => void = runInNewContext('gc');
    const target = await origin('http', { handler: answering('x'.repeat(1_000)) });
    const session = new api.Session({ transport: newTransport() });
    const answers: WeakRef<HttpResponse>[] = [];
    const alive: number[] = [];
    await session.map(urls(target, 200), {
      size: 8,
      each: async (response, index) => {
        answers.push(new WeakRef(response));
        if (index % 50 !== 49) return;
        await nextTurn();
        collectGarbage();
        await nextTurn();
        alive.push(answers.filter((each) => each.deref() !== undefined).length);
      },
    });
    expect(alive).toHaveLength(4);
    expect(Math.max(...alive)).toBeLessThanOrEqual(8);
  });

  test.each([0, -1, 1.5, Number.NaN, Number.NEGATIVE_INFINITY, '2' as unknown as number])(
    'size %p is refused, and nothing is sent',
    async (size) => {
      const target = await origin();
      await expect(api.map([target.url], { size })).rejects.toMatchObject({ option: 'size' });
      expect(() => api.imap([target.url], { size })).toThrow(expect.objectContaining({ option: 'size' }));
      expect(target.connectionCount).toBe(0);
    },
  );

  test.each<[option: string, options: unknown]>([
    ['onError', { onError: 'ignore' }],
    ['prefetch', { prefetch: 1 }],
    ['each', { each: 'text' }],
  ])('so is a wrong %s', async (option, options) => {
    await expect(api.map([], options as MapOptions)).rejects.toMatchObject({ option });
  });

  test.each([null, undefined, 7, {}, 'http://one.example'])('%p is no source', async (source) => {
    await expect(api.map(source as RequestSource)).rejects.toMatchObject({ option: 'requests' });
    expect(() => api.imap(source as RequestSource)).toThrow(InvalidOptionError);
  });
});

describe('R27 no optional dependency is needed', () => {
  test(
    'what the package names are dependencies, and all of it works with them alone',
    async () => {
      const { default: manifest } = await import('../../packages/session/package.json', { with: { type: 'json' } });
      expect(Object.keys(manifest)).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/^(?:optional|peer)Dependencies$/)]),
      );
      const target = await origin();
      const script = `import { map } from '@cloudlane/session'; console.log((await map(['${target.url}']))[0].status);`;
      expect(await runScript(script)).toEqual({ output: '200\n', errors: '', code: 0 });
    },
    PROCESS_TIMEOUT,
  );
});

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}
