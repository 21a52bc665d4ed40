import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { closedPort, type LabOrigin, type OriginHandler } from '@cloudlane/testing';
import {
  ProxyAuthenticationError,
  ProxyConnectError,
  ResetError,
  TimeoutError,
  type Timings,
  type Transport,
  TransportError,
  type TransportRequest,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, failureOf, newTransport, origin, proxy, type Scheme, socks, until } from './lab.ts';
import { openWay, type Via, WAYS } from './ways.ts';

type Name = keyof Timings;

/** Milliseconds that something is made to take. */
const DELAY = 100;
/** Of these the phase in question must have: on a busy machine the other end's clock begins before this end has seen why. */
const AT_LEAST = DELAY / 2;

/** The names of what is not null, in their order. */
function happened(timings: Timings | null): string[] {
  return Object.entries(timings ?? {}).flatMap(([name, time]) => (time === null ? [] : [name]));
}

function expectSumWithinTotal(timings: Timings | null): void {
  const { total = null, ...parts } = timings ?? {};
  const sum = Object.values(parts).reduce((before: number, time) => before + (time ?? 0), 0);
  expect(sum).toBeGreaterThan(0);
  // Additions of floating point numbers, no more.
  expect(sum).toBeLessThanOrEqual((total ?? 0) + 1e-6);
}

async function timingsOf(transport: Transport, request: TransportRequest): Promise<Timings> {
  const response = await transport.send(request);
  await text(response.body);
  return response.timings;
}

const EXCHANGE: readonly Name[] = ['request', 'firstByte', 'body', 'total'];

/** What opening a connection takes. */
const OPENING: Readonly<Record<Via, Readonly<Record<Scheme, readonly Name[]>>>> = {
  direct: { http: ['originConnect'], https: ['originConnect', 'originTls'] },
  http: { http: ['proxyConnect'], https: ['proxyConnect', 'proxyHandshake', 'originTls'] },
  https: { http: ['proxyConnect', 'proxyTls'], https: ['proxyConnect', 'proxyTls', 'proxyHandshake', 'originTls'] },
  socks5h: { http: ['proxyConnect', 'proxyHandshake'], https: ['proxyConnect', 'proxyHandshake', 'originTls'] },
};

describe.each(WAYS)('the timings of a request to an %s origin by %s', (scheme, via) => {
  test('name what happened on a fresh connection, and on a reused one', async () => {
    const { request } = await openWay(scheme, via, { proxy: { auth: AUTH } });
    const transport = newTransport();
    for (const opening of [OPENING[via][scheme], []]) {
      const response = await transport.send(request);
      const early = response.timings;
      expect(happened(early)).toEqual([...opening, 'request', 'firstByte']);
      await text(response.body);
      expect(happened(response.timings)).toEqual([...opening, ...EXCHANGE]);
      expect(response.timings).toMatchObject({ request: early.request, firstByte: early.firstByte });
      expectSumWithinTotal(response.timings);
      expect(response.timings).toEqual(response.timings);
    }
  });
});

test.each<[string, string, Via, readonly Name[]]>([
  ['the origin', 'localhost', 'direct', ['originDns', 'originConnect']],
  ['the origin, which the proxy does', 'localhost', 'http', ['proxyConnect', 'proxyHandshake']],
])('looking up %s takes its own time, if it happens here', async (_, host, via, opening) => {
  const { server, through } = await openWay('https', via);
  const url = `https://${host}:${server.port}`;
  const timings = await timingsOf(newTransport(), { url, http_proxy: through?.url ?? null });
  expect(happened(timings)).toEqual([...opening, 'originTls', ...EXCHANGE]);
  expectSumWithinTotal(timings);
});

test('looking up the proxy takes its own time, and so does the origin for socks5', async () => {
  const [server, through] = [await origin('http', { host: '127.0.0.1' }), await socks()];
  const http_proxy = `socks5://localhost:${through.port}`;
  const url = `http://localhost:${server.port}`;
  const timings = await timingsOf(newTransport(), { url, http_proxy });
  expect(happened(timings)).toEqual(['proxyDns', 'proxyConnect', 'proxyHandshake', 'originDns', ...EXCHANGE]);
  expectSumWithinTotal(timings);
});

