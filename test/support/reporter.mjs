// The last lines of a test run: what was not run and why, what the files left behind (hygiene-watch.mjs), then
// `N passed, N failed` alone on a line. A suite that could not run, or left something behind, counts as one failure; on
// the CI so does every test that was left out.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TALLY } from './hygiene-watch.mjs';

export default class TotalsReporter {
  #globalConfig;
  #leftOut = [];
  #tallyFolder;

  constructor(globalConfig) {
    this.#globalConfig = globalConfig;
  }

  // Test files run in other processes, started after this with this environment.
  onRunStart() {
    this.#tallyFolder = mkdtempSync(join(tmpdir(), 'cloudlane-tests-'));
    process.env[TALLY] = join(this.#tallyFolder, 'tally');
    writeFileSync(process.env[TALLY], '');
  }

  onRunComplete(_contexts, results) {
    // With a name pattern nearly every test is left out, and that is what was asked for.
    if (!this.#globalConfig.testNamePattern) {
      this.#leftOut = results.testResults
        .flatMap(({ testResults }) => testResults)
        .filter(({ status }) => status !== 'passed' && status !== 'failed')
        .map(({ ancestorTitles, title }) => [...ancestorTitles, title].join(' › '));
    }
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const lines = [
      ...this.#leftOut.map((name) => `Not run here: ${name}`),
      this.#leftBehind(),
      `${results.numPassedTests} passed, ${failed + (onCi() ? this.#leftOut.length : 0)} failed`,
    ];
    // jest's own summary comes after every reporter: only the end of the process is after that.
    process.once('exit', () => process.stdout.write(`\n${lines.join('\n')}\n`));
  }

  #leftBehind() {
    const files = readFileSync(process.env[TALLY], 'utf8').trimEnd().split('\n').filter(Boolean).map(JSON.parse);
    rmSync(this.#tallyFolder, { recursive: true });
    const sum = (what) => files.reduce((total, numbers) => total + numbers[what], 0);
    return [
      counted(sum('sockets'), 'socket', 'left open'),
      counted(sum('rejections'), 'unhandled rejection'),
      counted(sum('warnings'), 'warning'),
    ].join(', ');
  }

  getLastError() {
    if (onCi() && this.#leftOut.length > 0) return new Error('On the CI no test is left out');
  }
}

function counted(number, noun, rest = '') {
  return `${number} ${noun}${number === 1 ? '' : 's'} ${rest}`.trimEnd();
}

function onCi() {
  return process.env.CI === 'true';
}
