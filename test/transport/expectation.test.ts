import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { OriginHandler } from '@cloudlane/testing';
import {
  ProxyAuthenticationError,
  type RequestBody,
  TimeoutError,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, proxy } from './lab.ts';
import { openWay, WAYS } from './ways.ts';

const EXPECT = { Expect: '100-continue' } as const;

/** A body that notes whether anybody has begun to read it. */
class Watched {
  isRead = false;
  readonly stream: Readable = Readable.from(this.#chunks(), { objectMode: false, highWaterMark: 1 });

  async *#chunks(): AsyncGenerator<string> {
    this.isRead = true;
    yield 'the ';
    yield 'body';
  }
}

const BODIES: readonly (readonly [string, () => RequestBody])[] = [
  ['a string', () => 'the body'],
  ['bytes', () => Buffer.from('the body')],
  ['a stream', () => new Watched().stream],
  ['an iterable', () => iterable()],
  ['a web stream', () => new Blob(['the body']).stream()],
];

async function* iterable(): AsyncGenerator<string> {
  yield 'the body';
}

/** Asks for the body, and gives it back. */
const asking: OriginHandler = async (request, response) => {
  response.writeContinue();
  response.end(await text(request));
};

/** Does not ask for the body, but waits for it, and gives it back. */
const silent: OriginHandler = async (request, response) => void response.end(await text(request));

function refusing(status: number): OriginHandler {
  return (_, response) => void response.writeHead(status).end('no');
}

async function put(transport: Transport, request: TransportRequest): Promise<readonly [TransportResponse, string]> {
  const response = await transport.send({ ...request, method: 'PUT', headers: { ...EXPECT, ...request.headers } });
  return [response, await text(response.body)];
}

/** What came of the request's body by then. */
function arrived(request: IncomingMessage): Promise<boolean> {
  return new Promise((resolve) => {
    setImmediate(() => resolve(request.readableLength > 0 || request.readableEnded));
  });
}

describe.each(WAYS)('a body that waits for an %s origin, %s', (scheme, via) => {
  test('is sent when it is asked for, and no sooner', async () => {
    const watched = new Watched();
    const read: boolean[] = [];
    const expectation: OriginHandler = async (request, response) => {
      read.push(watched.isRead, await arrived(request));
      await asking(request, response);
    };
    const { server, request } = await openWay(scheme, via, { origin: { expectation } });
    const [response, answer] = await put(newTransport(), { ...request, body: watched.stream });
    expect([response.status, response.isBodyUnsent, answer]).toEqual([200, false, 'the body']);
    expect(read).toEqual([false, false]);
    expect(server.requests).toMatchObject([{ headers: { expect: '100-continue', 'transfer-encoding': 'chunked' } }]);
  });

  test('is sent as soon as it is asked for, before one that nobody asks for', async () => {
    const expectation: OriginHandler = (request, response) =>
      request.url === '/silent' ? silent(request, response) : asking(request, response);
    const { server, first, request } = await openWay(scheme, via, { origin: { expectation } });
    const transport = newTransport();
    const caller = new AbortController();
    const waiting = new Watched();
    const silence = { ...request, url: `${server.url}/silent`, body: waiting.stream, signal: caller.signal };
    const sent = put(transport, silence);
    sent.catch(() => {});
    await server.waitForRequests(1);
    expect((await put(transport, { ...request, body: 'the body' }))[1]).toBe('the body');
    expect(waiting.isRead).toBe(false);
    caller.abort();
    await expect(sent).rejects.toBe(caller.signal.reason);
    await transport.close();
    await first.waitUntilIdle();
  });

  test('leaves a connection that others can use', async () => {
    const { first, request } = await openWay(scheme, via, { origin: { expectation: asking } });
    const transport = newTransport();
    for (const [, body] of BODIES.slice(0, 2))
      expect((await put(transport, { ...request, body: body() }))[1]).toBe('the body');
    expect(first.connectionCount).toBe(1);
  });

  test.each(BODIES)('is not sent after a refusal, nor touched, and can be sent again: %s', async (_, make) => {
    let count = 0;
    const expectation: OriginHandler = (request, response) => {
      count += 1;
      return count === 1 ? refusing(401)(request, response) : asking(request, response);
    };
    const { server, first, request } = await openWay(scheme, via, { origin: { expectation } });
    const transport = newTransport();
    const body = make();
    const [refused, page] = await put(transport, { ...request, body });
    expect([refused.status, refused.isBodyUnsent, page]).toEqual([401, true, 'no']);
    await expectNothingLeft(transport, first);
    if (body instanceof Readable) expect([body.destroyed, body.readableDidRead]).toEqual([false, false]);
    const [again, answer] = await put(transport, { ...request, body });
    expect([again.status, again.isBodyUnsent, answer]).toEqual([200, false, 'the body']);
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2]);
  });

  test('is sent all the same after an answer that does not refuse it', async () => {
    const expectation: OriginHandler = async (request, response) => {
      response.writeHead(200).write('I take ');
      response.end(await text(request));
    };
    const { request } = await openWay(scheme, via, { origin: { expectation } });
    const [response, answer] = await put(newTransport(), { ...request, body: new Watched().stream });
    expect([response.isBodyUnsent, answer]).toEqual([false, 'I take the body']);
  });

  test('is given up with the call', async () => {
    const { server, first, request } = await openWay(scheme, via, { origin: { expectation: () => {} } });
    const transport = newTransport();
    const caller = new AbortController();
    const watched = new Watched();
    const sent = put(transport, { ...request, body: watched.stream, signal: caller.signal });
    sent.catch(() => {});
    await server.waitForRequests(1);
    caller.abort();
    await expect(sent).rejects.toBe(caller.signal.reason);
    await expectNothingLeft(transport, first);
    expect([watched.stream.destroyed, watched.isRead]).toEqual([true, false]);
  });
});

