// Transport.upgrade with Node's own client and a protocol that is no WebSocket. Pools and ends: see upgrade-pool.test.ts.
import http, { type ClientRequest, type RequestOptions } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { OriginOptions } from '@cloudlane/testing';
import type { Transport, TransportOptions, TransportResponse, UpgradeRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, proxy, type Scheme, until } from './lab.ts';
import { CONNECTION, listen, named, REQUEST } from './listen.ts';
import { openWay, type Via, WAYS } from './ways.ts';

/** Switches protocols, says hello in the same breath, and sends everything back. */
const ECHO: OriginOptions = {
  upgrade: (_, socket, head) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Now tcp\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello');
    socket.write(head);
    socket.pipe(socket);
  },
};

/** Begins a request for the protocol `tcp`, with the client that the URL asks for. */
function beginFor(url: string | URL): (options: RequestOptions) => ClientRequest {
  const { request } = /^(https|wss):/.test(String(url)) ? https : http;
  return (options) => request({ ...options, headers: { ...options.headers, Connection: 'Upgrade', Upgrade: 'tcp' } });
}

/** The answer, and what the protocol is spoken over; its first bytes are `hello`. */
async function upgrade(
  transport: Transport,
  request: UpgradeRequest,
): Promise<{ readonly response: TransportResponse; readonly socket: Duplex }> {
  const opened: Duplex[] = [];
  const response = await transport.upgrade(request, (options) =>
    beginFor(request.url)(options).once('upgrade', (_, socket: Duplex, head: Buffer) => {
      socket.unshift(head);
      opened.push(socket);
    }),
  );
  const [socket] = opened;
  if (socket === undefined) throw new TypeError(`status ${response.status}, and no socket`);
  return { response, socket };
}

function read(socket: Duplex, length: number): Promise<Buffer> {
  let got = Buffer.alloc(0);
  return new Promise((resolve) => {
    const take = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]);
      if (got.length < length) return;
      socket.off('data', take).pause().unshift(got.subarray(length));
      resolve(got.subarray(0, length));
    };
    socket.on('data', take).resume();
  });
}

/** What comes back of this, after the greeting. */
async function echoOf(socket: Duplex, data: Buffer): Promise<Buffer> {
  expect(String(await read(socket, 5))).toBe('hello');
  socket.write(data);
  return read(socket, data.length);
}

// More than any buffer on the way takes at once.
const BYTES = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));

const DIALS: Readonly<Record<Via, readonly string[]>> = {
  direct: ['origin-connect'],
  http: ['proxy-connect', 'proxy-handshake'],
  https: ['proxy-connect', 'proxy-tls', 'proxy-handshake'],
  socks5h: ['proxy-connect', 'proxy-handshake'],
};
const KINDS: Readonly<Record<Via, string>> = { direct: 'direct', http: 'tunnel', https: 'tunnel', socks5h: 'socks' };

/** The steps of a dial. */
function dialOf(scheme: Scheme, via: Via): readonly string[] {
  return scheme === 'https' ? [...DIALS[via], 'origin-tls'] : DIALS[via];
}

const asUrl = { http: (url: string) => url, ws: (url: string) => url.replace('http', 'ws') } as const;

