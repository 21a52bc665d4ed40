// Interceptors of a session's axios: every call of the session passes them.
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import {
  BodyReplayError,
  HttpStatusError,
  type PreparedRequest,
  Session,
  type SessionOptions,
} from '@cloudlane/session';
import type { OriginHandler } from '@cloudlane/testing';
import { ConnectError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AxiosError, type AxiosResponse } from 'axios';
import { SECRETS } from '../support/secrets.ts';
import { causeOf, failureOf, newTransport, origin, proxy, until } from '../transport/lab.ts';
import { answering, newGate, overRoutes, redirecting, seenBy } from './lab.ts';

function newSession(options: SessionOptions = {}): Session {
  return new Session({ transport: newTransport(), http_proxy: null, ...options });
}

/** Has the origin take only this token. */
function wanting(token: string): OriginHandler {
  return ({ headers }, response) => {
    response.writeHead(headers['x-token'] === token ? 200 : 401).end(headers['x-token']);
  };
}

describe('every call of the session', () => {
  overRoutes((route) => {
    test('passes them once, whatever it is made with', async () => {
      const target = await route.origin(redirecting({ '/go': [302, '/there'] }));
      const session = await route.session();
      const log: string[] = [];
      session.axios.interceptors.request.use((config) => {
        log.push(`> ${config.method} ${new URL(config.url ?? '').pathname}`);
        config.headers.set('X-Passed', String(log.length));
        return config;
      });
      session.axios.interceptors.response.use((response) => {
        log.push(`< ${response.status}`);
        return response;
      });
      expect((await seenBy(await session.get(`${target.url}/go`))).target).toBe('/there');
      await (await session.prepare('PUT', `${target.url}/a`, { data: 'x' }).send()).content();
      await session.map([`${target.url}/b`]);
      for await (const response of session.imap([`${target.url}/c`])) expect(response).toHaveProperty('status', 200);
      await session.axios.get(`${target.url}/d`);
      const pass = (line: string): string[] => [line, '< 200'];
      expect(log).toEqual(['> get /go', '> put /a', '> get /b', '> get /c', '> get /d'].flatMap(pass));
      expect(target.requests.map(({ headers }) => headers['x-passed'])).toEqual(['1', '1', '3', '5', '7', '9']);
    });
  });

  test('runs none that were ejected or cleared, and takes the short way then', async () => {
    const target = await origin();
    const session = newSession();
    const { interceptors } = session.axios;
    const fail = (): never => {
      throw new Error('passed');
    };
    const id = interceptors.request.use(fail);
    await expect(session.get(target.url)).rejects.toThrow('passed');
    interceptors.request.eject(id);
    await (await session.get(target.url)).content();
    interceptors.response.use(fail);
    await expect(session.get(target.url)).rejects.toThrow('passed');
    interceptors.response.clear();
    // An axios that could not send anything is not asked.
    session.axios.defaults.adapter = 'http';
    await (await session.get(target.url)).content();
    expect(target.requests).toHaveLength(3);
  });

  test('has the hooks around them: args before, the others and the auth inside', async () => {
    const target = await origin();
    const log: string[] = [];
    const note = (name: string) => () => void log.push(name);
    const auth = (request: PreparedRequest): void => {
      log.push(`auth ${request.url.pathname}`);
    };
    const hooks = {
      args: note('args'),
      preRequest: note('preRequest'),
      response: note('response'),
      postRequest: note('postRequest'),
    };
    const session = newSession({ auth, hooks });
    session.axios.interceptors.request.use((config) => {
      log.push('request');
      return { ...config, url: `${target.url}/changed` };
    });
    session.axios.interceptors.response.use((response) => {
      log.push('interceptor');
      return response;
    });
    await (await session.get(target.url)).content();
    const inside = ['request', 'auth /changed', 'preRequest', 'response', 'postRequest', 'interceptor'];
    expect(log).toEqual(['args', ...inside]);
    log.length = 0;
    await session.axios.get(target.url);
    expect(log).toEqual(['request', 'args', ...inside.slice(1)]);
  });

  test('takes nothing else from that axios: no defaults, no built-in headers', async () => {
    const target = await origin();
    const session = newSession({ userAgent: null, headers: { Accept: null, 'Accept-Encoding': null } });
    Object.assign(session.axios.defaults, { baseURL: 'http://other.example', params: { a: 1 }, timeout: 1 });
    session.axios.defaults.headers.common['X-Default'] = 'axios';
    session.axios.interceptors.request.use((config) => config);
    await (await session.post(`${target.url}/a`, { data: 'text' })).content();
    expect(target.requests).toMatchObject([{ target: '/a', rawHeaders: expect.not.arrayContaining(['Content-Type']) }]);
    const names = target.requests[0]?.rawHeaders.filter((_, index) => index % 2 === 0);
    expect(names).toEqual(['Content-Length', 'Host', 'Connection']);
  });
});

