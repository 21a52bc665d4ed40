import { text } from 'node:stream/consumers';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import type { HttpProxy } from '@cloudlane/proxy';
import {
  AuthBase,
  HTTPBasicAuth,
  HttpStatusError,
  type PreparedRequest,
  Session,
  type SessionOptions,
  StreamConsumedError,
  VERSION,
  withParams,
} from '@cloudlane/session';
import type { LabOrigin } from '@cloudlane/testing';
import { ACCEPTED_ENCODINGS, sharedTransport } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { failureOf, newTransport, origin, proxy } from '../transport/lab.ts';

function newSession(options: SessionOptions = {}): Session {
  return new Session({ transport: newTransport(), prefetch: true, ...options });
}

/** An origin that gives this answer to everything. */
function answering(
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
  status = 200,
): Promise<LabOrigin> {
  return origin('http', { handler: (_, response) => void response.writeHead(status, headers).end(body) });
}

describe('defaults', () => {
  test('are the shared transport, our user agent, and any content', async () => {
    expect(new Session().transport).toBe(sharedTransport());
    const target = await origin();
    await newSession().get(target.url);
    expect(target.requests[0]?.headers).toMatchObject({ 'user-agent': `cloudlane/${VERSION}`, accept: '*/*' });
  });

  test('of headers hold whatever their spelling; a call’s win, null takes away', async () => {
    const target = await origin();
    const session = newSession({ headers: { 'X-A': 'session', 'x-b': 'session', 'user-agent': 'mine', accept: null } });
    await session.get(target.url, { headers: { 'x-a': 'call', 'X-B': null, 'X-C': undefined } });
    const names = target.requests[0]?.rawHeaders.filter((_, index) => index % 2 === 0);
    expect(names).toEqual(['Accept-Encoding', 'x-a', 'user-agent', 'Host', 'Connection']);
    expect(target.requests[0]?.headers).toMatchObject({ 'x-a': 'call', 'user-agent': 'mine' });
  });

  test.each<[params: Record<string, string | number | null | undefined>, target: string]>([
    [{}, '/?own=1&a=s&b=s'],
    [{ a: 'call' }, '/?own=1&a=call&b=s'],
    [{ a: null }, '/?own=1&b=s'],
    [{ a: undefined }, '/?own=1&a=s&b=s'],
    [{ c: 0, own: 2 }, '/?own=1&a=s&b=s&c=0&own=2'],
  ])('of parameters with %j make %s', async (params, target) => {
    const server = await origin();
    await newSession({ params: { a: 's', b: 's' } }).get(`${server.url}/?own=1`, { params });
    expect(server.requests[0]?.target).toBe(target);
  });

  test('written to are for later requests only', async () => {
    const target = await origin();
    const session = newSession({ headers: { 'X-Then': 'before' } });
    const prepared = session.prepare('GET', `${target.url}/prepared`);
    session.headers = { ...session.headers, 'X-Then': 'after' };
    session.params = { late: 1 };
    session.auth = (request) => request.setHeader('Authorization', 'late');
    await prepared.send();
    await session.get(`${target.url}/later`);
    expect(
      target.requests.map(({ target: path, headers }) => [path, headers['x-then'], headers.authorization]),
    ).toEqual([
      ['/prepared', 'before', undefined],
      ['/later?late=1', 'after', 'late'],
    ]);
  });

  test('of the deadline too', async () => {
    const target = await origin('http', { handler: () => {} });
    const session = newSession();
    session.timeout = 30;
    await expect(session.get(target.url)).rejects.toMatchObject({ code: 'ERR_TIMEOUT', deadline: 'total' });
  });
});

