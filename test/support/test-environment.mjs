// jest's Node environment, which also remembers what a test file prints. It runs outside the file's sandbox and so
// sees the real streams and the warnings that Node itself gives.
import { TestEnvironment } from 'jest-environment-node';

export default class PrintRecorder extends TestEnvironment {
  #undo = [];

  async setup() {
    await super.setup();
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

  async teardown() {
    for (const undo of this.#undo) undo();
    await super.teardown();
  }
}
