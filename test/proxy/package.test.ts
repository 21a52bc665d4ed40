import { readdirSync, readFileSync } from 'node:fs';
import * as proxy from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';

const SOURCES = new URL('../../packages/proxy/src/', import.meta.url);
const FILES = readdirSync(SOURCES).map((name) => [name, readFileSync(new URL(name, SOURCES), 'utf8')] as const);

describe('@cloudlane/proxy', () => {
  test('exports these names and no others', () => {
    expect(Object.keys(proxy).sort()).toEqual([
      'InvalidOptionError',
      'InvalidProxyUrlError',
      'checkHttpProxy',
      'explainRoute',
      'formatHttpProxy',
      'formatProxy',
      'getEnvironProxies',
      'listProxies',
      'parseProxyUrl',
      'resolveRoute',
      'shouldBypass',
    ]);
  });

  test.each(FILES)('%s imports only its own package', (_name, source) => {
    const specifiers = [...source.matchAll(/\bfrom '([^']+)'|\bimport\(/g)].map(([, specifier]) => specifier);
    for (const specifier of specifiers) expect(specifier).toMatch(/^\.\/[a-z-]+\.ts$/);
  });

  test('reads process.env in one place', () => {
    const code = FILES.map(([name, source]) => [name, source.replace(/\/\*[\s\S]*?\*\//g, '')] as const);
    expect(code.flatMap(([name, text]) => [...text.matchAll(/\bprocess\.env\b/g)].map(() => name))).toEqual([
      'environment.ts',
    ]);
  });
});
