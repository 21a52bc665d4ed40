// Openings that are given up, by a signal or by closing the transport, wherever they are: nothing is left open.
import { getEventListeners, once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { blackHole, type LabProxy, type Misbehaviour, type SocksMisbehaviour } from '@cloudlane/testing';
import { ClosedError } from '@cloudlane/transport';
import { connectWebSocket } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { AUTH, failureOf, newTransport, origin, proxy, socks, until, use } from '../transport/lab.ts';
import { listen } from '../transport/listen.ts';
import {
  closeOf,
  connect,
  echoOf,
  expectNothingLeft,
  expectUpgraded,
  redirects,
  SOCKET_SCHEMES,
  type SocketScheme,
  startEcho,
} from './lab.ts';

/** An opening that does not get on. */
interface Stage {
  readonly url: string;
  readonly http_proxy: string | null;
  readonly servers: readonly Pick<LabProxy, 'waitUntilIdle'>[];
  /** Resolves when it has got there. */
  readonly reached: () => Promise<unknown>;
}

const WAYS = ['none', 'http', 'https', 'socks5h'] as const;
type Way = (typeof WAYS)[number];
const startWay = async (way: Way) =>
  way === 'none' ? null : way === 'socks5h' ? await socks({ auth: AUTH }) : await proxy(way, { auth: AUTH });

const urlOf = ({ url }: { readonly url: string }): string => url.replace(/^http/, 'ws');

/** An origin that takes a handshake and says this, or nothing. */
const saying = (scheme: SocketScheme, text = '') =>
  origin(scheme === 'ws' ? 'http' : 'https', {
    upgrade: (_, socket) => {
      socket.on('error', () => {}).on('end', () => socket.destroy());
      socket.resume().write(text);
    },
  });

async function through(scheme: SocketScheme, via: 'http' | 'https', misbehaviour: Misbehaviour): Promise<Stage> {
  const [server, station] = [await startEcho(scheme), await proxy(via, { misbehaviour })];
  const reached = (): Promise<void> =>
    misbehaviour.kind === 'mute'
      ? station.waitForConnections(1)
      : misbehaviour.kind === 'silent-tunnel'
        ? until(() => station.hops[0]?.status === 200)
        : station.waitForHops(1);
  return { url: server.url, http_proxy: station.url, servers: [station, server.origin], reached };
}

async function throughSocks(scheme: SocketScheme, misbehaviour: SocksMisbehaviour): Promise<Stage> {
  const [server, station] = [await startEcho(scheme), await socks({ auth: AUTH, misbehaviour })];
  const reached = (): Promise<void> => station.waitForConnections(1);
  return { url: server.url, http_proxy: station.urlWithCredentials, servers: [station, server.origin], reached };
}

const SOCKS_STAGES = SOCKET_SCHEMES.flatMap((scheme) =>
  (['greeting', 'auth', 'request'] as const).map(
    (phase) =>
      [
        `the ${phase} of SOCKS, for a ${scheme} origin`,
        () => throughSocks(scheme, { kind: 'hang', in: phase }),
      ] as const,
  ),
);

const ORIGIN_STAGES = SOCKET_SCHEMES.flatMap((scheme) =>
  WAYS.flatMap((way) => {
    const stage = async (text: string, reached?: () => Promise<unknown>): Promise<Stage> => {
      const [server, station] = [await saying(scheme, text), await startWay(way)];
      const http_proxy = station?.urlWithCredentials ?? null;
      const servers = [server, ...(station ? [station] : [])];
      return { url: urlOf(server), http_proxy, servers, reached: reached ?? (() => server.waitForRequests(1)) };
    };
    const inBody = (): Promise<Stage> => {
      const { told } = listen('request:phase');
      const text = 'HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nhalf';
      return stage(text, () => until(() => told.some(([, { phase }]) => phase === 'body')));
    };
    return [
      [`the wait for the answer of a ${scheme} origin through the proxy "${way}"`, () => stage('')],
      [`the page of a refusal of a ${scheme} origin through the proxy "${way}"`, inBody],
    ] as const;
  }),
);

const STAGES: readonly (readonly [name: string, start: () => Promise<Stage>])[] = [
  [
    'the connect to the proxy',
    async () => {
      const { host, port } = await use(blackHole());
      return { url: 'wss://x.example', http_proxy: `http://${host}:${port}`, servers: [], reached: () => nextTurn() };
    },
  ],
  [
    'the connect to the origin',
    async () => {
      const { host, port } = await use(blackHole());
      return { url: `ws://${host}:${port}`, http_proxy: null, servers: [], reached: () => nextTurn() };
    },
  ],
  ['TLS with the proxy', () => through('ws', 'https', { kind: 'mute' })],
  ['CONNECT for a ws origin', () => through('ws', 'http', { kind: 'hang' })],
  ['CONNECT for a wss origin', () => through('wss', 'https', { kind: 'hang' })],
  ['a slow answer to CONNECT', () => through('ws', 'http', { kind: 'drip', interval: 10 })],
  ['TLS with the origin in a tunnel', () => through('wss', 'http', { kind: 'silent-tunnel' })],
  ['TLS with the origin in a tunnel inside TLS', () => through('wss', 'https', { kind: 'silent-tunnel' })],
  ...SOCKS_STAGES,
  ...ORIGIN_STAGES,
  [
    'the second handshake, after a redirect',
    async () => {
      const last = await saying('wss');
      const server = await startEcho('ws', { instead: redirects({ '/': urlOf(last) }) });
      const servers = [server.origin, last];
      return { url: server.url, http_proxy: null, servers, reached: () => last.waitForRequests(1) };
    },
  ],
];

test.each(STAGES)('a signal ends the opening in %s, with its reason', async (_, start) => {
  const [{ url, http_proxy, servers, reached }, transport] = [await start(), newTransport()];
  const controller = new AbortController();
  const reason = { said: 'enough' };
  const opened = connectWebSocket(url, { http_proxy, transport, signal: controller.signal });
  opened.catch(() => {});
  await reached();
  controller.abort(reason);
  await expect(opened).rejects.toBe(reason);
  await expectNothingLeft(transport, ...servers);
  expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
});

test.each(WAYS)('a signal that is aborted already opens nothing, through the proxy "%s"', async (way) => {
  const [server, station, transport] = [await startEcho('ws'), await startWay(way), newTransport()];
  const reason = new Error('never mind');
  const http_proxy = station?.urlWithCredentials ?? null;
  const opened = connectWebSocket(server.url, { http_proxy, transport, signal: AbortSignal.abort(reason) });
  await expect(opened).rejects.toBe(reason);
  expect([server.origin.connectionCount, station?.connectionCount ?? 0]).toEqual([0, 0]);
  expect(transport.connections).toEqual([]);
});

test.each(SOCKET_SCHEMES)('a signal wins over the 101 of a %s origin that is still on its way', async (scheme) => {
  const controller = new AbortController();
  const server = await startEcho(scheme, { onSocket: () => controller.abort('enough') });
  const transport = newTransport();
  const opened = connectWebSocket(server.url, { http_proxy: null, transport, signal: controller.signal });
  await expect(opened).rejects.toBe('enough');
  await expectNothingLeft(transport, server.origin);
});

test.each(WAYS)('once it is open a signal has no effect, through the proxy "%s"', async (way) => {
  const [server, station, transport] = [await startEcho('wss'), await startWay(way), newTransport()];
  const controller = new AbortController();
  const { signal } = controller;
  const socket = await connect(server.url, { http_proxy: station?.urlWithCredentials ?? null, transport, signal });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  controller.abort();
  expect(await echoOf(socket, 'still here')).toBe('still here');
  expectUpgraded(transport);
  expect(await closeOf(socket)).toBe(1000);
});

test('a signal of several openings ends those that are not open yet', async () => {
  const [server, deaf, transport] = [await startEcho('ws'), await saying('ws'), newTransport()];
  const controller = new AbortController();
  const options = { http_proxy: null, transport, signal: controller.signal };
  const socket = await connect(server.url, options);
  const others = Promise.allSettled([1, 2, 3].map(() => connectWebSocket(urlOf(deaf), options)));
  await deaf.waitForRequests(3);
  controller.abort('enough');
  expect(await others).toEqual(Array(3).fill({ status: 'rejected', reason: 'enough' }));
  expect(await echoOf(socket, 'still here')).toBe('still here');
  expectUpgraded(transport);
});

describe('a transport that is closed', () => {
  test('fails the opening, and those after it, with ClosedError', async () => {
    const transport = newTransport();
    const [server, through] = [await startEcho('wss'), await proxy('http', { misbehaviour: { kind: 'hang' } })];
    const opened = connectWebSocket(server.url, { http_proxy: through.url, transport });
    const failed = failureOf(opened, ClosedError);
    await through.waitForHops(1);
    await transport.close();
    expect(await failed).toMatchObject({
      phase: 'proxy-handshake',
      hop: 'proxy',
      code: 'ERR_CLOSED',
      url: `${server.url}/`,
    });
    const later = connectWebSocket(server.url, { http_proxy: through.url, transport });
    expect(await failureOf(later, ClosedError)).toMatchObject({ code: 'ERR_CLOSED' });
    await expectNothingLeft(transport, through);
    expect([through.connectionCount, server.origin.connectionCount]).toEqual([1, 0]);
  });

  test('fails an opening that waits for the origin’s answer', async () => {
    const [server, transport] = [await saying('wss'), newTransport()];
    const failed = failureOf(connectWebSocket(urlOf(server), { http_proxy: null, transport }), ClosedError);
    await server.waitForRequests(1);
    await transport.close();
    expect(await failed).toMatchObject({ phase: 'response', hop: 'origin' });
    await expectNothingLeft(transport, server);
  });

  test.each(WAYS)('ends the open ones with 1006, through the proxy "%s"', async (way) => {
    const [server, through, transport] = [await startEcho('wss'), await startWay(way), newTransport()];
    const options = { http_proxy: through?.urlWithCredentials ?? null, transport };
    const sockets = await Promise.all([1, 2].map(() => connect(server.url, options)));
    const closed = Promise.all(sockets.map((socket) => once(socket, 'close')));
    await transport.close();
    expect((await closed).map(([code]) => code)).toEqual([1006, 1006]);
    await failureOf(connectWebSocket(server.url, options), ClosedError);
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
  });
});
