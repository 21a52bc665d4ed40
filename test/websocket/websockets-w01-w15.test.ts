// What Python's websockets promises on its page about proxies, one test for each promise; TLS and Basic are in the next file.
import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { explainRoute, InvalidOptionError } from '@cloudlane/proxy';
import type { LabAnyProxy, SocksScheme } from '@cloudlane/testing';
import { SocksError } from '@cloudlane/transport';
import { reconnectWebSocket } from '@cloudlane/websocket';
import { afterEach, expect, test } from '@jest/globals';
import { scrubProxyVariables } from '../support/environment.ts';
import { secretsIn } from '../support/secrets.ts';
import { AUTH, expectNoSecrets, failureOf, newTransport, proxy, SOCKS_SCHEMES, socks } from '../transport/lab.ts';
import { anyProxy, connect, echoOf, PRIVATE, redirects, SOCKET_SCHEMES, startEcho } from './lab.ts';

/** What each of these was asked for, in its order. */
function asked(...proxies: readonly LabAnyProxy[]): string[][] {
  return proxies.map(({ hops }) => hops.map(({ kind, target }) => `${kind} ${target}`));
}

afterEach(() => void scrubProxyVariables(process.env));

test('W1: a proxy of the environment is used by itself, chosen anew at each redirect and each call', async () => {
  const [next, forWs, forWss] = [await startEcho('wss'), await anyProxy(), await anyProxy()];
  const start = await startEcho('ws', {
    instead: redirects({ '/one': `${next.url}/two`, '/direct': `${next.urlFor('localhost')}/two` }),
  });
  Object.assign(process.env, { ws_proxy: forWs.url, WSS_PROXY: forWss.url, no_proxy: 'localhost' });
  expect(await echoOf(await connect(`${start.url}/one`), 'größe')).toBe('größe');
  expect(asked(forWs, forWss)).toEqual([[`connect ${start.authority}`], [`connect ${next.authority}`]]);
  const direct = await connect(`${start.url}/direct`);
  expect([direct.url, direct.route, direct.explanation.source]).toEqual([
    `${next.urlFor('localhost')}/two`,
    { kind: 'direct' },
    'env:no_proxy',
  ]);
  process.env.ws_proxy = forWss.url;
  await connect(start.url);
  expect(asked(forWs, forWss).map(({ length }) => length)).toEqual([2, 2]);
});

test('W1: each connection anew takes the way that the environment says then', async () => {
  const [echo, one, two] = [await startEcho('wss'), await anyProxy(), await anyProxy()];
  const sources: string[] = [];
  process.env.wss_proxy = one.url;
  for await (const { explanation } of reconnectWebSocket(echo.url, { transport: newTransport(), initialDelay: 0 })) {
    sources.push(explanation.source);
    if (sources.length === 1) Object.assign(process.env, { wss_proxy: '', HTTPS_PROXY: two.url });
    else if (sources.length === 2) process.env.no_proxy = '127.0.0.1';
    else break;
  }
  expect(sources).toEqual(['env:wss_proxy', 'env:HTTPS_PROXY', 'env:no_proxy']);
  expect(asked(one, two)).toEqual(Array(2).fill([`connect ${echo.authority}`]));
});

test('W2: no_proxy is looked at first, with the port that counts, networks, and IPv6 in brackets', async () => {
  const [echo, by] = [await startEcho('ws', { host: '::1' }), await anyProxy()];
  const proxies = { ws_proxy: by.url, wss_proxy: by.url, socks_proxy: by.url, all_proxy: by.url };
  for (const no_proxy of ['[::1]', `[::1]:${echo.origin.port}`, '::/64', '*']) {
    const { route, explanation } = await connect(echo.url, { env: { ...proxies, no_proxy } });
    expect([route.kind, explanation.source]).toEqual(['direct', 'env:no_proxy']);
  }
  expect(by.connectionCount).toBe(0);
  await connect(echo.url, { env: { ...proxies, no_proxy: '[::1]:9, 10.0.0.0/8' } });
  expect(asked(by)).toEqual([[`connect ${echo.authority}`]]);
  const ways = ['wss://api.example/', 'ws://api.example/'].map(
    (url) => explainRoute(url, { env: { ...proxies, no_proxy: 'api.example:443' } }).source,
  );
  expect(ways).toEqual(['env:no_proxy', 'env:ws_proxy']);
});