describe('a body that nobody asks for', () => {
  test('is sent after a second, whatever the way; no deadline for an answer runs until then', async () => {
    const ways = await Promise.all(
      WAYS.map(([scheme, via]) => openWay(scheme, via, { origin: { expectation: silent } })),
    );
    const transport = newTransport({ timeout: { firstByte: 900, idle: 300 } });
    const answers = await Promise.all(
      ways.map(({ request }, index) => put(transport, { ...request, body: BODIES[index % BODIES.length]?.[1]() })),
    );
    expect(answers.map(([{ isBodyUnsent }, answer]) => [isBodyUnsent, answer])).toEqual(
      WAYS.map(() => [false, 'the body']),
    );
  });

  test('holds no call longer than its deadline', async () => {
    const server = await origin('http', { expectation: () => {} });
    const transport = newTransport();
    const watched = new Watched();
    const request = { url: server.url, http_proxy: null, body: watched.stream, timeout: 100 };
    const error = await failureOf(put(transport, request), TimeoutError);
    expect(error).toMatchObject({ deadline: 'total', phase: 'request' });
    await expectNothingLeft(transport, server);
    expect([watched.stream.destroyed, watched.isRead]).toEqual([true, false]);
  });

  test.each<[string, () => Promise<[RequestBody, isOpen: () => Promise<unknown>]>]>([
    [
      'a stream',
      async () => {
        const { stream } = new Watched();
        return [stream, async () => !stream.destroyed];
      },
    ],
    [
      'an iterable',
      async () => {
        const body = iterable();
        return [body, async () => !(await body.next()).done];
      },
    ],
    [
      'a web stream',
      async () => {
        const body = new Blob(['the body']).stream();
        return [body, async () => !(await body.getReader().read()).done];
      },
    ],
  ])('is closed when the connection breaks: %s', async (_, make) => {
    const server = await origin('http', { expectation: ({ socket }) => void socket.destroy() });
    const transport = newTransport();
    const [body, isOpen] = await make();
    const sent = put(transport, { url: server.url, http_proxy: null, body });
    await expect(sent).rejects.toMatchObject({ code: 'ERR_RESET' });
    await expectNothingLeft(transport, server);
    expect(await isOpen()).toBe(false);
  });
});