describe('what takes long is told where it did', () => {
  const later: OriginHandler = (_, response) => void setTimeout(() => response.end('late'), DELAY);
  const halfLater: OriginHandler = (_, response) => {
    response.write('half');
    setTimeout(() => response.end('rest'), DELAY);
  };
  async function* slowly(server: LabOrigin): AsyncGenerator<string> {
    yield 'some';
    await server.waitForRequests(1);
    await new Promise((resolve) => setTimeout(resolve, DELAY));
    yield 'more';
  }

  interface Slow {
    readonly what: string;
    readonly scheme: Scheme;
    readonly via: Via;
    readonly phase: Name;
    readonly handler?: OriginHandler;
    readonly delay?: number;
    readonly request?: (server: LabOrigin) => Partial<TransportRequest>;
  }

  const SLOW: readonly Slow[] = [
    { what: 'CONNECT', scheme: 'https', via: 'http', phase: 'proxyHandshake', delay: DELAY },
    { what: 'CONNECT inside TLS', scheme: 'https', via: 'https', phase: 'proxyHandshake', delay: DELAY },
    { what: 'the SOCKS handshake', scheme: 'http', via: 'socks5h', phase: 'proxyHandshake', delay: DELAY },
    { what: 'a proxy that forwards', scheme: 'http', via: 'http', phase: 'firstByte', delay: DELAY },
    { what: 'an origin', scheme: 'https', via: 'direct', phase: 'firstByte', handler: later },
    { what: 'an origin in a tunnel', scheme: 'https', via: 'http', phase: 'firstByte', handler: later },
    { what: 'a body', scheme: 'http', via: 'direct', phase: 'body', handler: halfLater },
    { what: 'a body in a tunnel', scheme: 'https', via: 'http', phase: 'body', handler: halfLater },
    {
      what: 'an upload',
      scheme: 'https',
      via: 'http',
      phase: 'request',
      request: (server) => ({ method: 'PUT', body: Readable.from(slowly(server)) }),
    },
  ];

  test.each(SLOW)('$what: $phase', async ({ scheme, via, phase, handler, delay = 0, request }) => {
    const way = await openWay(scheme, via, { origin: handler ? { handler } : {}, proxy: { delay } });
    const timings = await timingsOf(newTransport(), { ...way.request, ...request?.(way.server) });
    expect(timings[phase]).toBeGreaterThanOrEqual(AT_LEAST);
    expectSumWithinTotal(timings);
  });

  test.each(WAYS)('waiting for a connection to an %s origin by %s: queue', async (scheme, via) => {
    const { request } = await openWay(scheme, via, { origin: { handler: later } });
    const transport = newTransport({ maxSockets: 1 });
    const first = timingsOf(transport, request);
    const second = await timingsOf(transport, request);
    expect((await first).queue).toBeNull();
    expect(happened(second)).toEqual(['queue', ...EXCHANGE]);
    expect(second.queue).toBeGreaterThanOrEqual(AT_LEAST);
    expect(second.firstByte).toBeGreaterThanOrEqual(AT_LEAST);
    expectSumWithinTotal(second);
  });
});

test('a request that is sent again has the time of its first try in its total', async () => {
  const server = await origin('http', {
    handler: ({ socket }, response) => {
      if (server.requests.length !== 2) response.end('answer');
      else setTimeout(() => socket.destroy(), DELAY);
    },
  });
  const transport = newTransport();
  await timingsOf(transport, { url: server.url, http_proxy: null });
  await until(() => transport.connections[0]?.state === 'IDLE');
  const timings = await timingsOf(transport, { url: server.url, http_proxy: null });
  expect(happened(timings)).toEqual(['originConnect', ...EXCHANGE]);
  expect(timings.total).toBeGreaterThanOrEqual(AT_LEAST);
  expectSumWithinTotal(timings);
});

test('a body that is given up ends there', async () => {
  const server = await origin('http', { handler: (_, response) => void response.write('half') });
  const response = await newTransport().send({ url: server.url, http_proxy: null });
  response.body.destroy();
  await until(() => response.timings.total !== null);
  expect(happened(response.timings)).toEqual(['originConnect', ...EXCHANGE]);
});

