import { expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  type RealSocksWithPassword,
  running,
  SOCKS_SCHEMES,
  startDante,
  startMicrosocks,
  startSshSocks,
} from '../support/real-servers.ts';
import { testLeavesNothing } from './leftovers.ts';
import { runPlainOrigin } from './plain-origin.ts';
import { getThrough } from './socks-client.ts';

const port = runPlainOrigin();

/** What a server with two doors does; the codes of its refusals are its own. */
function testPassword(server: () => RealSocksWithPassword, wrongPassword: number, unreachable: number): void {
  test('wants its password where it has one, and logs the user', async () => {
    const { credentials, outgoingAddress, privateHost } = server();
    const url = server().basicUrlFor('socks5h');
    const target = { host: privateHost, port: port(), path: '/password' };
    await expect(getThrough(url, target)).resolves.toEqual({ step: 'method', code: 255 });
    await expect(getThrough(url, target, { ...credentials, password: 'wrong' })).resolves.toEqual({
      step: 'login',
      code: wrongPassword,
    });
    expect((await server().log()).filter(({ user }) => user !== null)).toEqual([]);
    await expect(getThrough(url, target, credentials)).resolves.toEqual({
      step: 'done',
      body: `${outgoingAddress} /password`,
    });
    await expect(server().logged({ user: credentials.username })).resolves.toMatchObject({
      target: expect.stringMatching(new RegExp(`:${port()}$`)),
    });
  });

  test('says so where nobody knows the name', async () => {
    const answer = getThrough(server().openUrlFor('socks5h'), { host: 'nowhere.example', port: port() });
    await expect(answer).resolves.toEqual({ step: 'connect', code: unreachable });
  });
}

describeReal('real Dante', needs.dante, () => {
  const dante = running(startDante);

  test.each(SOCKS_SCHEMES.dante)('connects by %s, from its own address', async (scheme) => {
    const answer = await getThrough(dante().openUrlFor(scheme), {
      host: '127.0.0.1',
      port: port(),
      path: `/${scheme}`,
    });
    expect(answer).toEqual({ step: 'done', body: `${dante().outgoingAddress} /${scheme}` });
    await dante().logged({ user: null, target: `127.0.0.1:${port()}` });
  });

  test('knows a name that nobody else knows', async () => {
    const answer = await getThrough(dante().openUrlFor('socks5h'), { host: dante().privateHost, port: port() });
    expect(answer).toEqual({ step: 'done', body: `${dante().outgoingAddress} /` });
  });

  test('refuses one port by its rules', async () => {
    const target = { host: '127.0.0.1', port: dante().refusedPort };
    await expect(getThrough(dante().openUrlFor('socks5'), target)).resolves.toEqual({ step: 'connect', code: 2 });
    await expect(getThrough(dante().openUrlFor('socks4'), target)).resolves.toEqual({ step: 'connect', code: 91 });
  });

  testPassword(dante, 1, 4);
  testLeavesNothing(startDante);
});

describeReal('real microsocks', needs.microsocks, () => {
  const microsocks = running(startMicrosocks);

  test.each(SOCKS_SCHEMES.microsocks)('connects by %s, from its own address', async (scheme) => {
    const { privateHost, outgoingAddress } = microsocks();
    const answer = await getThrough(microsocks().openUrlFor(scheme), {
      host: privateHost,
      port: port(),
      path: `/${scheme}`,
    });
    expect(answer).toEqual({ step: 'done', body: `${outgoingAddress} /${scheme}` });
    await microsocks().logged({ user: null, target: `${privateHost}:${port()}` });
  });

  test('does not speak SOCKS4', async () => {
    const answer = await getThrough(microsocks().openUrlFor('socks4'), { host: '127.0.0.1', port: port() });
    expect(answer).toEqual({ step: 'connect', code: undefined });
  });

  testPassword(microsocks, 2, 1);
  testLeavesNothing(startMicrosocks);
});

describeReal('real OpenSSH', needs.sshSocks, () => {
  const ssh = running(startSshSocks);

  test.each(SOCKS_SCHEMES.ssh)('connects by %s and logs it', async (scheme) => {
    const host = scheme === 'socks4' ? '127.0.0.1' : ssh().privateHost;
    const answer = await getThrough(ssh().openUrlFor(scheme), { host, port: port(), path: `/${scheme}` });
    expect(answer).toEqual({ step: 'done', body: `${ssh().outgoingAddress} /${scheme}` });
    await ssh().logged({ target: `${host}:${port()}` });
  });

  test('gives no reply where it cannot connect', async () => {
    const answer = await getThrough(ssh().openUrlFor('socks5h'), { host: 'nowhere.example', port: port() });
    expect(answer).toEqual({ step: 'connect', code: undefined });
  });

  testLeavesNothing(startSshSocks);
});