test('a body that fails while it waits fails the call', async () => {
  const server = await origin('http', { expectation: () => {} });
  const transport = newTransport();
  const { stream } = new Watched();
  const sent = put(transport, { url: server.url, http_proxy: null, body: stream });
  sent.catch(() => {});
  await server.waitForRequests(1);
  const reason = new Error('the disk is gone');
  stream.destroy(reason);
  await expect(sent).rejects.toBe(reason);
  await expectNothingLeft(transport, server);
});

test('a body that fails when it is asked for fails the call', async () => {
  const reason = new Error('the disk is gone');
  const body = new Readable({ read: () => void body.destroy(reason) });
  const server = await origin('http', { expectation: asking });
  const transport = newTransport();
  await expect(put(transport, { url: server.url, http_proxy: null, body })).rejects.toBe(reason);
  await expectNothingLeft(transport, server);
});

test('a proxy can refuse a body that waits: the call fails, the body is untouched', async () => {
  const [server, through] = [await origin(), await proxy('http', { auth: AUTH })];
  const transport = newTransport();
  const watched = new Watched();
  await failureOf(
    put(transport, { url: server.url, http_proxy: through.url, body: watched.stream }),
    ProxyAuthenticationError,
  );
  await expectNothingLeft(transport, through);
  expect([watched.stream.destroyed, watched.isRead]).toEqual([false, false]);
  const again = { url: server.url, http_proxy: through.urlWithCredentials, body: watched.stream };
  expect((await put(transport, again))[0].status).toBe(200);
  expect(server.requests).toMatchObject([{ body: Buffer.from('the body') }]);
});

test('a body in memory is offered once more if the kept connection was closed', async () => {
  const server = await origin('http', {
    expectation: (request, response) => {
      const isFirst = server.requests.filter(({ connection }) => connection === 1).length === 1;
      if (isFirst || server.connectionCount > 1) return asking(request, response);
      request.socket.destroy();
    },
  });
  const transport = newTransport();
  const request = { url: server.url, http_proxy: null, body: 'the body' };
  expect((await put(transport, request))[1]).toBe('the body');
  expect((await put(transport, request))[1]).toBe('the body');
  expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1, 2]);
});

test('goes with a connection of its own', async () => {
  const server = await origin('http', { expectation: asking });
  const transport = newTransport();
  const request = { url: server.url, http_proxy: null, body: 'the body', keepAlive: false };
  expect((await put(transport, request))[1]).toBe('the body');
  expect(server.requests).toMatchObject([{ headers: { connection: 'close', expect: '100-continue' } }]);
  await expectNothingLeft(transport, server);
});

test.each<[string, RequestBody | null]>([
  ['none', null],
  ['an empty string', ''],
  ['no bytes', Buffer.alloc(0)],
])('without a body nothing is expected: %s', async (_, body) => {
  const server = await origin();
  const [{ status }] = await put(newTransport(), { url: server.url, http_proxy: null, body });
  expect(status).toBe(200);
  expect(server.requests.map(({ headers }) => headers.expect)).toEqual([undefined]);
});

test('the expectation is taken in any spelling, and says the one that is defined', async () => {
  const server = await origin('http', { expectation: asking });
  const sent = { url: server.url, http_proxy: null, method: 'PUT', body: 'x', headers: { eXPECT: '100-Continue' } };
  await text((await newTransport().send(sent)).body);
  expect(server.requests[0]?.rawHeaders.join(' ')).toMatch(/(^| )Expect 100-continue( |$)/);
});

test.each(['200-ok', '100-continue, more', '', 5])('nothing else can be expected: %j', async (Expect) => {
  const server = await origin();
  const sent = put(newTransport(), { url: server.url, http_proxy: null, body: 'x', headers: { Expect } });
  expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option: 'headers.Expect' });
  expect(server.connectionCount).toBe(0);
});
