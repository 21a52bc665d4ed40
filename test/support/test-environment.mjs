// jest's Node environment, which also remembers what a test file prints, and fails it for what it leaves behind. It runs
// outside the file's sandbox and so sees the real streams, the warnings that Node itself gives, and the real sockets.
import { TestEnvironment } from 'jest-environment-node';
import { HygieneWatch } from './hygiene-watch.mjs';

export default class WatchingEnvironment extends TestEnvironment {
  #undo = [];
  #watch;

  async setup() {
    await super.setup();
    this.#watch = new HygieneWatch();
    this.#undo.push(() => this.#watch.stop());
    this.global[Symbol.for('cloudlane.warnings')] = this.#watch.warnings;
    this.#recordPrints();
  }

  #recordPrints() {
    const printed = [];
    this.global[Symbol.for('cloudlane.printed')] = printed;
    for (const stream of [process.stdout, process.stderr]) {
      const { write } = stream;
      stream.write = (chunk, ...rest) => {
        printed.push(String(chunk));
        return write.call(stream, chunk, ...rest);
      };
      this.#undo.push(() => {
        stream.write = write;
      });
    }
    const onWarning = (warning) => printed.push(String(warning.stack));
    process.on('warning', onWarning);
    this.#undo.push(() => process.off('warning', onWarning));
  }

  // Called by jest-circus, which waits for the promise where its own event is not synchronous.
  async handleTestEvent(event, state) {
    this.#watch.onTestEvent(event);
    // The last event before the results are made.
    if (event.name === 'run_finish') await this.#watch.finish(state);
  }

  async teardown() {
    for (const undo of this.#undo) undo();
    await super.teardown();
  }
}
