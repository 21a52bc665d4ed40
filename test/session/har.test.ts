import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { closedPort } from '@cloudlane/testing';
import { NO_TIMINGS, type Transport, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { HarRecorder } from '../../packages/session/src/har.ts';
import type { HarEntry } from '../../packages/session/src/har-format.ts';
import { toHarTimes } from '../../packages/session/src/har-timings.ts';
import { HttpResponse } from '../../packages/session/src/http-response.ts';
import { unreadBody } from '../../packages/session/src/leaked-bodies.ts';
import { PreparedRequest } from '../../packages/session/src/prepared-request.ts';
import type { WireRequest } from '../../packages/session/src/wire-observer.ts';
import { VERSION } from '../../packages/transport/src/version.ts';
import { closeAfterTest } from '../support/resources.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, newTransport, origin, proxy, socks, trusting } from '../transport/lab.ts';
import { faultsOf } from './har-rules.ts';

const DIRECT = { http_proxy: null } as const;

function wireRequest(transported: TransportRequest, startedAt: number = Date.now()): WireRequest {
  const init = { method: transported.method ?? 'GET', url: new URL(transported.url), target: null, headers: {} };
  const request = new PreparedRequest({ ...init, content: { body: null, headers: {}, renew: null } }, () =>
    Promise.reject(new Error('is not sent this way')),
  );
  return { request, transported, startedAt };
}

/** Sends it as a session does, in the hearing of the recorder. */
async function send(recorder: HarRecorder, transport: Transport, transported: TransportRequest): Promise<HttpResponse> {
  const sent = wireRequest(transported);
  try {
    const carried = await transport.send(transported);
    const response = new HttpResponse({ request: sent.request, carried, elapsed: 0 });
    recorder.answered(sent, response);
    return response;
  } catch (error) {
    recorder.failed(sent, error);
    throw error;
  }
}

function entriesOf(recorder: HarRecorder): readonly HarEntry[] {
  const archive = recorder.toJSON();
  expect(faultsOf(archive)).toEqual([]);
  return archive.log.entries;
}

function onlyEntry(recorder: HarRecorder): HarEntry {
  const [entry, ...more] = entriesOf(recorder);
  expect(more).toEqual([]);
  if (entry === undefined) throw new Error('nothing was recorded');
  return entry;
}

test('an archive says whose it is, and is empty at first', () => {
  const archive = new HarRecorder().toJSON();
  expect(archive).toEqual({ log: { version: '1.2', creator: { name: 'cloudlane', version: VERSION }, entries: [] } });
  expect(faultsOf(archive)).toEqual([]);
});

describe('an entry', () => {
  test('tells what was sent and what came back', async () => {
    const server = await origin('http', {
      handler: (_, response) => {
        const headers = [
          ...['X-A', 'a1', 'X-A', 'a2', 'Content-Type', 'text/plain', 'Content-Length', '4'],
          ...COOKIES,
        ];
        response.writeHead(201, 'Made', headers).end('text');
      },
    });
    const COOKIES = [
      'Set-Cookie',
      'c=1; Path=/p; Domain=x.example; HttpOnly; Secure; Expires=Wed, 21 Oct 2037 07:28:00 GMT',
      'Set-Cookie',
      'd=x=y',
    ];
    const recorder = new HarRecorder({ showSecrets: ['cookie', 'Set-Cookie'] });
    const before = Date.now();
    const response = await send(recorder, newTransport(), {
      ...DIRECT,
      method: 'post',
      url: `${server.url}/p/?a=1&b=%20x&a=2#fragment`,
      headers: { 'Content-Type': 'a/b', 'X-List': ['1', '2'], Cookie: 'e=f=g; h="i"', 'X-None': null },
      body: 'ü',
    });
    await response.content();
    const entry = onlyEntry(recorder);
    expect(Date.parse(entry.startedDateTime)).toBeGreaterThanOrEqual(before);
    expect(entry.request).toEqual({
      method: 'POST',
      url: `${server.url}/p/?a=1&b=%20x&a=2`,
      httpVersion: 'HTTP/1.1',
      cookies: [
        { name: 'e', value: 'f=g' },
        { name: 'h', value: '"i"' },
      ],
      headers: [
        { name: 'Content-Type', value: 'a/b' },
        { name: 'X-List', value: '1' },
        { name: 'X-List', value: '2' },
        { name: 'Cookie', value: 'e=f=g; h="i"' },
      ],
      queryString: [
        { name: 'a', value: '1' },
        { name: 'b', value: ' x' },
        { name: 'a', value: '2' },
      ],
      headersSize: -1,
      bodySize: 2,
    });
    expect(entry.response).toMatchObject({
      status: 201,
      statusText: 'Made',
      httpVersion: 'HTTP/1.1',
      cookies: [
        {
          name: 'c',
          value: '1',
          path: '/p',
          domain: 'x.example',
          expires: '2037-10-21T07:28:00.000Z',
          httpOnly: true,
          secure: true,
        },
        { name: 'd', value: 'x=y', httpOnly: false, secure: false },
      ],
      content: { size: 4, mimeType: 'text/plain' },
      redirectURL: '',
      headersSize: -1,
      bodySize: 4,
    });
    expect(entry.response.content).not.toHaveProperty('text');
    expect(entry.response.headers.filter(({ name }) => name === 'x-a' || name === 'set-cookie')).toHaveLength(3);
    expect(entry).toMatchObject({ _route: 'direct', _reusedConnection: false, connection: '1', cache: {} });
    for (const absent of ['_proxy', '_error', 'comment']) expect(entry).not.toHaveProperty(absent);
  });

  test('of a redirect tells where it led', async () => {
    const server = await origin('http', {
      handler: (_, response) => void response.writeHead(302, { location: '/there?token=t' }).end(),
    });
    const recorder = new HarRecorder();
    await (await send(recorder, newTransport(), { ...DIRECT, url: server.url })).content();
    expect(onlyEntry(recorder).response).toMatchObject({ status: 302, redirectURL: '/there?token=***' });
  });

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('of %s with %i has no body', async (method, status) => {
    const headers = status === 200 ? { 'content-length': '9' } : {};
    const server = await origin('http', { handler: (_, response) => void response.writeHead(status, headers).end() });
    const recorder = new HarRecorder();
    await send(recorder, newTransport(), { ...DIRECT, method, url: server.url });
    expect(onlyEntry(recorder).response).toMatchObject({ bodySize: 0, content: { size: 0 } });
  });

  test('is there before its body has been read, and completed after', async () => {
    const server = await origin();
    const recorder = new HarRecorder();
    const response = await send(recorder, newTransport(), { ...DIRECT, url: server.url });
    expect(onlyEntry(recorder)).toMatchObject({
      comment: 'the body has not been read to its end',
      timings: { receive: 0 },
      response: { bodySize: -1, content: { size: 0 } },
    });
    const { length } = await response.content();
    const entry = onlyEntry(recorder);
    expect(entry).not.toHaveProperty('comment');
    expect(entry.response).toMatchObject({ bodySize: length, content: { size: length } });
    expect(entry.time).toBeCloseTo(response.timings.total ?? Number.NaN, 2);
    expect(entry.timings.receive).toBeGreaterThan(0);
  });
});

describe('an entry is complete', () => {
  test('as soon as its reader hears of the end', async () => {
    const server = await origin();
    const recorder = new HarRecorder();
    const { body } = await send(recorder, newTransport(), { ...DIRECT, url: server.url });
    const entry = await new Promise<HarEntry>((resolve) => {
      body.on('end', () => resolve(onlyEntry(recorder))).resume();
    });
    expect(entry).not.toHaveProperty('comment');
    expect(entry.timings.receive).toBeGreaterThan(0);
  });

  test('for whoever keeps the answer, too, which keeps no stream', async () => {
    const server = await origin();
    const response = await send(new HarRecorder(), newTransport(), { ...DIRECT, url: server.url });
    expect(unreadBody(response)).not.toBeNull();
    await response.content();
    expect(unreadBody(response)).toBeNull();
  });
});

describe('timings', () => {
  test('of a direct request, and of a second one over its connection', async () => {
    const server = await origin('https');
    const recorder = new HarRecorder();
    const transport = newTransport();
    for (let round = 0; round < 2; round += 1)
      await (await send(recorder, transport, { ...DIRECT, url: server.url })).content();
    const [first, second] = entriesOf(recorder);
    expect(first?.timings.connect).toBeGreaterThan(first?.timings.ssl ?? Number.NaN);
    expect(first?.timings.ssl).toBeGreaterThan(0);
    expect(first?.timings).toHaveProperty('_originTls', first?.timings.ssl);
    expect(first?.timings).not.toHaveProperty('_proxyConnect');
    expect(second?.timings).toMatchObject({ dns: -1, connect: -1, ssl: -1 });
    expect(second).toMatchObject({ _reusedConnection: true, connection: first?.connection });
  });

  test('of a tunnel through an https proxy show each of its steps', async () => {
    const server = await origin('https');
    const front = await proxy('https', { auth: AUTH });
    const recorder = new HarRecorder();
    await (
      await send(recorder, newTransport(), { ...trusting, url: server.url, http_proxy: front.urlWithCredentials })
    ).content();
    const { timings, ...entry } = onlyEntry(recorder);
    expect(entry).toMatchObject({ _route: 'tunnel', _proxy: `https://user:***@127.0.0.1:${front.port}` });
    const { _proxyConnect = -1, _proxyTls = -1, _proxyHandshake = -1, _originTls = -1 } = timings;
    for (const step of [_proxyConnect, _proxyTls, _proxyHandshake, _originTls]) expect(step).toBeGreaterThan(0);
    expect(timings.connect).toBeCloseTo(_proxyConnect + _proxyTls + _proxyHandshake + _originTls, 2);
    expect(timings.ssl).toBeCloseTo(_proxyTls + _originTls, 2);
  });

  test('of SOCKS and of forwarding', async () => {
    const server = await origin();
    const [front, other] = [await socks(), await proxy()];
    const recorder = new HarRecorder();
    for (const http_proxy of [front.url, other.url])
      await (await send(recorder, newTransport(), { url: server.url, http_proxy })).content();
    const [first, second] = entriesOf(recorder);
    expect(first).toMatchObject({ _route: 'socks', _proxy: front.url, timings: { ssl: -1 } });
    expect(first?.timings._proxyHandshake).toBeGreaterThan(0);
    expect(second).toMatchObject({ _route: 'forward', _proxy: other.url });
    expect(second?.timings).not.toHaveProperty('_proxyHandshake');
  });

  test.each([
    [{}, 0, { blocked: -1, dns: -1, connect: -1, ssl: -1, send: 0, wait: 0, receive: 0 }],
    [{ queue: 1, total: 1 }, 1, { blocked: 1, _queue: 1 }],
    [{ queue: 1, firstByte: 2, total: 7 }, 7, { blocked: 5, _queue: 1, wait: 2 }],
    [{ proxyDns: 1, originDns: 2, total: 3 }, 3, { dns: 3, blocked: 0, _proxyDns: 1 }],
    [
      { proxyConnect: 1, proxyTls: 2, proxyHandshake: 4, originConnect: 8, originTls: 16 },
      31,
      { connect: 31, ssl: 18, blocked: -1 },
    ],
    [{ request: 1, firstByte: 2, body: 4, total: 7 }, 7, { send: 1, wait: 2, receive: 4, blocked: 0 }],
    [{ request: 0.0004, total: 0.0004 }, 0, { send: 0 }],
  ])('%j are sorted into those of the archive', (timings, time, expected) => {
    expect(toHarTimes({ ...NO_TIMINGS, ...timings })).toMatchObject({ time, timings: expected });
  });
});

describe('failures', () => {
  test('have no status, but a reason', async () => {
    const port = await closedPort();
    const recorder = new HarRecorder();
    await expect(send(recorder, newTransport(), { ...DIRECT, url: `http://127.0.0.1:${port}/x` })).rejects.toThrow();
    const entry = onlyEntry(recorder);
    expect(entry).toMatchObject({ _route: 'direct', response: { status: 0, statusText: '', content: { size: 0 } } });
    expect(entry._error).toMatch(/^ERR_[A-Z_]+: GET http:.*ECONNREFUSED/);
    expect(entry.time).toBeGreaterThan(0);
    expect(entry.timings.connect).toBeGreaterThan(0);
  });

  test('of the proxy name it, without its password', async () => {
    const server = await origin('https');
    const front = await proxy('http', { auth: { ...AUTH, password: 'another' } });
    const recorder = new HarRecorder();
    const http_proxy = { url: front.url, auth: AUTH };
    await expect(send(recorder, newTransport(), { url: server.url, http_proxy })).rejects.toThrow();
    expect(onlyEntry(recorder)).toMatchObject({ _route: 'tunnel', _proxy: `http://user:***@127.0.0.1:${front.port}` });
    expect(secretsIn(JSON.stringify(recorder))).toEqual([]);
  });

  test.each([
    [new Error(SECRETS.token), 'Error'],
    [Object.assign(new Error(SECRETS.token), { code: 'E_OWN' }), 'E_OWN'],
    [SECRETS.token, 'string'],
    [undefined, 'undefined'],
  ])('with errors of others show no more than their kind', (error, shown) => {
    const recorder = new HarRecorder();
    recorder.failed(
      wireRequest({ url: 'http://api.example', http_proxy: 'socks4://p.example' }, Date.now() - 1000),
      error,
    );
    const entry = onlyEntry(recorder);
    expect(entry).toMatchObject({ _error: shown, _route: 'socks', timings: { connect: -1 } });
    expect(entry.timings.blocked).toBeGreaterThanOrEqual(1000);
  });

  test('whose route cannot be told are recorded without one', () => {
    const recorder = new HarRecorder();
    recorder.failed(wireRequest({ url: 'http://api.example', http_proxy: 'nonsense://' }), new Error('x'));
    expect(onlyEntry(recorder)).not.toHaveProperty('_route');
  });
});

describe('bodies', () => {
  const gzipped = gzipSync('{"a":"text","access_token":"t"}');
  const ANSWERS: Readonly<Record<string, [headers: Record<string, string>, body: Buffer]>> = {
    '/json': [{ 'content-type': 'application/json' }, Buffer.from('{"a":"ü","access_token":"t"}')],
    '/gzip': [
      { 'content-type': 'application/json', 'content-encoding': 'gzip', 'content-length': String(gzipped.length) },
      gzipped,
    ],
    '/latin': [{ 'content-type': 'text/plain; charset=iso-8859-1' }, Buffer.from('caf\u00e9', 'latin1')],
    '/bytes': [{ 'content-type': 'image/png' }, Buffer.from([0x89, 0x50, 0xff])],
    '/broken': [{}, Buffer.from('{"password":"t\u00ff"}', 'latin1')],
  };
  const answering = () =>
    origin('http', {
      handler: ({ url = '' }, response) => void response.writeHead(200, ANSWERS[url]?.[0]).end(ANSWERS[url]?.[1]),
    });

  test.each([
    ['/json', { size: 29, text: '{"a":"ü","access_token":"***"}' }],
    ['/gzip', { size: 31, compression: 31 - gzipped.length, text: '{"a":"text","access_token":"***"}' }],
    ['/latin', { size: 4, text: 'café' }],
    ['/bytes', { size: 3, text: 'iVD/', encoding: 'base64' }],
    ['/broken', { size: 17, text: Buffer.from('{"password":"***"}').toString('base64'), encoding: 'base64' }],
  ])('received, of %s, are kept if that is wanted', async (path, content) => {
    const server = await answering();
    const recorder = new HarRecorder({ content: true });
    await (await send(recorder, newTransport(), { ...DIRECT, url: `${server.url}${path}` })).content();
    const entry = onlyEntry(recorder);
    expect(entry.response.content).toEqual({ mimeType: ANSWERS[path]?.[0]['content-type'] ?? '', ...content });
    expect(entry.response.bodySize).toBe(path === '/gzip' ? gzipped.length : content.size);
  });

  test('are kept as they are if that is asked for', async () => {
    const server = await answering();
    const recorder = new HarRecorder({ content: true, showSecrets: ['body'] });
    const body = 'password=p&b=1';
    await (
      await send(recorder, newTransport(), { ...DIRECT, url: `${server.url}/broken`, method: 'POST', body })
    ).content();
    expect(onlyEntry(recorder)).toMatchObject({
      request: { postData: { text: body } },
      response: { content: { text: ANSWERS['/broken']?.[1].toString('base64') } },
    });
  });

  test.each<[Partial<TransportRequest>, unknown]>([
    [{ body: '{"password":"p"}' }, { mimeType: '', text: '{"password":"***"}' }],
    [
      { body: Buffer.from('text'), headers: { 'content-type': 'text/plain' } },
      { mimeType: 'text/plain', text: 'text' },
    ],
    [
      { body: 'a=%20+&pass=p', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } },
      {
        mimeType: 'application/x-www-form-urlencoded',
        params: [
          { name: 'a', value: '  ' },
          { name: 'pass', value: '***' },
        ],
      },
    ],
    [{ body: Buffer.from([0xff]) }, undefined],
    [{ body: '' }, undefined],
    [{}, undefined],
  ])('sent, of %j, are kept if that is wanted and they are text', async (request, postData) => {
    const server = await answering();
    const recorder = new HarRecorder({ content: true });
    await (await send(recorder, newTransport(), { ...DIRECT, url: server.url, method: 'POST', ...request })).content();
    expect(onlyEntry(recorder).request.postData).toEqual(postData);
  });

  test('are left out beyond the limit', async () => {
    const server = await answering();
    const recorder = new HarRecorder({ content: 4 });
    for (const [path, body] of [
      ['/latin', 'abcd'],
      ['/json', 'abcde'],
    ] as const)
      await (
        await send(recorder, newTransport(), { ...DIRECT, url: `${server.url}${path}`, method: 'PUT', body })
      ).content();
    const [first, second] = entriesOf(recorder);
    expect(first).toMatchObject({ request: { postData: { text: 'abcd' } }, response: { content: { text: 'café' } } });
    expect(second?.request).not.toHaveProperty('postData');
    expect(second?.response.content).toEqual({
      size: 29,
      mimeType: 'application/json',
      comment: 'not kept, as it has more than 4 bytes',
    });
  });

  test('that were refused before they were sent have no length', async () => {
    const server = await origin('http', { expectation: (_, response) => void response.writeHead(413).end() });
    const recorder = new HarRecorder();
    const request = { ...DIRECT, url: server.url, method: 'PUT', headers: { Expect: '100-continue' }, body: 'abc' };
    await (await send(recorder, newTransport(), request)).content();
    expect(onlyEntry(recorder)).toMatchObject({ request: { bodySize: 0 }, response: { status: 413 } });
  });

  test('of streams have the length that is declared for them', async () => {
    const server = await origin();
    const recorder = new HarRecorder({ content: true });
    async function* stream(): AsyncGenerator<string> {
      yield 'abc';
    }
    for (const headers of [{}, { 'Content-Length': '3' }])
      await (
        await send(recorder, newTransport(), { ...DIRECT, url: server.url, method: 'PUT', headers, body: stream() })
      ).content();
    expect(entriesOf(recorder).map(({ request }) => [request.bodySize, request.postData])).toEqual([
      [-1, undefined],
      [3, undefined],
    ]);
  });
});

