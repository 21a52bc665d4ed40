// The table of routes.test.ts on SOCKS servers and an origin of others: what they saw, told by themselves.
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { closedPort } from '@cloudlane/testing';
import { SocksError, Transport, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import {
  describeReal,
  needs,
  type RealNginx,
  type RealSocks,
  type RealSocksWithPassword,
  running,
  SOCKS_SCHEMES,
  type SocksScheme,
  startDante,
  startMicrosocks,
  startNginx,
  startSshSocks,
} from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { failureOf, getText, looksUp, withCredentials } from './lab.ts';

const SCHEMES = ['http', 'https'] as const;
const CONTENT = Buffer.alloc(300_000, 'cloudlane ');

type OriginScheme = (typeof SCHEMES)[number];

function newTransport(nginx: RealNginx): Transport {
  return closeAfterTest(new Transport({ tls: { ca: nginx.ca } }));
}

/** A name that is looked up on the right side: here, or by the server alone. */
function originUrl(nginx: RealNginx, scheme: OriginScheme, by: SocksScheme, { privateHost }: RealSocks): string {
  const url = new URL(scheme === 'http' ? nginx.httpUrl : nginx.httpsUrl);
  url.hostname = looksUp(by) ? 'localhost' : privateHost;
  return url.origin;
}

async function* parts(): AsyncGenerator<Buffer> {
  for (let at = 0; at < CONTENT.length; at += 50_000) yield CONTENT.subarray(at, at + 50_000);
}

/** The payloads of the table, all on one kept connection, over one way in. */
function testPayloads(
  server: () => RealSocks,
  nginx: () => RealNginx,
  schemes: readonly SocksScheme[],
  wayIn: (scheme: SocksScheme) => string,
): void {
  const rows = schemes.flatMap((by) => SCHEMES.map((scheme) => [by, scheme] as const));
  describe.each(rows)('%s to an %s origin', (by, scheme) => {
    test('json comes from the address of the server, over one connection for all', async () => {
      const transport = newTransport(nginx());
      const url = originUrl(nginx(), scheme, by, server());
      const request = { url: `${url}/echo`, http_proxy: wayIn(by) };
      const first = JSON.parse(await getText(transport, request));
      expect(first).toMatchObject({
        method: 'GET',
        scheme,
        host: new URL(url).host,
        from: server().outgoingAddress,
        sni: scheme === 'https' ? new URL(url).hostname : '',
        via: '',
        proxyAuthorization: '',
      });
      const second = JSON.parse(await getText(transport, request));
      expect(second).toMatchObject({ connection: first.connection, requests: first.requests + 1 });
      expect(
        transport.connections.map(({ kind, proxyScheme, requestCount }) => [kind, proxyScheme, requestCount]),
      ).toEqual([['socks', by, 2]]);
    });

    const uploads: [string, () => TransportRequest['body']][] = [
      ['a raw', () => CONTENT],
      ['a streamed', () => Readable.from(parts())],
    ];
    test.each(uploads)('%s upload and a streamed download arrive whole', async (_, body) => {
      const transport = newTransport(nginx());
      const url = `${originUrl(nginx(), scheme, by, server())}/files/${by}.bin`;
      const put = await transport.send({ method: 'PUT', url, http_proxy: wayIn(by), body: body() ?? null });
      put.body.resume();
      expect([201, 204]).toContain(put.status);
      const get = await transport.send({ url, http_proxy: wayIn(by) });
      expect((await buffer(get.body)).equals(CONTENT)).toBe(true);
      await transport.send({ method: 'DELETE', url, http_proxy: wayIn(by) }).then(({ body }) => body.resume());
    });
  });
}

/** The refusals of the table, which reach no origin. */
function testPassword(server: () => RealSocksWithPassword, nginx: () => RealNginx, wrongPassword: number): void {
  const rows = (['socks5', 'socks5h'] as const).flatMap((by) => SCHEMES.map((scheme) => [by, scheme] as const));
  test.each(rows)('%s to an %s origin wants its password, and logs the user', async (by, scheme) => {
    const transport = newTransport(nginx());
    const url = `${originUrl(nginx(), scheme, by, server())}/echo`;
    const way = server().basicUrlFor(by);
    const before = JSON.parse(await getText(transport, { url: `${nginx().httpUrl}/echo`, http_proxy: null }));
    const none = await failureOf(transport.send({ url, http_proxy: way }), SocksError);
    expect(none).toMatchObject({
      code: 'ERR_SOCKS_AUTHENTICATION',
      step: 'greeting',
      replyCode: 255,
      retryable: false,
    });
    const wrong = await failureOf(
      transport.send({ url, http_proxy: withCredentials(way, { ...server().credentials, password: 'wrong' }) }),
      SocksError,
    );
    expect(wrong).toMatchObject({
      code: 'ERR_SOCKS_AUTHENTICATION',
      step: 'authentication',
      replyCode: wrongPassword,
      retryable: false,
    });
    const after = JSON.parse(await getText(transport, { url, http_proxy: withCredentials(way, server().credentials) }));
    // nginx numbers its connections: there was none between these two.
    expect(after).toMatchObject({ from: server().outgoingAddress, connection: before.connection + 1 });
    expect(transport.connections.map(({ kind }) => kind)).toEqual(['socks', 'direct']);
    await server().logged({ user: server().credentials.username });
  });
}

type Way = (server: RealSocksWithPassword, by: SocksScheme) => string;
const open: Way = (server, by) => server.openUrlFor(by);
const withPassword: Way = (server, by) => withCredentials(server.basicUrlFor(by), server.credentials);

function failure(http_proxy: string, url: string): Promise<SocksError> {
  return failureOf(closeAfterTest(new Transport()).send({ url, http_proxy }), SocksError);
}

/** Where to; known only when the servers run. */
type Target = () => string | Promise<string>;
const nowhere: Target = () => 'http://nowhere.example/';
const forbidden: Target = () => 'http://127.0.0.1:9/';
const refused: Target = async () => `http://127.0.0.1:${await closedPort()}/`;
const closed = { code: 'ERR_SOCKS', step: 'request', replyCode: null, retryable: true } as const;

describeReal('Dante in front of nginx', [...needs.dante, ...needs.nginx], () => {
  const dante = running(startDante);
  const nginx = running(startNginx);
  describe('open', () => testPayloads(dante, nginx, SOCKS_SCHEMES.dante, (by) => open(dante(), by)));
  describe('with a password', () =>
    testPayloads(dante, nginx, ['socks5', 'socks5h'], (by) => withPassword(dante(), by)));
  testPassword(dante, nginx, 1);

  test.each<[string, SocksScheme, Target, number, string, boolean]>([
    ['a target that refuses', 'socks5h', refused, 5, 'connection refused by the origin', true],
    ['a name that it does not know', 'socks5h', nowhere, 4, 'host unreachable, or its name unknown', true],
    ['a port that its rules forbid', 'socks5', forbidden, 2, 'not allowed by its rules', false],
    ['a port that its rules forbid', 'socks4', forbidden, 91, 'rejected or failed', false],
    ['an IPv6 address', 'socks5', () => 'http://[::1]:9999', 8, 'address type not supported', false],
    // It has none, and takes the marker 0.0.0.1 for the address.
    ['SOCKS4a', 'socks4a', () => `http://${dante().privateHost}`, 91, 'rejected or failed', false],
  ])('answers %s by %s with a code of its own', async (_, by, url, replyCode, says, retryable) => {
    const error = await failure(open(dante(), by), await url());
    expect(error).toMatchObject({ code: 'ERR_SOCKS', step: 'request', hop: 'proxy', replyCode, retryable });
    expect(error.message).toContain(`${replyCode}, ${says}`);
  });

  test('answers SOCKS4 with 91 where it wants a password', async () => {
    const error = await failure(withPassword(dante(), 'socks4'), nginx().httpUrl);
    expect(error).toMatchObject({ code: 'ERR_SOCKS', step: 'request', replyCode: 91 });
  });

  test('logs whom it connected where', async () => {
    await getText(newTransport(nginx()), { url: `${nginx().httpUrl}/echo`, http_proxy: open(dante(), 'socks5') });
    await dante().logged({ user: null, target: new URL(nginx().httpUrl).host });
  });
});

describeReal('microsocks in front of nginx', [...needs.microsocks, ...needs.nginx], () => {
  const microsocks = running(startMicrosocks);
  const nginx = running(startNginx);
  describe('open', () => testPayloads(microsocks, nginx, SOCKS_SCHEMES.microsocks, (by) => open(microsocks(), by)));
  describe('with a password', () =>
    testPayloads(microsocks, nginx, SOCKS_SCHEMES.microsocks, (by) => withPassword(microsocks(), by)));
  testPassword(microsocks, nginx, 2);

  test.each<[string, Target, number, string]>([
    ['a target that refuses', refused, 5, 'connection refused by the origin'],
    ['a name that it does not know', nowhere, 1, 'general failure'],
  ])('answers %s', async (_, url, replyCode, says) => {
    const error = await failure(open(microsocks(), 'socks5h'), await url());
    expect(error).toMatchObject({ code: 'ERR_SOCKS', step: 'request', replyCode, retryable: true });
    expect(error.message).toContain(`${replyCode}, ${says}`);
  });

  test.each(['open', 'with a password'])('closes on SOCKS4, %s', async (way) => {
    const http_proxy = (way === 'open' ? open : withPassword)(microsocks(), 'socks4');
    expect(await failure(http_proxy, nginx().httpUrl)).toMatchObject(closed);
  });

  test('logs the name that only it can resolve', async () => {
    const url = originUrl(nginx(), 'https', 'socks5h', microsocks());
    await getText(newTransport(nginx()), { url: `${url}/echo`, http_proxy: open(microsocks(), 'socks5h') });
    await microsocks().logged({ user: null, target: new URL(url).host });
  });
});

describeReal('OpenSSH in front of nginx', [...needs.sshSocks, ...needs.nginx], () => {
  const ssh = running(startSshSocks);
  const nginx = running(startNginx);
  describe('open', () => testPayloads(ssh, nginx, SOCKS_SCHEMES.ssh, (by) => ssh().openUrlFor(by)));

  test.each(SOCKS_SCHEMES.ssh)('logs what it was asked for by %s', async (by) => {
    const url = originUrl(nginx(), 'http', by, ssh());
    await getText(newTransport(nginx()), { url: `${url}/echo`, http_proxy: ssh().openUrlFor(by) });
    await ssh().logged({ target: new URL(url).host.replace('localhost', '127.0.0.1') });
  });

  test.each<[string, SocksScheme, Target]>([
    ['a target that refuses', 'socks5', refused],
    ['a target that refuses', 'socks4', refused],
    ['a name that it does not know', 'socks5h', nowhere],
    ['a name that it does not know', 'socks4a', nowhere],
  ])('closes without an answer on %s, by %s', async (_, by, url) => {
    const error = await failure(ssh().openUrlFor(by), await url());
    expect(error).toMatchObject(closed);
    expect(error.message).toContain('closed the connection instead of answering the request; some do so instead of');
  });
});
