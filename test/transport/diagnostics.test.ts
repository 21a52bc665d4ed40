import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import type { OriginHandler } from '@cloudlane/testing';
import type { RequestEvent, Transport, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, expectNothingLeft, newTransport, origin, proxy, type Scheme, until } from './lab.ts';
import { CONNECTION, listen, named, REQUEST } from './listen.ts';
import { openWay, type Via, WAYS } from './ways.ts';

async function read(transport: Transport, request: TransportRequest): Promise<void> {
  await text((await transport.send(request)).body);
}

const DIALS: Readonly<Record<Via, Readonly<Record<Scheme, readonly string[]>>>> = {
  direct: { http: ['origin-connect'], https: ['origin-connect', 'origin-tls'] },
  http: { http: ['proxy-connect'], https: ['proxy-connect', 'proxy-handshake', 'origin-tls'] },
  https: {
    http: ['proxy-connect', 'proxy-tls'],
    https: ['proxy-connect', 'proxy-tls', 'proxy-handshake', 'origin-tls'],
  },
  socks5h: { http: ['proxy-connect', 'proxy-handshake'], https: ['proxy-connect', 'proxy-handshake', 'origin-tls'] },
};
const EXCHANGE = ['request', 'response', 'body', 'request:end'];

describe.each(WAYS)('requests to an %s origin by %s', (scheme, via) => {
  test('tell of their start, their phases in order and their end, once each; so do connections', async () => {
    const { first, request } = await openWay(scheme, via, { proxy: { auth: AUTH } });
    const transport = newTransport();
    const { told } = listen(...REQUEST, ...CONNECTION);
    await read(transport, request);
    await until(() => transport.connections[0]?.state === 'IDLE');
    await read(transport, request);
    await transport.close();
    await expectNothingLeft(transport, first);
    expect(named(told)).toEqual([
      'request:start',
      ...DIALS[via][scheme],
      'connection:open',
      ...EXCHANGE,
      'request:start',
      ...EXCHANGE,
      'connection:close',
    ]);
    const ends = told.flatMap(([name, event]) => (name === 'request:end' ? [event] : []));
    const common = { method: 'GET', url: `${request.url}/`, status: 200, isComplete: true };
    expect(ends).toMatchObject([
      { ...common, reusedConnection: false, connection: { requestCount: 1 } },
      { ...common, reusedConnection: true, connection: { requestCount: 2 } },
    ]);
    expect(ends.map(({ timings }) => timings?.total)).toEqual([expect.any(Number), expect.any(Number)]);
    const [opened, closed] = told.flatMap(([, { connection, status }]) => (status || !connection ? [] : [connection]));
    expect([opened?.id, opened?.requestCount, closed?.id, closed?.state]).toEqual([1, 0, 1, 'CLOSED']);
  });
});

test('a request that is sent again has one start, one end, and one number', async () => {
  const server = await origin('http', {
    handler: ({ socket }, response) => {
      if (server.requests.length === 2) socket.destroy();
      else response.end('answer');
    },
  });
  const transport = newTransport();
  await read(transport, { url: server.url, http_proxy: null });
  await until(() => transport.connections[0]?.state === 'IDLE');
  const { told } = listen(...REQUEST);
  await read(transport, { url: server.url, http_proxy: null });
  expect(named(told)).toEqual(['request:start', 'request', 'response', 'origin-connect', ...EXCHANGE]);
  expect(new Set(told.map(([, { id }]) => id)).size).toBe(1);
  expect(told.at(-1)?.[1]).toMatchObject({ reusedConnection: false, isComplete: true });
});

test.each(['http', 'https'] as const)(
  'a body of an %s origin that its reader gives up ends incomplete',
  async (scheme) => {
    const server = await origin(scheme, { handler: (_, response) => void response.write('half') });
    const transport = newTransport();
    const { told } = listen('request:end', 'request:error');
    const response = await transport.send({ url: server.url, http_proxy: null });
    expect(told).toEqual([]);
    response.body.destroy();
    await expectNothingLeft(transport, server);
    expect(named(told)).toEqual(['request:end']);
    expect(told[0]?.[1]).toMatchObject({ status: 200, isComplete: false });
  },
);

