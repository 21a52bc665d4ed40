import { inspect } from 'node:util';
import { explainRoute, InvalidOptionError } from '@cloudlane/proxy';
import { createCa } from '@cloudlane/testing';
import { ProxyAuthenticationError, ProxyTlsError, TlsError, VERSION } from '@cloudlane/transport';
import { expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, ca, expectNoSecrets, failureOf, newTransport, proxy, trusting } from '../transport/lab.ts';
import { anyProxy, connect, echoOf, expectNothingLeft, PRIVATE, SOCKET_SCHEMES, startEcho, wiretap } from './lab.ts';

const otherCa = await createCa();
const issued = {
  byOther: await otherCa.issue({ names: ['127.0.0.1', 'localhost'] }),
  forOther: await ca.issue({ names: ['elsewhere.example'] }),
  client: await ca.issue({ names: ['client'], client: true }),
  proxyClient: await ca.issue({ names: ['proxy client'], client: true }),
};

test('W16: an https:// proxy is spoken to by TLS, by its name if it has one', async () => {
  const [echo, by] = [await startEcho('ws'), await proxy('https', { auth: AUTH })];
  const tap = await wiretap(by.port);
  const named = by.urlWithCredentials.replace('127.0.0.1', 'localhost').replace(/\d+$/, String(tap.port));
  const { connection } = await connect(echo.url, { http_proxy: named });
  await connect(echo.url, { http_proxy: by.urlWithCredentials });
  expect(by.hops).toMatchObject([
    { servername: 'localhost', tlsVersion: 'TLSv1.3', authorized: true },
    { servername: null, tlsVersion: 'TLSv1.3', authorized: true },
  ]);
  expect([connection?.proxyTls?.isVerified, connection?.tls]).toEqual([true, null]);
  expect([tap.bytes()[0], tap.bytes().includes('CONNECT'), tap.bytes().includes('GET /')]).toEqual([
    0x16,
    false,
    false,
  ]);
  expect(explainRoute('ws://a.example', { http_proxy: 'https://proxy.example' }).route).toMatchObject({
    proxy: { port: 443 },
  });
});

const faults = { 'wrong authority': issued.byOther, 'wrong name': issued.forOther } as const;
const faultNames = Object.keys(faults) as (keyof typeof faults)[];

test.each(SOCKET_SCHEMES.flatMap((scheme) => faultNames.map((fault) => [scheme, fault] as const)))(
  "W16: %s: an https proxy's certificate with the %s is a ProxyTlsError",
  async (scheme, fault) => {
    const [echo, by] = [await startEcho(scheme), await proxy('https', { tls: faults[fault], auth: AUTH })];
    const transport = newTransport();
    const failed = connect(echo.url, { transport, http_proxy: by.urlWithCredentials });
    const error = await failureOf(failed, ProxyTlsError);
    expect(error).toMatchObject({ phase: 'proxy-tls', hop: 'proxy', hasConnectedToProxy: false, retryable: false });
    // Not of its cause, which is Node's, with the certificate in a circle.
    expect(
      secretsIn(`${inspect(error, { depth: 9 })}${JSON.stringify([error, error.route, error.explanation])}`),
    ).toEqual([]);
    await expectNothingLeft(transport, by, echo.origin);
    expect([by.hops, echo.origin.connectionCount]).toEqual([[], 0]);
  },
);

const TLS_ROUTES = [
  ['W17', 'http'],
  ['W17', 'socks5h'],
  ['W18', 'https'],
] as const;

test.each(TLS_ROUTES)(
  '%s: over %s, wss is TLS with the origin itself, which the proxy cannot read',
  async (_, scheme) => {
    const [echo, by] = [await startEcho('wss'), await anyProxy()];
    const tap = await wiretap(by.port);
    const http_proxy = by.urlFor(scheme).replace(/\d+$/, String(tap.port));
    const headers = { Authorization: `Bearer ${SECRETS.token}` };
    const socket = await connect(`${echo.urlFor(PRIVATE)}/chat`, { http_proxy, headers });
    expect(await echoOf(socket, 'größe')).toBe('größe');
    expect(echo.origin.requests).toMatchObject([
      {
        servername: PRIVATE,
        tlsVersion: 'TLSv1.3',
        target: '/chat',
        headers: { authorization: headers.Authorization },
      },
    ]);
    expect([socket.connection?.tls?.isVerified, socket.connection?.proxyTls?.isVerified]).toEqual([
      true,
      scheme === 'https' ? true : undefined,
    ]);
    for (const text of ['GET /chat', SECRETS.token, 'websocket']) expect(tap.bytes().includes(text)).toBe(false);
    // TLS inside TLS shows not even where it goes to.
    expect(tap.bytes().includes(PRIVATE)).toBe(scheme !== 'https');
  },
);

test.each(TLS_ROUTES.flatMap(([id, scheme]) => faultNames.map((fault) => [id, scheme, fault] as const)))(
  "%s: over %s, an origin's certificate with the %s is a TlsError",
  async (_, scheme, fault) => {
    const [echo, by] = [await startEcho('wss', { tls: faults[fault] }), await anyProxy()];
    const transport = newTransport();
    const error = await failureOf(connect(echo.url, { transport, http_proxy: by.urlFor(scheme) }), TlsError);
    expect(error).toMatchObject({ phase: 'origin-tls', hop: 'origin', hasConnectedToProxy: true, retryable: false });
    await expectNothingLeft(transport, by, echo.origin);
    expect([by.hops.length, echo.origin.requests]).toEqual([1, []]);
  },
);

