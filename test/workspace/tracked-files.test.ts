import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { notRunHere } from '../support/not-run.ts';
import { root } from './packages.ts';

const unwanted: readonly [what: string, pattern: RegExp][] = [
  ['the host of a package registry', /\bregistry\.[a-z0-9-]+\.[a-z]+|\bnpm\.pkg\.github\.com|_authToken\s*=/],
  ['a path of one machine', /(?<![\w.~}/-])\/(?:work|root|home\/\w+|Users\/\w+)\//],
  ['a private key', /-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}/],
  ['an AWS access key', /\b(?:AKIA|ASIA)(?!\w*EXAMPLE\b)[A-Z0-9]{16}\b/],
  ['a DigitalOcean token', /\bdo[opr]_v1_(?!(\w{1,4})\1+\b)[0-9a-f]{64}\b/],
  ['a GitHub token', /\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_\w{22,}/],
  ['an npm token', /\bnpm_[A-Za-z0-9]{36}\b/],
];

const { status, stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' });

if (status === 0) describeFiles(stdout.split('\0').filter(Boolean));
else notRunHere('tracked files', 'git and a clone');

function describeFiles(files: readonly string[]): void {
  // A file that is deleted but not yet committed as such is no file any more.
  const texts = files.flatMap((file) => readIfThere(file).map((text) => [file, text] as const));
  describe('tracked files', () => {
    test.each(unwanted)('do not hold %s', (_what, pattern) => {
      const hits = texts.flatMap(([file, text]) => {
        const hit = pattern.exec(text);
        return hit ? [`${file}:${text.slice(0, hit.index).split('\n').length}: ${hit[0]}`] : [];
      });
      expect(hits).toEqual([]);
    });
  });
}

function readIfThere(file: string): string[] {
  try {
    return [readFileSync(join(root, file), 'utf8')];
  } catch {
    return [];
  }
}
