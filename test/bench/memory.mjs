import { setTimeout as sleep } from 'node:timers/promises';

/** Bytes that this process takes, once what was in flight is let go, and collected in several rounds. */
export async function measure() {
  for (let round = 0; round < 5; round += 1) {
    await sleep(20);
    globalThis.gc();
  }
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heap: heapUsed };
}
