import { performance } from 'node:perf_hooks';
import { TimeoutError } from '@cloudlane/transport';
import { expect, test } from '@jest/globals';
import { failureOf, newTransport, origin } from './lab.ts';

test('the total deadline counts from where the call began, not this request', async () => {
  const silent = await origin('http', { handler: () => {} });
  const startedAt = performance.now() - 3_599_950;
  const error = await failureOf(newTransport().send({ url: silent.url, timeout: 3_600_000, startedAt }), TimeoutError);
  expect(error).toMatchObject({ deadline: 'total', milliseconds: 3_600_000 });
  // The time of this request alone.
  expect(error.timings?.total).toBeLessThan(3_000_000);
});
