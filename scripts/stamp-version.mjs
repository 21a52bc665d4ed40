// Run by `lerna version` between the change of the numbers and the commit: writes the number where code tells it.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const { version } = JSON.parse(readFileSync('lerna.json', 'utf8'));
const file = 'packages/transport/src/version.ts';
writeFileSync(file, readFileSync(file, 'utf8').replace(/'[^']*'/, `'${version}'`));
execFileSync('git', ['add', file]);
