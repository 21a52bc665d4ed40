import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as proxy from '@cloudlane/proxy';
import * as transport from '@cloudlane/transport';
import { expect, test } from '@jest/globals';

const root = join(import.meta.dirname, '../..');
const docs = readFileSync(join(root, 'packages/transport/ERRORS.md'), 'utf8');
const rows = docs.split('\n').filter((line) => /^\| `\w+` \| `ERR_/.test(line));

function sources(): string {
  const packages = readdirSync(join(root, 'packages')).filter((name) => name !== 'testing');
  return packages
    .flatMap((name) => {
      const dir = join(root, 'packages', name, 'src');
      return readdirSync(dir).map((file) => readFileSync(join(dir, file), 'utf8'));
    })
    .join('\n');
}

test('every code that the packages raise is documented, and no other', () => {
  const raised = [...sources().matchAll(/'(ERR_[A-Z_]+)'/g)].map(([, code]) => code ?? '');
  // OpenSSL's, as Node spells them.
  const ours = new Set(raised.filter((code) => !code.startsWith('ERR_SSL_')));
  const documented = new Set(rows.map((row) => /`(ERR_\w+)`/.exec(row)?.[1]));
  expect([...documented].sort()).toEqual([...ours].sort());
});

test('every class of error that can be caught is documented, and no other', () => {
  const classes = [...sources().matchAll(/export class (\w+Error) extends/g)].map(([, name]) => name ?? '');
  const documented = new Set(rows.map((row) => /`(\w+)`/.exec(row)?.[1]));
  // No one throws the root itself, and what is internal is exported by no package.
  const inside = new Set(['CloudlaneError', 'ConnectReplyError', 'NetrcSyntaxError']);
  expect([...documented].sort()).toEqual(classes.filter((name) => !inside.has(name)).sort());
  expect(Object.keys({ ...proxy, ...transport }).filter((name) => inside.has(name))).toEqual(['CloudlaneError']);
});

test('every field of a TransportError is told', () => {
  const error = new transport.TransportError('', { phase: 'body', hop: 'origin', proxy: null, url: null });
  const fields = [...Object.getOwnPropertyNames(error), 'explanation'];
  const inherited = new Set(['stack', 'message', 'name', 'code']);
  expect(fields.filter((field) => !inherited.has(field) && !docs.includes(`\`${field}\``))).toEqual([]);
});

test('every warning that the packages give is documented, and no other', () => {
  const given = [...sources().matchAll(/code: '(CLOUDLANE_\w+|HOOK_ERROR)'/g)].map(([, code]) => code ?? '');
  const documented = docs.split('\n').flatMap((line) => /^\| `((?:CLOUDLANE|HOOK)_\w+)`/.exec(line)?.[1] ?? []);
  expect([...documented].sort()).toEqual([...new Set(given)].sort());
});
