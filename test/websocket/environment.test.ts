// What the environment says, carried on the wire: which of several proxies is asked for the tunnel.
import { type LabAnyProxy, startAnyProxy } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { use } from '../support/resources.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { ca, certificate, newTransport, proxy, trusting } from '../transport/lab.ts';
import {
  closeOf,
  connect,
  type EchoOrigin,
  echoOf,
  expectNothingLeft,
  SOCKET_SCHEMES,
  type SocketScheme,
  startEcho,
} from './lab.ts';

/** The order in which variables are looked at. */
const ORDER: Readonly<Record<SocketScheme, readonly string[]>> = {
  ws: ['ws', 'socks', 'https', 'http', 'all'],
  wss: ['wss', 'socks', 'https', 'all'],
};
const PROXY_ADDRESS = '127.0.0.7';

/** By which variable's proxy, and how it was asked; null: directly. */
type Way = readonly [name: string, kind: 'connect' | 'socks'] | null;

interface Row {
  readonly scheme: SocketScheme;
  /** `{ws}` in a value is host and port of a proxy called so. */
  readonly env: Readonly<Record<string, string>>;
  readonly way: Way;
  readonly source: string;
  /** Of the origin. @defaultValue '127.0.0.1' */
  readonly host?: string;
}

/** The variable counts while those that come before it say nothing. */
const inOrder: Row[] = SOCKET_SCHEMES.flatMap((scheme) =>
  ORDER[scheme].map((name, index) => {
    const set = ORDER[scheme].map((each, at) => [`${each}_proxy`, at < index ? '' : valueFor(each)] as const);
    return { scheme, env: Object.fromEntries(set), way: wayBy(name), source: `env:${name}_proxy` };
  }),
);

/** Each variable alone, those of other schemes included. */
const alone: Row[] = SOCKET_SCHEMES.flatMap((scheme) =>
  ['ws', 'wss', 'socks', 'https', 'http', 'all'].map((name) => {
    const counts = ORDER[scheme].includes(name);
    const source = counts ? `env:${name}_proxy` : 'none';
    return { scheme, env: { [`${name}_proxy`]: valueFor(name) }, way: counts ? wayBy(name) : null, source };
  }),
);

function valueFor(name: string): string {
  return `http://{${name}}`;
}

/** In `socks_proxy`, http stands for SOCKS. */
function wayBy(name: string): Way {
  return [name, name === 'socks' ? 'socks' : 'connect'];
}

const spelling: Row[] = SOCKET_SCHEMES.flatMap((scheme) => {
  const [lower, upper] = [`${scheme}_proxy`, `${scheme.toUpperCase()}_PROXY`];
  const odd = `${scheme.replace('w', 'W')}_Proxy`;
  const row = (env: Row['env'], way: Way, source: string): Row => ({ scheme, env, way, source });
  return [
    row({ [upper]: 'http://{a}' }, ['a', 'connect'], `env:${upper}`),
    row({ [odd]: 'http://{a}' }, ['a', 'connect'], `env:${odd}`),
    row({ [odd]: 'http://{a}', [upper]: 'http://{b}' }, ['b', 'connect'], `env:${upper}`),
    row({ [upper]: 'http://{a}', [lower]: 'http://{b}' }, ['b', 'connect'], `env:${lower}`),
    row({ [upper]: 'http://{a}', [lower]: '', all_proxy: 'http://{b}' }, ['b', 'connect'], 'env:all_proxy'),
    row({ [upper]: 'http://{a}', [lower]: ' ' }, null, 'none'),
  ];
});

