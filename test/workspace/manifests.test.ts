import { readFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { VERSION } from '@cloudlane/session';
import { describe, expect, test } from '@jest/globals';
import { filesBelow, type Manifest, packages, readJson, root, type WorkspacePackage } from './packages.ts';

const workspace: Manifest = readJson(join(root, 'package.json'));
const { version }: { version: string } = readJson(join(root, 'lerna.json'));
const isOurs = (name: string): boolean => packages.some((one) => one.name === name);

function declared({ manifest }: WorkspacePackage): Record<string, string> {
  return { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies };
}

/** The packages that the sources import by name, statically or not, as values or as types. */
function imported({ dir, name }: WorkspacePackage): string[] {
  const specifiers = filesBelow(join(dir, 'src')).flatMap((file) => {
    const source = readFileSync(file, 'utf8').replace(/^\s*(\/\*\*?|\*|\/\/).*$/gm, '');
    const statements = source.matchAll(/^\s*(?:import|export)\s+(?:[\w$\s{},*]+\sfrom\s+)?['"]([^'"]+)['"]/gm);
    const calls = source.matchAll(/\b(?:import|require|resolve)\(\s*['"]([^'"]+)['"]/g);
    return [...statements, ...calls].map(([, specifier = '']) => specifier);
  });
  const names = specifiers
    .filter((specifier) => /^(@[\w.-]+\/)?[\w.-]+(\/|$)/.test(specifier) && !specifier.startsWith('.'))
    .map((specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'));
  return [...new Set(names)].filter((one) => one !== name).sort();
}

test('User-Agent tells the version of the workspace', () => {
  expect(VERSION).toBe(version);
});

describe.each(packages)('$name', (one) => {
  const { dir, manifest } = one;

  test('has the version of the workspace, and asks for it in its siblings', () => {
    const siblings = Object.entries(declared(one)).filter(([name]) => isOurs(name));
    expect([[one.name, manifest.version], ...siblings].filter(([, wanted]) => wanted !== version)).toEqual([]);
  });

  test('names the Node versions it runs on', () => {
    expect(manifest.engines?.node).toBe(workspace.engines?.node);
  });

  test('declares what it imports and imports what it declares', () => {
    // Types that its own lead to come with it, under the name of what they describe.
    const names = Object.keys(declared(one)).filter((name) => !name.startsWith('@types/'));
    expect(imported(one)).toEqual(names.sort());
  });

  test('has a reference for each sibling it depends on', () => {
    const config: { references: { path: string }[] } = readJson(join(dir, 'tsconfig.json'));
    const referenced = config.references.map(({ path }) => basename(resolve(dir, path)));
    const siblings = packages.filter(({ name }) => name in declared(one)).map((sibling) => basename(sibling.dir));
    expect(referenced.sort()).toEqual(siblings);
  });

  test('exports by name only', () => {
    const wild = filesBelow(join(dir, 'src')).filter((file) =>
      /^export\s+(\*|default\b)/m.test(readFileSync(file, 'utf8')),
    );
    expect(wild.map((file) => relative(root, file))).toEqual([]);
  });
});

test('the workspace asks for one range of each dependency', () => {
  const ranges = new Map<string, Set<string>>();
  for (const { dependencies, peerDependencies, optionalDependencies, devDependencies } of [
    workspace,
    ...packages.map(({ manifest }) => manifest),
  ]) {
    const all = [dependencies, peerDependencies, optionalDependencies, devDependencies];
    for (const [name, range] of all.flatMap((group) => Object.entries(group ?? {}))) {
      ranges.set(name, (ranges.get(name) ?? new Set()).add(range));
    }
  }
  expect([...ranges].filter(([, found]) => found.size > 1)).toEqual([]);
});

test('the solution builds every package', () => {
  const { references }: { references: { path: string }[] } = readJson(join(root, 'tsconfig.json'));
  const built = references.map(({ path }) => path).filter((path) => path.startsWith('packages/'));
  expect(built.sort()).toEqual(packages.map(({ dir }) => relative(root, dir)));
});
