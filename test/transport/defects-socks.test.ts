// The defects of socks-proxy-agent, by the ids under which they were noted. None of them may be ours.
import dns from 'node:dns/promises';
import { once } from 'node:events';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { InvalidOptionError, InvalidProxyUrlError } from '@cloudlane/proxy';
import type { SocksMisbehaviour, SocksPhase } from '@cloudlane/testing';
import { ConnectError, SocksError, TimeoutError, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import {
  AUTH,
  expectNoSecrets,
  expectNothingLeft,
  failureOf,
  getText,
  inFrontOf,
  newTransport,
  origin,
  SOCKS_SCHEMES,
  socks,
  until,
} from './lab.ts';

const BOTH = ['http', 'https'] as const;
const PHASES: readonly SocksPhase[] = ['greeting', 'auth', 'request'];
/** Has no IPv4 address, where /etc/hosts is the distribution's own; not in every container. */
const V6_ONLY = 'ip6-localhost';
const hasV6Only = await dns.lookup(V6_ONLY, { all: true }).then(
  (found) => found.every(({ family }) => family === 6),
  () => false,
);
const refusing = { kind: 'reply', code: 2 } as const;

/** Through somebody else's client, which leaves `protocol` out. */
async function getByNode(port: number, agent: https.Agent): Promise<string> {
  const request = https.get({ host: '127.0.0.1', port, agent });
  const [response] = await once(request, 'response');
  return text(response);
}

test.each(['send', 'agents'] as const)('S1 http and https of one host and port are pooled apart, by %s', async (by) => {
  const [plain, secure, through] = [await origin(), await origin('https'), await socks()];
  const port = await inFrontOf(plain, secure);
  const transport = newTransport();
  const http_proxy = through.urlFor('socks5');
  const agents = transport.agents({ http_proxy });
  for (let round = 0; round < 2; round += 1) {
    if (by === 'send') await getText(transport, { url: `https://127.0.0.1:${port}`, http_proxy });
    else await getByNode(port, agents.https);
    await getText(transport, { url: `http://127.0.0.1:${port}`, http_proxy });
  }
  expect([plain, secure].map(({ requests }) => requests.map(({ connection }) => connection))).toEqual([
    [1, 1],
    [1, 1],
  ]);
  expect(through.hops.map(({ target }) => target)).toEqual([`127.0.0.1:${port}`, `127.0.0.1:${port}`]);
  expect(transport.connections.map(({ kind, requestCount }) => [kind, requestCount])).toEqual([
    ['socks', 2],
    ['socks', 2],
  ]);
});

describe('S2 what SOCKS has no room for is refused before anybody is called', () => {
  const tooLong = [
    ['a user name of 300 bytes', `${'u'.repeat(300)}:p`],
    ['a user name of 256 bytes in 128 letters', `${'%C3%A9'.repeat(128)}:p`],
    ['a password of 300 bytes', `u:${'p'.repeat(300)}`],
  ] as const;
  test.each(tooLong)('%s', async (_, userinfo) => {
    const through = await socks();
    for (const scheme of ['socks5', 'socks5h'] as const) {
      const http_proxy = through.urlFor(scheme).replace('://', `://${userinfo}@`);
      const sent = newTransport().send({ url: 'http://127.0.0.1:9', http_proxy });
      expect(await failureOf(sent, InvalidProxyUrlError)).toMatchObject({
        message: expect.stringMatching(/the (user name|password) is longer than the 255 bytes SOCKS5 has room for/),
      });
    }
    expect(through.connectionCount).toBe(0);
  });

  test.each(SOCKS_SCHEMES)('a host name of 300 bytes, for %s', async (scheme) => {
    const through = await socks();
    const sent = newTransport().send({ url: `http://${'h'.repeat(300)}/`, http_proxy: through.urlFor(scheme) });
    expect(await failureOf(sent, InvalidOptionError)).toMatchObject({
      option: 'url',
      message: expect.stringContaining('longer than the 255 bytes that SOCKS has room for'),
    });
    expect(through.connectionCount).toBe(0);
  });

  test('but 255 bytes fit', async () => {
    const auth = { username: 'é'.repeat(127), password: 'p'.repeat(255) };
    const host = 'h'.repeat(255);
    const [server, through] = [await origin(), await socks({ auth, hosts: { [host]: '127.0.0.1' } })];
    await getText(newTransport(), { url: `http://${host}:${server.port}`, http_proxy: through.urlWithCredentials });
    expect(through.hops).toMatchObject([{ target: `${host}:${server.port}`, authorized: true, reply: 0 }]);
  });
});

describe.each(BOTH)('for an %s origin', (scheme) => {
  test.each(PHASES)(
    'S3 an abort while the proxy stalls in the %s rejects at once and closes the socket',
    async (phase) => {
      const [server, through] = [
        await origin(scheme),
        await socks({ auth: AUTH, misbehaviour: { kind: 'hang', in: phase } }),
      ];
      const [transport, controller] = [newTransport(), new AbortController()];
      const http_proxy = through.urlWithCredentials;
      const sent = transport.send({ url: server.url, http_proxy, signal: controller.signal });
      sent.catch(() => {});
      const has = { greeting: 'methods', auth: 'username', request: 'addressType' } as const;
      await until(() => Boolean(through.hops[0]?.[has[phase]]));
      controller.abort();
      await expect(sent).rejects.toBe(controller.signal.reason);
      await expectNothingLeft(transport, through);
      expect(server.connectionCount).toBe(0);
    },
  );

  const stalls = PHASES.flatMap((phase) =>
    [
      ['is silent', { kind: 'hang', in: phase }],
      ['stops half-way', { kind: 'half-stall', in: phase }],
      ['sends a byte now and then', { kind: 'drip', in: phase, interval: phase === 'request' ? 100 : 1000 }],
    ].map(([what, misbehaviour]) => [what, phase, misbehaviour] as [string, SocksPhase, SocksMisbehaviour]),
  );
  test.each(stalls)(
    'S4 a proxy that %s in the %s runs into the handshake deadline',
    async (_, _phase, misbehaviour) => {
      const [server, through] = [await origin(scheme), await socks({ auth: AUTH, misbehaviour })];
      const transport = newTransport({ timeout: { handshake: 150 } });
      const sent = transport.send({ url: server.url, http_proxy: through.urlWithCredentials });
      const error = await failureOf(sent, TimeoutError);
      expect(error).toMatchObject({ deadline: 'handshake', milliseconds: 150, phase: 'proxy-handshake', hop: 'proxy' });
      expect(error).toMatchObject({ retryable: true, hasConnectedToProxy: true });
      expect(error.message).toContain("waiting for the proxy's answer to the SOCKS handshake took longer than 150 ms");
      await expectNothingLeft(transport, through);
      expect(through.connectionCount).toBe(1);
    },
  );

  test('S5 the handshake deadline is over when the handshake is, also while the connection is idle', async () => {
    const server = await origin(scheme, { handler: (_, response) => void setTimeout(() => response.end('late'), 600) });
    const through = await socks();
    const transport = newTransport({ timeout: { handshake: 400 } });
    for (let call = 0; call < 2; call += 1) {
      expect(await getText(transport, { url: server.url, http_proxy: through.url })).toBe('late');
    }
    expect(through.connectionCount).toBe(1);
  });

  test.each(SOCKS_SCHEMES)('S6 a proxy at an IPv6 address is reached by %s', async (by) => {
    const [server, through] = [await origin(scheme), await socks({ host: '::1' })];
    const http_proxy = through.urlFor(by);
    expect(http_proxy).toBe(`${by}://[::1]:${through.port}`);
    await getText(newTransport(), { url: server.url, http_proxy });
    expect(through.hops).toMatchObject([{ target: `127.0.0.1:${server.port}` }]);
  });

  test('S8 with one connection allowed all requests fail that the proxy refuses, and none is forgotten', async () => {
    const [server, through] = [await origin(scheme), await socks({ misbehaviour: refusing })];
    const transport = newTransport({ maxSockets: 1 });
    const request = { url: server.url, http_proxy: through.url };
    const refusals = await Promise.all([1, 2, 3].map(() => failureOf(transport.send(request), SocksError)));
    expect(refusals.map(({ replyCode }) => replyCode)).toEqual([2, 2, 2]);
    await expectNothingLeft(transport, through);
    through.misbehave(null);
    await Promise.all([1, 2, 3].map(() => getText(transport, request)));
    expect(through.connectionCount).toBe(4);
  });

  test.each([
    ['wrong credentials', 'authentication', 1, null],
    ['a refusal', 'request', 2, refusing],
  ])('S11 %s: the error has code, reply and step, and no password', async (_, step, replyCode, misbehaviour) => {
    const auth = misbehaviour ? AUTH : { ...AUTH, username: 'another' };
    const [server, through] = [await origin(scheme), await socks({ auth, ...(misbehaviour && { misbehaviour }) })];
    const http_proxy = { url: through.url, auth: AUTH };
    const error = await failureOf(newTransport().send({ url: server.url, http_proxy }), SocksError);
    const code = misbehaviour ? 'ERR_SOCKS' : 'ERR_SOCKS_AUTHENTICATION';
    expect(error).toMatchObject({ code, step, replyCode, proxy: through.url.replace('://', '://user:***@') });
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ code, step, replyCode });
    expectNoSecrets(error);
  });

  test.each(SOCKS_SCHEMES)('S12 nothing that can be inspected shows the credentials of %s', async (by) => {
    const [server, through] = [await origin(scheme), await socks({ auth: AUTH, userId: SECRETS.plainPassword })];
    const transport = newTransport();
    const http_proxy = through.urlFor(by, { credentials: true });
    const agents = transport.agents({ http_proxy });
    const response = await transport.send({ url: server.url, http_proxy });
    const shown = [transport, agents, transport.connections, response, response.route, response.explanation];
    for (const each of [...shown, response.body]) {
      expect(secretsIn(inspect(each, { depth: Number.POSITIVE_INFINITY, showHidden: true }))).toEqual([]);
      expect(secretsIn(JSON.stringify(each))).toEqual([]);
    }
    response.body.resume();
    expect(through.hops).toMatchObject([{ authorized: true }]);
  });
});

