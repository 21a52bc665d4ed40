import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { LabOrigin, LabProxy, OriginHandler } from '@cloudlane/testing';
import {
  type RequestBody,
  ResetError,
  TimeoutError,
  type Transport,
  type TransportRequest,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { failureOf, newTransport, origin, proxy } from './lab.ts';

/** Answers the first request of each connection, and hangs up on the second instead of answering it. */
const hangUpOnSecond = (): OriginHandler => {
  const seen = new WeakSet<object>();
  return (request, response) => {
    if (seen.has(request.socket)) request.socket.destroy();
    else response.end('answer');
    seen.add(request.socket);
  };
};

async function answerTo(transport: Transport, request: TransportRequest): Promise<string> {
  return await text((await transport.send(request)).body);
}

const ROUTES = [
  ['http', null],
  ['https', null],
  ['https', 'http'],
  ['https', 'https'],
] as const;

describe.each(ROUTES)(
  'a kept connection to an %s origin through %s proxy that the other end gives up',
  (scheme, via) => {
    async function start(
      options = {},
    ): Promise<{ server: LabOrigin; transport: Transport; request: TransportRequest }> {
      const server = await origin(scheme, { handler: hangUpOnSecond() });
      const through: LabProxy | null = via && (await proxy(via));
      return {
        server,
        transport: newTransport(options),
        request: { url: server.url, http_proxy: through?.url ?? null },
      };
    }

    test.each(['GET', 'PUT', 'DELETE'])('has a %s sent once more, on a fresh one', async (method) => {
      const { server, transport, request } = await start();
      expect(await answerTo(transport, request)).toBe('answer');
      const response = await transport.send({ ...request, method, ...(method === 'PUT' && { body: 'whole' }) });
      expect([response.status, response.reusedConnection]).toEqual([200, false]);
      expect(await text(response.body)).toBe('answer');
      expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1, 2]);
      if (method === 'PUT') expect(String(server.requests[2]?.body)).toBe('whole');
    });

    test.each<[string, string, () => RequestBody]>([
      ['POST', 'is not idempotent', () => 'whole'],
      ['PUT', 'has a body that can be read once', () => Readable.from(['part'])],
    ])('fails a %s, which %s', async (method, _why, body) => {
      const { server, transport, request } = await start();
      await answerTo(transport, request);
      await failureOf(transport.send({ ...request, method, body: body() }), ResetError);
      expect(server.requests).toHaveLength(2);
    });

    test('is replaced also where maxSockets allows one', async () => {
      const { transport, request } = await start({ maxSockets: 1 });
      for (let call = 0; call < 4; call += 1) expect(await answerTo(transport, request)).toBe('answer');
    });
  },
);

test('the last try is the second: its error is told', async () => {
  let calls = 0;
  const server = await origin('http', {
    handler: (request, response) => {
      calls += 1;
      if (calls === 1) response.end();
      else request.socket.destroy();
    },
  });
  const transport = newTransport();
  await answerTo(transport, { url: server.url, http_proxy: null });
  await failureOf(transport.send({ url: server.url, http_proxy: null }), ResetError);
  expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1, 2]);
});

test('a fresh connection that breaks is no reason to try again', async () => {
  const server = await origin('http', { handler: (request) => void request.socket.destroy() });
  await failureOf(newTransport().send({ url: server.url, http_proxy: null }), ResetError);
  expect(server.requests).toHaveLength(1);
});

test('other idle connections make room for the fresh one', async () => {
  const handler = hangUpOnSecond();
  const server = await origin('http', {
    handler: (request, response) => void setImmediate(handler, request, response),
  });
  const transport = newTransport({ maxSockets: 2 });
  const request = { url: server.url, http_proxy: null };
  await Promise.all([answerTo(transport, request), answerTo(transport, request)]);
  expect(transport.connections).toHaveLength(2);
  expect(await answerTo(transport, request)).toBe('answer');
});

test('the total deadline counts both tries', async () => {
  const handler = hangUpOnSecond();
  const server = await origin('http', {
    handler: (request, response) => {
      if (server.requests.length < 3) return handler(request, response);
    },
  });
  const transport = newTransport();
  await answerTo(transport, { url: server.url, http_proxy: null });
  const error = await failureOf(transport.send({ url: server.url, http_proxy: null, timeout: 200 }), TimeoutError);
  expect(error).toMatchObject({ deadline: 'total', phase: 'response' });
  expect(server.requests).toHaveLength(3);
});

test('a proxy that gives up a kept connection has a forwarded request sent once more', async () => {
  const [server, through] = [await origin(), await proxy()];
  const transport = newTransport();
  const request = { url: server.url, http_proxy: through.url };
  await answerTo(transport, request);
  through.misbehave({ kind: 'end', on: 'forward', times: 1 });
  await answerTo(transport, request);
  expect(through.hops.map(({ connection }) => connection)).toEqual([1, 1, 2]);
  expect(server.requests).toHaveLength(2);
});

test('a request of whose answer something has come is not sent again', async () => {
  const seen = new WeakSet<object>();
  const server = await origin('http', {
    handler: ({ socket }, response) => {
      if (!seen.has(socket)) response.end('answer');
      else socket.write('HTTP/1.1 200 OK\r\nContent-', () => socket.destroy());
      seen.add(socket);
    },
  });
  const transport = newTransport();
  await answerTo(transport, { url: server.url, http_proxy: null });
  await failureOf(transport.send({ url: server.url, http_proxy: null, method: 'DELETE' }), ResetError);
  expect(server.requests).toHaveLength(2);
});