test('W3: wss_proxy is for wss alone and ws_proxy for ws alone, before all others', async () => {
  const [ws, wss, other] = [await anyProxy(), await anyProxy(), await anyProxy()];
  const others = { socks_proxy: other.url, https_proxy: other.url, http_proxy: other.url, all_proxy: other.url };
  const [plain, secure] = [await startEcho('ws'), await startEcho('wss')];
  const env = { ...others, ws_proxy: ws.url, wss_proxy: wss.url };
  for (const { url } of [plain, secure]) await connect(url, { env });
  expect(asked(ws, wss, other)).toEqual([[`connect ${plain.authority}`], [`connect ${secure.authority}`], []]);
  await connect(plain.url, { env: { wss_proxy: wss.url } });
  await connect(secure.url, { env: { ws_proxy: ws.url } });
  expect(asked(ws, wss).map(({ length }) => length)).toEqual([1, 1]);
});

test.each(SOCKET_SCHEMES)(
  'W4: %s: a SOCKS proxy of the system comes second; its http:// means socks5h',
  async (scheme) => {
    const [echo, by, other] = [await startEcho(scheme), await anyProxy(), await anyProxy()];
    const env = { socks_proxy: by.url, https_proxy: other.url, http_proxy: other.url, all_proxy: other.url };
    const { route } = await connect(echo.urlFor(PRIVATE), { env });
    expect(route).toMatchObject({ kind: 'socks', proxy: { scheme: 'socks5h', port: by.port } });
    const system = { socks: by.url, https: other.url, http: other.url };
    await connect(echo.urlFor(PRIVATE), { env: {}, system });
    const hop = { kind: 'socks', version: 5, addressType: 'name', target: `${PRIVATE}:${echo.origin.port}` };
    expect(by.hops).toMatchObject([hop, hop]);
    expect(other.connectionCount).toBe(0);
  },
);

test.each(SOCKET_SCHEMES)('W5: %s: https_proxy comes third, also for ws before http_proxy', async (scheme) => {
  const [echo, by, other] = [await startEcho(scheme), await anyProxy(), await anyProxy()];
  await connect(echo.url, { env: { https_proxy: by.url, http_proxy: other.url, all_proxy: other.url } });
  await connect(echo.url, { env: {}, system: { https: by.url, http: other.url } });
  expect(asked(by, other)).toEqual([Array(2).fill(`connect ${echo.authority}`), []]);
});

test('W6: http_proxy comes fourth, and only for ws', async () => {
  const [plain, secure, by, other] = [
    await startEcho('ws'),
    await startEcho('wss'),
    await anyProxy(),
    await anyProxy(),
  ];
  await connect(plain.url, { env: { http_proxy: by.url, all_proxy: other.url } });
  const { route, explanation } = await connect(secure.url, { env: { http_proxy: by.url } });
  expect(asked(by, other)).toEqual([[`connect ${plain.authority}`], []]);
  expect(route).toEqual({ kind: 'direct' });
  expect(explanation.warnings).toEqual(['env:http_proxy is set, but not for wss URLs']);
});

test.each(SOCKET_SCHEMES)('W7: %s: all_proxy is the last resort; otherwise the way is direct', async (scheme) => {
  const [echo, by] = [await startEcho(scheme), await anyProxy()];
  await connect(echo.url, { env: { all_proxy: by.url, [`${scheme}_proxy`]: '' } });
  expect(asked(by)).toEqual([[`connect ${echo.authority}`]]);
  for (const env of [{}, { ftp_proxy: by.url, npm_config_proxy: by.url }, { all_proxy: '' }])
    expect((await connect(echo.url, { env })).route).toEqual({ kind: 'direct' });
  expect(by.connectionCount).toBe(1);
});

