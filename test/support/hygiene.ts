// What the checks of hygiene-watch.mjs need from inside a test file.
import { setImmediate as nextTurn } from 'node:timers/promises';

interface ExpectedWarning {
  readonly code: string;
  readonly text: string;
}

const expected: ExpectedWarning[] = [];

/**
 * Lets the running test cause one warning of Node's `process` with this code, and fails it if none comes. Every other
 * warning fails the file. `text` must be part of the warning's message.
 */
export function expectWarning(code: string, text = ''): void {
  expected.push({ code, text });
}

/** Takes the warnings that the test expected out of those that fail the file. For setup.ts, after each test. */
export async function settleWarnings(): Promise<void> {
  if (expected.length === 0) return;
  await nextTurn(); // Node gives its warnings a moment later.
  const given: { readonly code?: string; readonly message: string }[] =
    Reflect.get(globalThis, Symbol.for('cloudlane.warnings')) ?? [];
  const missing = expected.splice(0).filter(({ code, text }) => {
    const index = given.findIndex((warning) => warning.code === code && warning.message.includes(text));
    return index < 0 || given.splice(index, 1).length === 0;
  });
  if (missing.length > 0) throw new Error(`Warnings that did not come: ${JSON.stringify(missing)}`);
}
