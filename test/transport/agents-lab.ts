// What every client of others has to show with the agents of a transport; each has a test file of its own.
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { LabOrigin, LabProxy, LabSocks, OriginHandler } from '@cloudlane/testing';
import { startSocks } from '@cloudlane/testing';
import type { ForeignAgents, TransportOptions } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, newTransport, origin, proxy, type Scheme, use } from './lab.ts';

/** A client of others, in the words of an object store; paths are `/bucket/key`. */
export interface Client {
  put(path: string, body: Buffer | Readable, type?: string): Promise<void>;
  get(path: string, signal?: AbortSignal): Promise<Buffer>;
}

/** Makes a client that goes to this URL, with nothing of ours but the agents. */
export type MakeClient = (agents: ForeignAgents, baseUrl: string) => Client;

export const WAYS = ['http proxy', 'https proxy', 'socks proxy', 'direct'] as const;
export type Way = (typeof WAYS)[number];

/** Several times what a socket or a stream takes at once. */
export const BYTES = randomBytes(300_000);

/** jest compares buffers byte by byte in JavaScript, far too slowly for these. */
export function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The proxy of a way, which wants a password; null for none. */
export async function stationOf(way: Way): Promise<LabProxy | LabSocks | null> {
  if (way === 'direct') return null;
  if (way === 'socks proxy') return use(startSocks({ auth: AUTH }));
  return proxy(way === 'http proxy' ? 'http' : 'https', { auth: AUTH });
}

/**
 * An origin that keeps what is put and gives it back, with what S3 and Azure want to hear. What is got of `/bucket/wait`
 * comes when so many wait for it at once.
 */
export function store(scheme: Scheme, atOnce = 1): Promise<LabOrigin> {
  const objects = new Map<string, { readonly type: string; readonly body: Buffer }>();
  const waiting: (() => void)[] = [];
  const handler: OriginHandler = async (request, response) => {
    const path = new URL(request.url ?? '', 'http://origin.example').pathname;
    response.setHeader('ETag', '"1"').setHeader('Last-Modified', 'Fri, 20 Nov 2026 10:00:00 GMT');
    if (request.method === 'PUT') {
      objects.set(path, { type: request.headers['content-type'] ?? '', body: await buffer(request) });
      return void response.writeHead(201).end();
    }
    if (path.endsWith('/wait')) {
      waiting.push(() => void response.end('waited'));
      if (waiting.length === atOnce) for (const answer of waiting.splice(0)) answer();
      return;
    }
    const { type, body } = objects.get(path) ?? { type: 'text/plain', body: null };
    if (body === null) return void response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': type, 'Content-Length': body.length });
    Readable.from([body.subarray(0, 1000), body.subarray(1000)]).pipe(response);
  };
  return origin(scheme, { handler });
}

/** The client with agents that take one way. */
export async function wayOf(make: MakeClient, scheme: Scheme, way: Way, options: TransportOptions = {}, atOnce = 1) {
  const server = await store(scheme, atOnce);
  const station = await stationOf(way);
  const transport = newTransport(options);
  const client = make(transport.agents({ http_proxy: station?.urlWithCredentials ?? null }), server.url);
  return { server, station, transport, client };
}

/** Every request came by this way. */
export function expectWay(scheme: Scheme, way: Way, server: LabOrigin, station: LabProxy | LabSocks | null): void {
  const forwards = scheme === 'http' && (way === 'http proxy' || way === 'https proxy');
  for (const { headers, rawHeaders } of server.requests) {
    expect(rawHeaders.filter((name, index) => index % 2 === 0 && /^proxy-/i.test(name))).toEqual([]);
    expect(headers).toMatchObject({ host: `127.0.0.1:${server.port}` });
    expect(headers.via).toBe(forwards ? '1.1 cloudlane-lab' : undefined);
  }
  if (station === null) return;
  const kind = forwards ? 'forward' : way === 'socks proxy' ? 'socks' : 'connect';
  const targets = forwards
    ? server.requests.map(({ target }) => server.url + target)
    : station.hops.map(() => server.url.replace(/^https?:../, ''));
  const hops = targets.map((target) => ({ kind, target, authorized: true, username: AUTH.username }));
  expect(station.hops).toMatchObject(hops);
}

/** JSON, a buffer, a stream and downloads: six calls in a row. */
export async function exercise(client: Client): Promise<void> {
  await client.put('/bucket/json', Buffer.from('{"größe":1}'), 'application/json');
  expect(JSON.parse(String(await client.get('/bucket/json')))).toEqual({ größe: 1 });
  await client.put('/bucket/buffer', BYTES);
  expect(digest(await client.get('/bucket/buffer'))).toBe(digest(BYTES));
  await client.put('/bucket/stream', Readable.from([BYTES.subarray(0, 100_000), BYTES.subarray(100_000)]));
  expect(digest(await client.get('/bucket/stream'))).toBe(digest(BYTES));
}

/** Runs the client over every way. */
export function goesEveryWay(make: MakeClient): void {
  const rows = (['http', 'https'] as const).flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));

  test.each(rows)('to an %s origin, %s: JSON, uploads and downloads take that way only', async (scheme, way) => {
    const { server, station, client } = await wayOf(make, scheme, way);
    await exercise(client);
    expect(server.requests).toHaveLength(6);
    expectWay(scheme, way, server, station);
  });

  const isForwarded = ([scheme, way]: readonly [Scheme, Way]) => scheme === 'http' && /^https? proxy$/.test(way);

  test.each(rows.filter((row) => !isForwarded(row)))(
    'to an %s origin, %s: five calls, one connection',
    async (scheme, way) => {
      const { server, station, client } = await wayOf(make, scheme, way);
      for (let call = 0; call < 5; call += 1) expect(String(await client.get('/bucket/wait'))).toBe('waited');
      expectWay(scheme, way, server, station);
      expect([server.requests.length, server.connectionCount, station?.connectionCount ?? 1]).toEqual([5, 1, 1]);
    },
  );

  // Not all proxies keep a connection after a forwarded request; for what cannot be repeated that is found out first.
  test.each(rows.filter(isForwarded))('to an %s origin, %s: kept connections are used', async (scheme, way) => {
    const { server, station, client } = await wayOf(make, scheme, way);
    while (station?.connectionCount === station?.hops.length) await client.get('/bucket/wait');
    const before = station?.connectionCount;
    for (let call = 0; call < 5; call += 1) await client.get('/bucket/wait');
    expect(station?.connectionCount).toBe(before);
    expectWay(scheme, way, server, station);
  });

  describe.each(rows.filter(([scheme, way]) => scheme === 'https' || way === 'http proxy'))(
    'to an %s origin, %s: 20 calls at once',
    (scheme, way) => {
      test.each([2, 20])('over maxSockets: %i', async (maxSockets) => {
        const { server, station, transport, client } = await wayOf(make, scheme, way, { maxSockets }, maxSockets);
        const calls = Array.from({ length: 20 }, () => client.get('/bucket/wait'));
        expect((await Promise.all(calls)).map(String)).toEqual(Array(20).fill('waited'));
        expect(server.requests).toHaveLength(20);
        expect(transport.connections).toHaveLength(maxSockets);
        // Connections are numbered in the order of opening: no further one has ever been.
        expect((station ?? server).connectionCount).toBe(maxSockets);
      });
    },
  );
}
