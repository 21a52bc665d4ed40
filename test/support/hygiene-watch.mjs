// What a test file must not leave behind: open sockets, unhandled rejections, warnings. Runs outside the file's sandbox,
// where the real process is; see test-environment.mjs.
import { appendFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Names the file to which each test file's numbers are added, one line of JSON each; set by reporter.mjs. */
export const TALLY = 'CLOUDLANE_TEST_TALLY';

// What is on its way when the last hook has run may take this many turns of the event loop; sockets that are closing,
// the other end of which may be another process, this many milliseconds.
const TURNS = 10;
const PATIENCE = 500;

/** Watches over one test file, from its making to `finish()`. */
export class HygieneWatch {
  #before = new Set(openSockets().map(({ key }) => key));
  #rejections = [];
  // Node's own listener prints, also what is expected; what is not is in the message of the file's failure.
  #printers = process.rawListeners('warning');
  #isFinished = false;
  #onWarning = (warning) => {
    if (isOfTheRunner(warning)) this.#print(warning);
    else this.warnings.push(warning);
  };

  /** The warnings so far that nobody has expected: see hygiene.ts. */
  warnings = [];

  constructor() {
    for (const printer of this.#printers) process.off('warning', printer);
    process.on('warning', this.#onWarning);
  }

  /** jest's own event tells of unhandled rejections: a listener on `process` would go when jest puts up its own. */
  onTestEvent({ name, promise, error }) {
    if (name === 'error' && promise) this.#rejections.push(error);
  }

  /** To be called after the last hook. Adds what was left behind to the file's errors and hands the numbers on. */
  async finish(state) {
    for (let turn = 0; turn < TURNS; turn += 1) await nextTurn();
    const sockets = await this.#leftOpen();
    this.#isFinished = true;
    this.#handOver({ sockets: sockets.length, rejections: this.#rejections.length, warnings: this.warnings.length });
    const problems = [
      ...(sockets.length > 0 ? [`Left open: ${sockets.map(({ text }) => text).join(', ')}`] : []),
      // jest leaves out those that were handled later, though Node alone would have ended, and those after the last hook.
      ...withoutReported(this.#rejections, state).map((error) => `Unhandled rejection: ${error?.stack ?? error}`),
      ...this.warnings.map(({ stack }) => `Not expected: ${stack}`),
    ];
    // With stacks of their own they would point here.
    state.unhandledErrors.push(...problems.map((stack) => Object.assign(new Error(stack), { stack })));
  }

  async #leftOpen() {
    const deadline = performance.now() + PATIENCE;
    for (;;) {
      const left = openSockets().filter(({ key }) => !this.#before.has(key));
      if (left.length === 0 || performance.now() > deadline) return left;
      await nextTurn();
    }
  }

  #handOver(numbers) {
    const file = process.env[TALLY];
    if (file) appendFileSync(file, `${JSON.stringify(numbers)}\n`);
  }

  #print(warning) {
    for (const printer of this.#printers) printer.call(process, warning);
  }

  stop() {
    process.off('warning', this.#onWarning);
    for (const printer of this.#printers) process.on('warning', printer);
    // A file that could not be loaded has no last hook.
    if (!this.#isFinished) this.warnings.forEach(this.#print, this);
  }
}

/**
 * Every socket of this thread, servers and pipes too. The diagnostic report also lists those that were unref'd, such as
 * idle ones of a pool, which process.getActiveResourcesInfo() does not.
 */
function openSockets() {
  const { excludeNetwork } = process.report;
  process.report.excludeNetwork = true; // Else it looks up a name for each address.
  const { libuv } = process.report.getReport();
  process.report.excludeNetwork = excludeNetwork;
  return (
    libuv
      // The process's own streams are opened when somebody first looks at them.
      .filter(({ type, stdio }) => (type === 'tcp' || type === 'udp' || type === 'pipe') && stdio === undefined)
      .map(({ type, address, fd, localEndpoint, remoteEndpoint }) => ({
        key: `${address} ${fd}`,
        text: `${type} ${name(localEndpoint)}${remoteEndpoint ? ` to ${name(remoteEndpoint)}` : ''}`,
      }))
  );
}

function name(endpoint) {
  if (endpoint === null) return 'without a name';
  return typeof endpoint === 'string' ? endpoint : `${endpoint.ip6 ?? endpoint.ip4} port ${endpoint.port}`;
}

function withoutReported(errors, { rootDescribeBlock, unhandledErrors }) {
  const testsOf = ({ children }) => children.flatMap((child) => (child.type === 'test' ? [child] : testsOf(child)));
  // jest keeps an error alone, or with the place of its test.
  const reported = [...unhandledErrors, ...testsOf(rootDescribeBlock).flatMap((test) => test.errors)].flat();
  return errors.filter((error) => !reported.includes(error));
}

// jest needs one, strip-types.mjs the other.
function isOfTheRunner({ name, message }) {
  return name === 'ExperimentalWarning' && /^(VM Modules|stripTypeScriptTypes) /.test(message);
}
