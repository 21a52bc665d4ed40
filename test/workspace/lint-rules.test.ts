// The rules that hold the layers together, proven by code that breaks them.
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { root } from './packages.ts';

const restricted = 'lint/style/noRestrictedImports';
const importing = (name: string): string => `import * as it from '${name}';\nexport const found = it;\n`;

const rows: readonly [name: string, path: string, source: string, rule: string | undefined][] = [
  ['proxy imports a socket', 'proxy/src/a.ts', importing('node:net'), restricted],
  ['proxy imports a dependency', 'proxy/src/b.ts', importing('axios'), restricted],
  ['proxy imports a sibling', 'proxy/src/c.ts', importing('@cloudlane/transport'), restricted],
  ['transport imports upwards', 'transport/src/a.ts', importing('@cloudlane/session'), restricted],
  ['session imports upwards', 'session/src/a.ts', importing('@cloudlane/connection'), restricted],
  ['session opens sockets', 'session/src/b.ts', importing('node:http'), restricted],
  ['session speaks WebSocket', 'session/src/e.ts', importing('ws'), restricted],
  ['transport speaks WebSocket', 'transport/src/c.ts', importing('ws'), restricted],
  ['websocket imports a sibling', 'websocket/src/a.ts', importing('@cloudlane/session'), restricted],
  ['websocket opens sockets', 'websocket/src/b.ts', importing('node:tls'), restricted],
  ['connection speaks WebSocket', 'connection/src/b.ts', importing('ws'), restricted],
  ['connection imports upwards', 'connection/src/a.ts', importing('@cloudlane/driver'), restricted],
  ['driver imports a provider', 'driver/src/a.ts', importing('@cloudlane/driver-aws'), restricted],
  ['a provider imports axios', 'driver-x/src/a.ts', importing('axios'), restricted],
  ['a provider imports an agent', 'driver-x/src/b.ts', importing('hpagent'), restricted],
  ['a provider imports another', 'driver-x/src/c.ts', importing('@cloudlane/driver-aws'), restricted],
  ['testing imports what it tests', 'testing/src/a.ts', importing('@cloudlane/transport'), restricted],
  [
    'a promise floats',
    'session/src/c.ts',
    'async function send(): Promise<void> {}\nexport function go(): void {\n  send();\n}\n',
    'lint/nursery/noFloatingPromises',
  ],
  ['a type is any', 'proxy/src/d.ts', 'export const one: any = 1;\n', 'lint/suspicious/noExplicitAny'],
  [
    'a value is said not to be null',
    'proxy/src/e.ts',
    'export const one = globalThis!;\n',
    'lint/style/noNonNullAssertion',
  ],
  ['a package writes to the console', 'proxy/src/f.ts', "console.log('one');\n", 'lint/suspicious/noConsole'],
  ['an index exports everything', 'proxy/src/index.ts', "export * from './a.ts';\n", 'lint/performance/noReExportAll'],
  ['an export is the default', 'proxy/src/g.ts', 'export default 1;\n', 'lint/style/noDefaultExport'],
  ['transport opens sockets', 'transport/src/b.ts', importing('node:net'), undefined],
  ['websocket speaks WebSocket', 'websocket/src/c.ts', importing('ws'), undefined],
  ['connection imports downwards', 'connection/src/c.ts', importing('@cloudlane/websocket'), undefined],
  ['session imports downwards', 'session/src/d.ts', importing('@cloudlane/transport'), undefined],
  ['cli writes to the console', 'cli/src/a.ts', "console.log('one');\n", undefined],
];

let dir: string;
let found: Map<string, string[]>;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cloudlane-lint-'));
  await copyFile(join(root, 'biome.json'), join(dir, 'biome.json'));
  for (const [, path, source] of rows) {
    const file = join(dir, 'packages', path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, source);
  }
  found = await lint(dir);
}, 30_000);

afterAll(() => rm(dir, { recursive: true, force: true }));

test.each(rows)('%s', (_name, path, _source, rule) => {
  expect(found.get(`packages/${path}`) ?? []).toEqual(rule === undefined ? [] : expect.arrayContaining([rule]));
});

/** The rules broken in each file. */
async function lint(cwd: string): Promise<Map<string, string[]>> {
  const args = [join(root, 'node_modules/@biomejs/biome/bin/biome'), 'lint', '--vcs-enabled=false', '--reporter=json'];
  const failed = await promisify(execFile)(process.execPath, [...args, '--max-diagnostics=none'], { cwd }).then(
    () => undefined,
    (error: { stdout: string }) => error.stdout,
  );
  const { diagnostics }: { diagnostics: { category: string; location: { path: string } }[] } = JSON.parse(failed ?? '');
  const rules = new Map<string, string[]>();
  for (const { category, location } of diagnostics) {
    rules.set(location.path, [...(rules.get(location.path) ?? []), category]);
  }
  return rules;
}
