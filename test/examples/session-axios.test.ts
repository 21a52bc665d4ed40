import { Session } from '@cloudlane/session';
import { startOrigin, startProxy } from '@cloudlane/testing';
import { expect, test } from '@jest/globals';
import { findServers, traceCalls } from '../../examples/session-axios.ts';
import { use } from '../support/resources.ts';

test('axios of a session: its defaults, over the proxy of the call', async () => {
  const [origin, proxy] = [await use(startOrigin()), await use(startProxy())];
  const session = new Session({ headers: { 'X-Default': 'session' }, http_proxy: null });
  expect(await findServers(session, origin.url, proxy.url)).toMatchObject({ target: '/servers?tag=web' });
  expect(origin.requests[0]?.headers).toMatchObject({ 'x-default': 'session' });
  expect(proxy.hops).toHaveLength(1);
});

test('interceptors see every call of a session', async () => {
  const origin = await use(startOrigin());
  const session = new Session({ http_proxy: null });
  const log: string[] = [];
  traceCalls(session, (line) => void log.push(line));
  await (await session.get(origin.url)).content();
  await session.map([origin.url]);
  await session.axios.get(origin.url);
  const ids = origin.requests.map(({ headers }) => headers['x-request-id']);
  expect(new Set(ids).size).toBe(3);
  expect(log).toEqual(ids.map((id) => `${id} was answered with 200`));
});
