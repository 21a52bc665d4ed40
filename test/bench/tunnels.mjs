// What an open tunnel costs in memory: node test/bench/tunnels.mjs [tunnels] [rounds]
// An https origin behind an http proxy, a kept connection for each tunnel, all clients in turn; each in a fresh process
// with fresh servers in another. Ratios hold, absolute figures don't.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { CLIENTS } from './tunnel-clients.mjs';

const [tunnels, rounds] = [process.argv[2] ?? 1000, process.argv[3] ?? 3].map(Number);
const FROM_SOURCE = `import { register } from 'node:module'; register('${new URL('../transport/from-source.mjs', import.meta.url)}');`;
const NODE_OPTIONS = [
  '--expose-gc',
  '--disable-warning=ExperimentalWarning',
  '--import',
  `data:text/javascript,${encodeURIComponent(FROM_SOURCE)}`,
];

const rows = [];
for (const name of Object.keys(CLIENTS)) rows.push({ name, runs: [] });
for (let round = 0; round < rounds; round += 1) {
  for (const { name, runs } of rows) runs.push(await run(name));
}
printTable(rows.map(({ name, runs }) => ({ name, rss: median(runs, 'rss'), heap: median(runs, 'heap') })));

async function run(name) {
  const servers = start('tunnel-lab.mjs');
  const client = start('tunnel-client.mjs');
  try {
    const lab = await answerOf(servers);
    client.send({ name, lab, tunnels });
    const taken = await answerOf(client);
    servers.send('count');
    const { openTunnels } = await answerOf(servers);
    // Else the figures would be of something else.
    if (openTunnels < tunnels) throw new Error(`${name} kept only ${openTunnels} of ${tunnels} tunnels open`);
    return taken;
  } finally {
    for (const child of [client, servers]) child.disconnect();
    for (const child of [client, servers]) if (child.exitCode === null) await once(child, 'exit');
  }
}

function start(file) {
  return fork(new URL(file, import.meta.url), { execArgv: NODE_OPTIONS });
}

async function answerOf(child) {
  const died = new AbortController();
  const onExit = () => died.abort(new Error(`${child.spawnargs.at(-1)} has ended`));
  child.once('exit', onExit);
  try {
    const [message] = await once(child, 'message', { signal: died.signal });
    return message;
  } finally {
    child.off('exit', onExit);
  }
}

function median(runs, key) {
  const sorted = runs.map((each) => each[key]).sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

function printTable(measured) {
  const [plain] = measured;
  const kib = (bytes) => (bytes / 1024).toFixed(1);
  const ratio = (bytes, base) => (bytes / base).toFixed(2);
  console.log(`${tunnels} open tunnels, Node ${process.versions.node}, medians of ${rounds}\n`);
  console.log('| client | RSS of a tunnel, KiB | ratio | heap of a tunnel, KiB | ratio |');
  console.log('|---|---:|---:|---:|---:|');
  for (const { name, rss, heap } of measured) {
    const cells = [name, kib(rss), ratio(rss, plain.rss), kib(heap), ratio(heap, plain.heap)];
    console.log(`| ${cells.join(' | ')} |`);
  }
}
