// Openings that hang, wherever they do, end by a deadline that says so; open WebSockets have none.
import { blackHole, type LabProxy, type Misbehaviour, type SocksMisbehaviour } from '@cloudlane/testing';
import { TimeoutError, type Timeouts, Transport, type UpgradeRequest } from '@cloudlane/transport';
import { connectWebSocket, type WebSocketOptions } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { closeAfterTest } from '../support/resources.ts';
import {
  AUTH,
  expectNothingLeft,
  failureOf,
  newTransport,
  origin,
  proxy,
  socks,
  until,
  use,
} from '../transport/lab.ts';
import { answer, connect, echoOf, expectUpgraded, SOCKET_SCHEMES, type SocketScheme, startEcho } from './lab.ts';

/** Long enough for a handshake on a busy machine, short enough to wait for. */
const SHORT = 120;
/** For the whole way. */
const LONGER = 300;

/** Where an opening hangs. */
interface Hang {
  readonly url: string;
  readonly http_proxy: string | null;
  readonly servers: readonly Pick<LabProxy, 'waitUntilIdle'>[];
}

type Deadline = 'connect' | 'handshake' | 'firstByte';
type Row = readonly [name: string, deadline: Deadline, phase: string, start: () => Promise<Hang>];

const silent = (scheme: SocketScheme) =>
  origin(scheme === 'ws' ? 'http' : 'https', {
    upgrade: (_, socket) =>
      void socket
        .on('error', () => {})
        .on('end', () => socket.destroy())
        .resume(),
  });

const urlOf = ({ url }: { readonly url: string }): string => url.replace(/^http/, 'ws');

async function through(scheme: SocketScheme, via: 'http' | 'https', misbehaviour: Misbehaviour): Promise<Hang> {
  const [server, station] = [await startEcho(scheme), await proxy(via, { misbehaviour })];
  return { url: server.url, http_proxy: station.url, servers: [station, server.origin] };
}

async function throughSocks(scheme: SocketScheme, misbehaviour: SocksMisbehaviour): Promise<Hang> {
  const [server, station] = [await startEcho(scheme), await socks({ auth: AUTH, misbehaviour })];
  return { url: server.url, http_proxy: station.urlWithCredentials, servers: [station, server.origin] };
}

async function beyond(scheme: SocketScheme, way: 'none' | 'http' | 'https' | 'socks5h'): Promise<Hang> {
  const server = await silent(scheme);
  const station = way === 'none' ? null : way === 'socks5h' ? await socks() : await proxy(way);
  return { url: urlOf(server), http_proxy: station?.url ?? null, servers: [server, ...(station ? [station] : [])] };
}

const ROWS: readonly Row[] = [
  [
    'a proxy that is not there',
    'connect',
    'proxy-connect',
    async () => {
      const { host, port } = await use(blackHole());
      return { url: 'wss://x.example', http_proxy: `http://${host}:${port}`, servers: [] };
    },
  ],
  [
    'an origin that is not there',
    'connect',
    'origin-connect',
    async () => {
      const { host, port } = await use(blackHole());
      return { url: `ws://${host}:${port}`, http_proxy: null, servers: [] };
    },
  ],
  ['a proxy that does not start TLS', 'handshake', 'proxy-tls', () => through('ws', 'https', { kind: 'mute' })],
  ...SOCKET_SCHEMES.flatMap((scheme): Row[] => [
    [
      `a proxy that never answers CONNECT, for a ${scheme} origin`,
      'handshake',
      'proxy-handshake',
      () => through(scheme, 'http', { kind: 'hang' }),
    ],
    [
      `a proxy that answers CONNECT byte by byte, for a ${scheme} origin`,
      'handshake',
      'proxy-handshake',
      () => through(scheme, 'https', { kind: 'drip', interval: 10 }),
    ],
    ...(['greeting', 'auth', 'request'] as const).map(
      (phase): Row => [
        `a SOCKS proxy that is mute in the ${phase}, for a ${scheme} origin`,
        'handshake',
        'proxy-handshake',
        () => throughSocks(scheme, { kind: 'hang', in: phase }),
      ],
    ),
    ...(['none', 'http', 'https', 'socks5h'] as const).map(
      (way): Row => [
        `a ${scheme} origin that never answers, through the proxy "${way}"`,
        'firstByte',
        'response',
        () => beyond(scheme, way),
      ],
    ),
  ]),
  ['a silent tunnel', 'handshake', 'origin-tls', () => through('wss', 'http', { kind: 'silent-tunnel' })],
  ['a silent tunnel inside TLS', 'handshake', 'origin-tls', () => through('wss', 'https', { kind: 'silent-tunnel' })],
  ['a silent tunnel of SOCKS', 'handshake', 'origin-tls', () => throughSocks('wss', { kind: 'silent-tunnel' })],
  ['a silent tunnel without TLS', 'firstByte', 'response', () => through('ws', 'http', { kind: 'silent-tunnel' })],
  [
    'an origin that does not start TLS',
    'handshake',
    'origin-tls',
    async () => {
      const server = await proxy('http', { misbehaviour: { kind: 'mute' } });
      return { url: `wss://${server.host}:${server.port}`, http_proxy: null, servers: [server] };
    },
  ],
  [
    'an origin whose 101 does not come to its end',
    'firstByte',
    'response',
    async () => {
      const server = await origin('http', {
        upgrade: (_, socket) => {
          socket.on('error', () => {}).on('end', () => socket.destroy());
          socket.resume().write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs');
        },
      });
      return { url: urlOf(server), http_proxy: null, servers: [server] };
    },
  ],
];