describe('parameters', () => {
  test.each<[params: Parameters<typeof withParams>[1], query: string]>([
    [{ 'a b': 'c d' }, '?a%20b=c%20d'],
    [{ q: '+&=#?/ä😀' }, '?q=%2B%26%3D%23%3F%2F%C3%A4%F0%9F%98%80'],
    [{ list: ['b', 'a', 'b'] }, '?list=b&list=a&list=b'],
    [{ none: [] }, ''],
    [{ empty: '' }, '?empty='],
    [{ zero: 0, no: false }, '?zero=0&no=false'],
    [{ a: null, b: undefined }, ''],
    [{ constructor: 'x' }, '?constructor=x'],
    [JSON.parse('{"__proto__":"x"}'), '?__proto__=x'],
  ])('%j are written %s', (params, query) => {
    expect(withParams(new URL('http://a.example/'), params).href).toBe(`http://a.example/${query}`);
  });

  test('leave the caller’s URL alone', async () => {
    const target = await origin();
    const url = new URL(target.url);
    await newSession({ auth: (request) => request.url.searchParams.set('sign', 'ed') }).get(url);
    expect(target.requests[0]?.target).toBe('/?sign=ed');
    expect(url.search).toBe('');
    expect(withParams(url)).not.toBe(url);
  });

  test.each(['/path', 'api.example', '', 'http://'])('need an absolute URL, not %j', async (url) => {
    await expect(newSession().get(url)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'url' });
    expect(() => newSession().explain(url)).toThrow(expect.objectContaining({ option: 'url' }));
  });
});

describe('auth', () => {
  class Token extends AuthBase {
    apply(request: PreparedRequest): void {
      request.setHeader('authorization', `Token ${request.method} ${request.url.search} ${request.body}`);
    }
  }
  const async = async (request: PreparedRequest): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    request.setHeader('Authorization', 'async');
  };

  test.each([
    ['a class', new Token(), 'Token POST ?p=1 body'],
    ['a function', (request: PreparedRequest) => request.setHeader('Authorization', 'function'), 'function'],
    ['an async function', async, 'async'],
    ['Basic in UTF-8', new HTTPBasicAuth('üser', 'pä:ss'), `Basic ${Buffer.from('üser:pä:ss').toString('base64')}`],
    [
      'what looks like an AuthBase',
      { apply: (request: PreparedRequest) => request.setHeader('Authorization', 'ours') },
      'ours',
    ],
  ])('may be %s; it runs last and sees what is sent', async (_name, auth, expected) => {
    const target = await origin();
    // The default would be replaced, whatever its spelling.
    const session = newSession({ auth, headers: { AUTHORIZATION: 'default' } });
    await session.post(target.url, { params: { p: 1 }, data: 'body' });
    expect(target.requests[0]?.headers.authorization).toBe(expected);
  });

  test('of a call is instead of the session’s; null is none', async () => {
    const target = await origin();
    const session = newSession({ auth: new HTTPBasicAuth('a', 'b') });
    await session.get(target.url, { auth: async });
    await session.get(target.url, { auth: null });
    await session.get(target.url, { auth: undefined });
    expect(target.requests.map(({ headers }) => headers.authorization)).toEqual(['async', undefined, 'Basic YTpi']);
  });

  test('that fails fails the request, and nothing is sent', async () => {
    const target = await origin();
    const auth = async (): Promise<void> => {
      throw new RangeError('no token');
    };
    await expect(newSession({ auth }).get(target.url)).rejects.toThrow('no token');
    expect(target.connectionCount).toBe(0);
  });

  test('with a colon in the user name is refused', () => {
    expect(() => new HTTPBasicAuth('a:b', 'c')).toThrow(expect.objectContaining({ option: 'auth.username' }));
  });
});