describe('secrets', () => {
  const TOKEN = encodeURIComponent(SECRETS.token);
  const all: TransportRequest = {
    url: `http://user:${encodeURIComponent(SECRETS.originPassword)}@api.example/?access_token=${TOKEN}&b=1`,
    headers: {
      'X-Auth-Token': SECRETS.token,
      cookie: `a=${SECRETS.token}`,
      Referer: `http://x.example/?sig=${TOKEN}`,
      'Proxy-Authorization': SECRETS.token,
    },
    method: 'POST',
    body: JSON.stringify({ password: SECRETS.token }),
    http_proxy: `http://user:${encodeURIComponent(SECRETS.proxyPassword)}@p.example`,
  };

  test('are not in an archive', () => {
    const recorder = new HarRecorder({ content: true });
    recorder.failed(wireRequest(all), new Error(SECRETS.token));
    expect(secretsIn(JSON.stringify(recorder) + inspect(recorder, { depth: 9, showHidden: true }))).toEqual([]);
    const { request } = onlyEntry(recorder);
    expect(request.url).toBe('http://user:***@api.example/?access_token=***&b=1');
    expect(request.queryString).toEqual([
      { name: 'access_token', value: '***' },
      { name: 'b', value: '1' },
    ]);
    expect(request.cookies).toEqual([{ name: 'a', value: '***' }]);
    expect(request.headers.map(({ name, value }) => `${name}: ${value}`)).toEqual([
      'X-Auth-Token: ***',
      'cookie: ***',
      'Referer: http://x.example/?sig=***',
      'Authorization: ***',
    ]);
  });

  test('of an answer are not in it either', async () => {
    const headers = {
      'set-cookie': `s=${SECRETS.token}; Path=/`,
      location: `/?sig=${TOKEN}`,
      'x-api-key': SECRETS.token,
    };
    const server = await origin('http', {
      handler: (_, response) => void response.writeHead(200, headers).end(SECRETS.token.length.toString()),
    });
    const recorder = new HarRecorder({ content: true });
    await (await send(recorder, newTransport(), { ...DIRECT, url: server.url })).content();
    expect(secretsIn(JSON.stringify(recorder))).toEqual([]);
    expect(onlyEntry(recorder).response).toMatchObject({
      cookies: [{ name: 's', value: '***', path: '/' }],
      redirectURL: '/?sig=***',
    });
  });

  test('are in it if they are asked for by name', () => {
    const recorder = new HarRecorder({ content: true, showSecrets: ['A', 'access_token'] });
    recorder.failed(wireRequest(all), new Error('x'));
    const { request } = onlyEntry(recorder);
    expect(request.cookies).toEqual([{ name: 'a', value: SECRETS.token }]);
    expect(request.queryString[0]).toEqual({ name: 'access_token', value: SECRETS.token });
    expect(JSON.stringify(request.headers)).not.toContain(SECRETS.token);
    const everything = new HarRecorder({ content: true, showSecrets: ['*'] });
    everything.failed(wireRequest(all), new Error('x'));
    expect(JSON.stringify(onlyEntry(everything))).not.toMatch(/\*\*\*(?!@p)/);
  });
});

