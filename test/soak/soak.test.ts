// Many requests with random aborts and faults, and what is left of them. CLOUDLANE_SOAK=10 makes it ten times as many;
// CLOUDLANE_SOAK_SEED repeats a run (the requests are the same, what overtakes what is not).
import { randomInt } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { runScript } from '../transport/child-process.ts';
import { ca, origin } from '../transport/lab.ts';
import type { SoakPlan, SoakReport } from './plan.ts';
import { type Station, startWays } from './ways.ts';

const SCALE = Number(process.env.CLOUDLANE_SOAK ?? 1);
const SEED = Number(process.env.CLOUDLANE_SOAK_SEED ?? randomInt(2 ** 31));
const REQUESTS = 10_000 * SCALE;
const SETTLED_AFTER = 2_000;

/** Bytes: less than one object for each request, of which the smallest has 32 bytes and a place of 8 where it is kept. */
const HEAP_GROWTH = 36 * (REQUESTS - SETTLED_AFTER);

/** What must have happened, or the mix is not what it says. */
const OUTCOMES = [
  ...['whole', 'left', 'aborted', 'source failed', '403', '413', '502'],
  ...['ERR_PROTOCOL', 'ERR_RESET', 'ERR_TIMEOUT', 'ERR_TLS', 'ERR_SOCKS', 'ERR_SOCKS_AUTHENTICATION'],
  ...['ERR_PROXY_AUTHENTICATION', 'ERR_PROXY_CONNECT', 'ERR_PROXY_PROTOCOL', 'ERR_PROXY_RESET', 'ERR_PROXY_RESPONSE'],
  ...['ERR_PROXY_TLS', 'ERR_PROXY_TUNNEL'],
];

test(
  `${count(REQUESTS)} requests with random aborts and faults: sockets and heap back to the start`,
  async () => {
    const { sound, faulty, stations } = await startWays();
    const gate = await startGate(stations);
    const sizes = { requests: REQUESTS, settledAfter: SETTLED_AFTER, concurrency: 50 };
    const plan: SoakPlan = { seed: SEED, ...sizes, ca: ca.certificate, sound, faulty, gate };
    const script = "import './test/soak/client.ts';";
    const { output, errors } = await runScript(script, { CLOUDLANE_SOAK_PLAN: JSON.stringify(plan) });
    expect({ seed: SEED, errors }).toEqual({ seed: SEED, errors: '' });
    const { start, settledHeap, end, outcomes, faults }: SoakReport = JSON.parse(output);
    expect({ seed: SEED, faults }).toEqual({ seed: SEED, faults: [] });
    console.log(
      `${count(REQUESTS)} requests: ${end.sockets} sockets and ${end.timers} timers left; heap ${kib(start.heap)} ` +
        `before the first, ${kib(settledHeap)} after ${count(SETTLED_AFTER)}, ${kib(end.heap)} after all of them`,
    );
    expect({ seed: SEED, ...end }).toMatchObject({ seed: SEED, sockets: 0, timers: 0, alive: start.alive });
    expect(end.heap - settledHeap).toBeLessThan(HEAP_GROWTH);
    expect(Object.keys(outcomes)).toEqual(expect.arrayContaining(OUTCOMES));
    expect(Object.values(outcomes).reduce((sum, each) => sum + each, 0)).toBe(REQUESTS);
  },
  300_000 * SCALE,
);

/** @returns the URL of an origin that answers once nobody is connected to any of them */
async function startGate(stations: readonly Station[]): Promise<string> {
  const { url } = await origin('http', {
    handler: async (_, response) => {
      await Promise.all(stations.map((station) => station.waitUntilIdle()));
      response.end();
    },
  });
  return url;
}

function count(number: number): string {
  return number.toLocaleString('en');
}

function kib(bytes: number): string {
  return `${count(Math.round(bytes / 1024))} KiB`;
}
