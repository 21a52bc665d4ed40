// What an open WebSocket costs: node test/bench/websockets.mjs [sockets] [rounds] [messages]
// wss through an https proxy with a password, TLS within TLS; all clients in turn, each in a fresh process with fresh
// servers in another. Each opens its sockets, then has so many messages echoed on every one of them, all sockets at once.
// Ratios hold, absolute figures don't.
import { answerOf, end, median, start } from './processes.mjs';
import { CLIENTS } from './websockets-clients.mjs';

const [sockets, rounds, messages] = [process.argv[2] ?? 500, process.argv[3] ?? 3, process.argv[4] ?? 50].map(Number);

const kib = (bytes) => (bytes / 1024).toFixed(1);
const COLUMNS = {
  rss: { title: 'RSS of a socket, KiB', format: kib },
  heap: { title: 'its heap, KiB', format: kib },
  usedRss: { title: 'RSS after the echoes', format: kib },
  usedHeap: { title: 'heap after the echoes', format: kib },
  opening: { title: 'opening all, ms', format: Math.round },
  echoing: { title: 'echoes/s', format: Math.round },
  cpu: { title: 'CPU of an echo, µs', format: Math.round },
};

console.log(
  `${sockets} open WebSockets, ${messages} echoes on each, Node ${process.versions.node}, medians of ${rounds}`,
);
for (const compressed of [false, true]) await compare(compressed);

async function compare(compressed) {
  const rows = [];
  for (const name of Object.keys(CLIENTS)) rows.push({ name, runs: [] });
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, runs } of rows) runs.push(await run(name, compressed));
  }
  console.log(`\nperMessageDeflate: ${compressed}\n`);
  printTable(rows.map(({ name, runs }) => ({ name, ...mediansOf(runs) })));
}

async function run(name, compressed) {
  const servers = start('websockets-lab.mjs');
  const client = start('websockets-client.mjs');
  try {
    const lab = await answerOf(servers);
    client.send({ name, lab: { ...lab, compressed }, sockets, messages });
    const taken = await answerOf(client);
    servers.send('count');
    const seen = await answerOf(servers);
    // Else the figures would be of something else.
    if (seen.openTunnels < sockets) throw new Error(`${name} kept only ${seen.openTunnels} of ${sockets} tunnels open`);
    if (seen.compressed !== (compressed ? seen.open : 0)) throw new Error(`${name} compressed ${seen.compressed}`);
    return taken;
  } finally {
    await end(client, servers);
  }
}

function mediansOf(runs) {
  return Object.fromEntries(Object.keys(COLUMNS).map((key) => [key, median(runs.map((each) => each[key]))]));
}

function printTable(measured) {
  const [plain] = measured;
  const columns = Object.entries(COLUMNS);
  console.log(`| client | ${columns.map(([, { title }]) => `${title} | ratio`).join(' | ')} |`);
  console.log(`|---|${'---:|'.repeat(2 * columns.length)}`);
  for (const row of measured) {
    const cells = columns.flatMap(([key, { format }]) => [format(row[key]), (row[key] / plain[key]).toFixed(2)]);
    console.log(`| ${[row.name, ...cells].join(' | ')} |`);
  }
}
