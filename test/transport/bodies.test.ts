import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { LabOrigin, LabProxy, OriginHandler } from '@cloudlane/testing';
import {
  ProtocolError,
  ProxyAuthenticationError,
  type RequestHeaders,
  type TransportRequest,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, proxy, type Scheme, until } from './lab.ts';

const ROUTES = [
  ['http', null],
  ['https', null],
  ['http', 'http'],
  ['https', 'http'],
  ['http', 'https'],
  ['https', 'https'],
] as const;

async function way(
  scheme: Scheme,
  via: Scheme | null,
  handler?: OriginHandler,
): Promise<{
  server: LabOrigin;
  through: LabProxy | null;
  servers: (LabOrigin | LabProxy)[];
  request: TransportRequest;
}> {
  const server = await origin(scheme, { recordBodies: handler === undefined, ...(handler && { handler }) });
  const through = via && (await proxy(via));
  const request = { url: server.url, method: 'PUT', http_proxy: through?.url ?? null };
  return { server, through, servers: [server, ...(through ? [through] : [])], request };
}

async function* broken(): AsyncGenerator<string> {
  yield 'some';
  throw new RangeError('the source broke');
}

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(16 * 1024);
}

describe.each(ROUTES)('a streamed body for an %s origin through %s proxy', (scheme, via) => {
  test.each([
    ['is longer than declared', ['12345', '678'], 'is longer than the declared 5 bytes'],
    ['is longer than declared by its first chunk', ['12345678'], 'is longer than the declared 5 bytes'],
    ['ends early', ['123'], 'ended after 3 of 5 bytes'],
    ['is empty', [], 'ended after 0 of 5 bytes'],
  ])('that %s is cut off: no server sees a whole request', async (_, chunks, says) => {
    const { server, servers, request } = await way(scheme, via);
    const transport = newTransport();
    const body = Readable.from(chunks);
    const error = await failureOf(
      transport.send({ ...request, body, headers: { 'Content-Length': 5 } }),
      ProtocolError,
    );
    expect(error).toMatchObject({ code: 'ERR_PROTOCOL', retryable: false });
    expect(error.message).toContain(`the request body ${says}; the request was cut off`);
    await expectNothingLeft(transport, ...servers);
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
    expect(body.destroyed).toBe(true);
  });

  test('whose source fails is cut off, and the source’s error is the reason', async () => {
    const { server, servers, request } = await way(scheme, via);
    const transport = newTransport();
    await expect(transport.send({ ...request, body: broken() })).rejects.toThrow(new RangeError('the source broke'));
    await expectNothingLeft(transport, ...servers);
    expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
  });

  test.each([413, 403])(
    'that the origin refuses early gets its answer %i, and the source is closed',
    async (status) => {
      const { through, servers, request } = await way(scheme, via, (incoming, response) => {
        response.writeHead(status).end('too much');
        incoming.resume();
      });
      // A forwarding proxy of the lab would lose the answer of an origin that hangs up: there it refuses itself.
      if (scheme === 'http') through?.misbehave({ kind: 'reply', status, body: 'too much', keepOpen: true });
      const transport = newTransport();
      const body = Readable.from(endless());
      const response = await transport.send({ ...request, body });
      expect(response.status).toBe(status);
      expect(await text(response.body)).toBe('too much');
      await until(() => body.destroyed);
      await expectNothingLeft(transport, ...servers);
    },
  );

  test('that the origin refuses before more of it is there has its source closed, and its connection', async () => {
    const { servers, request } = await way(scheme, via, (_, response) => void response.writeHead(403).end('no'));
    const transport = newTransport();
    const body = new PassThrough();
    body.write('some');
    const response = await transport.send({ ...request, body });
    expect(await text(response.body)).toBe('no');
    await until(() => body.destroyed);
    await expectNothingLeft(transport, ...servers);
  });

  test.each(['GET', 'DELETE', 'POST'])('with %s is framed, and the connection stays in step', async (method) => {
    const { server, through, request } = await way(scheme, via);
    const transport = newTransport();
    // What cannot be sent twice waits until a forwarding proxy has shown that it keeps connections open.
    for (let call = 0; call < 2; call += 1) await (await transport.send(request)).body.toArray();
    for (const declared of [null, 4]) {
      const body = Readable.from(['bo', 'dy']);
      const response = await transport.send({ ...request, method, body, headers: { 'Content-Length': declared } });
      expect(await response.body.toArray()).toHaveLength(1);
    }
    expect(
      server.requests
        .slice(2)
        .map(({ body, complete, headers }) => [String(body), complete, headers['transfer-encoding']]),
    ).toEqual([
      ['body', true, 'chunked'],
      ['body', true, undefined],
    ]);
    expect((through ?? server).connectionCount).toBe(1);
  });
});

