// One connection, step by step: opening, asking, answering, closing and using again.
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { OriginHandler } from '@cloudlane/testing';
import { ClosedError, type HttpConnection, type HttpConnectionRequest, ResetError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, failureOf, newTransport, origin } from './lab.ts';
import { openWay, WAYS } from './ways.ts';

async function ask(connection: HttpConnection, target = '/', options?: HttpConnectionRequest): Promise<string> {
  await connection.request(options?.body == null ? 'GET' : 'POST', target, options);
  return text((await connection.getResponse()).body);
}

const silent: OriginHandler = () => {};
const half: OriginHandler = (_, response) => void response.writeHead(200, { 'Content-Length': 100 }).write('half');

describe.each(WAYS)('a connection to an %s origin by the way %s', (scheme, via) => {
  test('U7 opens nothing by itself, one connection at the first request, and carries the next ones', async () => {
    const { server, first, request } = await openWay(scheme, via);
    const transport = newTransport();
    const connection = transport.open(request.url, { http_proxy: request.http_proxy });
    expect([connection.isClosed, connection.isConnected, connection.info]).toEqual([true, false, null]);
    expect(first.connectionCount).toBe(0);
    for (const count of [1, 2, 3]) {
      await ask(connection, `/${count}`);
      expect([connection.isConnected, connection.info?.requestCount]).toEqual([true, count]);
    }
    expect(server.requests.map(({ target }) => target)).toEqual(['/1', '/2', '/3']);
    expect(first.connectionCount).toBe(1);
    expect(transport.connections.map(String)).toEqual([String(connection.info)]);
  });

  test.each([null, 'body'])('U7 uses the connection that connect() opened, for a body of %p', async (body) => {
    const { first, request } = await openWay(scheme, via);
    const connection = newTransport().open(request.url, { http_proxy: request.http_proxy });
    await connection.connect();
    const { id } = connection.info ?? {};
    expect(connection.info).toMatchObject({ state: 'IDLE', requestCount: 0 });
    await connection.connect();
    await ask(connection, '/', { body });
    expect(connection.info).toMatchObject({ id, requestCount: 1 });
    expect(first.connectionCount).toBe(1);
  });

  test('U15 can be used again after close(), by the same way', async () => {
    const { server, through, first, request } = await openWay(scheme, via);
    const transport = newTransport();
    const connection = transport.open(request.url, { http_proxy: request.http_proxy });
    for (const count of [1, 2]) {
      await ask(connection);
      await connection.close();
      expect([connection.isClosed, connection.hasConnectedToProxy, connection.proxyIsVerified]).toEqual([
        true,
        false,
        null,
      ]);
      await expectNothingLeft(transport, first);
      expect([first.connectionCount, server.requests.length, through?.hops.length ?? count]).toEqual(
        Array(3).fill(count),
      );
    }
    await connection.close();
  });
});

describe('U12 the answer', () => {
  test('is there for who has sent a request, once', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, { http_proxy: null });
    await expect(connection.getResponse()).rejects.toThrow('comes too early: send a request first');
    await connection.connect();
    await failureOf(connection.getResponse(), InvalidOptionError);
    await connection.request('GET', '/');
    const [answer, second] = await Promise.allSettled([connection.getResponse(), connection.getResponse()]);
    expect(second).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('comes twice') } });
    await failureOf(connection.getResponse(), InvalidOptionError);
    expect(answer).toMatchObject({ status: 'fulfilled', value: { status: 200, url: { href: `${server.url}/` } } });
    if (answer.status === 'fulfilled') await text(answer.value.body);
    expect(server.requests).toHaveLength(1);
  });

  test('leads to its connection until the body is read, and can end it there', async () => {
    const server = await origin('http', { handler: half });
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: null });
    await connection.request('GET', '/');
    const response = await connection.getResponse();
    expect(response.httpConnection).toBe(connection);
    const read = failureOf(text(response.body), ClosedError);
    await response.httpConnection?.close();
    expect((await read).message).toContain('the connection was closed');
    expect([response.httpConnection, connection.isClosed]).toEqual([null, true]);
    await expectNothingLeft(transport, server);
  });

  test('may be asked for while the request is being sent', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, { http_proxy: null });
    const [, response] = await Promise.all([
      connection.request('PUT', '/', { body: Readable.from(['one', 'two']) }),
      connection.getResponse(),
    ]);
    expect(await text(response.body)).toContain('"body":"onetwo"');
  });
});

