// Installs what package-lock.json names, when it is not installed yet. Runs before `npm start` and
// `npm test`, so that each is one command on a fresh clone; uses nothing but Node and npm.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const stamp = 'node_modules/.cloudlane-lock';
const lock = readFileSync('package-lock.json', 'utf8');
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';

if (installed !== lock) {
  console.error('Installing dependencies (once, until package-lock.json changes) …');
  // `npm ci` refuses where an optional platform package is missing from the lock; `npm install` then still works.
  if (npm('ci') !== 0 && npm('install', '--no-save') !== 0) process.exit(1);
  writeFileSync(stamp, lock);
}

function npm(...args) {
  // npm sets npm_execpath for the scripts it runs; it is a script for this very Node.
  const [command, prefix] = process.env.npm_execpath ? [process.execPath, [process.env.npm_execpath]] : ['npm', []];
  const { status } = spawnSync(command, [...prefix, ...args, '--no-fund', '--no-audit', '--loglevel=error'], {
    stdio: ['ignore', 2, 2],
    shell: command === 'npm' && process.platform === 'win32',
  });
  return status;
}