test('a streamed body whose surplus comes late is cut off all the same', async () => {
  const server = await origin();
  const transport = newTransport();
  async function* late(): AsyncGenerator<string> {
    yield '12345';
    // Time enough for what was written to get there.
    for (let turn = 0; turn < 50; turn += 1) await nextTurn();
    yield '678';
  }
  const headers = { 'Content-Length': 5 };
  await failureOf(
    transport.send({ url: server.url, http_proxy: null, method: 'PUT', body: late(), headers }),
    ProtocolError,
  );
  await expectNothingLeft(transport, server);
  expect(server.requests.filter(({ complete }) => complete)).toEqual([]);
});

test('an origin that refuses early and hangs up is heard all the same', async () => {
  const server = await origin('http', {
    recordBodies: false,
    handler: ({ socket }, response) => void response.writeHead(413).end('too much', () => socket.destroy()),
  });
  const transport = newTransport();
  const body = Readable.from(endless());
  const response = await transport.send({ url: server.url, http_proxy: null, method: 'PUT', body });
  expect(response.status).toBe(413);
  expect(await text(response.body)).toBe('too much');
  await until(() => body.destroyed);
  await expectNothingLeft(transport, server);
});

describe('a body', () => {
  test.each<[string, () => TransportRequest['body']]>([
    ['text', () => 'größe'],
    ['bytes', () => new TextEncoder().encode('größe')],
    ['a buffer', () => Buffer.from('größe')],
    ['a stream', () => Readable.from(['grö', 'ße'])],
    [
      'an async generator',
      async function* () {
        yield 'grö';
        yield 'ße';
      },
    ],
    ['a web stream', () => new Blob(['größe']).stream()],
  ])('of %s arrives', async (_, body) => {
    const server = await origin();
    const response = await newTransport().send({ url: server.url, http_proxy: null, method: 'POST', body: body() });
    response.body.resume();
    expect(String(server.requests[0]?.body)).toBe('größe');
  });

  test('of an empty string is one, and none is none', async () => {
    const server = await origin();
    const transport = newTransport();
    for (const body of ['', null, undefined]) {
      (await transport.send({ url: server.url, http_proxy: null, method: 'POST', body })).body.resume();
    }
    expect(server.requests.map(({ headers }) => headers['content-length'])).toEqual(['0', '0', '0']);
  });

  test.each<[string, unknown]>([
    ['a number', 5],
    ['an object', { a: 1 }],
    ['a stream that was destroyed', Readable.from(['x']).destroy()],
  ])('of %s is refused', async (_, body) => {
    const sent = newTransport().send({ url: 'http://x.example', http_proxy: null, body: body as never });
    expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option: 'body' });
  });

  test('reports its progress', async () => {
    const server = await origin();
    const transport = newTransport();
    const seen: [number, number | null][] = [];
    const onUploadProgress = (sent: number, total: number | null) => void seen.push([sent, total]);
    const request = { url: server.url, http_proxy: null, method: 'PUT', onUploadProgress };
    const streamed = [
      { body: Readable.from(['ab', 'c']) },
      { body: Readable.from(['ab', 'c']), headers: { 'content-length': 3 } },
    ];
    for (const rest of [{ body: 'four' }, ...streamed]) (await transport.send({ ...request, ...rest })).body.resume();
    expect(seen).toEqual([
      [4, 4],
      [2, null],
      [3, null],
      [2, 3],
      [3, 3],
    ]);
  });
});

