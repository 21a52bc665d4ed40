import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { scrubProxyVariables } from '../support/environment.ts';

const run = promisify(execFile);

test('the benchmark of tunnels compares all clients, each with its tunnels open', async () => {
  const [title, , ...table] = await linesOf('tunnels.mjs', '20', '1');
  expect(title).toMatch(/^20 open tunnels, Node \d+/);
  const names = ['client', '---', 'plain node', 'hpagent', 'undici ProxyAgent', 'cloudlane'];
  expect(table.map((line) => line.split('|')[1]?.trim())).toEqual(names);
  // What is measured of so few means nothing, but it has to be numbers.
  for (const line of table.slice(2)) expect(line).toMatch(/^\| [^|]+( \| -?\d+\.\d+){4} \|$/);
}, 60_000);

test('the benchmark of WebSockets compares all clients, with compression and without', async () => {
  const [title, ...lines] = await linesOf('websockets.mjs', '20', '1', '2');
  expect(title).toMatch(/^20 open WebSockets, 2 echoes on each, Node \d+/);
  expect(lines.filter((line) => line.startsWith('perMessageDeflate'))).toEqual([
    'perMessageDeflate: false',
    'perMessageDeflate: true',
  ]);
  const rows = lines.filter((line) => line.startsWith('| ') && !line.startsWith('| client'));
  const clients = ['ws + https-proxy-agent', 'ws + transport.agents()', 'cloudlane'];
  expect(rows.map((line) => line.split('|')[1]?.trim())).toEqual([...clients, ...clients]);
  for (const row of rows) expect(row).toMatch(/^\| [^|]+( \| -?\d+(\.\d)? \| -?\d+\.\d+){7} \|$/);
}, 120_000);

async function linesOf(file: string, ...args: readonly string[]): Promise<string[]> {
  const script = fileURLToPath(new URL(file, import.meta.url));
  const env = scrubProxyVariables({ ...process.env });
  const { stdout } = await run(process.execPath, [script, ...args], { env });
  return stdout.trimEnd().split('\n');
}
