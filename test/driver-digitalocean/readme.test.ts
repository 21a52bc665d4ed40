import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { AUTH, fakeDigitalOcean, optionsFor, proxy, TOKEN } from './lab.ts';
import { publishServer } from './snippet.ts';

test('the code of the README is in snippet.ts', async () => {
  const readme = await readFile(join(import.meta.dirname, '../../packages/driver-digitalocean/README.md'), 'utf8');
  const source = await readFile(join(import.meta.dirname, 'snippet.ts'), 'utf8');
  const [, region = ''] = /\/\/ #region \w+\n(.*?) *\/\/ #endregion/s.exec(source) ?? [];
  const blocks = [...readme.matchAll(/^```(?:ts|typescript)\n(.*?)^```$/gms)].map(([, block]) => block);
  expect(region).not.toBe('');
  expect(blocks).toEqual([region.replace(/^ {2}/gm, '')]);
});

test('and it does what it says', async () => {
  const fake = await fakeDigitalOcean();
  const through = await proxy({ auth: AUTH });
  fake.addDomain('example.com');
  await publishServer(TOKEN, through.urlWithCredentials, optionsFor(fake), 1);
  expect(fake.recordsOf('example.com')).toEqual(['A web-1 192.0.2.10']);
  expect(through.hops).toHaveLength(fake.calls.length);
});