describe('a request interceptor', () => {
  test('changes method, URL, parameters, headers and data', async () => {
    const target = await origin();
    const session = newSession();
    session.axios.interceptors.request.use((config) => {
      const { headers } = config;
      headers.set('x-a', 'changed');
      headers.delete('X-B');
      return { ...config, method: 'patch', url: `${target.url}/changed`, params: { q: 'a b' }, data: { b: 2 } };
    });
    const response = await session.post(`${target.url}/given`, { json: { a: 1 }, headers: { 'X-A': '1', 'X-B': '1' } });
    const seen = await seenBy(response);
    expect(seen).toMatchObject({ method: 'PATCH', target: '/changed?q=a+b', body: '{"b":2}' });
    expect(seen.headers).toMatchObject({ 'x-a': 'changed', 'content-type': 'application/json', 'content-length': '7' });
    expect(seen.headers['x-b']).toBeUndefined();
    expect(response.request.method).toBe('PATCH');
  });

  test('changes one of them alone', async () => {
    const target = await origin();
    const session = newSession();
    const id = session.axios.interceptors.request.use((config) => ({ ...config, method: 'put' }));
    expect((await seenBy(await session.post(target.url, { data: 'text' }))).method).toBe('PUT');
    session.axios.interceptors.request.eject(id);
    session.axios.interceptors.request.use((config) => {
      config.headers.set('X-A', '1');
      return config;
    });
    const raw = { encodeUri: false } as const;
    expect((await seenBy(await session.get(`${target.url}/{a}`, raw))).target).toBe('/{a}');
    session.axios.interceptors.request.use((config) => ({ ...config, url: `${target.url}/{b}` }));
    expect((await seenBy(await session.get(`${target.url}/a`, raw))).target).toBe('/{b}');
    expect((await seenBy(await session.get(`${target.url}/a`))).target).toBe('/%7Bb%7D');
  });

  test('has the cookies looked up each time, also if a request is sent again', async () => {
    const target = await origin();
    const session = newSession({ cookies: { a: '1' } });
    session.axios.interceptors.request.use((config) => {
      // The first request goes out as it is.
      if (target.requests.length > 0) config.headers.set('X-A', '1');
      return config;
    });
    const prepared = session.prepare('GET', target.url);
    await (await prepared.send()).content();
    session.cookies.set('a', '2');
    await (await prepared.send({ again: true })).content();
    expect(target.requests.map(({ headers }) => headers.cookie)).toEqual(['a=1', 'a=2']);
  });

  test('replaces a stream of known length', async () => {
    const target = await origin();
    const session = newSession();
    session.axios.interceptors.request.use((config) => ({ ...config, data: 'short' }));
    const seen = await seenBy(await session.put(target.url, { data: new Blob(['something longer']) }));
    expect([seen.body, seen.headers['content-length']]).toEqual(['short', '5']);
  });

  test('chooses the route and the deadline, over those of the call', async () => {
    const [target, chosen] = [await origin(), await proxy()];
    const session = newSession();
    session.axios.interceptors.request.use((config) => ({ ...config, http_proxy: chosen.url, cookies: { a: '1' } }));
    await (await session.get(target.url, { http_proxy: 'http://127.0.0.1:1' })).content();
    expect(chosen.hops).toHaveLength(1);
    expect(target.requests[0]?.headers.cookie).toBe('a=1');
    session.axios.interceptors.request.clear();
    session.axios.interceptors.request.use((config) => ({ ...config, cookies: { a: '2' } }));
    // What it says nothing of is as the call has it.
    await (await session.get(target.url, { http_proxy: chosen.url })).content();
    expect(chosen.hops).toHaveLength(2);
    expect(target.requests[1]?.headers.cookie).toBe('a=2');
  });

  test('that loses the config, or takes another way, ends the call before anything is sent', async () => {
    const target = await origin();
    const session = newSession();
    const id = session.axios.interceptors.request.use(
      ({ method, url, headers, adapter }) => ({ method, url, headers, adapter }) as never,
    );
    expect(await failureOf(session.get(target.url), InvalidOptionError)).toMatchObject({
      option: 'interceptors.request',
    });
    session.axios.interceptors.request.eject(id);
    session.axios.interceptors.request.use((config) => ({ ...config, proxy: { host: '127.0.0.1', port: 1 } }));
    expect(await failureOf(session.get(target.url), InvalidOptionError)).toMatchObject({ option: 'proxy' });
    expect(target.requests).toEqual([]);
  });

  test('does not hold up the end of a call that is aborted', async () => {
    const session = newSession();
    const [gate, abort] = [newGate(), new AbortController()];
    session.axios.interceptors.request.use(async (config) => {
      await gate.opened;
      return config;
    });
    const target = await origin();
    const sent = session.get(target.url, { signal: abort.signal });
    abort.abort(new RangeError('enough'));
    await expect(sent).rejects.toThrow('enough');
    gate.open();
    await until(() => true);
    expect(target.requests).toEqual([]);
  });
});

