import type { Writable } from 'node:stream';

// What ends a line somewhere, or makes a terminal do things.
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** Whether lines can be written to it. */
export function isWritable(value: unknown): value is Writable {
  return typeof value === 'object' && value !== null && 'write' in value && typeof value.write === 'function';
}

/** Writes one line, whatever is in it, and nothing at all to a stream that has ended. Never throws. */
export function writeLine(to: Writable, make: () => string): void {
  // Writing to a stream that has ended would be an 'error' of its own.
  if (to.writable === false) return;
  try {
    to.write(`${make().replaceAll(CONTROL, '\ufffd')}\n`);
  } catch {
    // What only shows a request must not end it.
  }
}