describe.each(ROWS)('%s', (_, deadline, phase, start) => {
  async function timedOut(timeout: WebSocketOptions['timeout'], expected: object): Promise<void> {
    const [{ url, http_proxy, servers }, transport] = [await start(), newTransport()];
    const error = await failureOf(connectWebSocket(url, { http_proxy, transport, timeout }), TimeoutError);
    expect(error.constructor).toBe(TimeoutError);
    const hop = phase.startsWith('proxy') ? 'proxy' : 'origin';
    const facts = { code: 'ERR_TIMEOUT', phase, hop, retryable: phase !== 'response', ...expected };
    expect(error).toMatchObject(facts);
    expect(error.hasConnectedToProxy).toBe(http_proxy !== null && !/^proxy-(connect|tls)$/.test(phase));
    expect(error.message).toContain(`took longer than ${error.milliseconds} ms (timeout.${error.deadline})`);
    await expectNothingLeft(transport, ...servers);
  }

  test(`ends by timeout.${deadline}`, () => timedOut({ [deadline]: SHORT }, { deadline, milliseconds: SHORT }));

  test('ends by the total', () => timedOut(LONGER, { deadline: 'total', milliseconds: LONGER }));
});

test('the total covers all redirects together', async () => {
  const server = await origin('http', {
    upgrade: (_, socket) => {
      socket.on('error', () => {});
      setTimeout(() => socket.end(answer(302, { Location: '/' })), 60);
    },
  });
  const transport = newTransport();
  const opened = connectWebSocket(urlOf(server), { http_proxy: null, transport, timeout: 300, maxRedirects: 1000 });
  expect(await failureOf(opened, TimeoutError)).toMatchObject({ deadline: 'total', milliseconds: 300 });
  expect(server.requests.length).toBeGreaterThan(1);
  await expectNothingLeft(transport, server);
});

/** Notes what it is given. */
class RecordingTransport extends Transport {
  readonly asked: UpgradeRequest['timeout'][] = [];

  override upgrade(...[request, begin]: Parameters<Transport['upgrade']>): ReturnType<Transport['upgrade']> {
    this.asked.push(request.timeout);
    return super.upgrade(request, begin);
  }
}

test.each<[what: string, own: number | Timeouts | undefined, given: WebSocketOptions['timeout'], asked: unknown]>([
  ['30 s by default', undefined, undefined, { total: 30_000 }],
  ['30 s beside other deadlines', undefined, { connect: 5_000 }, { connect: 5_000, total: 30_000 }],
  ['30 s beside other deadlines of the transport', { connect: 5_000 }, undefined, { total: 30_000 }],
  ['that of the call', 7_000, 9_000, 9_000],
  ['that of the call by its name', 7_000, { total: 9_000 }, { total: 9_000 }],
  ['none if the call says so', undefined, { total: 0 }, { total: 0 }],
  ['none if the call says so with a number', 7_000, 0, 0],
  ['that of the transport', 7_000, undefined, undefined],
  ['that of the transport beside other deadlines', 7_000, { connect: 5_000 }, { connect: 5_000 }],
])('the total is %s', async (_, own, given, asked) => {
  const server = await startEcho('ws');
  const transport = closeAfterTest(new RecordingTransport(own === undefined ? {} : { timeout: own }));
  await connect(server.url, { http_proxy: null, transport, timeout: given });
  expect(transport.asked).toEqual([asked]);
});

test('the total of the transport ends an opening that has none of its own', async () => {
  const [server, transport] = [await silent('ws'), newTransport({ timeout: LONGER })];
  const error = await failureOf(connectWebSocket(urlOf(server), { http_proxy: null, transport }), TimeoutError);
  expect(error).toMatchObject({ deadline: 'total', milliseconds: LONGER, phase: 'response' });
  await expectNothingLeft(transport, server);
});

test.each(['none', 'http', 'https', 'socks5h'] as const)(
  'an open WebSocket outlives every deadline of its opening, through the proxy "%s"',
  async (way) => {
    const [server, deaf] = [await startEcho('wss'), await silent('ws')];
    const station = way === 'none' ? null : way === 'socks5h' ? await socks() : await proxy(way);
    const all = { connect: LONGER, handshake: LONGER, firstByte: LONGER, idle: LONGER, total: LONGER };
    const transport = newTransport({ timeout: all });
    const socket = await connect(server.url, { http_proxy: station?.url ?? null, transport, timeout: all });
    // One that was begun later is over: all deadlines of the first would have passed.
    await failureOf(connectWebSocket(urlOf(deaf), { http_proxy: null, transport, timeout: all }), TimeoutError);
    await until(() => transport.connections.length === 1);
    expectUpgraded(transport);
    expect(await echoOf(socket, 'still here')).toBe('still here');
  },
);
