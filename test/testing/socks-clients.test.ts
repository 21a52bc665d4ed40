// Clients that know nothing of the lab prove that its SOCKS is the one that others speak.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { promisify } from 'node:util';
import { type LabSocksOptions, type SocksHop, startOrigin, startSocks } from '@cloudlane/testing';
import { expect, test } from '@jest/globals';
import { SocksProxyAgent } from 'socks-proxy-agent';
import { describeReal } from '../support/real-servers.ts';
import { use } from './lab.ts';

const run = promisify(execFile);
const auth = { username: 'jürgen', password: 'p:w%@é' };
const open = {};
const named = { hosts: { 'o.example': '127.0.0.1' } };

describeReal('curl', [{ program: 'curl', package: 'curl' }], () => {
  type Row = readonly [
    scheme: 'socks4' | 'socks4a' | 'socks5' | 'socks5h',
    options: LabSocksOptions,
    host: string,
    seen: Partial<SocksHop>,
  ];
  const rows: Row[] = [
    ['socks4', { userId: 'me' }, 'localhost', { version: 4, addressType: 'ipv4', userId: 'me', reply: 90 }],
    ['socks4a', named, 'o.example', { version: 4, addressType: 'name', userId: '', reply: 90 }],
    ['socks5', open, 'localhost', { version: 5, addressType: 'ipv4', username: null, reply: 0 }],
    ['socks5h', named, 'o.example', { version: 5, addressType: 'name', username: null, reply: 0 }],
    ['socks5h', { ...named, auth }, 'o.example', { version: 5, addressType: 'name', username: 'jürgen', reply: 0 }],
  ];
  test.each(rows)('%s %j reaches %s', async (scheme, options, host, seen) => {
    const [origin, proxy] = [await use(startOrigin()), await use(startSocks(options))];
    const target = `http://${host}:${origin.port}/curl`;
    const url = proxy.urlFor(scheme, { credentials: true });
    const { stdout } = await run('curl', ['-q', '-sS', '-4', '--proxy', url, target]);
    expect(JSON.parse(stdout)).toMatchObject({ target: '/curl' });
    expect(proxy.hops).toMatchObject([{ ...seen, authorized: true }]);
    await proxy.waitUntilIdle();
  });

  test.each([
    ['a wrong password', 'socks5h://jurgen:wrong@', { version: 5, username: 'jurgen', reply: null }],
    ['no password', 'socks5h://', { version: 5, username: null, reply: null }],
    ['SOCKS4 instead of a password', 'socks4a://', { version: 4, userId: '', reply: 91 }],
  ])('is refused with %s', async (_, prefix, seen) => {
    const proxy = await use(startSocks({ auth }));
    const url = proxy.url.replace('socks5h://', prefix);
    await expect(run('curl', ['-q', '-sS', '--proxy', url, 'http://o.example/'])).rejects.toMatchObject({ code: 97 });
    expect(proxy.hops).toMatchObject([{ ...seen, authorized: false }]);
  });
});

test.each(['socks4a', 'socks5h'] as const)('socks-proxy-agent reaches an origin by %s', async (scheme) => {
  const options = { ...named, userId: 'me', auth };
  const [origin, proxy] = [await use(startOrigin()), await use(startSocks(options))];
  const agent = new SocksProxyAgent(proxy.urlFor(scheme, { credentials: true }));
  const request = http.get({ host: 'o.example', port: origin.port, path: '/agent', agent });
  const [response] = await once(request, 'response');
  await once(response.resume(), 'end');
  expect(origin.requests).toMatchObject([{ target: '/agent' }]);
  expect(proxy.hops).toMatchObject([{ target: `o.example:${origin.port}`, addressType: 'name', authorized: true }]);
  agent.destroy();
});
