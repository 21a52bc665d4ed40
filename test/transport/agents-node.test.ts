import { describe } from '@jest/globals';
import { makeNode } from './agents-clients.ts';
import { failsWell } from './agents-faults.ts';
import { goesEveryWay } from './agents-lab.ts';

describe("Node's http and https", () => {
  goesEveryWay(makeNode);
  failsWell(makeNode, 'itself', { name: 'AbortError' });
});
