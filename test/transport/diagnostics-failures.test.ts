import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { closedPort, type OriginHandler } from '@cloudlane/testing';
import type { Transport, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, newTransport, origin, proxy } from './lab.ts';
import { listen, named, REQUEST } from './listen.ts';

async function read(transport: Transport, request: TransportRequest): Promise<void> {
  await text((await transport.send(request)).body);
}

interface Failure {
  readonly name: string;
  readonly phases: readonly string[];
  readonly code: string;
  readonly start: () => Promise<{ readonly request: TransportRequest; readonly abort?: () => Promise<void> }>;
}

const never: OriginHandler = () => {};
const brokenBody: OriginHandler = ({ socket }, response) => {
  response.writeHead(200, { 'Content-Length': 100 }).write('half', () => socket.destroy());
};
const stalledBody: OriginHandler = (_, response) => void response.writeHead(200, { 'Content-Length': 9 }).write('half');

async function direct(handler: OriginHandler, rest: Partial<TransportRequest> = {}) {
  const server = await origin('http', { handler });
  return { server, request: { url: server.url, http_proxy: null, ...rest } };
}

const FAILURES: readonly Failure[] = [
  {
    name: 'a proxy that is not there',
    phases: ['proxy-connect'],
    code: 'ERR_PROXY_CONNECT',
    start: async () => ({
      request: { url: 'https://x.example', http_proxy: `http://127.0.0.1:${await closedPort()}` },
    }),
  },
  {
    name: 'a tunnel that is refused with 407',
    phases: ['proxy-connect', 'proxy-handshake'],
    code: 'ERR_PROXY_AUTHENTICATION',
    start: async () => ({
      request: { url: 'https://x.example', http_proxy: (await proxy('http', { auth: AUTH })).url },
    }),
  },
  {
    name: 'a forwarded request that is refused with 407',
    phases: ['proxy-connect', 'request', 'response', 'body', 'response'],
    code: 'ERR_PROXY_AUTHENTICATION',
    start: async () => ({
      request: { url: 'http://x.example', http_proxy: (await proxy('http', { auth: AUTH })).url },
    }),
  },
  {
    name: 'a forwarded request that the proxy answers itself',
    phases: ['proxy-connect', 'request', 'response', 'body', 'response'],
    code: 'ERR_PROXY_RESPONSE',
    start: async () => {
      const through = await proxy('http', { misbehaviour: { kind: 'refuse-origin' } });
      return { request: { url: 'http://x.example', http_proxy: through.url } };
    },
  },
  {
    name: 'a reset',
    phases: ['origin-connect', 'request', 'response'],
    code: 'ERR_RESET',
    start: () => direct(({ socket }) => void socket.destroy()),
  },
  {
    name: 'a deadline',
    phases: ['origin-connect', 'request', 'response'],
    code: 'ERR_TIMEOUT',
    start: () => direct(never, { timeout: { firstByte: 20 } }),
  },
  {
    name: 'a body that breaks off',
    phases: ['origin-connect', 'request', 'response', 'body'],
    code: 'ERR_RESET',
    start: () => direct(brokenBody),
  },
  {
    name: 'a body that stalls',
    phases: ['origin-connect', 'request', 'response', 'body'],
    code: 'ERR_TIMEOUT',
    start: () => direct(stalledBody, { timeout: { idle: 20 } }),
  },
  {
    name: 'an abort while it waits',
    phases: ['origin-connect', 'request', 'response'],
    code: 'ABORTED',
    start: async () => {
      const controller = new AbortController();
      const { server, request } = await direct(never, { signal: controller.signal });
      const abort = async (): Promise<void> => {
        await server.waitForRequests(1);
        controller.abort(Object.assign(new Error('enough'), { code: 'ABORTED' }));
      };
      return { request, abort };
    },
  },
  {
    name: 'an abort before it begins',
    phases: [],
    code: 'ABORTED',
    start: () => direct(never, { signal: AbortSignal.abort(Object.assign(new Error('enough'), { code: 'ABORTED' })) }),
  },
  {
    name: 'a source that breaks',
    phases: ['origin-connect', 'request'],
    code: 'BROKEN',
    start: async () => {
      const server = await origin('http', { handler: never, recordBodies: false });
      const body = Readable.from(broken(() => server.waitForRequests(1)));
      return { request: { url: server.url, http_proxy: null, method: 'PUT', body } };
    },
  },
];

async function* broken(hasBegun: () => Promise<void>): AsyncGenerator<string> {
  yield 'some';
  await hasBegun();
  throw Object.assign(new Error('the source broke'), { code: 'BROKEN' });
}

describe('a failed request', () => {
  test.each(FAILURES)('is told of as one, once: $name', async ({ phases, code, start }) => {
    const { request, abort } = await start();
    const transport = newTransport();
    const { told } = listen(...REQUEST);
    const failing = read(transport, request).catch((error: unknown) => error);
    await abort?.();
    const error = await failing;
    await transport.close();
    expect(named(told)).toEqual(['request:start', ...phases, 'request:error']);
    expect(new Set(told.map(([, { id }]) => id)).size).toBe(1);
    const last = told.at(-1)?.[1];
    expect(last).toMatchObject({ error: { code }, reusedConnection: false, timings: { total: expect.any(Number) } });
    expect(last?.error).toBe(error);
  });

  test.each<[string, TransportRequest]>([
    ['its URL', { url: 'ftp://x.example' }],
    ['its proxy', { url: 'http://x.example', http_proxy: 'ftp://x.example' }],
    ['its deadline', { url: 'http://x.example', http_proxy: null, timeout: -1 }],
  ])('is not told of if it never became one, for %s', async (_, request) => {
    const { told } = listen(...REQUEST);
    await expect(newTransport().send(request)).rejects.toBeInstanceOf(Error);
    expect(told).toEqual([]);
  });
});
