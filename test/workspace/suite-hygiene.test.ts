// Proves that a test file fails for what it leaves behind: runs jest as this repository does on files that do.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { root } from './packages.ts';

interface FileResult {
  readonly name: string;
  readonly status: 'passed' | 'failed';
  readonly message: string;
  readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
}

const folder = mkdtempSync(join(tmpdir(), 'cloudlane-hygiene-'));
afterAll(() => rmSync(folder, { recursive: true }));

let printed = { stdout: '', stderr: '' };
let files: readonly FileResult[] = [];

beforeAll(async () => {
  const report = join(folder, 'report.json');
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const options = ['--config', 'test/support/jest.config.mjs', '--testMatch', '**/test/fixtures/hygiene/*.ts'];
  const output = ['--json', '--outputFile', report, '--no-color'];
  const env = { ...process.env, CI: 'false' };
  // With failures, jest's status is 1.
  const run = promisify(execFile)(process.execPath, [...jest, ...options, ...output], { cwd: root, env });
  printed = await run.catch((failure: typeof printed) => failure);
  files = JSON.parse(readFileSync(report, 'utf8')).testResults;
}, 30_000);

function resultOf(file: string): FileResult | undefined {
  return files.find(({ name }) => basename(name) === `${file}.ts`);
}

const PORT = '127\\.0\\.0\\.1 port \\d+';

describe('a file fails', () => {
  test.each([
    ['left-server', `Left open: tcp ${PORT}\n`],
    ['left-socket', `Left open: tcp ${PORT}, tcp ${PORT} to ${PORT}, tcp ${PORT} to ${PORT}\n`],
    ['left-pipe', 'Left open: pipe without a name'],
    ['late-rejection', 'Unhandled rejection: Error: nobody waits for this'],
    ['handled-late', 'Unhandled rejection: Error: handled a turn too late'],
    ['warning', 'Not expected: MaxListenersExceededWarning: Possible EventEmitter memory leak'],
    ['other-warning', 'Not expected: CloudlaneWarning: One too many\\.'],
  ])('though its tests pass: %s', (file, message) => {
    const result = resultOf(file);
    expect(result?.message).toMatch(new RegExp(message));
    expect(result?.status).toBe('failed');
    expect(result?.assertionResults.map(({ status }) => status)).toEqual(['passed']);
  });

  test.each([
    ['rejection', ['failed'], 'nobody handles this'],
    ['missing-warning', ['failed', 'failed'], 'Warnings that did not come: [{"code":"CLOUDLANE_TEST","text":"twice"}]'],
  ])('with its tests: %s', (file, statuses, message) => {
    const result = resultOf(file);
    expect(result?.message).toContain(message);
    expect(result?.assertionResults.map(({ status }) => status)).toEqual(statuses);
  });
});

test.each(['nothing-left', 'expected-warning'])('a file that leaves nothing passes: %s', (file) => {
  expect(resultOf(file)).toMatchObject({ status: 'passed', message: '' });
});

test('the run says how much was left', () => {
  expect(printed.stdout).toMatch(/^5 sockets left open, 3 unhandled rejections, 2 warnings$/m);
});

test('a warning is printed where nothing else tells of it', () => {
  expect(resultOf('not-loaded')?.status).toBe('failed');
  expect(printed.stderr).toContain('CloudlaneWarning: This file cannot be loaded.');
  expect(printed.stderr).not.toContain('CloudlaneWarning: This is the first.');
  expect(printed.stderr).not.toMatch(/^\(node:\d+\) MaxListenersExceededWarning/m);
});