const values: Row[] = SOCKET_SCHEMES.flatMap((scheme) => {
  const row = (name: string, value: string, kind: 'connect' | 'socks'): Row => {
    return { scheme, env: { [name]: value }, way: ['a', kind], source: `env:${name}` };
  };
  return [
    row(`${scheme}_proxy`, '{a}', 'connect'),
    row(`${scheme}_proxy`, ' http://{a}/ ', 'connect'),
    row(`${scheme}_proxy`, 'https://{a}', 'connect'),
    row(`${scheme}_proxy`, 'socks://{a}', 'socks'),
    row('https_proxy', 'socks5h://{a}', 'socks'),
    row('all_proxy', 'SOCKS5://{a}', 'socks'),
    row('socks_proxy', '{a}', 'socks'),
    row('socks_proxy', 'socks4://{a}', 'socks'),
    row('socks_proxy', 'https://{a}', 'connect'),
  ];
});

const guarded: Row[] = [
  { scheme: 'ws', env: { HTTP_PROXY: 'http://{a}', REQUEST_METHOD: 'GET' }, way: null, source: 'none' },
  {
    scheme: 'ws',
    env: { http_proxy: 'http://{a}', REQUEST_METHOD: 'GET' },
    way: ['a', 'connect'],
    source: 'env:http_proxy',
  },
  {
    scheme: 'ws',
    env: { WS_PROXY: 'http://{a}', REQUEST_METHOD: 'GET' },
    way: ['a', 'connect'],
    source: 'env:WS_PROXY',
  },
  {
    scheme: 'wss',
    env: { HTTPS_PROXY: 'http://{a}', REQUEST_METHOD: 'GET' },
    way: ['a', 'connect'],
    source: 'env:HTTPS_PROXY',
  },
];

/** `{port}` is the origin's. */
const excluded: Row[] = SOCKET_SCHEMES.flatMap((scheme) => {
  const row = (host: string, no_proxy: string, isExcluded: boolean): Row => {
    const way: Way = isExcluded ? null : [scheme, 'connect'];
    const source = isExcluded ? 'env:no_proxy' : `env:${scheme}_proxy`;
    return { scheme, env: { [`${scheme}_proxy`]: valueFor(scheme), no_proxy }, way, source, host };
  };
  return [
    row('127.0.0.1', '127.0.0.1', true),
    row('127.0.0.1', '127.0.0.1:{port}', true),
    row('127.0.0.1', '127.0.0.1:9', false),
    row('127.0.0.1', 'a.example, 127.0.0.0/8', true),
    row('127.0.0.1', '10.0.0.0/8', false),
    row('127.0.0.1', 'foo *', true),
    row('127.0.0.1', 'localhost', false),
    row('127.0.0.1', '', false),
    row('localhost', 'LOCALHOST', true),
    row('localhost', '127.0.0.1', false),
    row('origin.example', 'example.org', false),
    row('[::1]', '[::1]', true),
    row('[::1]', '[::1]:{port}', true),
    row('[::1]', '::/0', true),
    row('[::1]', '[::1]:9', false),
  ];
});

const excludedInCapitals: Row[] = SOCKET_SCHEMES.flatMap((scheme) => {
  const variable = `${scheme}_proxy`;
  const env = { [variable]: valueFor(scheme), NO_PROXY: '127.0.0.1' };
  return [
    { scheme, env, way: null, source: 'env:NO_PROXY' },
    { scheme, env: { ...env, no_proxy: '' }, way: [scheme, 'connect'], source: `env:${variable}` },
  ];
});

const all = { inOrder, alone, spelling, values, guarded, excluded, excludedInCapitals };

const named = Object.entries(all).map(([name, rows]) => ({
  name,
  rows: rows.map((row) => ({ host: '127.0.0.1', ...row })),
}));

