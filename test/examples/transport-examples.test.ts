import { createCa, startOrigin, startProxy } from '@cloudlane/testing';
import { expect, test } from '@jest/globals';
import { statusBehind } from '../../examples/private-ca.ts';
import { timesOf } from '../../examples/timings.ts';
import { use } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';

test('private authorities: one for the proxy, another for the origin', async () => {
  const [ofProxy, ofOrigin] = [await createCa(), await createCa()];
  const names = ['127.0.0.1'];
  const origin = await use(startOrigin({ tls: await ofOrigin.issue({ names }) }));
  const auth = { username: 'user', password: SECRETS.proxyPassword };
  const proxy = await use(startProxy({ tls: await ofProxy.issue({ names }), auth }));
  const status = await statusBehind(origin.url, proxy.urlWithCredentials, ofProxy.certificate, ofOrigin.certificate);
  expect(status).toBe(200);
  expect(proxy.hops).toMatchObject([{ kind: 'connect', authorized: true }]);
});

test('timings: of the answer, and as an event', async () => {
  const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
  const { answer, heard } = await timesOf(origin.url, proxy.url);
  expect(answer).toBe('proxyConnect firstByte total');
  expect(heard).toEqual([expect.stringMatching(/^GET forward reused \d+ ms$/)]);
  expect(proxy.hops).toHaveLength(2);
});