test('parallel requests are told apart', async () => {
  const { request } = await openWay('https', 'http');
  const transport = newTransport({ maxSockets: 3 });
  const { told } = listen(...REQUEST);
  const urls = Array.from({ length: 10 }, (_, index) => `${request.url}/${index}`);
  await Promise.all(urls.map((url) => read(transport, { ...request, url })));
  const ids = new Set(told.map(([, { id }]) => id));
  expect(ids.size).toBe(10);
  for (const id of ids) {
    const own = told.filter(([, event]) => event.id === id);
    expect(new Set(own.map(([, { url }]) => url)).size).toBe(1);
    expect(named(own).filter((name) => name.startsWith('request:'))).toEqual(['request:start', 'request:end']);
  }
});

describe('no event shows a secret', () => {
  const url = (base: string): string =>
    `${base.replace('://', `://user:${encodeURIComponent(SECRETS.originPassword)}@`)}/?token=${SECRETS.token}`;

  test.each([
    ['of a tunnel', 'https', 200],
    ['of a forwarded request', 'http', 200],
    ['of a refusal', 'https', 403],
    ['of a refused forwarded request', 'http', 407],
  ] as const)('%s', async (_, scheme, status) => {
    const [server, through] = [await origin(scheme), await proxy('https', { auth: AUTH })];
    if (status !== 200) through.misbehave({ kind: 'reply', status });
    const transport = newTransport();
    const { told } = listen(...REQUEST, ...CONNECTION);
    const headers = { Authorization: `Bearer ${SECRETS.secretKey}`, Cookie: SECRETS.token };
    const request = { url: url(server.url), http_proxy: through.urlWithCredentials, headers };
    await read(transport, request).catch(() => {});
    await transport.close();
    expect(named(told)).toContain(status === 200 ? 'request:end' : 'request:error');
    for (const [name, event] of told) {
      const { explanation } = event as Partial<RequestEvent>;
      const forms = [JSON.stringify(event), inspect(event, { depth: 9 }), inspect(explanation, { depth: 9 })];
      expect([name, secretsIn(forms.join(' '))]).toEqual([name, []]);
    }
  });
});

describe('without subscribers', () => {
  /** Counts how often the URL is written down without its secrets, and how often the proxy is looked up. */
  async function countReads(): Promise<{ readonly url: number; readonly setting: number }> {
    const [server, through] = [await origin(), await proxy()];
    const reads = { url: 0, setting: 0 };
    const url = new URL(server.url);
    watch(url, 'hash', '', () => {
      reads.url += 1;
    });
    const http_proxy = watch({}, 'http', through.url, () => {
      reads.setting += 1;
    });
    const transport = newTransport();
    await read(transport, { url, http_proxy });
    await transport.close();
    return { ...reads };
  }

  function watch<T extends object>(target: T, name: string, value: string, onRead: () => void): T {
    const get = (): string => {
      onRead();
      return value;
    };
    return Object.defineProperty(target, name, { enumerable: true, get });
  }

  test('nothing is made', async () => {
    const before = await countReads();
    const { told, stop } = listen(...REQUEST, ...CONNECTION);
    const during = await countReads();
    const events = told.length;
    for (const [, event] of told) void (event as Partial<RequestEvent>).explanation;
    stop();
    const after = await countReads();
    expect(before.url).toBe(0);
    expect(after).toEqual(before);
    expect(told).toHaveLength(events);
    // One for each event of the request; the explanation waits until it is read.
    expect(during).toEqual({
      url: named(told).filter((name) => !name.startsWith('connection')).length,
      setting: before.setting,
    });
  });

  test('a subscriber may come and go in the middle of a request', async () => {
    const { handler, goOn } = pausing();
    const server = await origin('http', { handler });
    const transport = newTransport();
    const first = listen('request:start');
    const sent = transport.send({ url: server.url, http_proxy: null });
    await server.waitForRequests(1);
    first.stop();
    const second = listen(...REQUEST);
    goOn();
    const response = await sent;
    second.stop();
    expect(await text(response.body)).toBe('answer');
    expect([named(first.told), named(second.told)]).toEqual([['request:start'], ['body']]);
    expect(second.told[0]?.[1].id).toBe(first.told[0]?.[1].id);
  });
});

function pausing(): { readonly handler: OriginHandler; readonly goOn: () => void } {
  let goOn = (): void => {};
  const going = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  return { handler: (_, response) => void going.then(() => response.end('answer')), goOn: () => goOn() };
}
