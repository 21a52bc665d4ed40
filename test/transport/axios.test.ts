import { PassThrough, Readable } from 'node:stream';
import { buffer, json, text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { closedPort, type OriginHandler } from '@cloudlane/testing';
import { ACCEPTED_ENCODINGS, ProxyConnectError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import axios, { AxiosError } from 'axios';
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
  test('bytes for arraybuffer, a blob for blob, a stream for stream', async () => {
    const server = await origin('http', {
      handler: answering(Buffer.from([0, 255, 1]), { 'Content-Type': 'image/png' }),
    });
    const { axios } = newTransport();
    const bytes = await axios.get(server.url, { http_proxy: null, responseType: 'arraybuffer' });
    expect(bytes.data).toEqual(Buffer.from([0, 255, 1]));
    const { data: blob } = await axios.get<Blob>(server.url, { http_proxy: null, responseType: 'blob' });
    expect(blob).toBeInstanceOf(Blob);
    expect([blob.type, Buffer.from(await blob.arrayBuffer())]).toEqual(['image/png', Buffer.from([0, 255, 1])]);
    const stream = await axios.get<Readable>(server.url, { http_proxy: null, responseType: 'stream' });
    expect(await buffer(stream.data)).toEqual(Buffer.from([0, 255, 1]));
  });

  test.each([
    ['text', '\ufeff{"a":1}', '{"a":1}'],
    // There is no document in Node.
    ['document', '<a/>', '<a/>'],
    ['json', '{"a":1}', { a: 1 }],
    ['json', 'no JSON', 'no JSON'],
    [undefined, '{"a":1}', { a: 1 }],
    [undefined, 'no JSON', 'no JSON'],
  ] as const)('for %s of %j: %j', async (responseType, body, expected) => {
    const server = await origin('http', { handler: answering(body) });
    const config = { http_proxy: null, ...(responseType && { responseType }) };
    expect((await newTransport().axios.get(server.url, config)).data).toEqual(expected);
  });

  test('an AxiosError for what is not JSON, if it must be', async () => {
    const server = await origin('http', { handler: answering('no JSON') });
    const transitional = { silentJSONParsing: false };
    const sent = newTransport().axios.get(server.url, { http_proxy: null, responseType: 'json', transitional });
    expect(await failureOf(sent, AxiosError)).toMatchObject({ code: 'ERR_BAD_RESPONSE', status: 200 });
  });

  test('the text in its encoding', async () => {
    const server = await origin('http', { handler: answering(Buffer.from('größe', 'latin1')) });
    const config = { http_proxy: null, responseEncoding: 'latin1' };
    expect((await newTransport().axios.get(server.url, config)).data).toBe('größe');
  });

  test('its transforms, and what they are told to do', async () => {
    const server = await origin();
    const { axios } = newTransport();
    const { data } = await axios.post<string[]>(server.url, 'data', {
      http_proxy: null,
      transformRequest: [(data, headers) => [headers.set('X-Seen', 'yes'), `<${data}>`][1]],
      transformResponse: [(data) => JSON.parse(data), ({ headers, body }) => [headers['x-seen'], body]],
    });
    expect(data).toEqual(['yes', '<data>']);
    const transitional = { forcedJSONParsing: false };
    expect((await axios.get(server.url, { http_proxy: null, transitional })).data).toContain('{"method":"GET"');
    const big = { parseReviver: (key: string, value: unknown) => (key === 'method' ? 'revived' : value) };
    expect((await axios.get(server.url, { http_proxy: null, ...big })).data.method).toBe('revived');
  });

  test('its serializers of parameters and forms', async () => {
    const server = await origin();
    const { axios } = newTransport();
    const params = { list: [1, 2] };
    await axios.get(server.url, { http_proxy: null, params, paramsSerializer: { indexes: null } });
    await axios.get(server.url, { http_proxy: null, params, paramsSerializer: () => 'my=own' });
    const form = { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, formSerializer: { dots: true } };
    await axios.post(server.url, { a: { b: 1 } }, { http_proxy: null, ...form });
    expect(server.requests.map(({ target, body }) => [target, String(body)])).toEqual([
      ['/?list=1&list=2', ''],
      ['/?my=own', ''],
      ['/', 'a.b=1'],
    ]);
  });

  test('who sends: axios, or what the caller says', async () => {
    const server = await origin();
    const { axios: client } = newTransport();
    for (const agent of [undefined, 'mine', false]) {
      await client.get(server.url, {
        http_proxy: null,
        ...(agent !== undefined && { headers: { 'User-Agent': agent } }),
      });
    }
    const agents = server.requests.map(({ headers }) => headers['user-agent']);
    expect(agents).toEqual([`axios/${axios.VERSION}`, 'mine', undefined]);
  });

  test('no cookies and no XSRF header, which only browsers have', async () => {
    const server = await origin();
    await newTransport().axios.get(server.url, { http_proxy: null, withXSRFToken: true, withCredentials: true });
    expect(Object.keys(server.requests[0]?.headers ?? {}).sort()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ]);
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
    // A token alone, as many services take it.
    const auth = { username: 'me' } as { username: string; password: string };
    const alone = await axios.get(server.url, { http_proxy: null, auth });
    expect(alone.data.headers.authorization).toBe(`Basic ${Buffer.from('me:').toString('base64')}`);
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

  test('to tell the length of what is in memory', async () => {
    const server = await origin();
    const { axios } = newTransport();
    await axios.post(server.url, 'größe', { http_proxy: null });
    await axios.post(server.url, new Blob(['größe']), { http_proxy: null });
    await axios.postForm(server.url, { file: Buffer.from('content') }, { http_proxy: null });
    for (const { headers, body } of server.requests) expect(headers['content-length']).toBe(String(body.length));
    expect(server.requests.map(({ headers }) => headers['transfer-encoding'])).toEqual(Array(3).fill(undefined));
    expect(server.requests[1]?.headers['content-type']).toBe('application/octet-stream');
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
      ACCEPTED_ENCODINGS,
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

  test.each([
    [304, 'ERR_BAD_RESPONSE'],
    [404, 'ERR_BAD_REQUEST'],
    [500, 'ERR_BAD_RESPONSE'],
  ])('an AxiosError for the status %i: %s', async (status, code) => {
    const server = await origin('http', { handler: answering('', {}, status) });
    const error = await failureOf(newTransport().axios.get(server.url, { http_proxy: null }), AxiosError);
    expect(error).toMatchObject({ code, status });
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

  test.each([999, 1000])('maxContentLength, of what is decoded, also for streams: %i for 1000 bytes', async (most) => {
    const server = await origin('http', {
      handler: answering(gzipSync('x'.repeat(1000)), { 'Content-Encoding': 'gzip' }),
    });
    const { axios } = newTransport();
    const config = { http_proxy: null, maxContentLength: most };
    const reads = [
      async () => String((await axios.get(server.url, config)).data),
      async () => text((await axios.get<Readable>(server.url, { ...config, responseType: 'stream' })).data),
    ];
    for (const read of reads) {
      if (most === 1000) expect(await read()).toBe('x'.repeat(1000));
      else {
        const error = await failureOf(read(), AxiosError);
        expect(error).toMatchObject({ code: 'ERR_BAD_RESPONSE', message: 'maxContentLength size of 999 exceeded' });
        expect(error.config?.url).toBe(server.url);
      }
    }
  });

  test.each(['text', 'stream'] as const)('maxContentLength gives up the connection, for %s', async (responseType) => {
    const server = await origin('http', { handler: (_, response) => void response.write('endless') });
    const transport = newTransport();
    const sent = transport.axios.get(server.url, { http_proxy: null, responseType, maxContentLength: 3 });
    await failureOf(responseType === 'text' ? sent : sent.then(({ data }) => text(data)), AxiosError);
    await expectNothingLeft(transport, server);
  });

  test('maxBodyLength, also for streams', async () => {
    const server = await origin();
    const transport = newTransport();
    for (const data of ['12345', Readable.from(['123', '45'])]) {
      const sent = transport.axios.put(server.url, data, { http_proxy: null, maxBodyLength: 4 });
      expect(await failureOf(sent, AxiosError)).toMatchObject({ code: 'ERR_BAD_REQUEST' });
    }
    expect(server.requests.filter(({ method, complete }) => method === 'PUT' && complete)).toEqual([]);
    await expectNothingLeft(transport, server);
  });

  test('its legacy streams too', async () => {
    const server = await origin();
    const body = new PassThrough();
    body.end('streamed');
    const { data } = await newTransport().axios.put(server.url, body, { http_proxy: null });
    expect(data.body).toBe('streamed');
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
    const error = await failureOf(newTransport().axios.get(server.url, { http_proxy }), AxiosError);
    expect(error.cause).toBeInstanceOf(ProxyConnectError);
    expect(server.connectionCount).toBe(0);
  });
});
