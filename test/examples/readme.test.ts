import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { runCommand } from '../cli/terminal.ts';

const readmes = ['README.md', ...readdirSync('packages').map((name) => join('packages', name, 'README.md'))].filter(
  isFile,
);
const regions = readRegions();

describe.each(readmes)('%s', (path) => {
  const text = readFileSync(path, 'utf8');

  const snippets = blocks(text, 'ts');
  if (snippets.length > 0) {
    test.each(snippets)('snippet %# is part of an example, which the tests run', (snippet) => {
      expect([...regions.values()]).toContain(snippet);
    });
  }

  const commands = blocks(text, 'sh').flatMap((block) =>
    block.split('\n').filter((line) => line.includes('npx cloudlane route')),
  );
  if (commands.length > 0) {
    test.each(commands)('%s', async (line) => {
      const [assignments = '', args = ''] = line.split('npx cloudlane ');
      const env = Object.fromEntries([...assignments.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
      expect(await runCommand(args.split(' '), env)).toMatchObject({ code: 0 });
    });
  }

  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = '']) => target);
  if (links.length > 0) {
    test.each(links)('link %s leads to a file', (target) => {
      expect(isFile(join(path, '..', target)) || readdirSync(join(path, '..', target)).length > 0).toBe(true);
    });
  }
});

test('there are snippets to check', () => {
  expect(regions.size).toBeGreaterThan(5);
});

function isFile(path: string): boolean {
  try {
    return readFileSync(path).length >= 0;
  } catch {
    return false;
  }
}

function blocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)\n\`\`\`$`, 'gms'))].map(([, block = '']) => block);
}

/** The examples whole, and their parts between `#region name` and `#endregion` without indentation. */
function readRegions(): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of readdirSync('examples').filter((name) => name.endsWith('.ts'))) {
    const source = readFileSync(join('examples', file), 'utf8');
    found.set(file, source.trimEnd());
    for (const [, indent = '', name = '', body = ''] of source.matchAll(
      /^( *)\/\/ #region (\S+)\n(.*?)\n *\/\/ #endregion/gms,
    )) {
      found.set(
        name,
        body
          .split('\n')
          .map((line) => line.replace(new RegExp(`^${indent}`), ''))
          .join('\n'),
      );
    }
  }
  return found;
}
