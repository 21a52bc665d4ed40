// One connection: what is sent and what comes, also when it goes wrong, and that each fault costs one connection.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { OriginHandler } from '@cloudlane/testing';
import { type HttpConnection, type HttpConnectionRequest, ProtocolError, ResetError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, failureOf, newTransport, origin, until, use } from './lab.ts';
import { openWay, WAYS } from './ways.ts';

async function ask(connection: HttpConnection, options?: HttpConnectionRequest): Promise<string> {
  await connection.request('PUT', '/', options);
  return text((await connection.getResponse()).body);
}

/** A server that answers the first bytes of each connection with its own; their port, and the connections so far. */
async function rawServer(answer: (socket: Socket, count: number) => void): Promise<{ url: string; count(): number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    socket.once('data', () => answer(socket, sockets.length));
  });
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  await use({ [Symbol.asyncDispose]: close });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  return { url: `http://127.0.0.1:${port}`, count: () => sockets.length };
}

const MEGABYTES = 8 * 1024 * 1024;
const LARGE: readonly (readonly [string, () => Buffer | Readable])[] = [
  ['buffer', () => Buffer.alloc(MEGABYTES)],
  ['stream', () => Readable.from(Array(128).fill(Buffer.alloc(MEGABYTES / 128)))],
];
const REFUSAL = 'HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much';
const REFUSERS: readonly (readonly [string, (socket: Socket) => void])[] = [
  ['ends', (socket) => void socket.end(REFUSAL)],
  ['destroys', (socket) => void socket.write(REFUSAL, () => socket.destroy())],
  ['reads no more', (socket) => void socket.pause().write(REFUSAL)],
  ['resets', (socket) => void socket.write(REFUSAL, () => socket.resetAndDestroy())],
];

describe.each(LARGE)('U11 a large %s', (_, body) => {
  test.each(REFUSERS)('whose server answers early and %s gets the answer', async (_how, refuse) => {
    const server = await rawServer(refuse);
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: null });
    for (const count of [1, 2]) {
      await connection.request('PUT', '/', { body: body() });
      const response = await connection.getResponse();
      expect([response.status, await text(response.body)]).toEqual([413, 'too much']);
      expect(server.count()).toBe(count);
    }
    await connection.close();
    await expectNothingLeft(transport);
  });

  test('whose server goes without a word fails, and so does the wait for an answer', async () => {
    const server = await rawServer((socket) => void socket.destroy());
    const connection = newTransport().open(server.url, { http_proxy: null });
    await failureOf(ask(connection, { body: body() }), ResetError);
    expect(connection.isClosed).toBe(true);
  });
});