describe('S7 SOCKS4, which knows IPv4 alone,', () => {
  test.each(['socks4', 'socks4a'] as const)('refuses an IPv6 address and says what to write, as %s', async (by) => {
    const through = await socks();
    const sent = newTransport().send({ url: 'http://[::1]:80', http_proxy: through.urlFor(by) });
    expect(await failureOf(sent, InvalidOptionError)).toMatchObject({
      option: 'http_proxy',
      message: expect.stringMatching(/cannot reach the IPv6 address ::1; write socks5:/),
    });
    expect(through.connectionCount).toBe(0);
  });

  test.each(hasV6Only ? ['nx.invalid', V6_ONLY] : ['nx.invalid'])(
    'blames the look-up of a name without an IPv4 address: %s',
    async (name) => {
      const through = await socks();
      const sent = newTransport().send({ url: `http://${name}`, http_proxy: through.urlFor('socks4') });
      const error = await failureOf(sent, ConnectError);
      expect(error).toMatchObject({ phase: 'origin-dns', hop: 'origin', hasConnectedToProxy: false, retryable: true });
      expect(error.message).toMatch(/could not reach the origin: getaddrinfo (ENOTFOUND|EAI_AGAIN)/);
      expect(through.connectionCount).toBe(0);
    },
  );
});

test('S9 TLS sessions with the origin are resumed from one connection to the next', async () => {
  const [server, through] = [await origin('https'), await socks({ hosts: { 'origin.example': '127.0.0.1' } })];
  const transport = newTransport({ keepAlive: false });
  const request: TransportRequest = { url: `https://origin.example:${server.port}`, http_proxy: through.url };
  for (let call = 0; call < 3; call += 1) await getText(transport, request);
  expect(server.requests.map(({ resumed }) => resumed)).toEqual([false, true, true]);
  expect(through.connectionCount).toBe(3);
});

test.each(SOCKS_SCHEMES)('S10 a malformed percent escape in credentials is a typed error, for %s', async (scheme) => {
  const sent = newTransport().send({ url: 'http://x.example', http_proxy: `${scheme}://u:100%Secret@127.0.0.1:1` });
  const error = await failureOf(sent, InvalidProxyUrlError);
  expect(error.message).toContain('a percent escape in the user name or password is malformed');
  expect(`${inspect(error, { showHidden: true })}${JSON.stringify(error)}`).not.toContain('Secret');
});
