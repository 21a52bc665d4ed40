// The client of the soak test, in a process of its own so that nobody else's memory is measured. Takes a plan (JSON) from
// the environment and prints a report (JSON).
import { getEventListeners, setMaxListeners } from 'node:events';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { Transport } from '@cloudlane/transport';
import { Errand } from './carry.ts';
import { drawOrder, type Order } from './orders.ts';
import type { SoakPlan, SoakReport } from './plan.ts';
import { heapAtRest, takeRest } from './rest.ts';

/** Milliseconds without any progress after which something hangs: each request alone has shorter deadlines. */
const STANDSTILL = 30_000;

// Compiled code takes heap too, and comes and goes. Without it the heap at rest is the same to a few KiB.
for (const flag of ['--no-opt', '--no-sparkplug', '--no-flush-bytecode']) setFlagsFromString(flag);

const plan: SoakPlan = JSON.parse(process.env.CLOUDLANE_SOAK_PLAN ?? '');
const transport = new Transport({
  tls: { ca: plan.ca },
  proxyTls: { ca: plan.ca },
  maxSockets: 2,
  idleTimeout: 200,
  timeout: { connect: 20_000, handshake: 20_000, firstByte: 20_000, idle: 20_000 },
});
const faults: string[] = [];
const outcomes: Record<string, number> = {};
const underWay = new Set<Errand>();
const shared = new AbortController();
// So many requests at once are no leak: those that are over are counted in `rest`.
setMaxListeners(plan.concurrency, shared.signal);

process.on('unhandledRejection', (reason) => faults.push(`unhandled rejection: ${inspect(reason)}`));
process.on('uncaughtException', (error) => faults.push(`uncaught exception: ${inspect(error)}`));
process.on('warning', (warning) => {
  if (warning.name !== 'ExperimentalWarning') faults.push(`warning: ${warning.stack}`);
});

let nextId = 0;
let lastProgress = performance.now();

const start = await takeRest();
await carryAll(plan.settledAfter);
await comeToRest();
const settledHeap = await heapAtRest();
await carryAll(plan.requests);
await comeToRest();
await transport.close();
await everyServerIsIdle();
report({ start, settledHeap, end: await takeRest() });

/** Carries out all orders before this one. */
async function carryAll(limit: number): Promise<void> {
  const watchdog = setInterval(() => {
    if (performance.now() - lastProgress < STANDSTILL) return;
    for (const { step, order } of underWay) faults.push(`hangs, waiting for ${step}: ${describe(order)}`);
    report({ start, settledHeap: 0, end: start });
    process.exit();
  }, 1_000);
  const worker = async (): Promise<void> => {
    while (nextId < limit) {
      nextId += 1;
      await carry(drawOrder(plan.seed, nextId, plan.sound, plan.faulty));
    }
  };
  await Promise.all(Array.from({ length: plan.concurrency }, worker));
  clearInterval(watchdog);
}

async function carry(order: Order): Promise<void> {
  const errand = new Errand(order, transport, shared.signal);
  underWay.add(errand);
  try {
    const outcome = await errand.run();
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  } catch (error) {
    faults.push(`${describe(order)}: ${inspect(error)}`);
  }
  underWay.delete(errand);
  lastProgress = performance.now();
}

/** Waits until the idle connections have grown too old. */
async function comeToRest(): Promise<void> {
  while (transport.connections.length > 0) await nextTurn();
  const listeners = getEventListeners(shared.signal, 'abort').length;
  if (listeners > 0) faults.push(`${listeners} listeners are left on a signal`);
}

// While this process lives: its end would close what it has left open.
async function everyServerIsIdle(): Promise<void> {
  await new Promise((resolve, reject) => {
    get(plan.gate, { agent: false }, (answer) => text(answer).then(resolve, reject)).on('error', reject);
  });
}

function describe(order: Order): string {
  const { way, ...rest } = order;
  return `${way.name} ${JSON.stringify(rest)}`;
}

function report(rests: Pick<SoakReport, 'start' | 'settledHeap' | 'end'>): void {
  const found: SoakReport = { ...rests, outcomes, faults: faults.slice(0, 20) };
  process.stdout.write(JSON.stringify(found));
}
