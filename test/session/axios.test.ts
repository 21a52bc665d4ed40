// The axios of a session: each of its calls is a call of the session.
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { InvalidOptionError } from '@cloudlane/proxy';
import {
  BodyReplayError,
  httpResponseOf,
  RedirectError,
  Session,
  SessionClosedError,
  VERSION,
} from '@cloudlane/session';
import { ACCEPTED_ENCODINGS, ConnectError, TimeoutError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import axiosOfOthers, { AxiosError, CanceledError } from 'axios';
import { expectWarning } from '../support/hygiene.ts';
import { SECRETS } from '../support/secrets.ts';
import { causeOf, expectNoSecrets, failureOf, newTransport, origin, proxy } from '../transport/lab.ts';
import { answering, newGate, overRoutes, redirecting, type Seen } from './lab.ts';

describe('on every route', () => {
  overRoutes((route) => {
    test('takes it, as do derived instances, and follows redirects without what is meant for one origin', async () => {
      const [first, second] = [await route.origin(redirecting({ '/go': [307, '/there'] })), await route.origin()];
      const away = await route.origin(redirecting({ '/away': [302, `${second.url}/b?signed=1`] }));
      const { axios } = await route.session();
      const { data, request } = await axios.post<Seen>(`${first.url}/go`, { a: 1 });
      expect(data).toMatchObject({ method: 'POST', target: '/there', body: '{"a":1}' });
      expect(request.res.responseUrl).toBe(`${first.url}/there`);
      const auth = { username: 'user', password: SECRETS.originPassword };
      const headers = { 'X-Api-Key': SECRETS.token, Cookie: `a=${SECRETS.token}` };
      const redirected = await axios.create({ baseURL: away.url, auth }).get<Seen>('/away', { headers });
      const sent = Buffer.from(`user:${SECRETS.originPassword}`).toString('base64');
      expect(away.requests[0]?.headers).toMatchObject({ authorization: `Basic ${sent}`, 'x-api-key': SECRETS.token });
      const { cookie, authorization, 'x-api-key': key, ...rest } = redirected.data.headers;
      expect([cookie, authorization, key]).toEqual([undefined, undefined, undefined]);
      expect(rest).toMatchObject({ 'user-agent': `cloudlane/${VERSION}`, accept: '*/*' });
      expect(redirected.request.res.responseUrl).toBe(`${second.url}/b?signed=1`);
      expect(httpResponseOf(redirected)?.history.map(({ status }) => status)).toEqual([302]);
    });
  });
});

describe('the route', () => {
  test('is that of the call, or of setHttpProxy; a call begun before keeps its own, repeated too', async () => {
    const [target, first, second] = [await origin(), await proxy(), await proxy()];
    const session = new Session({ transport: newTransport(), http_proxy: first.url });
    const gate = newGate();
    session.axios.interceptors.request.use(async (config) => {
      await gate.opened;
      return config;
    });
    const begun = session.axios.get(`${target.url}/begun`);
    session.setHttpProxy(second.url);
    session.headers['X-Late'] = '1';
    gate.open();
    const { config } = await begun;
    await session.axios.get(`${target.url}/later`);
    await session.axios.get(`${target.url}/call`, { http_proxy: first.url });
    await session.axios.get(`${target.url}/direct`, { http_proxy: null });
    await session.axios(config);
    const paths = (hops: readonly { readonly target: string }[]) => hops.map((hop) => new URL(hop.target).pathname);
    expect(paths(first.hops)).toEqual(['/begun', '/call', '/begun']);
    expect(paths(second.hops)).toEqual(['/later']);
    expect(target.requests.map(({ headers }) => headers['x-late'])).toEqual([undefined, '1', '1', '1', undefined]);
  });

  test.each([{ httpsAgent: {} }, { adapter: 'http' }, { proxy: { host: 'proxy.example', port: 1 } }])(
    'is not left by %j, in derived instances either',
    async (config) => {
      const { axios } = new Session({ transport: newTransport(), http_proxy: null });
      const option = Object.keys(config)[0];
      expect(await failureOf(axios.create().get('http://origin.example', config), InvalidOptionError)).toMatchObject({
        option,
      });
      expect(() => axios.create(config)).toThrow(expect.objectContaining({ option }));
    },
  );
});

describe('defaults of the session', () => {
  test('are those of its axios: headers, parameters, cookies, auth, hooks', async () => {
    const target = await origin('http', { handler: answering('{"ok":true}', { headers: { 'Set-Cookie': 'kept=1' } }) });
    const session = new Session({
      transport: newTransport(),
      http_proxy: null,
      headers: { 'X-A': 'session', 'X-B': 'session', 'X-C': 'session' },
      params: { a: 's', b: 's', c: 's' },
      cookies: { given: '1' },
      auth: ['user', 'pw'],
      hooks: { args: (args) => ({ ...args, headers: { ...args.headers, 'X-Hook': args.method } }) },
    });
    const headers = { 'x-b': 'call', 'X-C': null };
    const { data } = await session.axios.get(`${target.url}/?own=1`, { headers, params: { b: 'call', c: null } });
    expect(data).toEqual({ ok: true });
    await session.axios.get(target.url, { auth: { username: 'other', password: 'pw' }, cookies: { given: null } });
    const basic = (user: string): string => `Basic ${Buffer.from(`${user}:pw`).toString('base64')}`;
    const [first, second] = target.requests;
    expect(first?.target).toBe('/?own=1&b=call&a=s');
    expect(first?.headers).toMatchObject({ 'x-a': 'session', 'x-b': 'call', 'x-hook': 'GET', cookie: 'given=1' });
    expect(first?.headers).toMatchObject({ authorization: basic('user') });
    expect(first?.headers['x-c']).toBeUndefined();
    expect(second?.headers).toMatchObject({ authorization: basic('other'), cookie: 'kept=1' });
  });

  test('come before those that axios has built in, and after what the caller says', async () => {
    const target = await origin();
    const { axios } = new Session({ transport: newTransport(), http_proxy: null });
    await axios.get(target.url);
    await axios.get(target.url, { headers: { accept: 'text/a', 'User-Agent': 'mine', 'Accept-Encoding': false } });
    axios.defaults.headers.common.Accept = 'text/b';
    await axios.create({ headers: { 'User-Agent': 'derived' } }).get(target.url);
    await axiosOfOthers.get(target.url, { proxy: false });
    const seen = target.requests.map(({ headers }) => [
      headers['user-agent'],
      headers.accept,
      headers['accept-encoding'],
    ]);
    expect(seen.slice(0, 3)).toEqual([
      [`cloudlane/${VERSION}`, '*/*', ACCEPTED_ENCODINGS],
      ['mine', 'text/a', undefined],
      ['derived', 'text/b', ACCEPTED_ENCODINGS],
    ]);
    const names = target.requests[1]?.rawHeaders.filter((_, index) => index % 2 === 0) ?? [];
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
    // Others have not lost theirs.
    expect(seen[3]?.[1]).toContain('application/json');
  });
});

describe('options of a call', () => {
  test.each([
    [{ maxRedirects: 0 }, 302],
    [{ allowRedirects: false }, 302],
    [{ maxRedirects: 1 }, 200],
  ])('%j ends with %i', async (config, status) => {
    const target = await origin('http', { handler: redirecting({ '/a': [302, '/b'] }) });
    const { axios } = new Session({ transport: newTransport(), http_proxy: null });
    const response = await axios.get(`${target.url}/a`, { ...config, validateStatus: null });
    expect(response.status).toBe(status);
  });

  test.each([
    ['json', 'data'],
    ['files', 'data'],
    ['safeMode', 'rejecting'],
    ['dangerMode', 'validateStatus'],
  ])('%s is refused, as axios has another', async (option, instead) => {
    const { axios } = new Session({ transport: newTransport(), http_proxy: null });
    const refused = await failureOf(axios.get('http://origin.example', { [option]: true }), InvalidOptionError);
    expect(refused).toMatchObject({ option, message: expect.stringContaining(instead) });
  });

  test('reach the call: verify, timeout, prefetch, encodeUri', async () => {
    const secure = await origin('https');
    const session = new Session({ transport: newTransport({ tls: {} }), http_proxy: null });
    expect((await session.axios.get<Seen>(secure.url, { verify: false })).data.method).toBe('GET');
    expectWarning('CLOUDLANE_INSECURE');
    const silent = await origin('http', { handler: () => {} });
    expect((await causeOf(session.axios.get(silent.url, { timeout: 20 }), TimeoutError)).deadline).toBe('total');
    const target = await origin('http', {
      handler: answering(gzipSync('packed'), { headers: { 'Content-Encoding': 'gzip' } }),
    });
    const { data, headers } = await session.axios.get(`${target.url}/{a}`, { prefetch: true, encodeUri: false });
    expect([data, headers['content-encoding']]).toEqual(['packed', undefined]);
    expect(target.requests[0]?.target).toBe('/{a}');
  });

  test.each([
    ['a stream', 'stream'],
    ['bytes', 'arraybuffer'],
  ] as const)('have axios give %s', async (_, responseType) => {
    const target = await origin('http', {
      handler: answering(gzipSync('packed'), { headers: { 'Content-Encoding': 'gzip' } }),
    });
    const { axios } = new Session({ transport: newTransport(), http_proxy: null });
    const { data } = await axios.get(target.url, { responseType });
    expect(responseType === 'stream' ? await text(data) : String(data)).toBe('packed');
  });

  test('bodies of forms and files follow a redirect', async () => {
    const target = await origin('http', { handler: redirecting({ '/a': [307, '/b'] }) });
    const { axios } = new Session({ transport: newTransport(), http_proxy: null });
    const form = new FormData();
    form.set('name', 'value');
    const { data } = await axios.post<Seen>(`${target.url}/a`, form);
    expect(data.headers['content-type']).toContain('multipart/form-data; boundary=');
    expect(data.body).toContain('name="name"\r\n\r\nvalue');
    expect(data.body).toContain(data.headers['content-type']?.split('boundary=')[1]);
    const blob = await axios.put<Seen>(`${target.url}/a`, new Blob(['bytes'], { type: 'text/x' }));
    expect(blob.data).toMatchObject({
      method: 'PUT',
      body: 'bytes',
      headers: { 'content-type': 'text/x', 'content-length': '5' },
    });
  });
});

describe('errors', () => {
  test('are of axios, with ours as their cause, and print no secret', async () => {
    const target = await origin('http', {
      handler: redirecting({ '/a': [302, 'ftp://other.example'], '/b': [307, '/c'] }),
    });
    const session = new Session({
      transport: newTransport(),
      http_proxy: null,
      auth: ['user', SECRETS.originPassword],
    });
    const { axios } = session;
    expect(await causeOf(axios.get(`${target.url}/a`), RedirectError)).toMatchObject({ status: 302 });
    const stream = new Blob(['x']).stream();
    expect(await causeOf(axios.post(`${target.url}/b`, stream), BodyReplayError)).toMatchObject({
      code: 'ERR_BODY_REPLAY',
    });
    expectNoSecrets(await causeOf(axios.get('http://127.0.0.1:1'), ConnectError));
    const gone = await failureOf(axios.get(`${target.url}/`, { validateStatus: () => false }), AxiosError);
    expect(gone.response?.status).toBe(200);
    await session.close();
    expect(await causeOf(axios.get(target.url), SessionClosedError)).toMatchObject({ code: 'ERR_SESSION_CLOSED' });
  });

  test('are axios’ own whatever safeMode and dangerMode of the session say', async () => {
    const target = await origin('http', { handler: answering('no', { status: 404 }) });
    const { axios } = new Session({ transport: newTransport(), http_proxy: null, safeMode: true, dangerMode: true });
    expect((await failureOf(axios.get(target.url), AxiosError)).response).toMatchObject({ status: 404, data: 'no' });
    expect(await causeOf(axios.get('http://127.0.0.1:1'), ConnectError)).toMatchObject({ code: 'ERR_CONNECT' });
  });

  test('of a call that is cancelled are those of axios', async () => {
    const target = await origin('http', { handler: () => {} });
    const { axios } = new Session({ transport: newTransport(), http_proxy: null });
    const abort = new AbortController();
    const sent = axios.get(target.url, { signal: abort.signal });
    const failure = failureOf(sent, CanceledError);
    await target.waitForRequests(1);
    abort.abort();
    expect(await failure).toMatchObject({ code: 'ERR_CANCELED' });
  });
});
