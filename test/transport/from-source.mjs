// Module hooks for child processes: they run the packages' sources, as jest does, and not an old build.
import { readFile } from 'node:fs/promises';
import stripTypes from '../support/strip-types.mjs';

const PACKAGES = new URL('../../packages/', import.meta.url);

export async function resolve(specifier, context, next) {
  const [, name] = /^@cloudlane\/([^/]+)$/.exec(specifier) ?? [];
  return next(name === undefined ? specifier : new URL(`${name}/src/index.ts`, PACKAGES).href, context);
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const { code } = stripTypes.process(await readFile(new URL(url), 'utf8'));
  return { format: 'module', source: code, shortCircuit: true };
}