test('W8: names have any case, the lower one counts, even empty; CGI reads http_proxy in lower case only', async () => {
  const [echo, by, other] = [await startEcho('ws'), await anyProxy(), await anyProxy()];
  const used: readonly Record<string, string>[] = [
    { WS_PROXY: by.url },
    { Ws_Proxy: by.url },
    { Ws_Proxy: other.url, WS_PROXY: by.url },
    { WS_PROXY: other.url, ws_proxy: by.url },
    { WS_PROXY: other.url, ws_proxy: '', http_proxy: by.url },
    { HTTP_PROXY: other.url, REQUEST_METHOD: 'GET', http_proxy: by.url },
  ];
  for (const env of used) await connect(echo.url, { env });
  expect(asked(by, other)).toEqual([used.map(() => `connect ${echo.authority}`), []]);
  for (const env of [
    { WS_PROXY: other.url, ws_proxy: '' },
    { HTTP_PROXY: other.url, REQUEST_METHOD: 'GET' },
  ])
    expect((await connect(echo.url, { env })).route).toEqual({ kind: 'direct' });
});

test.each([
  ['p%40ss', 'p@ss'],
  ['p%3Ass%2F%23', 'p:ss/#'],
  ['gr%C3%B6%C3%9Fe', 'größe'],
  ['größe', 'größe'],
  ['', ''],
])('W9: the password %j in a proxy URL is shown unasked, decoded', async (written, password) => {
  const [echo, by] = [await startEcho('wss'), await proxy('http', { auth: { username: 'us@er', password } })];
  await connect(echo.url, { env: { wss_proxy: by.url.replace('://', `://us%40er:${written}@`) } });
  expect(by.hops).toMatchObject([{ authorized: true, username: 'us@er', status: 200 }]);
  const shown = String(by.hops[0]?.headers['proxy-authorization']).replace('Basic ', '');
  expect(Buffer.from(shown, 'base64')).toEqual(Buffer.from(`us@er:${password}`, 'utf8'));
});

test.each([
  ['', 'connect'],
  ['http://', 'connect'],
  ['HTTPS://', 'connect'],
  ['socks://', 'socks'],
  ...SOCKS_SCHEMES.map((scheme) => [`${scheme}://`, 'socks'] as const),
] as const)('W10: any variable can name a proxy as %j', async (prefix, kind) => {
  const [echo, by] = [await startEcho('ws'), await anyProxy()];
  const variables = ['ws_proxy', 'https_proxy', 'http_proxy', 'all_proxy'];
  for (const name of variables) await connect(echo.url, { env: { [name]: `${prefix}${new URL(by.url).host}` } });
  expect(asked(by)).toEqual([variables.map(() => `${kind} ${echo.authority}`)]);
});

test('W11: why a proxy was chosen can be asked, before and of the socket, without its password', async () => {
  const [echo, by] = [await startEcho('ws'), await proxy('http', { auth: AUTH })];
  const env = { http_proxy: by.urlWithCredentials, no_proxy: 'other.example' };
  const before = explainRoute(echo.url, { env });
  const { explanation } = await connect(echo.url, { env });
  expect(explanation).toEqual(before);
  expect(explanation).toMatchObject({
    route: { kind: 'tunnel' },
    source: 'env:http_proxy',
    rule: 'the first variable for ws URLs that has a value',
  });
  expect(explanation.considered).toEqual(
    expect.arrayContaining(
      ['ws', 'socks', 'https'].map((name) => ({ source: `env:${name}_proxy`, reason: 'is not set' })),
    ),
  );
  expect(secretsIn(JSON.stringify(explanation) + inspect(explanation, { depth: 9 }))).toEqual([]);
});