describe('U13 a body', () => {
  test('that is read to its end frees the connection; until then no other request is taken', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, { http_proxy: null });
    await connection.request('GET', '/one');
    await expect(connection.request('GET', '/two')).rejects.toThrow('get the answer to the request before');
    const response = await connection.getResponse();
    await expect(connection.request('GET', '/two')).rejects.toThrow('read or destroy the body of the answer before');
    await text(response.body);
    expect(response.httpConnection).toBeNull();
    await ask(connection, '/three');
    expect(server.requests.map(({ target, connection: number }) => [target, number])).toEqual([
      ['/one', 1],
      ['/three', 1],
    ]);
  });

  test('that is destroyed closes the connection, and the next request opens another', async () => {
    const server = await origin('http', { handler: half });
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: null });
    for (const count of [1, 2]) {
      await connection.request('GET', '/');
      const response = await connection.getResponse();
      response.body.destroy();
      expect([response.httpConnection, connection.info]).toEqual([null, null]);
      if (count === 1) await connection.connect();
    }
    await server.waitUntilIdle();
    expect(server.connectionCount).toBe(2);
    await expectNothingLeft(transport, server);
  });

  test.each<[string, string, OriginHandler]>([
    ['HEAD', 'HEAD', (_, response) => void response.writeHead(200, { 'Content-Length': 5 }).end()],
    ['204', 'GET', (_, response) => void response.writeHead(204).end()],
    ['304', 'GET', (_, response) => void response.writeHead(304, { ETag: '"a"' }).end()],
    ['an empty one', 'GET', (_, response) => void response.writeHead(200, { 'Content-Length': 0 }).end()],
  ])('that there is none of (%s) need not be read', async (_, method, handler) => {
    const server = await origin('http', { handler });
    const connection = newTransport().open(server.url, { http_proxy: null });
    for (const count of [1, 2, 3]) {
      await connection.request(method, '/');
      const response = await connection.getResponse();
      expect([response.httpConnection, await text(response.body)]).toEqual([null, '']);
      expect(connection.info?.requestCount).toBe(count);
    }
    expect(server.connectionCount).toBe(1);
  });
});

describe.each(WAYS)('close() of a connection to an %s origin by the way %s', (scheme, via) => {
  test.each(['connect', 'request', 'body'] as const)('U15 ends what is under way: %s', async (step) => {
    const handler = step === 'body' ? half : silent;
    const { server, first, request } = await openWay(scheme, via, { origin: { handler } });
    const transport = newTransport();
    const connection = transport.open(request.url, { http_proxy: request.http_proxy });
    const run = async (): Promise<unknown> => {
      if (step === 'connect') return connection.connect();
      await connection.request('GET', '/');
      return text((await connection.getResponse()).body);
    };
    const failure = failureOf(run(), ClosedError);
    if (step !== 'connect') await server.waitForRequests(1);
    await Promise.all([connection.close(), connection.close()]);
    expect((await failure).message).toContain('the connection was closed');
    expect(connection.isClosed).toBe(true);
    await expectNothingLeft(transport, first, server);
  });
});

describe('what is closed', () => {
  test('U15 by close() while an answer is awaited takes the next request at once', async () => {
    const server = await origin('http', {
      handler: ({ url }, response) => void (url === '/good' && response.end('good')),
    });
    const connection = newTransport().open(server.url, { http_proxy: null });
    await connection.request('GET', '/silent');
    const failure = failureOf(connection.getResponse(), ClosedError);
    void connection.close();
    expect(await ask(connection, '/good')).toBe('good');
    await failure;
    expect([connection.info?.requestCount, server.connectionCount]).toEqual([1, 2]);
  });

  test('by the transport stays so', async () => {
    const server = await origin('http', { handler: silent });
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: null });
    await connection.request('GET', '/');
    const failure = failureOf(connection.getResponse(), ClosedError);
    await Promise.all([transport.close(), connection.close(), failure]);
    expect(connection.isClosed).toBe(true);
    await failureOf(connection.connect(), ClosedError);
    await failureOf(connection.request('GET', '/'), ClosedError);
    await expectNothingLeft(transport, server);
    await connection.close();
  });

  test('by the server while it rests is opened anew', async () => {
    const server = await origin('http', {
      handler: ({ socket }, response) => void response.end('bye', () => socket.end()),
    });
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: null });
    for (const count of [1, 2]) {
      expect(await ask(connection)).toBe('bye');
      await expectNothingLeft(transport, server);
      expect([connection.isClosed, server.connectionCount]).toEqual([true, count]);
    }
  });

  test.each([
    [100, 'http', 'http'],
    [100, 'http', 'socks5h'],
    [20, 'https', 'https'],
  ] as const)('%i times over, to an %s origin by the way %s, leaves nothing', async (cycles, scheme, via) => {
    const { server, first, request } = await openWay(scheme, via);
    const transport = newTransport();
    for (let cycle = 0; cycle < cycles; cycle += 1) {
      const connection = transport.open(request.url, { http_proxy: request.http_proxy });
      if (cycle % 2 === 0) await ask(connection);
      else await connection.connect();
      await connection[Symbol.asyncDispose]();
    }
    await expectNothingLeft(transport, first, server);
    expect([first.connectionCount, server.requests.length]).toEqual([cycles, cycles / 2]);
  });
});

test('U14 a kept connection that breaks under a request fails it, and the next request has another', async () => {
  const server = await origin('http', {
    handler: ({ url, socket }, response) => void (url === '/break' ? socket.destroy() : response.end('good')),
  });
  const connection = newTransport().open(server.url, { http_proxy: null });
  for (const count of [1, 2]) {
    expect(await ask(connection)).toBe('good');
    await failureOf(ask(connection, '/break'), ResetError);
    expect([connection.isClosed, server.connectionCount]).toEqual([true, count]);
  }
});
