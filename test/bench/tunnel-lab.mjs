// The servers of tunnels.mjs, in a process of their own: an https origin and an http proxy before it. Sends their
// addresses, and on any message the number of tunnels that are open.
import { createCa, startOrigin, startProxy } from '@cloudlane/testing';

const ca = await createCa();
const tls = await ca.issue({ names: ['127.0.0.1'] });
const groups = new Map();

// `/name/5`: five requests for it are answered when the fifth has come, so that none can use the tunnel of another.
const origin = await startOrigin({
  tls,
  handler: ({ url }, response) => {
    const group = groups.get(url) ?? [];
    groups.set(url, group);
    group.push(response);
    if (group.length === Number(url.split('/').at(-1))) for (const each of group) each.end('x'.repeat(1024));
  },
});
const proxy = await startProxy();

process.on('message', () => process.send({ openTunnels: proxy.openTunnels }));
process.on('disconnect', () => process.exit());
process.send({ url: origin.url, proxy: proxy.url, ca: ca.certificate });
