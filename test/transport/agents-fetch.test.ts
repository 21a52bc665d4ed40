import { describe } from '@jest/globals';
import { makeFetch } from './agents-clients.ts';
import { failsWell } from './agents-faults.ts';
import { goesEveryWay } from './agents-lab.ts';

describe('node-fetch', () => {
  goesEveryWay(makeFetch);
  // Its FetchError keeps no cause.
  failsWell(makeFetch, 'code and message', { name: 'AbortError', type: 'aborted' });
});
