import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { buffer, json, text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { InvalidOptionError } from '@cloudlane/proxy';
import { closedPort, type OriginHandler } from '@cloudlane/testing';
import { ProxyAuthenticationError, ProxyConnectError, TimeoutError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import axios, { AxiosError, CanceledError } from 'axios';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, proxy } from './lab.ts';

const ROUTES = [
  ['http', null],
  ['https', null],
  ['http', 'http'],
  ['https', 'http'],
  ['https', 'https'],
] as const;

describe.each(ROUTES)('axios for an %s origin through %s proxy', (scheme, via) => {
  test('sends and receives JSON by that route only', async () => {
    const server = await origin(scheme);
    const through = via && (await proxy(via, { auth: AUTH }));
    const client = newTransport().axios;
    const { data, status, headers } = await client.post(
      `${server.url}/items`,
      { größe: 1 },
      { http_proxy: through?.urlWithCredentials ?? null },
    );
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('application/json');
    expect(data).toMatchObject({ method: 'POST', target: '/items', body: '{"größe":1}' });
    expect(data.headers['content-type']).toBe('application/json');
    expect(server.requests).toHaveLength(1);
    expect(through?.hops.map(({ kind, username }) => [kind, username]) ?? []).toEqual(
      via ? [[scheme === 'http' ? 'forward' : 'connect', 'user']] : [],
    );
  });
});

function answering(body: Buffer | string, headers: Record<string, string> = {}, status = 200): OriginHandler {
  return (_, response) => void response.writeHead(status, headers).end(body);
}

describe('what axios promises', () => {
  test('bytes for arraybuffer, a stream for stream, text for text', async () => {
    const server = await origin('http', { handler: answering(Buffer.from([0, 255, 1])) });
    const { axios } = newTransport();
    const bytes = await axios.get(server.url, { http_proxy: null, responseType: 'arraybuffer' });
    expect(bytes.data).toEqual(Buffer.from([0, 255, 1]));
    const stream = await axios.get<Readable>(server.url, { http_proxy: null, responseType: 'stream' });
    expect(await buffer(stream.data)).toEqual(Buffer.from([0, 255, 1]));
    const words = await origin('http', { handler: answering('\ufeffgröße') });
    expect((await axios.get(words.url, { http_proxy: null, responseType: 'text' })).data).toBe('größe');
  });

  test('baseURL, params and auth', async () => {
    const server = await origin();
    const { axios } = newTransport();
    const { data } = await axios.get('/v1/items', {
      baseURL: server.url,
      params: { a: 'b c', list: [1, 2] },
      auth: { username: 'me', password: SECRETS.originPassword },
      http_proxy: null,
    });
    expect(data.target).toBe('/v1/items?a=b+c&list%5B%5D=1&list%5B%5D=2');
    expect(data.headers.authorization).toBe(`Basic ${Buffer.from(`me:${SECRETS.originPassword}`).toString('base64')}`);
  });

  test.each([
    ['a form', () => new URLSearchParams({ a: 'b c' }), 'application/x-www-form-urlencoded', 'a=b+c'],
    ['text', () => 'plain', 'application/x-www-form-urlencoded', 'plain'],
    ['bytes', () => Buffer.from('raw'), 'application/x-www-form-urlencoded', 'raw'],
    ['an array buffer', () => new TextEncoder().encode('raw').buffer, 'application/x-www-form-urlencoded', 'raw'],
    ['a stream', () => Readable.from(['str', 'eam']), 'application/x-www-form-urlencoded', 'stream'],
    ['a blob', () => new Blob(['blob'], { type: 'text/css' }), 'text/css', 'blob'],
  ])('to send %s', async (_, data, type, body) => {
    const server = await origin();
    await newTransport().axios.post(server.url, data(), { http_proxy: null });
    expect(String(server.requests[0]?.body)).toBe(body);
    expect(server.requests[0]?.headers['content-type']).toContain(type);
  });

  test('to send multipart forms, its own and the platform’s', async () => {
    const server = await origin();
    const { axios } = newTransport();
    const form = new FormData();
    form.append('name', 'größe');
    form.append('file', new Blob(['content']), 'a.txt');
    await axios.post(server.url, form, { http_proxy: null });
    await axios.postForm(server.url, { name: 'größe', file: Buffer.from('content') }, { http_proxy: null });
    for (const { body, headers } of server.requests) {
      const [, boundary] =
        /^multipart\/form-data; boundary=(.+)$/.exec(headers['content-type']?.toString() ?? '') ?? [];
      expect(String(body)).toContain(`--${boundary}--`);
      expect(String(body)).toMatch(/name="name"\r\n\r\ngröße\r\n/);
      expect(String(body)).toContain('content');
    }
    expect(server.requests).toHaveLength(2);
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('to decode %s, and not to say so any more', async (coding, compress) => {
    const server = await origin('http', { handler: answering(compress('{"a":1}'), { 'Content-Encoding': coding }) });
    const { axios } = newTransport();
    const { data, headers } = await axios.get(server.url, { http_proxy: null });
    expect(data).toEqual({ a: 1 });
    expect(headers['content-encoding']).toBeUndefined();
    const stream = await axios.get<Readable>(server.url, { http_proxy: null, responseType: 'stream' });
    expect(await json(stream.data)).toEqual({ a: 1 });
    const raw = await axios.get(server.url, { http_proxy: null, responseType: 'arraybuffer', decompress: false });
    expect(raw.data).toEqual(compress('{"a":1}'));
    expect(raw.headers['content-encoding']).toBe(coding);
    expect(server.requests.map((request) => request.headers['accept-encoding'])).toEqual([
      'gzip, deflate, br',
      undefined,
      undefined,
    ]);
  });

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('to take the answer without a body to %s with %i for empty, whatever its coding', async (method, status) => {
    const server = await origin('http', { handler: answering('', { 'Content-Encoding': 'gzip' }, status) });
    const { axios } = newTransport();
    const response = await axios.request({ url: server.url, method, http_proxy: null, validateStatus: null });
    expect([response.status, response.data]).toEqual([status, '']);
  });

  test('an AxiosError for a body that is not what its coding says', async () => {
    const server = await origin('http', { handler: answering('not gzip', { 'Content-Encoding': 'gzip' }) });
    const error = await failureOf(newTransport().axios.get(server.url, { http_proxy: null }), AxiosError);
    expect(error.message).toContain('incorrect header check');
  });

  test('validateStatus, and an AxiosError with the response for what it refuses', async () => {
    const server = await origin('http', {
      handler: answering('{"why":"gone"}', { 'Set-Cookie': `id=${SECRETS.token}` }, 404),
    });
    const { axios: client } = newTransport();
    const config = { http_proxy: null, headers: { Authorization: `Bearer ${SECRETS.token}` } };
    expect((await client.get(server.url, { ...config, validateStatus: () => true })).status).toBe(404);
    const error = await failureOf(client.get(`${server.url}/x?sig=${SECRETS.token}`, config), AxiosError);
    expect(axios.isAxiosError(error)).toBe(true);
    expect(error).toMatchObject({
      code: 'ERR_BAD_REQUEST',
      message: 'Request failed with status code 404',
      status: 404,
    });
    expect(error.response?.data).toEqual({ why: 'gone' });
    expect(error.config?.url).toContain('/x');
    expect(secretsIn(inspect(error, { depth: Number.POSITIVE_INFINITY }))).toEqual([]);
    expect(secretsIn(JSON.stringify(error))).toEqual([]);
    expect(secretsIn(inspect(error.response, { depth: Number.POSITIVE_INFINITY }))).toEqual([]);
    expect(secretsIn(JSON.stringify(error.response))).toEqual([]);
  });

  test('maxContentLength and maxBodyLength', async () => {
    const server = await origin('http', { handler: answering('x'.repeat(1000)) });
    const transport = newTransport();
    const long = failureOf(transport.axios.get(server.url, { http_proxy: null, maxContentLength: 999 }), AxiosError);
    expect(await long).toMatchObject({ code: 'ERR_BAD_RESPONSE', message: 'maxContentLength size of 999 exceeded' });
    for (const data of ['12345', Readable.from(['123', '45'])]) {
      const sent = transport.axios.put(server.url, data, { http_proxy: null, maxBodyLength: 4 });
      expect(await failureOf(sent, AxiosError)).toMatchObject({ code: 'ERR_BAD_REQUEST' });
    }
    expect(server.requests.filter(({ method, complete }) => method === 'PUT' && complete)).toEqual([]);
    await expectNothingLeft(transport, server);
  });

  test('interceptors, and progress', async () => {
    const server = await origin();
    const { axios } = newTransport();
    axios.interceptors.request.use((config) => {
      config.headers.set('X-Intercepted', 'yes');
      return config;
    });
    axios.interceptors.response.use(({ data }) => data);
    const loaded: number[] = [];
    const data = await axios.post(server.url, 'four', {
      http_proxy: null,
      onUploadProgress: (event) => loaded.push(event.loaded),
      onDownloadProgress: (event) => loaded.push(event.loaded / (event.total ?? 0)),
    });
    expect(data).toMatchObject({ headers: { 'x-intercepted': 'yes' } });
    expect(loaded).toEqual([4, 1]);
  });

  test('its legacy streams too', async () => {
    const server = await origin();
    const body = new PassThrough();
    body.end('streamed');
    const { data } = await newTransport().axios.put(server.url, body, { http_proxy: null });
    expect(data.body).toBe('streamed');
  });
});

describe('errors of the way', () => {
  test('keep their class and are AxiosErrors to who asks', async () => {
    const server = await origin();
    const through = await proxy('http', { auth: AUTH });
    const wrong = through.url.replace('://', `://user:${SECRETS.plainPassword}@`);
    const error = await failureOf(
      newTransport().axios.get(server.url, { http_proxy: wrong }),
      ProxyAuthenticationError,
    );
    expect(axios.isAxiosError(error)).toBe(true);
    expect(Reflect.get(error, 'config').url).toBe(server.url);
    expect(
      secretsIn(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true }).replace(/config.*/s, '')),
    ).toEqual([]);
    expect(secretsIn(JSON.stringify(error))).toEqual([]);
    expect(server.connectionCount).toBe(0);
  });

  test('tell a timeout', async () => {
    const server = await origin('https', { handler: () => {} });
    const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
    const transport = newTransport();
    const error = await failureOf(
      transport.axios.get(server.url, { http_proxy: through.url, timeout: 100 }),
      TimeoutError,
    );
    expect(error).toMatchObject({ deadline: 'total', milliseconds: 100, phase: 'proxy-handshake', isAxiosError: true });
    await expectNothingLeft(transport, through);
  });
});

describe('cancelling', () => {
  test.each(['a signal', 'a CancelToken', 'both'])(
    'with %s during CONNECT rejects as axios does and leaves no socket',
    async (how) => {
      const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
      const transport = newTransport();
      const controller = new AbortController();
      const source = axios.CancelToken.source();
      const sent = transport.axios.get('https://x.example', {
        http_proxy: through.url,
        ...(how !== 'a CancelToken' && { signal: controller.signal }),
        ...(how !== 'a signal' && { cancelToken: source.token }),
      });
      sent.catch(() => {});
      await through.waitForHops(1);
      if (how === 'a CancelToken') source.cancel('enough');
      else controller.abort();
      const error = await failureOf(sent, CanceledError);
      expect(axios.isCancel(error)).toBe(true);
      expect(error.code).toBe('ERR_CANCELED');
      await expectNothingLeft(transport, through);
    },
  );

  test('fails a stream that is being read', async () => {
    const server = await origin('http', { handler: (_, response) => void response.writeHead(200).write('half') });
    const transport = newTransport();
    const controller = new AbortController();
    const { data } = await transport.axios.get<Readable>(server.url, {
      http_proxy: null,
      responseType: 'stream',
      signal: controller.signal,
    });
    await once(data, 'readable');
    const read = text(data);
    controller.abort();
    await expect(read).rejects.toBe(controller.signal.reason);
    await expectNothingLeft(transport, server);
  });
});

describe('the proxy of one call', () => {
  test('is its http_proxy: a URL, an object, or null for direct', async () => {
    const [server, through] = [await origin(), await proxy('http', { auth: AUTH })];
    const { axios } = newTransport();
    await axios.get(`${server.url}/1`, { http_proxy: through.urlWithCredentials });
    await axios.get(`${server.url}/2`, { http_proxy: { url: new URL(through.url), auth: AUTH } });
    await axios.get(`${server.url}/3`, { http_proxy: null });
    await axios.get(`${server.url}/4`, { http_proxy: through.urlWithCredentials, noProxy: '127.0.0.1' });
    expect(through.hops.map(({ target }) => target)).toEqual([`${server.url}/1`, `${server.url}/2`]);
    expect(server.requests.map(({ target }) => target)).toEqual(['/1', '/2', '/3', '/4']);
  });

  test('that does not answer is not gone around', async () => {
    const server = await origin();
    const http_proxy = `http://127.0.0.1:${await closedPort()}`;
    await failureOf(newTransport().axios.get(server.url, { http_proxy }), ProxyConnectError);
    expect(server.connectionCount).toBe(0);
  });
});

test.each([
  ['proxy', { proxy: { host: '127.0.0.1', port: 1 } }],
  ['proxy', { proxy: 'http://127.0.0.1:1' }],
  ['adapter', { adapter: 'fetch' }],
  ['adapter', { adapter: 'http' }],
  ['maxRedirects', { maxRedirects: 5 }],
  ['httpVersion', { httpVersion: 2 }],
  ['httpAgent', { httpAgent: {} }],
  ['httpsAgent', { httpsAgent: {} }],
  ['socketPath', { socketPath: '/var/run/docker.sock' }],
  ['transport', { transport: {} }],
  ['beforeRedirect', { beforeRedirect: () => {} }],
  ['lookup', { lookup: () => {} }],
  ['maxRate', { maxRate: 5 }],
])('%s of axios is refused, as it would take another way: %j', async (option, config) => {
  const server = await origin();
  const sent = newTransport().axios.get(server.url, { http_proxy: null, ...(config as object) });
  expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option });
  expect(server.connectionCount).toBe(0);
});