describe('a response interceptor', () => {
  test('repeats a call with another token, and its caller gets that answer', async () => {
    const target = await origin('http', { handler: wanting('new') });
    const through = await proxy();
    const session = newSession({ headers: { 'X-Token': 'old' } });
    session.axios.interceptors.response.use((response) => {
      if (response.status !== 401) return response;
      const config = { ...response.config };
      config.headers.set('X-Token', 'new');
      return session.axios(config);
    });
    const response = await session.post(target.url, {
      data: () => new Blob(['body']).stream(),
      http_proxy: through.url,
    });
    expect([response.status, await response.text()]).toEqual([200, 'new']);
    expect(target.requests.map(({ body }) => String(body))).toEqual(['body', 'body']);
    expect(through.hops).toHaveLength(2);
    // The first answer, which nobody has read, holds no connection.
    await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
    const once = session.post(target.url, { data: new Blob(['body']).stream() });
    expect(await failureOf(once, BodyReplayError)).toMatchObject({ code: 'ERR_BODY_REPLAY' });
  });

  test('may copy the response, and look at what came', async () => {
    const target = await origin('http', { handler: answering('body', { status: 203, headers: { 'X-A': '1' } }) });
    const session = newSession();
    const seen: AxiosResponse[] = [];
    session.axios.interceptors.response.use((response) => {
      seen.push(response);
      return { ...response };
    });
    const response = await session.get(target.url);
    expect(seen[0]).toMatchObject({ status: 203, headers: { 'x-a': '1' } });
    expect(await response.text()).toBe('body');
  });

  test.each<[what: string, (response: AxiosResponse, session: Session) => unknown]>([
    ['other data', (response) => ({ ...response, data: 'mine' })],
    ['the data read', async (response) => ({ ...response, data: await text(response.data) })],
    ['nothing', () => undefined],
    ['something else', () => ({ status: 200 })],
    ['an answer that axios has read', ({ config }, session) => session.axios.get(String(config.url))],
  ])('that returns %s is told of the hook', async (_, replace) => {
    const target = await origin();
    const session = newSession();
    let isInside = false;
    session.axios.interceptors.response.use((response) => {
      if (isInside) return response;
      isInside = true;
      return replace(response, session) as AxiosResponse;
    });
    const refused = await failureOf(session.get(target.url), InvalidOptionError);
    expect(refused).toMatchObject({
      option: 'interceptors.response',
      message: expect.stringContaining('the hook response'),
    });
    // Its connection is free.
    await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
  });

  test('that rejects ends the call with what it says', async () => {
    const target = await origin();
    const session = newSession({ safeMode: true });
    session.axios.interceptors.response.use(() => Promise.reject(new RangeError('mine')));
    await expect(session.get(target.url)).rejects.toThrow('mine');
    await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
  });

  test('sees an AxiosError of a call that fails; its caller sees ours', async () => {
    const session = newSession();
    const seen: unknown[] = [];
    session.axios.interceptors.response.use(undefined, (error: unknown) => {
      seen.push(error);
      throw error;
    });
    const failure = await failureOf(session.get('http://127.0.0.1:1'), ConnectError);
    expect(seen).toEqual([expect.any(AxiosError)]);
    expect(await causeOf(Promise.reject(seen[0]), ConnectError)).toBe(failure);
  });

  test('may mend a call in safe mode, before its failure is an answer', async () => {
    const target = await origin();
    const session = newSession({ safeMode: true });
    const id = session.axios.interceptors.response.use(undefined, (error: AxiosError) =>
      session.axios({ ...error.config, url: target.url }),
    );
    expect((await seenBy(await session.get('http://127.0.0.1:1'))).method).toBe('GET');
    session.axios.interceptors.response.eject(id);
    session.axios.interceptors.request.use((config) => config);
    expect(await session.get('http://127.0.0.1:1')).toMatchObject({ status: 0, error: { code: 'ERR_CONNECT' } });
  });

  test('sees an answer before danger mode raises it', async () => {
    const target = await origin('http', { handler: wanting(SECRETS.token) });
    const session = newSession({ dangerMode: true });
    const seen: number[] = [];
    session.axios.interceptors.response.use((response) => {
      seen.push(response.status);
      return response;
    });
    expect(await failureOf(session.get(target.url), HttpStatusError)).toMatchObject({ status: 401 });
    expect(seen).toEqual([401]);
  });
});
