import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { scrubProxyVariables } from '../support/environment.ts';

const run = promisify(execFile);

test('the benchmark of tunnels compares all clients, each with its tunnels open', async () => {
  const script = fileURLToPath(new URL('tunnels.mjs', import.meta.url));
  const env = scrubProxyVariables({ ...process.env });
  const { stdout } = await run(process.execPath, [script, '20', '1'], { env });
  const [title, , ...table] = stdout.trimEnd().split('\n');
  expect(title).toMatch(/^20 open tunnels, Node \d+/);
  const names = ['client', '---', 'plain node', 'hpagent', 'undici ProxyAgent', 'cloudlane'];
  expect(table.map((line) => line.split('|')[1]?.trim())).toEqual(names);
  // What is measured of so few means nothing, but it has to be numbers.
  for (const line of table.slice(2)) expect(line).toMatch(/^\| [^|]+( \| -?\d+\.\d+){4} \|$/);
}, 60_000);