describe.each(WAYS)('an upgrade to an %s origin by %s', (scheme, via) => {
  test.each(['http', 'ws'] as const)('of %s URLs carries bytes both ways, from the first on', async (form) => {
    const { server, first, through, request } = await openWay(scheme, via, { origin: ECHO, proxy: { auth: AUTH } });
    const transport = newTransport();
    const url = new URL(`${asUrl[form](request.url)}/room?id=1`);
    Object.assign(url, { username: 'user', password: SECRETS.originPassword });
    const { response, socket } = await upgrade(transport, { ...request, url, headers: { 'X-Room': '7' } });
    expect(response).toMatchObject({ status: 101, statusText: 'Now tcp', headers: { upgrade: 'tcp' } });
    expect([response.url, response.route.kind, response.explanation.route.kind]).toEqual([url, KINDS[via], KINDS[via]]);
    expect(BYTES.equals(await echoOf(socket, BYTES))).toBe(true);
    const authorization = `Basic ${Buffer.from(`user:${SECRETS.originPassword}`).toString('base64')}`;
    const headers = { upgrade: 'tcp', 'x-room': '7', host: `127.0.0.1:${server.port}` };
    expect(server.requests).toMatchObject([{ method: 'GET', target: '/room?id=1', headers }]);
    expect(server.requests[0]?.headers.authorization === authorization).toBe(true);
    if (through !== null) {
      const kind = via === 'socks5h' ? 'socks' : 'connect';
      expect(through.hops).toMatchObject([{ kind, target: `127.0.0.1:${server.port}` }]);
    }
    expect(transport.connections).toMatchObject([{ kind: KINDS[via], state: 'UPGRADED', requestCount: 1 }]);
    socket.end();
    await expectNothingLeft(transport, server, first);
  });

  test('tells of its start, its phases, its end and its connection, and where the time went', async () => {
    const { first, request } = await openWay(scheme, via, { origin: ECHO });
    const transport = newTransport();
    const { told } = listen(...REQUEST, ...CONNECTION);
    const { response, socket } = await upgrade(transport, request);
    const dial = dialOf(scheme, via);
    const exchange = ['connection:open', 'request', 'response', 'body', 'request:end'];
    expect(named(told)).toEqual(['request:start', ...dial, ...exchange]);
    const end = told.find(([name]) => name === 'request:end')?.[1];
    const facts = { method: 'GET', url: `${request.url}/`, status: 101, isComplete: true, reusedConnection: false };
    expect(end).toMatchObject({ ...facts, timings: response.timings, connection: { requestCount: 1 } });
    const steps = dial.map((step) => step.replace(/-(.)/, (_, letter: string) => letter.toUpperCase()));
    const spent = Object.entries(response.timings).flatMap(([name, time]) => (time === null ? [] : [name]));
    expect(spent).toEqual([...steps, 'request', 'firstByte', 'body', 'total']);
    socket.destroy();
    await expectNothingLeft(transport, first);
    expect(named(told).at(-1)).toBe('connection:close');
    expect(told.filter(([name]) => name.startsWith('request:end'))).toHaveLength(1);
  });

  test('that is answered otherwise is an ordinary request, whose connection is used again', async () => {
    const { first, request } = await openWay(scheme, via, {
      origin: { handler: (_, response) => void response.writeHead(426, { 'X-Why': 'no tcp' }).end('not here') },
    });
    // So that an ordinary request can take the same connection.
    const transport = newTransport({ tunnelHttp: true });
    const { told } = listen('request:end');
    const response = await transport.upgrade(request, beginFor(request.url));
    expect(response).toMatchObject({ status: 426, headers: { 'x-why': 'no tcp' }, connection: { state: 'ACTIVE' } });
    expect(told).toEqual([]);
    expect(await text(response.body)).toBe('not here');
    expect(told[0]?.[1]).toMatchObject({ status: 426, isComplete: true });
    await until(() => transport.connections[0]?.state === 'IDLE');
    const other = await transport.send(request);
    await text(other.body);
    expect([other.reusedConnection, first.connectionCount]).toEqual([true, 1]);
  });
});

// RFC 9110 §7.8: a proxy that forwards takes `Upgrade` for its own.
test.each<readonly [scheme: Scheme, via: Scheme, options: TransportOptions]>([
  ['http', 'http', {}],
  ['http', 'http', { tunnelHttp: false }],
  ['http', 'https', {}],
  ['http', 'https', { useForwardingForHttps: true }],
  ['https', 'https', { useForwardingForHttps: true }],
  // A request would be refused.
  ['https', 'http', { useForwardingForHttps: true }],
])('an upgrade to an %s origin by an %s proxy is tunnelled, with %j', async (scheme, via, options) => {
  const [server, through] = [await origin(scheme, ECHO), await proxy(via)];
  const transport = newTransport(options);
  const { response, socket } = await upgrade(transport, { url: server.url, http_proxy: through.url });
  expect([response.route.kind, response.explanation.route.kind]).toEqual(['tunnel', 'tunnel']);
  expect(through.hops).toMatchObject([{ kind: 'connect', target: `127.0.0.1:${server.port}` }]);
  expect(String(await echoOf(socket, Buffer.from('größe')))).toBe('größe');
});

