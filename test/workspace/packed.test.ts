// What users install: the tarballs, in a project of their own.
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { publint } from 'publint';
import { notRunHere } from '../support/not-run.ts';
import { packages, root } from './packages.ts';
import { packedProject, run } from './packed-project.ts';

const names = packages.map(({ name }) => name);
/** Prints what each package exports. A package that prints anything itself, or fails, breaks the JSON. */
const loaders = {
  import: `const found = {};
    for (const name of ${JSON.stringify(names)}) found[name] = Object.keys(await import(name)).sort();
    console.log(JSON.stringify(found));`,
  require: `const found = {};
    for (const name of ${JSON.stringify(names)}) found[name] = Object.keys(require(name)).sort();
    console.log(JSON.stringify(found));`,
};

const majors = [20, 22, 24];
const nodes = new Map([process.execPath, ...binariesFromEnvironment()].map((path) => [majorOf(path), path]));

let project: string;
beforeAll(async () => {
  project = await packedProject();
}, 300_000);

describe.each(names)('%s', (name) => {
  test('is in order for publint', async () => {
    const { messages } = await publint({ pkgDir: join(project, 'node_modules', name), pack: false, strict: true });
    expect(messages).toEqual([]);
  });
});

for (const major of new Set([...nodes.keys(), ...majors])) {
  const node = nodes.get(major);
  const title = `loading the packages on Node ${major}`;
  if (node === undefined)
    notRunHere(title, `node-${process.platform}-${process.arch}@${major} and name it in CLOUDLANE_TEST_NODES`);
  else describe(title, () => describeLoading(node));
}

test('the types of every package hold on their own, for users who check libraries too', async () => {
  const imports = names.map((name, index) => `import * as p${index} from '${name}';\nexport { p${index} };\n`);
  const compilerOptions = {
    ...{ module: 'nodenext', target: 'es2023', lib: ['es2023', 'esnext.disposable'], strict: true, noEmit: true },
    ...{ skipLibCheck: false, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
  };
  await writeFile(join(project, 'use.mts'), imports.join(''));
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.mts'] }));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const output = await run(process.execPath, [tsc, '-p', project], { cwd: project }).then(
    () => '',
    (error: { stdout: string }) => error.stdout,
  );
  expect(output).toBe('');
}, 60_000);

function describeLoading(node: string): void {
  test('import and require find the same exports', async () => {
    const [imported, required] = await Promise.all([
      load(node, ['--input-type=module', '--eval', loaders.import]),
      load(node, ['--eval', loaders.require]),
    ]);
    expect(Object.keys(imported)).toEqual(names);
    expect(required).toEqual(imported);
  }, 60_000);

  const bins = packages.flatMap(({ manifest }) => Object.keys(manifest.bin ?? {}));
  test.each(bins)(
    '%s helps',
    async (bin) => {
      const { stdout } = await run(node, [join(project, 'node_modules/.bin', bin), '--help'], { cwd: project });
      expect(stdout).toContain(bin);
    },
    60_000,
  );
}

async function load(node: string, args: readonly string[]): Promise<Record<string, string[]>> {
  const { stdout } = await run(node, args, { cwd: project });
  return JSON.parse(String(stdout));
}

function binariesFromEnvironment(): string[] {
  return (process.env.CLOUDLANE_TEST_NODES ?? '').split(':').filter(Boolean);
}

function majorOf(node: string): number {
  return Number(execFileSync(node, ['--print', 'process.versions.node.split(".")[0]'], { encoding: 'utf8' }));
}