test('W12: http_proxy wins over the environment and its no_proxy; null means direct', async () => {
  const [echo, by, other] = [await startEcho('ws'), await anyProxy(), await anyProxy()];
  const env = { ws_proxy: other.url, no_proxy: '*' };
  await connect(echo.url, { env, http_proxy: by.url });
  const { route } = await connect(echo.url, { env: { ws_proxy: other.url }, http_proxy: null });
  expect(route).toEqual({ kind: 'direct' });
  // A noProxy beside it is about it.
  await connect(echo.url, { env: {}, http_proxy: by.url, noProxy: '127.0.0.0/8' });
  expect(asked(by, other)).toEqual([[`connect ${echo.authority}`], []]);
});

test('W13: SOCKS needs no further package', async () => {
  const read = async (name: string) =>
    JSON.parse(await readFile(new URL(`../../packages/${name}/package.json`, import.meta.url), 'utf8'));
  const [own, transport] = [await read('websocket'), await read('transport')];
  expect(Object.keys(own.dependencies)).toEqual(expect.arrayContaining(['@cloudlane/transport', 'ws']));
  expect([own.peerDependencies, own.optionalDependencies]).toEqual([undefined, undefined]);
  expect(Object.keys(transport.dependencies)).toContain('socks-proxy-agent');
  const [echo, by] = [await startEcho('wss'), await socks()];
  expect(await echoOf(await connect(echo.url, { http_proxy: by.url }), 'größe')).toBe('größe');
});

const addressTypes: readonly (readonly [SocksScheme, string, string])[] = [
  ['socks4', 'localhost', 'ipv4 127.0.0.1'],
  ['socks4a', PRIVATE, `name ${PRIVATE}`],
  ['socks5', 'localhost', 'ipv4 127.0.0.1'],
  ['socks5h', PRIVATE, `name ${PRIVATE}`],
  ['socks5', '[::1]', 'ipv6 [::1]'],
  ['socks5h', '[::1]', 'ipv6 [::1]'],
];

test.each(addressTypes)('W14: %s to %s: the proxy is given %s; its port is 1080', async (scheme, host, given) => {
  const [echo, by] = [await startEcho('ws', host === '[::1]' ? { host: '::1' } : {}), await anyProxy()];
  await connect(echo.urlFor(host), { http_proxy: by.urlFor(scheme) });
  const hops = by.hops.map((hop) => (hop.kind === 'socks' ? `${hop.addressType} ${hop.target}` : hop.kind));
  expect(hops).toEqual([`${given}:${echo.origin.port}`]);
  const { route } = explainRoute(echo.url, { env: { ws_proxy: `${scheme}://proxy.example` } });
  expect(route).toMatchObject({ kind: 'socks', proxy: { scheme, port: 1080 } });
});

test.each(['socks4', 'socks4a'] as const)(
  'W14: %s is refused for an IPv6 address, which it cannot name',
  async (scheme) => {
    const [echo, by] = [await startEcho('ws', { host: '::1' }), await anyProxy()];
    const error = await failureOf(connect(echo.url, { http_proxy: by.urlFor(scheme) }), InvalidOptionError);
    expect(error.message).toContain('cannot reach the IPv6 address ::1; write socks5://');
    expect([by.connectionCount, echo.origin.connectionCount]).toEqual([0, 0]);
  },
);

test('W15: SOCKS takes a user and a password, SOCKS4 a user id; GSSAPI alone is refused by name', async () => {
  const [echo, by] = [await startEcho('wss'), await socks({ auth: AUTH, userId: AUTH.username })];
  for (const scheme of SOCKS_SCHEMES)
    await connect(echo.urlFor('127.0.0.1'), { http_proxy: by.urlFor(scheme, { credentials: true }) });
  const [four, five] = [
    { authorized: true, userId: AUTH.username },
    { authorized: true, username: AUTH.username },
  ];
  expect(by.hops).toMatchObject([four, four, five, five]);
  by.misbehave({ kind: 'method', method: 1 });
  const error = await failureOf(connect(echo.url, { http_proxy: by.urlWithCredentials }), SocksError);
  expect(error).toMatchObject({ code: 'ERR_SOCKS_AUTHENTICATION', step: 'greeting', replyCode: 1 });
  expect(error.message).toContain('it insists on method 1 (GSSAPI)');
  expectNoSecrets(error);
});