describe('a recorder', () => {
  test('lists requests in the order in which they were sent', () => {
    const recorder = new HarRecorder();
    for (const at of [3000, 1000, 2000])
      recorder.failed(wireRequest({ url: `http://api.example/${at}` }, at), new Error('x'));
    expect(entriesOf(recorder).map(({ request }) => request.url.slice(-4))).toEqual(['1000', '2000', '3000']);
  });

  test('drops the oldest beyond maxEntries, and counts them', () => {
    const recorder = new HarRecorder({ maxEntries: 2 });
    for (let at = 1; at <= 5; at += 1)
      recorder.failed(wireRequest({ url: `http://api.example/${at}` }, at), new Error('x'));
    expect(entriesOf(recorder).map(({ request }) => request.url.slice(-1))).toEqual(['4', '5']);
    expect(recorder.toJSON().log._dropped).toBe(3);
    expect(inspect(recorder)).toContain('<HarRecorder [2 entries]>');
  });

  test('keeps no answer that has been read', async () => {
    const server = await origin();
    const transport = newTransport();
    const recorder = new HarRecorder();
    const read = async (): Promise<WeakRef<HttpResponse>> => {
      const response = await send(recorder, transport, { ...DIRECT, url: server.url });
      await response.content();
      return new WeakRef(response);
    };
    const answers: WeakRef<HttpResponse>[] = [];
    for (let round = 0; round < 100; round += 1) answers.push(await read());
    await nextTurn();
    v8.setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    expect(answers.filter((answer) => answer.deref() !== undefined).length).toBeLessThan(50);
    expect(entriesOf(recorder)).toHaveLength(100);
  });

  test('does not disturb a request that it cannot record', () => {
    const recorder = new HarRecorder();
    const url: string = 'no URL';
    recorder.failed({ ...wireRequest({ url: 'http://api.example' }), transported: { url } }, new Error('x'));
    expect(entriesOf(recorder)).toEqual([]);
    expect(recorder.toJSON().log._dropped).toBe(1);
  });

  test('saves its archive at once and whole, for its owner alone', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cloudlane-har-'));
    closeAfterTest({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    const path = join(folder, 'a.har');
    const recorder = new HarRecorder({ path });
    await recorder.save();
    recorder.failed(wireRequest({ url: 'http://api.example' }), new Error('x'));
    await recorder.save();
    await recorder.save(join(folder, 'b.har'));
    expect(await readdir(folder)).toEqual(['a.har', 'b.har']);
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(recorder.toJSON());
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await mkdir(join(folder, 'c.har'));
    await expect(recorder.save(join(folder, 'c.har'))).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(folder)).toEqual(['a.har', 'b.har', 'c.har']);
    await expect(new HarRecorder().save()).rejects.toMatchObject({ option: 'path' });
  });

  test.each([
    [{ path: '' }, 'path'],
    [{ path: 1 }, 'path'],
    [{ content: -1 }, 'content'],
    [{ content: 1.5 }, 'content'],
    [{ content: 'yes' }, 'content'],
    [{ maxEntries: 0 }, 'maxEntries'],
    [{ maxEntries: '1' }, 'maxEntries'],
    [{ showSecrets: 'all' }, 'showSecrets'],
    [{ maxEntry: 1 }, 'maxEntry'],
  ])('refuses %j', (options, option) => {
    let refused: unknown = null;
    try {
      Reflect.construct(HarRecorder, [options]);
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({ code: 'ERR_INVALID_OPTION', option });
  });
});
