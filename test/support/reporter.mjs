// The last lines of a test run: what was not run and why, then `N passed, N failed` alone on a line. A suite that
// could not run counts as one failure; on the CI so does every test that was left out.
export default class TotalsReporter {
  #globalConfig;
  #leftOut = [];

  constructor(globalConfig) {
    this.#globalConfig = globalConfig;
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
      `${results.numPassedTests} passed, ${failed + (onCi() ? this.#leftOut.length : 0)} failed`,
    ];
    // jest's own summary comes after every reporter: only the end of the process is after that.
    process.once('exit', () => process.stdout.write(`\n${lines.join('\n')}\n`));
  }

  getLastError() {
    if (onCi() && this.#leftOut.length > 0) return new Error('On the CI no test is left out');
  }
}

function onCi() {
  return process.env.CI === 'true';
}
