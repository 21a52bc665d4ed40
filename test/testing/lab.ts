// Everything that a test of this folder opens is closed after it, and no origin may have seen a proxy header.

import { credentialLeaks, forgetCredentialLeaks } from '@cloudlane/testing';
import { afterEach, expect } from '@jest/globals';

const opened: AsyncDisposable[] = [];

export async function use<T extends AsyncDisposable>(thing: T | Promise<T>): Promise<T> {
  const ready = await thing;
  opened.push(ready);
  return ready;
}

afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing[Symbol.asyncDispose]();
  const leaks = credentialLeaks();
  forgetCredentialLeaks();
  expect(leaks).toEqual([]);
});
