// One client of tunnels.mjs, in a process of its own: opens its tunnels and sends what each of them takes, in bytes.
import { measure } from './memory.mjs';
import { CLIENTS } from './tunnel-clients.mjs';

const WARM_UP = 10;

process.once('message', async ({ name, lab, tunnels }) => {
  const get = await CLIENTS[name]({ ...lab, connections: tunnels + WARM_UP });
  // Loads all code, and makes what is made once.
  await open(get, 'warm-up', WARM_UP);
  const before = await measure();
  // As many more as are already open: they are used again.
  await open(get, 'tunnels', tunnels + WARM_UP);
  const after = await measure();
  process.send({ rss: (after.rss - before.rss) / tunnels, heap: (after.heap - before.heap) / tunnels });
});
process.on('disconnect', () => process.exit());

function open(get, name, count) {
  return Promise.all(Array.from({ length: count }, () => get(`/${name}/${count}`)));
}
