// Everything that a test of this folder opens is closed after it, and no origin may have seen a proxy header.

import { credentialLeaks, forgetCredentialLeaks } from '@cloudlane/testing';
import { afterEach, expect } from '@jest/globals';

import { use } from '../support/resources.ts';

export { use };

afterEach(async () => {
  const leaks = credentialLeaks();
  forgetCredentialLeaks();
  expect(leaks).toEqual([]);
});
