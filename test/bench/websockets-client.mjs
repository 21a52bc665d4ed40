// One client of websockets.mjs, in a process of its own: opens its sockets, has messages echoed, and sends what each
// socket takes, in bytes, and how fast it was.
import { once } from 'node:events';
import { measure } from './memory.mjs';
import { CLIENTS } from './websockets-clients.mjs';

const WARM_UP = 10;
// As that of an API: long enough to be compressed (ws does so from 1 KiB on).
const MESSAGE = JSON.stringify(
  Array.from({ length: 20 }, (_, id) => ({ id, name: `server-${id}`, status: 'active', address: `192.0.2.${id}` })),
);

process.once('message', async ({ name, lab, sockets: count, messages }) => {
  const open = await CLIENTS[name](lab);
  // Loads all code, and makes what is made once.
  const first = await openAll(open, WARM_UP);
  await echoAll(first, Math.min(messages, WARM_UP));
  const before = await measure();
  const startedAt = performance.now();
  const sockets = await openAll(open, count);
  const openedAt = performance.now();
  const after = await measure();
  const beganAt = performance.now();
  const cpuBefore = process.cpuUsage();
  await echoAll(sockets, messages);
  const echoedAt = performance.now();
  const { user, system } = process.cpuUsage(cpuBefore);
  const used = await measure();
  process.send({
    rss: (after.rss - before.rss) / count,
    heap: (after.heap - before.heap) / count,
    usedRss: (used.rss - before.rss) / count,
    usedHeap: (used.heap - before.heap) / count,
    opening: openedAt - startedAt,
    echoing: (1000 * count * messages) / (echoedAt - beganAt),
    cpu: (user + system) / (count * messages),
  });
  // Else they could be collected before the servers have counted them.
  process.once('disconnect', () => process.exit(first.length + sockets.length > 0 ? 0 : 1));
});
process.on('disconnect', () => process.exit());

function openAll(open, count) {
  return Promise.all(Array.from({ length: count }, open));
}

/** One after the other on each socket, all sockets at once. */
function echoAll(sockets, messages) {
  return Promise.all(
    sockets.map(async (socket) => {
      for (let index = 0; index < messages; index += 1) {
        socket.send(MESSAGE);
        const [echo] = await once(socket, 'message');
        if (echo.length !== MESSAGE.length) throw new Error(`an echo of ${echo.length} bytes`);
      }
    }),
  );
}
