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

test('credentials for the proxy go along to another origin through it, and not past it', async () => {
  const [there, between] = await Promise.all([origin(), proxy('http', { auth: AUTH })]);
  const here = await origin('http', {
    handler: (_, response) => void response.writeHead(302, { Location: `http://localhost:${there.port}/` }).end(),
  });
  const auth = new HTTPProxyAuth(AUTH.username, AUTH.password);
  const session = new Session({ transport: newTransport(), http_proxy: between.url, auth, prefetch: true });
  expect((await session.get(here.url)).status).toBe(200);
  expect(between.hops.map(({ authorized }) => authorized)).toEqual([true, true]);
  session.http_proxy = { http: between.url, 'http://localhost': null };
  expect((await session.get(here.url)).status).toBe(200);
  expect(between.hops).toHaveLength(3);
  expect(there.requests.map(({ headers }) => headers['proxy-authorization'])).toEqual([undefined, undefined]);
});

test('a user name with a colon is refused', () => {
  expect(() => new HTTPProxyAuth('a:b', 'c')).toThrow(expect.objectContaining({ option: 'auth.username' }));
});
