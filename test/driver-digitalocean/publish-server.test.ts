import { expect, test } from '@jest/globals';
import { publishServer } from '../../examples/publish-server.ts';
import { AUTH, fakeDigitalOcean, optionsFor, proxy, TOKEN } from './lab.ts';

test('the example of the README makes the node, waits for it and names it', async () => {
  const fake = await fakeDigitalOcean();
  const through = await proxy({ auth: AUTH });
  fake.addDomain('example.com');
  await publishServer(TOKEN, through.urlWithCredentials, optionsFor(fake), 1);
  expect(fake.recordsOf('example.com')).toEqual(['A web-1 192.0.2.10']);
  expect(through.hops).toHaveLength(fake.calls.length);
});
