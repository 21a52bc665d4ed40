import type { IncomingMessage } from 'node:http';
import type { LabProxy } from '@cloudlane/testing';
import { connectWebSocket, type RoutedWebSocket } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import type { WebSocket } from 'ws';
import { AUTH, newTransport, proxy } from '../transport/lab.ts';
import {
  answer,
  type EchoOrigin,
  expectNothingLeft,
  relay,
  SOCKET_SCHEMES,
  type SocketScheme,
  startEcho,
} from './lab.ts';
import { noting, reconnectBy } from './reconnect-lab.ts';

/** The way to a proxy, which can be cut. */
interface Way {
  readonly port: number;
  /** Cuts the connections that are open, once so many more bytes have come back through them. */
  cutAfter(bytes: number, how: 'end' | 'reset'): void;
}

async function wayTo(behind: number): Promise<Way> {
  const state = { left: Number.POSITIVE_INFINITY, how: 'end' };
  const port = await relay(behind, (client, onwards) => {
    client.pipe(onwards);
    onwards.on('data', (chunk: Buffer) => {
      client.write(chunk.subarray(0, state.left));
      state.left -= chunk.length;
      if (state.left > 0) return;
      state.left = Number.POSITIVE_INFINITY;
      if (state.how === 'end') client.end(() => client.destroy());
      else client.resetAndDestroy();
    });
  });
  return { port, cutAfter: (left, how) => void Object.assign(state, { left, how }) };
}

/** Numbers from 0 up to 1 that a seed decides: mulberry32. */
function randomBy(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What becomes of an opening, or of the connection that it opens. */
const FATES = [
  'the tunnel ends',
  'the tunnel is reset',
  'the origin breaks off',
  'the origin goes away',
  'the reader leaves',
  'the origin says 503',
  'the proxy says 502',
  'the proxy resets',
] as const;
type Fate = (typeof FATES)[number];
/** Of these the origin does not hear. */
const BY_PROXY: ReadonlySet<Fate> = new Set<Fate>(['the proxy says 502', 'the proxy resets']);

/** Each of them so many times, shuffled. */
function fatesBy(random: () => number, times: number): Fate[] {
  const all = Array.from({ length: times }, () => FATES).flat();
  return all
    .map((fate) => [random(), fate] as const)
    .sort(([one], [other]) => one - other)
    .map(([, fate]) => fate);
}

const TOTAL = 400;

/** Entries of all lengths, each of them with its number, from 1. */
function entriesBy(random: () => number): string[] {
  return Array.from({ length: TOTAL }, (_, index) => `${index + 1} ${'x'.repeat(random() ** 3 * 3_000)}`);
}

interface LogOptions {
  readonly entries: readonly string[];
  readonly random: () => number;
  readonly way: Way;
  /** Of the connection that is being opened; null: it gets all that is left. */
  readonly fate: () => Fate | null;
}

/** A connection gets the entries after `?since=`, and then its fate. */
function startLog(scheme: SocketScheme, { entries, random, way, fate }: LogOptions): Promise<EchoOrigin> {
  const onSocket = (client: WebSocket, { url = '' }: IncomingMessage): void => {
    const since = Number(new URL(url, 'ws://origin.example').searchParams.get('since'));
    const [ends, bytes, few] = [fate(), random() * 4_000, random() * 12];
    if (ends === 'the tunnel ends') way.cutAfter(bytes, 'end');
    if (ends === 'the tunnel is reset') way.cutAfter(bytes, 'reset');
    const isShort = ends === 'the origin breaks off' || ends === 'the origin goes away';
    for (const entry of entries.slice(since, isShort ? since + few : TOTAL)) client.send(entry);
    if (ends === 'the origin breaks off') client.terminate();
    if (ends === 'the origin goes away') client.close(1001);
    if (ends === null) client.close(1000, 'that is all');
  };
  return startEcho(scheme, { onSocket, instead: () => (fate() === 'the origin says 503' ? answer(503) : null) });
}

/** What the proxy makes of an opening. */
function prepare(through: LabProxy, fate: Fate | null): void {
  if (fate === 'the proxy says 502') through.misbehave({ kind: 'refuse-origin' });
  else through.misbehave(fate === 'the proxy resets' ? { kind: 'reset' } : null);
}

const rows = SOCKET_SCHEMES.flatMap((scheme) =>
  (['http', 'https'] as const).flatMap((via) => [1, 2, 3].map((seed) => [scheme, via, seed] as const)),
);

describe.each(rows)('a log by %s through an %s proxy that wants credentials, seed %i', (scheme, via, seed) => {
  test('is read to its end, each entry once and in order', async () => {
    const random = randomBy(seed);
    const [entries, fates] = [entriesBy(random), fatesBy(random, 3)];
    const through = await proxy(via, { auth: AUTH });
    const way = await wayTo(through.port);
    let [fate, since]: [Fate | null, number] = [null, 0];
    const server = await startLog(scheme, { entries, random, way, fate: () => fate });
    const transport = newTransport();
    const http_proxy = through.urlWithCredentials.replace(`:${through.port}`, `:${way.port}`);
    const [seen, asked]: [string[], string[]] = [[], []];
    const open = (signal: AbortSignal): Promise<RoutedWebSocket> => {
      fate = fates.shift() ?? null;
      prepare(through, fate);
      const target = `/log?since=${since}`;
      if (fate === null || !BY_PROXY.has(fate)) asked.push(target);
      return connectWebSocket(`${server.url}${target}`, { transport, http_proxy, signal });
    };
    const { failures, onFailure } = noting(() => undefined);
    for await (const socket of reconnectBy(open, { onFailure })) {
      const leavesAt = fate === 'the reader leaves' ? since + random() * 12 : TOTAL;
      for await (const message of socket) {
        seen.push(String(message));
        since = Number.parseInt(String(message), 10);
        if (since >= leavesAt) break;
      }
      if (since === TOTAL) break;
    }
    await expectNothingLeft(transport, server.origin, through);
    expect(seen.map((entry) => Number.parseInt(entry, 10))).toEqual(entries.map((_, index) => index + 1));
    expect(seen.every((entry, index) => entry === entries[index])).toBe(true);
    // Every fate has come, each connection went on where the last one had ended, and what failed was what should.
    expect([fate, fates]).toEqual([null, []]);
    expect(server.origin.requests.map(({ target }) => target)).toEqual(asked);
    const says = (facts: object): number =>
      failures.filter(({ error }) => expect.objectContaining(facts).asymmetricMatch(error)).length;
    expect([
      says({ code: 'ERR_WEBSOCKET_UPGRADE', status: 503 }),
      says({ code: 'ERR_PROXY_TUNNEL', status: 502 }),
      says({ code: 'ERR_PROXY_RESET' }),
    ]).toEqual([3, 3, 3]);
    expect(through.hops.every(({ username }) => username === AUTH.username)).toBe(true);
  });
});
