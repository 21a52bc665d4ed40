import { afterEach } from '@jest/globals';

const opened: AsyncDisposable[] = [];

afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing[Symbol.asyncDispose]();
});

/** Closes it after the test, before what was opened earlier. */
export function closeAfterTest<T extends AsyncDisposable>(thing: T): T {
  opened.push(thing);
  return thing;
}

/** Waits for it, and closes it after the test. */
export async function use<T extends AsyncDisposable>(thing: T | Promise<T>): Promise<T> {
  return closeAfterTest(await thing);
}