describe.each(named)('$name:', ({ rows }) => {
  test.each(rows)('$scheme $host with $env goes by $way', async ({ scheme, env, way, source, host }) => {
    const echo = await startEcho(scheme, host === '[::1]' ? { host: '::1' } : {});
    const proxies = await startProxies(Object.values(env));
    const given = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, filled(value, proxies, echo)]));
    const transport = newTransport();
    // Node 22.23.3 refuses any certificate for ::1.
    const tls = host === '[::1]' && scheme === 'wss' ? { ...trusting.tls, servername: 'localhost' } : undefined;
    const socket = await connect(echo.urlFor(host), { transport, env: given, tls });
    expect(await echoOf(socket, 'größe')).toBe('größe');
    expect(socket.explanation.source).toBe(source);
    const target = `${host}:${echo.origin.port}`;
    const { route } = socket;
    const tlsVersion = route.kind !== 'direct' && route.proxy.scheme === 'https' ? 'TLSv1.3' : null;
    for (const [name, { hops, connectionCount }] of proxies) {
      expect({ name, connectionCount }).toEqual({ name, connectionCount: name === way?.[0] ? 1 : 0 });
      if (name === way?.[0]) expect(hops).toMatchObject([{ kind: way[1], target, tlsVersion }]);
    }
    // An origin of IPv6 sees the same address of everybody.
    if (host !== '[::1]')
      expect(echo.origin.requests).toMatchObject([{ remoteAddress: way === null ? '127.0.0.1' : PROXY_ADDRESS }]);
    expect(await closeOf(socket)).toBe(1000);
    await expectNothingLeft(transport, echo.origin, ...proxies.values());
  });
});

/** Those that the values name; each speaks HTTP, SOCKS and TLS. */
async function startProxies(texts: readonly string[]): Promise<Map<string, LabAnyProxy>> {
  const names = texts.flatMap((text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name));
  const proxies = new Map<string, LabAnyProxy>();
  for (const name of new Set(names)) {
    if (name === 'port') continue;
    const hosts = { 'origin.example': '127.0.0.1' };
    // IPv6 origins cannot be reached from an address of IPv4.
    const local = texts.some((text) => text.includes('[::1]')) ? {} : { localAddress: PROXY_ADDRESS };
    proxies.set(name, await use(startAnyProxy({ tls: certificate, hosts, ...local })));
  }
  return proxies;
}

function filled(text: string, proxies: ReadonlyMap<string, LabAnyProxy>, { origin }: EchoOrigin): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => {
    if (name === 'port') return String(origin.port);
    return new URL(proxies.get(name)?.url ?? '').host;
  });
}

const script = (urls: readonly string[], other: string): string => `
  import { Transport } from '@cloudlane/transport';
  import { connectWebSocket } from '@cloudlane/websocket';
  const transport = new Transport({ tls: { ca: ${JSON.stringify(ca.certificate)} } });
  const seen = [];
  const open = async (url, options = {}) => {
    const socket = await connectWebSocket(url, { transport, ...options });
    seen.push([socket.explanation.source, socket.route.proxy?.port ?? null]);
    socket.terminate();
  };
  const [ws, wss, excluded] = ${JSON.stringify(urls)};
  await open(ws);
  await open(wss);
  await open(excluded);
  await open(ws, { trustEnv: false });
  process.env.ws_proxy = ${JSON.stringify(other)};
  await open(ws);
  await transport.close();
  console.log(JSON.stringify(seen));
`;

test(
  'the variables of the process count, as they are at each call',
  async () => {
    const [plain, secure, through, other] = [
      await startEcho('ws'),
      await startEcho('wss'),
      await proxy(),
      await proxy(),
    ];
    const urls = [plain.url, secure.url, plain.urlFor('localhost')];
    const env = { ws_proxy: through.url, WSS_PROXY: through.url, no_proxy: 'localhost' };
    const { output, errors, code } = await runScript(script(urls, other.url), env);
    expect([errors, code]).toEqual(['', 0]);
    expect(JSON.parse(output)).toEqual([
      ['env:ws_proxy', through.port],
      ['env:WSS_PROXY', through.port],
      ['env:no_proxy', null],
      ['none', null],
      ['env:ws_proxy', other.port],
    ]);
    expect(through.hops.map(({ target }) => target)).toEqual([plain.authority, secure.authority]);
    expect(other.hops.map(({ target }) => target)).toEqual([plain.authority]);
  },
  PROCESS_TIMEOUT,
);