describe('a request', () => {
  test.each(['get', 'head', 'options', 'post', 'put', 'patch', 'delete'] as const)('%s', async (method) => {
    const target = await origin();
    const response = await newSession()[method](target.url);
    await response.content();
    expect(target.requests[0]?.method).toBe(method.toUpperCase());
    expect(response.request.method).toBe(method.toUpperCase());
  });

  test('prepared is sent once', async () => {
    const target = await origin();
    const prepared = newSession().prepare('put', target.url, { json: [1] });
    prepared.setHeader('x-late', 'yes');
    expect([prepared.method, prepared.header('CONTENT-TYPE'), prepared.body]).toEqual([
      'PUT',
      'application/json',
      '[1]',
    ]);
    const [one, two] = await Promise.all([prepared.send(), prepared.send()]);
    expect(one).toBe(two);
    expect(target.requests).toHaveLength(1);
    expect(target.requests[0]?.headers['x-late']).toBe('yes');
  });

  test('prepared keeps the route of that moment', async () => {
    const [target, A, B] = await Promise.all([origin(), proxy(), proxy()]);
    const session = newSession({ http_proxy: A.url });
    const prepared = session.prepare('GET', target.url);
    session.http_proxy = B.url;
    await prepared.send();
    await session.get(target.url);
    expect([A.hops.length, B.hops.length]).toEqual([1, 1]);
  });

  test('changes its headers whatever their spelling', () => {
    const prepared = newSession().prepare('GET', 'http://a.example', { headers: { 'X-A': '1', 'X-B': '1' } });
    prepared.setHeader('x-a', '2');
    prepared.setHeader('X-b', null);
    prepared.mergeHeaders({ 'X-a': null, ACCEPT: 'text/x', 'X-C': 3 });
    expect(prepared.headers).toEqual({
      'User-Agent': expect.any(String),
      'Accept-Encoding': ACCEPTED_ENCODINGS,
      ACCEPT: 'text/x',
      'X-C': '3',
    });
  });

  test('with json and data is refused', async () => {
    await expect(newSession().post('http://a.example', { json: 1, data: 'x' })).rejects.toMatchObject({
      option: 'json',
    });
  });
});

