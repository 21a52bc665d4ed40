// Runs in every test file before its tests.
import diagnostics from 'node:diagnostics_channel';
import { setImmediate } from 'node:timers/promises';
import { afterAll, afterEach } from '@jest/globals';
import { scrubProxyVariables } from './environment.ts';
import { settleWarnings } from './hygiene.ts';
import { secretsIn } from './secrets.ts';

scrubProxyVariables(process.env);

// Everything else that a file leaves behind is found from outside of it: see hygiene-watch.mjs.
afterEach(settleWarnings);

// Only a file in which some server was called can have leaked a header to one: the others need not load the lab.
const accepted = 'net.server.socket';
let served = false;
const onSocket = () => {
  served = true;
};
diagnostics.subscribe(accepted, onSocket);

afterAll(async () => {
  diagnostics.unsubscribe(accepted, onSocket);
  if (!served) return;
  const { credentialLeaks } = await import('@cloudlane/testing');
  const leaks = credentialLeaks();
  if (leaks.length > 0) throw new Error(`An origin saw what is for a proxy: ${JSON.stringify(leaks, null, 2)}`);
});

// An answer that was lost with its body unread warns of it when it is collected: here, not at some chance moment.
afterAll(async () => {
  if (!served) return;
  const { collectGarbage } = await import('./garbage.ts');
  // What the last test held is let go of only after it; what finalizers say comes a turn later.
  for (let turn = 0; turn < 2; turn += 1) {
    await setImmediate();
    collectGarbage();
    await setImmediate();
  }
}, 30_000);

afterAll(async () => {
  await setImmediate(); // Node gives its warnings a moment later.
  const leaked = secretsIn(printed());
  if (leaked.length > 0) throw new Error(`This file printed ${leaked.join(', ')} of test/support/secrets.ts`);
});

/** Everything this test file has printed: see test-environment.mjs. */
function printed(): string {
  // jest keeps the console back until the file has ended, except where it writes straight to the streams.
  const kept: readonly { message: string }[] = Reflect.get(console, 'getBuffer')?.call(console) ?? [];
  const streamed: readonly string[] = Reflect.get(globalThis, Symbol.for('cloudlane.printed')) ?? [];
  return [...kept.map(({ message }) => message), ...streamed].join('\n');
}
