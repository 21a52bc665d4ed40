import { describe } from '@jest/globals';
import { makeBlob } from './agents-clients.ts';
import { failsWell } from './agents-faults.ts';
import { goesEveryWay } from './agents-lab.ts';

describe("Azure's blob client", () => {
  goesEveryWay(makeBlob);
  // Its RestError keeps no cause.
  failsWell(makeBlob, 'code and message', { name: 'AbortError' });
});