describe('headers', () => {
  test.each<[string, RequestHeaders, TransportRequest['body'], string]>([
    ['one given in two spellings', { 'X-A': '1', 'x-a': '2' }, null, 'headers.x-a'],
    ['a length that is none', { 'Content-Length': 'five' }, Readable.from(['x']), 'headers.Content-Length'],
    ['a length that is not the body’s', { 'content-length': 3 }, 'four', 'headers.Content-Length'],
    ['a length without a body', { 'Content-Length': 3 }, null, 'headers.Content-Length'],
    [
      'a length beside chunks',
      { 'Content-Length': 4, 'Transfer-Encoding': 'chunked' },
      'four',
      'headers.Content-Length',
    ],
    ['an expectation that is not defined', { Expect: '200-ok' }, 'four', 'headers.Expect'],
    ['a line end', { 'X-A': 'a\r\nX-Evil: 1' }, null, 'request'],
    ['a line end in a name', { 'X-A\r\nX-Evil': '1' }, null, 'request'],
    ['a line end for the proxy', { 'Proxy-Authorization': 'a\r\nX-Evil: 1' }, null, 'headers.Proxy-Authorization'],
  ])('with %s are refused', async (_, headers, body, option) => {
    const [server, through] = [await origin('https'), await proxy()];
    const transport = newTransport();
    const sent = transport.send({ url: server.url, http_proxy: through.url, headers, body });
    expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option });
    expect(through.connectionCount).toBe(0);
    expect(transport.connections).toEqual([]);
  });

  test.each(['GE T', 'GET\r\nX: 1'])('cannot come with the method %j', async (method) => {
    const sent = newTransport().send({ url: 'http://x.example', http_proxy: null, method });
    await failureOf(sent, InvalidOptionError);
  });

  test('of null or undefined are left out, lists are repeated', async () => {
    const server = await origin();
    const headers = { 'X-Null': null, 'X-Undefined': undefined, 'X-List': ['a', 'b'], 'X-Number': 5 };
    (await newTransport().send({ url: server.url, http_proxy: null, headers })).body.resume();
    expect(server.requests[0]?.rawHeaders.join(' ')).toMatch(
      /^X-List a X-List b X-Number 5 Host \S+ Connection keep-alive$/,
    );
  });

  test.each<[string, RequestHeaders, string | undefined]>([
    ['user:p%40ss@', {}, 'user:p@ss'],
    ['user@', {}, 'user:'],
    [':pass@', {}, ':pass'],
    ['gr%C3%BC%C3%9F:%E2%82%AC@', {}, 'grüß:€'],
    ['user:pass@', { authorization: 'Bearer t' }, undefined],
  ])('credentials %s of the URL become Basic, unless %j are there', async (userinfo, headers, expected) => {
    const server = await origin();
    const url = server.url.replace('://', `://${userinfo}`);
    (await newTransport().send({ url, http_proxy: null, headers })).body.resume();
    const authorization = expected === undefined ? 'Bearer t' : `Basic ${Buffer.from(expected).toString('base64')}`;
    expect(server.requests[0]?.headers.authorization).toBe(authorization);
    expect(server.requests[0]?.target).toBe('/');
  });

  test('malformed credentials of the URL are refused without being told', async () => {
    const error = await failureOf(
      newTransport().send({ url: 'http://user:100%secret@x.example', http_proxy: null }),
      InvalidOptionError,
    );
    expect(error).toMatchObject({ option: 'url' });
    expect(error.message).not.toContain('secret');
  });
});

