// What an open tunnel costs in memory: node test/bench/tunnels.mjs [tunnels] [rounds]
// An https origin behind an http proxy, a kept connection for each tunnel, all clients in turn; each in a fresh process
// with fresh servers in another. Ratios hold, absolute figures don't.
import { answerOf, end, median, start } from './processes.mjs';
import { CLIENTS } from './tunnel-clients.mjs';

const [tunnels, rounds] = [process.argv[2] ?? 1000, process.argv[3] ?? 3].map(Number);

const rows = [];
for (const name of Object.keys(CLIENTS)) rows.push({ name, runs: [] });
for (let round = 0; round < rounds; round += 1) {
  for (const { name, runs } of rows) runs.push(await run(name));
}
printTable(
  rows.map(({ name, runs }) => ({
    name,
    rss: median(runs.map(({ rss }) => rss)),
    heap: median(runs.map(({ heap }) => heap)),
  })),
);

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
    await end(client, servers);
  }
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