describe('of the environment', () => {
  const ALL = ['http_proxy', 'https_proxy', 'ws_proxy', 'wss_proxy'];

  test.each<readonly [scheme: string, names: readonly string[], chosen: string | null]>([
    ['http', ALL, 'http_proxy'],
    ['https', ALL, 'https_proxy'],
    ['ws', ALL, 'ws_proxy'],
    ['wss', ALL, 'wss_proxy'],
    ['ws', ['http_proxy', 'https_proxy', 'wss_proxy'], 'https_proxy'],
    ['ws', ['http_proxy'], 'http_proxy'],
    ['wss', ['http_proxy', 'https_proxy', 'ws_proxy'], 'https_proxy'],
    ['wss', ['http_proxy', 'ws_proxy'], null],
    ['http', ['https_proxy', 'ws_proxy', 'wss_proxy'], null],
    ['https', ['ws_proxy', 'wss_proxy'], null],
    ['ws', [...ALL, 'no_proxy'], null],
    ['https', [...ALL, 'no_proxy'], null],
  ])('an upgrade of %s URLs, with %j, takes %s', async (scheme, names, chosen) => {
    const server = await origin(/s$/.test(scheme.slice(2)) ? 'https' : 'http', ECHO);
    const proxies = await Promise.all(ALL.map(async (name) => [name, await proxy()] as const));
    const all = { ...Object.fromEntries(proxies.map(([name, { url }]) => [name, url])), no_proxy: '127.0.0.1' };
    const env = Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)));
    const url = `${scheme}://127.0.0.1:${server.port}`;
    const { response, socket } = await upgrade(newTransport(), { url, env });
    expect(response.route.kind).toBe(chosen === null ? 'direct' : 'tunnel');
    expect(proxies.flatMap(([name, { hops }]) => (hops.length > 0 ? [name] : []))).toEqual(chosen ? [chosen] : []);
    expect(await echoOf(socket, Buffer.from('x'))).toHaveLength(1);
  });
});

describe('the header User-Agent', () => {
  test.each(['http', 'https'] as const)('goes to the proxy with CONNECT, each its own: %s origin', async (scheme) => {
    const [server, through] = [await origin(scheme, ECHO), await proxy()];
    const transport = newTransport();
    for (const headers of [{ 'User-Agent': 'one/1' }, { 'user-agent': 'two/2' }, { 'User-Agent': null }, {}])
      await upgrade(transport, { url: server.url, http_proxy: through.url, headers: { 'X-Own': 'x', ...headers } });
    const expected = ['one/1', 'two/2', undefined, undefined];
    expect(through.hops.map(({ headers }) => headers['user-agent'])).toEqual(expected);
    expect(server.requests.map(({ headers }) => headers['user-agent'])).toEqual(expected);
    for (const { headers } of through.hops) expect(headers).not.toHaveProperty('x-own');
  });

  test.each(['User-Agent', 'user-agent', 'USER-AGENT'])('is refused with a line break: %s', async (name) => {
    const through = await proxy();
    const headers = { [name]: 'mine/1\r\nX-Smuggled: yes' };
    // Whoever makes the request need not be Node.
    const begin = (): never => {
      throw new Error('was begun');
    };
    const asked = newTransport().upgrade({ url: 'wss://origin.example', http_proxy: through.url, headers }, begin);
    expect((await failureOf(asked, InvalidOptionError)).option).toBe('headers.User-Agent');
    expect(through.connectionCount).toBe(0);
  });
});

describe('an upgrade is refused before anything is opened', () => {
  const wrong: readonly (readonly [what: string, options: object, option: string])[] = [
    ['an unknown option', { proxy: 'http://127.0.0.1:1' }, 'proxy'],
    ['a method', { method: 'POST' }, 'method'],
    ['a body', { body: 'x' }, 'body'],
    ['a target', { target: '/x' }, 'target'],
    ['keepAlive', { keepAlive: true }, 'keepAlive'],
    ['a signal that is none', { signal: 'stop' }, 'signal'],
    ['an unknown deadline', { timeout: { soon: 1 } }, 'timeout'],
    ['a deadline that is none', { timeout: { total: -1 } }, 'timeout.total'],
    ['a URL of another scheme', { url: 'ftp://origin.example' }, 'url'],
    ['what is no URL', { url: 'origin.example' }, 'url'],
    ['a header that is given twice', { headers: { 'X-A': '1', 'x-a': '2' } }, 'headers.x-a'],
    ['a line break in a header', { headers: { 'X-A': '1\r\n2' } }, 'request'],
    [
      'an unknown option of TLS',
      { url: 'wss://origin.example', tls: { rejectUnauthorized: true } },
      'tls.rejectUnauthorized',
    ],
  ];

  test.each(wrong)('for %s', async (_, options, option) => {
    const through = await proxy();
    const transport = newTransport();
    const { told } = listen('request:end', 'connection:open');
    const asked = upgrade(transport, { url: 'ws://origin.example', http_proxy: through.url, ...options });
    expect((await failureOf(asked, InvalidOptionError)).option).toBe(option);
    expect([through.connectionCount, transport.connections, told]).toEqual([0, [], []]);
  });

  test('if whoever makes the request fails', async () => {
    const through = await proxy();
    const asked = newTransport().upgrade({ url: 'ws://origin.example', http_proxy: through.url }, () => {
      throw new TypeError('no client');
    });
    await expect(asked).rejects.toThrow('The option request cannot be used: was refused: no client.');
    expect(through.connectionCount).toBe(0);
  });
});