describe.each(['http', 'https'] as const)('headers for the proxy on the way to an %s origin', (scheme) => {
  test('never reach the origin, and the caller’s credentials reach the proxy', async () => {
    const [server, through] = [await origin(scheme), await proxy('http', { auth: AUTH })];
    const basic = `Basic ${Buffer.from(`${AUTH.username}:${AUTH.password}`).toString('base64')}`;
    const headers = { 'proxy-Authorization': basic, 'Proxy-Connection': 'close', 'Proxy-X': '1', 'X-Mine': '1' };
    (await newTransport().send({ url: server.url, http_proxy: through.url, headers })).body.resume();
    expect(through.hops).toMatchObject([{ authorized: true, username: 'user' }]);
    expect(through.hops[0]?.rawHeaders.filter((name) => /^proxy-/i.test(name))).toEqual(['Proxy-Authorization']);
    expect(Object.keys(server.requests[0]?.headers ?? {}).filter((name) => name.startsWith('proxy-'))).toEqual([]);
    expect(server.requests[0]?.headers['x-mine']).toBe('1');
    if (scheme === 'https') expect(through.hops[0]?.headers).not.toHaveProperty('x-mine');
  });

  test('are left out on a direct route', async () => {
    const server = await origin(scheme);
    const headers = { 'Proxy-Authorization': 'Basic eDp5', 'Proxy-X': '1' };
    (await newTransport().send({ url: server.url, http_proxy: null, headers })).body.resume();
    expect(server.requests[0]?.rawHeaders.join(' ')).not.toMatch(/proxy-/i);
  });

  test('come from the setting, on CONNECT or on the forwarded request', async () => {
    const [server, through] = [await origin(scheme), await proxy()];
    const http_proxy = { url: through.url, auth: AUTH, headers: { 'X-Tenant': 'a' } };
    (await newTransport().send({ url: server.url, http_proxy })).body.resume();
    expect(through.hops[0]).toMatchObject({ username: 'user', headers: { 'x-tenant': 'a' } });
  });

  test('of the request win over the setting’s on a forwarded request, and are not for a tunnel’s proxy', async () => {
    const [server, through] = [await origin(scheme), await proxy()];
    const http_proxy = { url: through.url, headers: { 'X-Tenant': 'setting' } };
    (await newTransport().send({ url: server.url, http_proxy, headers: { 'x-tenant': 'request' } })).body.resume();
    const forProxy = scheme === 'http' ? 'request' : 'setting';
    expect(through.hops[0]?.headers['x-tenant']).toBe(forProxy);
    expect(server.requests[0]?.headers['x-tenant']).toBe('request');
  });

  test('that the caller gives and the proxy refuses are said to be refused, not missing', async () => {
    const [server, through] = [await origin(scheme), await proxy('http', { auth: AUTH })];
    const headers = { 'Proxy-Authorization': 'Basic d3Jvbmc6d3Jvbmc=' };
    const error = await failureOf(
      newTransport().send({ url: server.url, http_proxy: through.url, headers }),
      ProxyAuthenticationError,
    );
    expect(error.message).toContain('the credentials were not accepted');
    expect(server.requests).toHaveLength(0);
  });

  test.each([
    ['credentials', { auth: AUTH }],
    ['a header of that name', { headers: { 'proxy-authorization': 'Bearer theirs' } }],
  ])('contradict %s of the setting', async (_, setting) => {
    const [server, through] = [await origin(scheme), await proxy()];
    const http_proxy = { url: through.url, ...setting };
    const headers = { 'Proxy-Authorization': 'Bearer mine' };
    const error = await failureOf(newTransport().send({ url: server.url, http_proxy, headers }), InvalidOptionError);
    expect(error).toMatchObject({ option: 'headers.Proxy-Authorization' });
    expect(through.connectionCount).toBe(0);
  });
});