test('W19: the TLS of each hop has options of its own, and nothing of one is shown to the other', async () => {
  const [origins, proxies] = [await createCa(), await createCa()];
  const asking = { clientCa: ca.certificate, requireClientCertificate: true };
  const [originTls, proxyTls] = [
    await origins.issue({ names: ['a.example'] }),
    await proxies.issue({ names: ['b.example'] }),
  ];
  const echo = await startEcho('wss', { tls: { ...originTls, ...asking } });
  const by = await proxy('https', { tls: { ...proxyTls, ...asking } });
  const right = {
    http_proxy: by.url,
    tls: { ca: origins.certificate, servername: 'a.example', ...issued.client },
    proxyTls: { ca: proxies.certificate, servername: 'b.example', ...issued.proxyClient },
  };
  await connect(echo.url, right);
  expect(by.hops).toMatchObject([{ servername: 'b.example', clientCertificate: 'proxy client' }]);
  expect(echo.origin.requests).toMatchObject([{ servername: 'a.example', clientCertificate: 'client' }]);
  await failureOf(connect(echo.url, { ...right, tls: { ...right.tls, ca: proxies.certificate } }), TlsError);
  const swapped = { ...right.proxyTls, ca: origins.certificate };
  await failureOf(connect(echo.url, { ...right, proxyTls: swapped }), ProxyTlsError);
  await failureOf(connect(echo.url, { ...right, tls: { ...right.tls, servername: 'b.example' } }), TlsError);
});

test('W19: TLS options for a hop without TLS are refused before anything is opened', async () => {
  const [plain, secure, by] = [await startEcho('ws'), await startEcho('wss'), await anyProxy()];
  const [{ tls, proxyTls }, http_proxy] = [trusting, by.url];
  const ofOrigin = await failureOf(connect(plain.url, { tls }), InvalidOptionError);
  expect(ofOrigin).toMatchObject({ option: 'tls' });
  for (const other of [http_proxy, by.urlFor('socks5h'), null]) {
    const error = await failureOf(connect(secure.url, { http_proxy: other, proxyTls }), InvalidOptionError);
    expect(error).toMatchObject({ option: 'proxyTls' });
  }
  expect([by, plain.origin, secure.origin].map(({ connectionCount }) => connectionCount)).toEqual([0, 0, 0]);
});

test.each(SOCKET_SCHEMES)('W20: %s: Basic goes to the proxy at once, on CONNECT, and no further', async (scheme) => {
  const [echo, by] = [await startEcho(scheme), await proxy('http', { auth: AUTH })];
  await connect(echo.url, { http_proxy: by.urlWithCredentials });
  const basic = `Basic ${Buffer.from(`${AUTH.username}:${AUTH.password}`).toString('base64')}`;
  expect(by.hops).toMatchObject([{ status: 200, headers: { 'proxy-authorization': basic } }]);
  expect(
    echo.origin.requests.flatMap(({ rawHeaders }) =>
      rawHeaders.filter((text) => /^proxy-/i.test(text) || text === basic),
    ),
  ).toEqual([]);
  const wrong = by.url.replace('://', `://${AUTH.username}:${SECRETS.plainPassword}@`);
  const error = await failureOf(connect(echo.url, { http_proxy: wrong }), ProxyAuthenticationError);
  expect(error).toMatchObject({ status: 407, schemes: ['basic'], hop: 'proxy', retryable: false });
  expectNoSecrets(error);
  expect([by.hops.length, echo.origin.requests.length]).toEqual([2, 1]);
});

test.each([
  ['by itself', {}, `cloudlane/${VERSION}`],
  ['another', { 'user-agent': 'mine/1' }, 'mine/1'],
  ['none', { 'User-Agent': null }, undefined],
])('W20: CONNECT tells the User-Agent of the handshake: %s', async (_, headers, expected) => {
  const [echo, by] = [await startEcho('wss'), await proxy('http', { auth: AUTH })];
  await connect(echo.url, { http_proxy: by.urlWithCredentials, headers });
  const [hop] = by.hops;
  expect([hop?.headers['user-agent'], echo.origin.requests[0]?.headers['user-agent']]).toEqual([expected, expected]);
});

test('W20: headers of the proxy win, and no line can be added to CONNECT', async () => {
  const [echo, by] = [await startEcho('wss'), await proxy('http')];
  await connect(echo.url, { http_proxy: { url: by.url, headers: { 'user-agent': 'for the proxy' } } });
  expect(by.hops[0]?.rawHeaders).toEqual(['Host', echo.authority, 'user-agent', 'for the proxy']);
  const headers = { 'User-Agent': 'mine\r\nX-Injected: 1' };
  await failureOf(connect(echo.url, { http_proxy: by.url, headers }), InvalidOptionError);
  expect(by.hops).toHaveLength(1);
});
