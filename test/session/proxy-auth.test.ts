import { HTTPProxyAuth, Session } from '@cloudlane/session';
import { ProxyAuthenticationError } from '@cloudlane/transport';
import { expect, test } from '@jest/globals';
import { AUTH, failureOf, newTransport, origin, proxy, type Scheme } from '../transport/lab.ts';

test.each<[scheme: Scheme, kind: string]>([
  ['http', 'forward'],
  ['https', 'connect'],
])('credentials for the proxy alone: %s', async (scheme, kind) => {
  const [target, between] = await Promise.all([origin(scheme), proxy('http', { auth: AUTH })]);
  const session = new Session({ transport: newTransport(), http_proxy: between.url, prefetch: true });
  await failureOf(session.get(target.url), ProxyAuthenticationError);
  const auth = new HTTPProxyAuth(AUTH.username, AUTH.password);
  expect((await session.get(target.url, { auth })).status).toBe(200);
  expect(between.hops.at(-1)).toMatchObject({ kind, authorized: true });
  expect(target.requests.map(({ headers }) => headers['proxy-authorization'])).toEqual([undefined]);
});

test('a user name with a colon is refused', () => {
  expect(() => new HTTPProxyAuth('a:b', 'c')).toThrow(expect.objectContaining({ option: 'auth.username' }));
});