describe('U12 an answer that makes no sense', () => {
  const head = 'HTTP/1.1 200 OK\r\n';
  test.each<[string, string, string | typeof ResetError | typeof ProtocolError]>([
    ['garbage instead of a head', 'SSH-2.0-OpenSSH\r\n', ProtocolError],
    ['garbage among the headers', `${head}\0\0\0: x\r\n\r\n`, ProtocolError],
    ['garbage after the headers', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, ProtocolError],
    ['two lengths', `${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, ProtocolError],
    ['a length that is too long', `${head}Content-Length: 10\r\n\r\nfour`, ResetError],
    ['chunks without an end', `${head}Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n`, ResetError],
    ['a length that is too short', `${head}Content-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n`, 'ok'],
    ['no length, and an end', `${head}Connection: close\r\n\r\nfour`, 'four'],
  ])('such as %s costs its connection, and the next request has another', async (_, bytes, expected) => {
    const good = `${head}Content-Length: 4\r\nConnection: close\r\n\r\ngood`;
    const server = await rawServer((socket, count) => void socket.end(count % 2 === 1 ? bytes : good));
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: null });
    for (const count of [1, 3]) {
      if (typeof expected === 'string') expect(await ask(connection)).toBe(expected);
      else await failureOf(ask(connection), expected);
      await until(() => connection.isClosed);
      expect(await ask(connection)).toBe('good');
      expect(server.count()).toBe(count + 1);
    }
    await expectNothingLeft(transport);
  });
});

test('U14 100 failures, each of which closes its connection, and then a good answer', async () => {
  let count = 0;
  const server = await origin('http', {
    handler: ({ socket }, response) => {
      count += 1;
      if (count > 100) return void response.end('good');
      if (count % 2 === 0) return void socket.destroy();
      response.writeHead(200, { 'Content-Length': 100 });
      return void response.write('half', () => socket.destroy());
    },
  });
  const transport = newTransport();
  const connection = transport.open(server.url, { http_proxy: null });
  for (let failures = 0; failures < 100; failures += 1) {
    await failureOf(ask(connection), ResetError);
    expect(connection.isClosed).toBe(true);
  }
  expect(await ask(connection)).toBe('good');
  expect([server.connectionCount, transport.connections.length]).toEqual([101, 1]);
});

describe.each(WAYS)('what is sent to an %s origin by the way %s', (scheme, via) => {
  test('arrives whole, with progress, on one connection', async () => {
    const { server, first, request } = await openWay(scheme, via);
    const connection = newTransport().open(request.url, { http_proxy: request.http_proxy });
    const chunks = ['one', 'two', 'three'];
    const bodies = [chunks.join(''), Buffer.from(chunks.join('')), () => Readable.from(chunks)] as const;
    for (const [index, each] of bodies.entries()) {
      const progress: (number | null)[][] = [];
      const onUploadProgress = (sent: number, total: number | null): void => void progress.push([sent, total]);
      const body = typeof each === 'function' ? each() : each;
      await connection.request('post', '/', { body, onUploadProgress, headers: { 'X-Number': index } });
      await text((await connection.getResponse()).body);
      expect(server.requests[index]).toMatchObject({
        method: 'POST',
        complete: true,
        headers: { 'x-number': `${index}` },
      });
      expect(String(server.requests[index]?.body)).toBe('onetwothree');
      expect(progress).toEqual(
        index < 2
          ? [[11, 11]]
          : [
              [3, null],
              [6, null],
              [11, null],
            ],
      );
    }
    expect([first.connectionCount, connection.info?.requestCount]).toEqual([1, 3]);
  });

  test('is resolved before the answer comes, and the answer waited for by itself', async () => {
    let answer = (): void => {};
    const handler: OriginHandler = (_, response) => {
      answer = () => void response.end('answer');
    };
    const { server, request } = await openWay(scheme, via, { origin: { handler } });
    const connection = newTransport().open(request.url, { http_proxy: request.http_proxy });
    await connection.request('PUT', '/', { body: 'sent' });
    await server.waitForRequests(1);
    let isThere = false;
    const response = connection.getResponse().finally(() => {
      isThere = true;
    });
    await until(() => server.requests[0]?.complete === true);
    expect(isThere).toBe(false);
    answer();
    expect(await text((await response).body)).toBe('answer');
  });
});

describe('a body', () => {
  test('whose source fails fails the request with that error, and closes the connection', async () => {
    const server = await origin();
    const transport = newTransport();
    const connection = transport.open(server.url, { http_proxy: null });
    async function* broken(): AsyncGenerator<string> {
      yield 'some';
      throw new RangeError('the source broke');
    }
    await expect(connection.request('PUT', '/', { body: broken() })).rejects.toThrow(
      new RangeError('the source broke'),
    );
    expect(connection.isClosed).toBe(true);
    await ask(connection, { body: 'whole' });
    expect(server.requests.filter(({ complete }) => complete)).toHaveLength(1);
  });

  test.each<[string, HttpConnectionRequest]>([
    ['of no kind', { body: 5 as unknown as string }],
    ['of another length than declared', { body: 'four', headers: { 'Content-Length': 5 } }],
    ['beside a header that cannot be sent', { body: 'four', headers: { 'X-A': 'a\r\nb' } }],
  ])('%s is refused, and the connection is as before', async (_, options) => {
    const server = await origin();
    const connection = newTransport().open(server.url, { http_proxy: null });
    await ask(connection);
    await expect(connection.request('PUT', '/', options)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' });
    expect(connection.isConnected).toBe(true);
    await ask(connection);
    expect([server.connectionCount, connection.info?.requestCount]).toEqual([1, 2]);
  });
});