describe('an answer', () => {
  test('tells what was asked, where, and how long it took', async () => {
    const [target, A] = await Promise.all([answering('x', { 'X-Note': 'n' }, 201), proxy()]);
    const session = newSession({ http_proxy: A.url });
    const response = await session.get(`${target.url}/path`);
    expect(response).toMatchObject({
      status: 201,
      statusText: 'Created',
      ok: true,
      headers: { 'x-note': 'n' },
      route: { kind: 'forward' },
      explanation: { source: 'constructor http_proxy' },
      reusedConnection: false,
    });
    expect(response.url.href).toBe(`${target.url}/path`);
    expect(response.elapsed).toBeGreaterThan(0);
    expect(response.request.url.href).toBe(response.url.href);
    await response.content();
    expect((await session.get(target.url)).reusedConnection).toBe(true);
  });

  test('is read once and kept: content, text and json', async () => {
    const response = await newSession().get((await answering('{"a":"ü"}')).url);
    expect(await response.json()).toEqual({ a: 'ü' });
    expect(await response.text()).toBe('{"a":"ü"}');
    expect(await response.content()).toBe(await response.content());
    expect(response.bodyUsed).toBe(true);
  });

  test('as a stream is not kept', async () => {
    const response = await newSession({ prefetch: false }).get((await answering('stream')).url);
    expect(response.bodyUsed).toBe(false);
    expect(await text(response.body)).toBe('stream');
    for (const read of [() => response.content(), () => response.text(), () => response.json()]) {
      await failureOf(read(), StreamConsumedError);
    }
  });

  test('that was read has no stream any more', async () => {
    const response = await newSession().get((await answering('x')).url);
    await response.content();
    expect(() => response.body).toThrow(expect.objectContaining({ code: 'ERR_STREAM_CONSUMED' }));
  });

  test.each<[contentType: string | null, bytes: Buffer, expected: string]>([
    [null, Buffer.from('ü'), 'ü'],
    ['text/plain', Buffer.from('\uFEFFü'), 'ü'],
    ['text/plain; charset=iso-8859-1', Buffer.from('ü', 'latin1'), 'ü'],
    ['text/plain; Charset="ISO-8859-2"; x=y', Buffer.from([0xe8]), 'č'],
    ['text/plain; charset=utf-16le', Buffer.from('ü', 'utf16le'), 'ü'],
    ['text/plain; charset=klingon', Buffer.from('ü'), 'ü'],
    ['text/plain; charset=', Buffer.from('ü'), 'ü'],
  ])('in the charset of %j', async (contentType, bytes, expected) => {
    const target = await answering(bytes, contentType === null ? {} : { 'Content-Type': contentType });
    expect(await (await newSession().get(target.url)).text()).toBe(expected);
  });

  test.each<[coding: string, pack: (text: string) => Buffer]>([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['GZIP', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['deflate, gzip', (body) => gzipSync(deflateSync(body))],
    ['identity', Buffer.from],
    ['klingon', Buffer.from],
  ])('in %s is unpacked by content(), not in the stream', async (coding, pack) => {
    const target = await answering(pack('packed'), { 'Content-Encoding': coding });
    const session = newSession({ prefetch: false });
    expect(await (await session.get(target.url)).text()).toBe('packed');
    const chunks: Buffer[] = [];
    for await (const chunk of (await session.get(target.url)).body) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(pack('packed'));
  });

  test.each<[name: string, method: 'GET' | 'HEAD', status: number]>([
    ['to HEAD', 'HEAD', 200],
    ['204', 'GET', 204],
    ['304', 'GET', 304],
    ['with no bytes', 'GET', 200],
  ])('%s has nothing to unpack', async (_name, method, status) => {
    const headers = {
      'Content-Encoding': 'gzip',
      ...(status === 200 && { 'Content-Length': method === 'HEAD' ? '9' : '0' }),
    };
    const response = await newSession().request(method, (await answering('', headers, status)).url);
    expect(await response.text()).toBe('');
  });

  test.each(['gzip', 'br'])('whose %s is broken fails typed, and its connection is gone', async (coding) => {
    const target = await answering('\u0001\u0002 not packed', { 'Content-Encoding': coding });
    const response = await newSession({ prefetch: false }).get(target.url);
    await expect(response.content()).rejects.toMatchObject({ code: 'ERR_PROTOCOL', phase: 'body', proxy: null });
    await expect(response.text()).rejects.toMatchObject({ code: 'ERR_PROTOCOL' });
  });

  test('that breaks off fails typed', async () => {
    const target = await origin('http', {
      handler: (request, response) => {
        response.writeHead(200, { 'Content-Length': 100 });
        response.write('half', () => request.socket.destroy());
      },
    });
    const response = await newSession({ prefetch: false }).get(target.url);
    await expect(response.content()).rejects.toMatchObject({ code: 'ERR_RESET', phase: 'body' });
  });

  test.each([200, 204, 302, 399])('%d passes raiseForStatus', async (status) => {
    const response = await newSession().get((await answering('', {}, status)).url);
    expect(response.raiseForStatus()).toBe(response);
  });

  test.each([400, 404, 500, 599])('%d does not', async (status) => {
    const target = await answering('', {}, status);
    const response = await newSession().get(`${target.url}/x?token=${SECRETS.token}`);
    expect(response.ok).toBe(false);
    expect(() => response.raiseForStatus()).toThrow(HttpStatusError);
    expect(() => response.raiseForStatus()).toThrow(
      expect.objectContaining({ code: 'ERR_HTTP_STATUS', status, url: `${target.url}/x?token=***` }),
    );
  });

  test('released frees its connection', async () => {
    const target = await answering('x'.repeat(1_000_000));
    const transport = newTransport({ maxSockets: 1 });
    const session = newSession({ transport, prefetch: false });
    const held = await session.get(target.url);
    const waiting = session.get(target.url);
    await new Promise((resolve) => setImmediate(resolve));
    expect(target.requests).toHaveLength(1);
    held.release();
    expect((await (await waiting).content()).length).toBe(1_000_000);
    held.release();
  });
});

describe('the proxy', () => {
  test('is read, written and set; each says so in explain', () => {
    const session = newSession({ env: { https_proxy: 'http://env.example' } });
    const explained = (options = {}) => {
      const { source, route } = session.explain('https://api.example', options);
      return [source, route.kind === 'direct' ? null : route.proxy.host];
    };
    expect(explained()).toEqual(['env:https_proxy', 'env.example']);
    session.http_proxy = 'http://written.example';
    expect(explained()).toEqual(['setHttpProxy', 'written.example']);
    expect(explained({ http_proxy: 'http://call.example' })).toEqual(['call http_proxy', 'call.example']);
    expect(explained({ http_proxy: null })).toEqual(['call http_proxy', null]);
    expect(explained({ http_proxy: undefined })).toEqual(['setHttpProxy', 'written.example']);
    session.http_proxy = null;
    expect(explained()).toEqual(['setHttpProxy', null]);
    expect(session.setHttpProxy(undefined)).toBe(session);
    expect(explained()).toEqual(['env:https_proxy', 'env.example']);
    expect(session.http_proxy).toBeUndefined();
  });

  test.each(['http', 'https'] as const)('that is replaced keeps no connection to %s origins', async (scheme) => {
    const [target, before, after] = [await origin(scheme), await proxy(), await proxy()];
    const transport = newTransport({ idleTimeout: 60_000 });
    const session = newSession({ transport, http_proxy: before.url });
    await (await session.get(target.url)).content();
    session.setHttpProxy(after.url);
    await (await session.get(target.url)).content();
    await before.waitUntilIdle();
    expect([before.connectionCount, after.openSockets]).toEqual([1, 1]);
  });

  test.each<[form: string, setting: (url: string) => HttpProxy]>([
    ['options', (url) => ({ url })],
    ['options with headers', (url) => ({ url, headers: { 'X-Team': 'blue' } })],
    ['a map by scheme', (url) => ({ http: url })],
    ['a map by host', (url) => ({ 'all://127.0.0.1': url, noProxy: 'internal.example' })],
  ])('given as %s keeps no connection when it is replaced', async (_form, setting) => {
    const [target, before, after] = [await origin(), await proxy(), await proxy()];
    const transport = newTransport({ idleTimeout: 60_000 });
    const session = newSession({ transport, http_proxy: setting(before.url) });
    await (await session.get(target.url)).content();
    session.setHttpProxy(setting(after.url));
    await (await session.get(target.url)).content();
    await before.waitUntilIdle();
    expect([before.connectionCount, after.openSockets]).toEqual([1, 1]);
  });

  test('that is an object stays what it was when the caller changes that', () => {
    const url = new URL('http://one.example');
    const auth = { username: 'user', password: 'one' };
    const noProxy = ['direct.example'];
    const session = newSession({ http_proxy: { url, auth, noProxy } });
    url.host = 'two.example';
    auth.username = 'other';
    noProxy.push('api.example');
    const { route } = session.explain('https://api.example');
    expect(route).toMatchObject({ proxy: { host: 'one.example', credentials: { username: 'user' } } });
  });

  test('that is set to and fro keeps its connections', async () => {
    const [target, one, two] = [await origin(), await proxy(), await proxy()];
    const session = newSession();
    for (const { url } of [one, two, one, two]) {
      await (await session.setHttpProxy(url).get(target.url)).content();
    }
    expect([one.connectionCount, two.connectionCount]).toEqual([1, 1]);
  });

  test('may differ by scheme and host; what a map leaves open is the environment’s', () => {
    const http_proxy = { 'https://api.example': null, https: 'http://mapped.example', noProxy: 'internal.example' };
    const session = newSession({ http_proxy, env: { http_proxy: 'http://env.example' } });
    const kinds = [
      'https://api.example',
      'https://other.example',
      'https://internal.example',
      'http://api.example',
    ].map((url) => {
      const { source, route } = session.explain(url);
      return [source, route.kind === 'direct' ? null : route.proxy.host];
    });
    expect(kinds).toEqual([
      ['constructor http_proxy', null],
      ['constructor http_proxy', 'mapped.example'],
      ['option http_proxy.noProxy', null],
      ['env:http_proxy', 'env.example'],
    ]);
  });

  test('of the environment is not looked at without trustEnv', () => {
    const session = newSession({ trustEnv: false, env: { http_proxy: 'http://env.example' } });
    expect(session.explain('http://api.example').source).toBe('none');
  });
});
