// A provider's log, followed through a proxy that wants a password, while the provider hangs up in the middle: nothing is
// lost, nothing comes twice. Ends with an error if that does not hold.
import { createCa, startProxy } from '@cloudlane/testing';
import { Transport } from '@cloudlane/transport';
import { startFakeLogs } from './fake-logs.ts';
import { ExampleLogs } from './log-stream.ts';

const ca = await createCa();
const certificate = await ca.issue({ names: ['127.0.0.1'] });
await using provider = await startFakeLogs('a token', 30, [10, 20], certificate);
await using proxy = await startProxy({ auth: { username: 'user', password: 'p@ss:wörd' }, tls: certificate });
await using transport = new Transport({ tls: { ca: ca.certificate }, proxyTls: { ca: ca.certificate } });

const settings = { baseUrl: provider.url, transport, http_proxy: proxy.urlWithCredentials };
const logs = new ExampleLogs({ token: 'a token', ...settings });
const seen: number[] = [];
for await (const { sequence, text } of logs.follow('web', 0, { initialDelay: 100 })) {
  seen.push(sequence);
  if (sequence % 10 === 1) console.log(`${text} …`);
}
for (const { kind, target, username, status } of proxy.hops)
  console.log(`the proxy saw: ${kind} ${target} as ${username} → ${status}`);
const isWhole = seen.length === 30 && seen.every((sequence, index) => sequence === index + 1);
console.log(
  `${seen.length} lines over ${provider.asked.length} connections, ${isWhole ? 'each once, in order' : 'WRONG'}`,
);
process.exitCode = isWhole ? 0 : 1;