describe('errors tell', () => {
  async function failure(transport: Transport, request: TransportRequest): Promise<TransportError> {
    const reading = transport.send(request).then(({ body }) => text(body));
    const error = await failureOf(reading, TransportError);
    expectSumWithinTotal(error.timings);
    return error;
  }

  test('the phases up to a dial that failed', async () => {
    const http_proxy = `http://127.0.0.1:${await closedPort()}`;
    const error = await failure(newTransport(), { url: 'https://x.example', http_proxy });
    expect(error).toBeInstanceOf(ProxyConnectError);
    expect(happened(error.timings)).toEqual(['proxyConnect', 'total']);
    expect(error.reusedConnection).toBe(false);
  });

  test('the phases up to a refusal', async () => {
    const [server, through] = [await origin('https'), await proxy('https', { auth: AUTH, delay: DELAY })];
    const error = await failure(newTransport(), { url: server.url, http_proxy: through.url });
    expect(error).toBeInstanceOf(ProxyAuthenticationError);
    expect(happened(error.timings)).toEqual(['proxyConnect', 'proxyTls', 'proxyHandshake', 'total']);
    expect(error.timings?.proxyHandshake).toBeGreaterThanOrEqual(AT_LEAST);
  });

  test('the phases up to a deadline', async () => {
    const { request } = await openWay('https', 'http', { origin: { handler: () => {} } });
    const error = await failure(newTransport(), { ...request, timeout: { firstByte: DELAY } });
    expect(error).toBeInstanceOf(TimeoutError);
    expect(happened(error.timings)).toEqual([...OPENING.http.https, 'request', 'firstByte', 'total']);
    expect(error.timings?.firstByte).toBeGreaterThanOrEqual(AT_LEAST);
  });

  test('the phases up to the end of a wait in the queue', async () => {
    const { server, request } = await openWay('http', 'direct', { origin: { handler: () => {} } });
    const transport = newTransport({ maxSockets: 1 });
    const first = failureOf(transport.send(request), TransportError);
    const error = await failure(transport, { ...request, timeout: DELAY });
    expect(happened(error.timings)).toEqual(['queue', 'total']);
    expect(error.timings?.queue).toBeGreaterThanOrEqual(AT_LEAST);
    await server.waitForRequests(1);
    await transport.close();
    await first;
  });

  test('the phases up to the middle of a body', async () => {
    const server = await origin('https', {
      handler: ({ socket }, response) => {
        response.writeHead(200, { 'Content-Length': 100 }).write('half');
        setTimeout(() => socket.destroy(), DELAY);
      },
    });
    const error = await failure(newTransport(), { url: server.url, http_proxy: null });
    expect(error).toBeInstanceOf(ResetError);
    expect(happened(error.timings)).toEqual([...OPENING.direct.https, ...EXCHANGE]);
    expect(error.timings?.body).toBeGreaterThanOrEqual(AT_LEAST);
  });

  test('whether the connection had carried others', async () => {
    const server = await origin('http', {
      handler: ({ socket }, response) => {
        if (server.requests.length === 1) response.end('answer');
        else socket.destroy();
      },
    });
    const transport = newTransport();
    await timingsOf(transport, { url: server.url, http_proxy: null });
    await until(() => transport.connections[0]?.state === 'IDLE');
    const error = await failure(transport, { url: server.url, http_proxy: null, method: 'POST', body: 'some' });
    expect([error.reusedConnection, happened(error.timings)]).toEqual([true, ['request', 'firstByte', 'total']]);
  });

  test('the route and why it was taken, without being printed, and no secret', async () => {
    const [server, through] = [await origin('https'), await proxy('http', { auth: AUTH })];
    const http_proxy = { url: through.url, auth: { username: 'user', password: SECRETS.plainPassword } };
    const url = `${server.url}/?token=${SECRETS.token}`;
    const error = await failure(newTransport(), { url, http_proxy });
    expect(error.route).toMatchObject({ kind: 'tunnel', proxy: { scheme: 'http', port: through.port } });
    expect(error.explanation).toMatchObject({ route: { kind: 'tunnel' }, source: 'option http_proxy' });
    const names = Object.keys(error);
    expect(names).toEqual(expect.arrayContaining(['code', 'phase', 'hop', 'proxy', 'url', 'reusedConnection']));
    for (const hidden of ['route', 'timings', 'explanation', 'body']) expect(names).not.toContain(hidden);
    expect(Object.keys(JSON.parse(JSON.stringify(error))).sort()).toEqual([...names, 'message'].sort());
    const printed = [JSON.stringify(error), inspect(error, { depth: 9, showHidden: true }), inspect(error.explanation)];
    expect(secretsIn(printed.join(' '))).toEqual([]);
  });
});
