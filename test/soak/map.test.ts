// As many requests through `Session.map` as somebody may have, from a generator. CLOUDLANE_SOAK=10 makes it all of them.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { expect, test } from '@jest/globals';
import { closeAfterTest } from '../support/resources.ts';
import { runScript } from '../transport/child-process.ts';
import type { MapReport } from './map-client.ts';

/** What is promised; a tenth of it where nobody asks for more. */
const REQUESTS = process.env.CI || Number(process.env.CLOUDLANE_SOAK ?? 1) > 1 ? 100_000 : 10_000;
const KEPT = 5_000;
/** That of the client. */
const SIZE = 64;

/** Bytes: less than one object for each request, of which the smallest has 32 bytes and a place of 8 where it is kept. */
const GROWTH_PER_REQUEST = 36;
/** Bytes: what is under way differs from one measurement to the next, and code is still compiled. */
const UNDER_WAY = SIZE * 8 * 1024 + 1024 * 1024;
/** Bytes: answer, request and headers are some twenty objects; a stream or a socket among them would be many more. */
const MOST_PER_ANSWER = 8 * 1024;

test(
  `${count(REQUESTS)} requests from a generator: all in order, ${SIZE} at once, and the heap stays flat`,
  async () => {
    const { url, most } = await startOrigin();
    const { answers, misplaced, mostAhead, heaps, peakRss } = await runClient(url, REQUESTS, false);
    expect({ answers, misplaced }).toEqual({ answers: REQUESTS, misplaced: 0 });
    expect(mostAhead).toBeLessThanOrEqual(SIZE + 1);
    expect(most()).toBe(SIZE);
    expect(heaps).toHaveLength(10);
    // In the first tenths caches fill and code is loaded.
    const [, , settled = 0] = heaps;
    const last = Math.min(...heaps.slice(-2));
    console.log(
      `${count(REQUESTS)} requests: heap ${heaps.map(kib).join(', ')} KiB at each tenth; peak RSS ${kib(peakRss)} KiB`,
    );
    expect(last - settled).toBeLessThan(GROWTH_PER_REQUEST * REQUESTS * 0.7 + UNDER_WAY);
  },
  20 * REQUESTS,
);

test(`${count(KEPT)} answers that are kept`, async () => {
  const { url, most } = await startOrigin();
  const { answers, misplaced, heaps, peakRss } = await runClient(url, KEPT, true);
  expect({ answers, misplaced, most: most() }).toEqual({ answers: KEPT, misplaced: 0, most: SIZE });
  const [, settled = 0] = heaps;
  const perAnswer = ((heaps.at(-1) ?? 0) - settled) / (KEPT * 0.9);
  console.log(`${count(KEPT)} answers kept: ${count(Math.round(perAnswer))} bytes each; peak RSS ${kib(peakRss)} KiB`);
  expect(perAnswer).toBeLessThan(MOST_PER_ANSWER);
}, 100_000);

async function runClient(url: string, requests: number, keepsAnswers: boolean): Promise<MapReport> {
  const env = { CLOUDLANE_MAP: JSON.stringify([url, requests, keepsAnswers]) };
  const { output, errors } = await runScript("import './test/soak/map-client.ts';", env);
  expect(errors).toBe('');
  return JSON.parse(output);
}

/** Answers each request with the number in its path, and counts how many there are at once. */
async function startOrigin(): Promise<{ readonly url: string; most(): number }> {
  let [now, most] = [0, 0];
  const held: (() => void)[] = [];
  const server = createServer(({ url = '' }, response) => {
    now += 1;
    most = Math.max(most, now);
    const answer = (): void => {
      now -= 1;
      response.end(url.slice(1));
    };
    // The first ones wait for each other: it can be that many.
    if (most >= SIZE && held.length === 0) setImmediate(answer);
    else if (held.push(answer) === SIZE) for (const each of held.splice(0)) each();
  });
  closeAfterTest({ [Symbol.asyncDispose]: () => close(server) });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not a port');
  return { url: `http://127.0.0.1:${address.port}`, most: () => most };
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

function count(number: number): string {
  return number.toLocaleString('en');
}

function kib(bytes: number): string {
  return count(Math.round(bytes / 1024));
}
