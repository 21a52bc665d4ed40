import { expect, test } from '@jest/globals';
import { HTTPDigestAuth } from '../../packages/session/src/digest-auth.ts';
import { testLeavesNothing } from '../servers/leftovers.ts';
import { type ApacheEntry, describeReal, needs, running, startApache, startSquid } from '../support/real-servers.ts';
import { newTransport, withCredentials } from '../transport/lab.ts';
import { type Sending, send } from './auth-loop.ts';

describeReal('Digest with a real Apache', [...needs.apache, ...needs.squid], () => {
  const apache = running(startApache);
  const squid = running(startSquid);

  test.each(['direct', 'forward', 'tunnel'] as const)('%s: five requests cost one 401', async (way) => {
    const [auth, sending] = [newAuth(), over(way)];
    for (const number of [1, 2, 3, 4, 5]) {
      const url = `${apache().url}/digest/${way}/${number}?a=b&c="d"`;
      const body = `body of ${number}`;
      expect(await send(auth, url, { ...sending, method: 'POST', data: body })).toEqual({ status: 200, text: body });
    }
    const entries = await logOf(`/digest/${way}/`, { target: `/digest/${way}/5?a=b&c=%22d%22` });
    expect(entries.map(({ status }) => status)).toEqual([401, 200, 200, 200, 200, 200]);
    expect(entries.slice(1).map(({ authorization }) => /nc=(\d+)/.exec(authorization)?.[1])).toEqual([
      '00000001',
      '00000002',
      '00000003',
      '00000004',
      '00000005',
    ]);
    expect(new Set(entries.map(({ proxyAuthorization }) => proxyAuthorization))).toEqual(new Set(['-']));
    expect(entries.slice(1).map(({ user }) => user)).toEqual(Array(5).fill(apache().credentials.username));
  });

  test('Squid forwards what is for Apache, and knows its own user', async () => {
    const url = `${apache().url}/digest/forwarded`;
    expect(await send(newAuth(), url, over('forward'))).toMatchObject({ status: 200 });
    await squid().logged({ url, status: 200 });
    const entries = (await squid().log()).filter((entry) => entry.url === url);
    expect(entries.map(({ user, method, status }) => [user, method, status])).toEqual([
      [squid().credentials.username, 'GET', 401],
      [squid().credentials.username, 'GET', 200],
    ]);
  });

  test('Squid sees one tunnel, and nothing of what is in it', async () => {
    const transport = newTransport({ tunnelHttp: true });
    const sending = { ...over('tunnel'), transport };
    const target = `${squid().privateHost}:${new URL(apache().url).port}`;
    expect(await send(newAuth(), `http://${target}/digest/tunnelled`, sending)).toMatchObject({ status: 200 });
    await transport.close();
    await squid().logged({ url: target });
    const entries = (await squid().log()).filter(({ url }) => url.includes(squid().privateHost));
    expect(entries.map(({ user, method, url, status }) => [user, method, url, status])).toEqual([
      [squid().credentials.username, 'CONNECT', target, 200],
    ]);
  });

  test('a wrong password is tried once', async () => {
    const auth = new HTTPDigestAuth(apache().credentials.username, 'wrong');
    expect(await send(auth, `${apache().url}/digest/wrong`)).toMatchObject({ status: 401 });
    const entries = await logOf('/digest/wrong', { user: apache().credentials.username, status: 401 });
    expect(entries.map(({ status, authorization }) => [status, authorization !== '-'])).toEqual([
      [401, false],
      [401, true],
    ]);
  });

  test('a stale nonce is replaced', async () => {
    const auth = newAuth();
    for (const number of [1, 2, 3]) {
      const sending = { method: 'PUT', data: Buffer.from(`${number}`) };
      expect(await send(auth, `${apache().url}/once/${number}`, sending)).toEqual({ status: 200, text: `${number}` });
    }
    const entries = await logOf('/once/', { target: '/once/3', status: 200 });
    expect(entries.map(({ status, challenge }) => [status, challenge.includes('stale=true')])).toEqual([
      [401, false],
      [200, false],
      [401, true],
      [200, false],
      [401, true],
      [200, false],
    ]);
  });

  test('nothing is shown to who does not ask', async () => {
    const auth = newAuth();
    await send(auth, `${apache().url}/open/before`);
    const entries = await logOf('/open/', { target: '/open/before' });
    expect(entries.map(({ authorization }) => authorization)).toEqual(['-']);
  });

  testLeavesNothing(startApache);

  function newAuth(): HTTPDigestAuth {
    return new HTTPDigestAuth(apache().credentials.username, apache().credentials.password);
  }

  function over(way: 'direct' | 'forward' | 'tunnel'): Sending {
    const transport = newTransport({ tunnelHttp: way === 'tunnel' });
    return { transport, http_proxy: way === 'direct' ? null : withCredentials(squid().basicUrl, squid().credentials) };
  }

  /** What Apache has written down of these paths up to this entry. */
  async function logOf(path: string, last: Partial<ApacheEntry>): Promise<ApacheEntry[]> {
    await apache().logged(last);
    return (await apache().log()).filter(({ target }) => target.startsWith(path));
  }
});
