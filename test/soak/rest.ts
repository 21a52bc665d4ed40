// What a process holds when it has nothing to do.
import { Agent, ClientRequest, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Rest } from './plan.ts';

v8.setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

const WATCHED = { Agent, Socket, ClientRequest, IncomingMessage } as const;

/** Looks at the process once the garbage is collected. */
export async function takeRest(): Promise<Rest> {
  await nextTurn(); // What has closed is torn down by now.
  const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  return { heap: await heapAtRest(), alive: countAlive(), sockets: countSockets(), timers };
}

/**
 * Bytes of heap once the garbage is collected. The smallest of several looks: what is held weakly goes in a later round,
 * and space that is set aside for objects to come counts as used now and then.
 */
export async function heapAtRest(): Promise<number> {
  let smallest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 10; round += 1) {
    collect();
    smallest = Math.min(smallest, process.memoryUsage().heapUsed);
    await nextTurn();
  }
  return smallest;
}

/** Prototypes among them, so that only the difference of two counts means something. */
function countAlive(): Record<string, number> {
  const queryObjects: unknown = Reflect.get(v8, 'queryObjects'); // Not in the types of Node 20.
  if (typeof queryObjects !== 'function') return {};
  return Object.fromEntries(
    Object.entries(WATCHED).map(([name, Class]) => [name, Number(queryObjects(Class, { format: 'count' }))]),
  );
}

// Those that were unref'd too, which process.getActiveResourcesInfo() leaves out.
function countSockets(): number {
  Reflect.set(process.report, 'excludeNetwork', true); // Else it looks up a name for each address.
  const { libuv } = process.report.getReport() as { libuv: readonly { type: string }[] };
  return libuv.filter(({ type }) => type === 'tcp' || type === 'udp').length;
}
