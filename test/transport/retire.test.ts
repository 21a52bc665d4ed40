import { text } from 'node:stream/consumers';
import type { HttpProxy } from '@cloudlane/proxy';
import type { LabProxy, LabSocks, OriginHandler } from '@cloudlane/testing';
import type { Transport, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, expectNothingLeft, newTransport, origin, proxy, until } from './lab.ts';
import { openWay, PROXIED, type Way } from './ways.ts';

/** An origin that gives the first half of its answers, and the rest when told to. */
function halves(): { readonly handler: OriginHandler; end(): Promise<void> } {
  const waiting: (() => void)[] = [];
  const handler: OriginHandler = (_, response) => {
    response.writeHead(200, { 'Content-Length': 8 }).write('half');
    waiting.push(() => response.end('rest'));
  };
  const end = async (): Promise<void> => {
    await until(() => waiting.length > 0);
    waiting.shift()?.();
  };
  return { handler, end };
}

async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  return text((await transport.send(request)).body);
}

/** Opens one connection through each of the ways, and leaves it idle. */
async function openAll(transport: Transport, ways: readonly Way[]): Promise<void> {
  for (const { request } of ways) await getText(transport, request);
  await until(() => transport.connections.every(({ state }) => state === 'IDLE'));
}

const openSockets = (servers: readonly (LabProxy | LabSocks)[]): number[] => servers.map((each) => each.openSockets);

describe('retiring a proxy', () => {
  test('closes idle connections through it that nobody uses, by whatever way, and no others', async () => {
    const ways = await Promise.all(PROXIED.map(([scheme, via]) => openWay(scheme, via)));
    const others = await Promise.all([
      openWay('https', 'direct'),
      openWay('https', 'http'),
      openWay('http', 'socks5h'),
    ]);
    const transport = newTransport();
    await openAll(transport, [...others, ...ways]);
    transport.retire(null);
    for (const { request } of ways) transport.retire(request.http_proxy);
    // Not at once: a caller may change to and fro.
    expect(transport.connections).toHaveLength(ways.length + others.length);
    await Promise.all(ways.map(({ first }) => first.waitUntilIdle()));
    await until(() => transport.connections.length === others.length);
    for (const { request } of [...others, ...ways]) await getText(transport, request);
    expect(others.map(({ first }) => first.connectionCount)).toEqual([1, 1, 1]);
    expect(ways.map(({ first }) => first.connectionCount)).toEqual(Array(ways.length).fill(2));
  });

  test('is taken back by the next call through it', async () => {
    const [way, ...clocks] = await Promise.all([1, 2, 3].map(() => openWay('https', 'http')));
    if (!way) throw new TypeError('no way');
    const transport = newTransport();
    await openAll(transport, [way, ...clocks]);
    transport.retire(way.request.http_proxy);
    await openAll(transport, [way]);
    // Twice the time that it would have been left.
    for (const { request, first } of clocks) {
      transport.retire(request.http_proxy);
      await first.waitUntilIdle();
    }
    expect(transport.connections.map(({ requestCount, state }) => [requestCount, state])).toEqual([[2, 'IDLE']]);
    expect(way.first.connectionCount).toBe(1);
  });

  test('lets bodies come to their end, and closes their connections then', async () => {
    const { handler, end } = halves();
    const ways = await Promise.all(PROXIED.map(([scheme, via]) => openWay(scheme, via, { origin: { handler } })));
    const transport = newTransport();
    const responses = await Promise.all(ways.map(({ request }) => transport.send(request)));
    for (const { request } of ways) transport.retire(request.http_proxy);
    expect(transport.connections.map(({ state }) => state)).toEqual(ways.map(() => 'ACTIVE'));
    for (const _ of ways) await end();
    expect(await Promise.all(responses.map(({ body }) => text(body)))).toEqual(ways.map(() => 'halfrest'));
    await expectNothingLeft(transport, ...ways.map(({ first }) => first));
  });

  test('lets requests that wait for a connection have it', async () => {
    const { handler, end } = halves();
    const { first, request } = await openWay('https', 'http', { origin: { handler } });
    const transport = newTransport({ maxSockets: 1 });
    const answers = [1, 2, 3].map(() => getText(transport, request));
    await until(() => transport.connections[0]?.state === 'ACTIVE');
    transport.retire(request.http_proxy);
    for (const _ of answers) await end();
    expect(await Promise.all(answers)).toEqual(['halfrest', 'halfrest', 'halfrest']);
    expect(first.connectionCount).toBe(1);
    await expectNothingLeft(transport, first);
  });

  test('is no obstacle to close()', async () => {
    const { handler } = halves();
    const { first, request } = await openWay('https', 'http', { origin: { handler } });
    const transport = newTransport();
    const response = await transport.send(request);
    transport.retire(request.http_proxy);
    await transport.close();
    await expect(text(response.body)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await expectNothingLeft(transport, first);
  });
});

interface Form {
  readonly name: string;
  readonly setting: (url: string, urlWithCredentials: string) => HttpProxy;
}

const SAME: readonly Form[] = [
  { name: 'a string', setting: (_, full) => full },
  { name: 'a URL', setting: (_, full) => new URL(full) },
  { name: 'options', setting: (url) => ({ url, auth: AUTH }) },
  { name: 'options with noProxy', setting: (url) => ({ url, auth: AUTH, noProxy: '*' }) },
  { name: 'a map', setting: (_, full) => ({ http: 'http://other.example:1', https: full }) },
  { name: 'a map by host', setting: (_, full) => ({ 'https://api.example': full, noProxy: '*' }) },
];

const OTHERS: readonly Form[] = [
  { name: 'null', setting: () => null },
  { name: 'a map of nothing', setting: () => ({ http: null, all: undefined, noProxy: '*' }) },
  { name: 'no credentials', setting: (url) => url },
  { name: 'another user', setting: (url) => ({ url, auth: { ...AUTH, username: 'other' } }) },
  { name: 'another password', setting: (url) => ({ url, auth: { ...AUTH, password: SECRETS.plainPassword } }) },
  { name: 'other headers', setting: (url) => ({ url, auth: AUTH, headers: { 'X-A': '1' } }) },
  { name: 'another port', setting: () => ({ url: 'http://127.0.0.1:1', auth: AUTH }) },
  { name: 'another scheme', setting: (url) => ({ url: url.replace('http:', 'https:'), auth: AUTH }) },
];

test('every form of a setting retires its own proxy, and that alone', async () => {
  const [plain, secure, transport] = [await origin(), await origin('https'), newTransport()];
  const open = async (): Promise<LabProxy> => {
    const through = await proxy('http', { auth: AUTH });
    for (const { url } of [plain, secure]) await getText(transport, { url, http_proxy: through.urlWithCredentials });
    return through;
  };
  const retire = async (forms: readonly Form[]): Promise<LabProxy[]> => {
    const proxies = await Promise.all(forms.map(open));
    await until(() => transport.connections.every(({ state }) => state === 'IDLE'));
    for (const [index, through] of proxies.entries()) {
      transport.retire(forms[index]?.setting(through.url, through.urlWithCredentials) ?? null);
    }
    return proxies;
  };
  // Theirs would be closed first.
  const others = await retire(OTHERS);
  const retired = await retire(SAME);
  await Promise.all(retired.map((through) => through.waitUntilIdle()));
  expect(openSockets(others)).toEqual(OTHERS.map(() => 2));
});

test('a setting that names no proxy is refused', () => {
  expect(() => newTransport().retire('ftp://proxy.example')).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_PROXY_URL' }),
  );
});
