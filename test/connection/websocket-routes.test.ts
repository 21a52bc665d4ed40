// The ways that WebSockets of a connection go: what was seen on them, who chooses them, and what is left of them.
import { Connection } from '@cloudlane/connection';
import { HTTPProxyAuth } from '@cloudlane/session';
import type { LabProxy, LabSocks, Misbehaviour } from '@cloudlane/testing';
import { ClosedError, ProxyAuthenticationError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import {
  AUTH,
  expectNoSecrets,
  failureOf,
  newTransport,
  proxy,
  socks,
  trusting,
  withCredentials,
} from '../transport/lab.ts';
import {
  closeOf,
  echoOf,
  expectNothingLeft,
  expectUpgraded,
  SOCKET_SCHEMES,
  type SocketScheme,
  startEcho,
} from '../websocket/lab.ts';
import { connectTo, newGate } from './lab.ts';
import { connectionTo, muteOrigin, open, STATION_ADDRESS, settingOf, station, WAYS } from './websocket-lab.ts';

const ROWS = SOCKET_SCHEMES.flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));
const AUTHORIZATION = `Basic ${Buffer.from(`me:${SECRETS.originPassword}`).toString('base64')}`;

describe.each(ROWS)('a %s origin through the proxy "%s"', (scheme, way) => {
  test('sees the way and what is for it; the proxy sees no more than it has to', async () => {
    const [server, through, transport] = [await startEcho(scheme), await station(way), newTransport()];
    const http_proxy = settingOf(through);
    const auth = ['me', SECRETS.originPassword] as const;
    const cookies = { sid: SECRETS.token };
    const connection = connectionTo(server, { transport, http_proxy, auth, cookies });
    const socket = await open(connection, '/console', { headers: { 'X-Api-Key': SECRETS.secretKey } });
    expect(await echoOf(socket, 'hello')).toBe('hello');
    expect(server.origin.requests).toMatchObject([
      {
        target: '/console',
        remoteAddress: through ? STATION_ADDRESS : '127.0.0.1',
        headers: {
          host: server.authority,
          authorization: AUTHORIZATION,
          cookie: `sid=${SECRETS.token}`,
          'x-api-key': SECRETS.secretKey,
        },
      },
    ]);
    expect(server.origin.requests[0]?.rawHeaders.filter((text) => /^proxy-/i.test(text))).toEqual([]);
    expectSeen(through, server.authority);
    expect(socket.route.kind).toBe(way === 'none' ? 'direct' : way === 'socks5h' ? 'socks' : 'tunnel');
    expect(socket.explanation.source).toBe('constructor http_proxy');
    expectUpgraded(transport);
    expect(await closeOf(socket)).toBe(1000);
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
  });

  test('keeps its WebSocket when the connection is closed, or sent another way; not when the transport is', async () => {
    const [server, through, transport] = [await startEcho(scheme), await station(way), newTransport()];
    const connection = connectionTo(server, { transport, http_proxy: settingOf(through) });
    const socket = await open(connection);
    connection.setHttpProxy('http://127.0.0.1:1');
    await connection.close();
    await connection.session.close();
    expect(await echoOf(socket, 'still here')).toBe('still here');
    expectUpgraded(transport);
    await transport.close();
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
    expect(socket.readyState).not.toBe(socket.OPEN);
  });

  test('takes WebSockets and requests side by side', async () => {
    const server = await startEcho(scheme, { handler: (_, response) => void response.end('"plain"') });
    const [through, transport] = [await station(way), newTransport({ maxSockets: 1 })];
    const connection = connectionTo(server, { transport, http_proxy: settingOf(through) });
    const [one, answer, other] = await Promise.all([open(connection), connection.request('/'), open(connection)]);
    expect([answer.object, await echoOf(one, 'one'), await echoOf(other, 'other')]).toEqual(['plain', 'one', 'other']);
    expect((await connection.request('/')).object).toBe('plain');
    expect(server.origin.requests.map(({ target }) => target).toSorted()).toEqual(['/', '/', '/console', '/console']);
  });

  test('is left without a trace when the wait for its answer is aborted', async () => {
    const [server, through, transport] = [await muteOrigin(scheme), await station(way), newTransport()];
    const connection = connectionTo(server, { transport, http_proxy: settingOf(through) });
    await expectAborted(connection, () => server.origin.waitForRequests(1));
    await expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
  });
});

/** One hop to this authority, with the proxy's own credentials; none of the secrets for the origin. */
function expectSeen(through: LabProxy | LabSocks | null, authority: string): void {
  if (through === null) return;
  const [hop, ...others] = through.hops;
  expect(others).toEqual([]);
  expect(hop).toMatchObject({ target: authority, authorized: true, username: AUTH.username });
  expect(hop?.kind).toMatch(/^connect$|^socks$/);
  const headers = hop !== undefined && 'rawHeaders' in hop ? hop.rawHeaders : [];
  expect(secretsIn(headers.join('\n')).filter((name) => name !== 'proxyPassword')).toEqual([]);
}

/** Opens a WebSocket, and aborts once it has got there: that must fail with the reason. */
async function expectAborted(connection: Connection, reached: () => Promise<unknown>): Promise<void> {
  const controller = new AbortController();
  const reason = { said: 'enough' };
  const opened = connection.openWebSocket('/', { signal: controller.signal });
  opened.catch(() => {});
  await reached();
  controller.abort(reason);
  await expect(opened).rejects.toBe(reason);
}

describe.each(SOCKET_SCHEMES)('an opening of a %s WebSocket that is aborted or closed leaves nothing, in', (scheme) => {
  type Stage = readonly [through: LabProxy | LabSocks, reached: (count: number) => Promise<unknown>];
  const inHttp = (via: 'http' | 'https', misbehaviour: Misbehaviour) => async (): Promise<Stage> => {
    const through = await proxy(via, { misbehaviour });
    const isMute = misbehaviour.kind === 'mute';
    return [through, (count) => (isMute ? through.waitForConnections(count) : through.waitForHops(count))];
  };
  const inSocks = (phase: 'greeting' | 'auth' | 'request') => async (): Promise<Stage> => {
    const through = await socks({ auth: AUTH, misbehaviour: { kind: 'hang', in: phase } });
    return [through, (count) => through.waitForConnections(count)];
  };

  const STAGES: readonly (readonly [phase: string, start: () => Promise<Stage>])[] = [
    ['TLS with the proxy', inHttp('https', { kind: 'mute' })],
    ['CONNECT', inHttp('http', { kind: 'hang' })],
    ['CONNECT inside TLS', inHttp('https', { kind: 'hang' })],
    ['a slow answer to CONNECT', inHttp('http', { kind: 'drip', interval: 10 })],
    ['a tunnel that nothing comes out of', inHttp('http', { kind: 'silent-tunnel' })],
    ['the greeting of SOCKS', inSocks('greeting')],
    ['the password of SOCKS', inSocks('auth')],
    ['the request of SOCKS', inSocks('request')],
  ];

  test.each(STAGES)('%s', async (_, start) => {
    const [server, [through, reached], transport] = [await startEcho(scheme), await start(), newTransport()];
    const connection = connectionTo(server, { transport, http_proxy: settingOf(through) });
    await expectAborted(connection, () => reached(1));
    await expectNothingLeft(transport, server.origin, through);
    const later = failureOf(connection.openWebSocket('/'), ClosedError);
    await reached(2);
    await transport.close();
    expect(await later).toMatchObject({ code: 'ERR_CLOSED' });
    await expectNothingLeft(transport, server.origin, through);
  });
});

test('a signal that is aborted already opens nothing', async () => {
  const [server, through, transport] = [await startEcho('wss'), await station('http'), newTransport()];
  const opened = connectionTo(server, { transport, http_proxy: settingOf(through) }).openWebSocket('/', {
    signal: AbortSignal.abort('never'),
  });
  await expect(opened).rejects.toBe('never');
  expect([server.origin.connectionCount, through?.connectionCount, transport.connections]).toEqual([0, 0, []]);
});

describe.each(SOCKET_SCHEMES)('the proxy of a %s WebSocket', (scheme) => {
  const CHOOSERS = [
    ['the environment', 'env:all_proxy'],
    ['the constructor', 'constructor http_proxy'],
    ['setHttpProxy', 'setHttpProxy'],
    ['the call', 'call http_proxy'],
  ] as const;

  test.each(CHOOSERS)('is that of %s, if nobody after it says another', async (_, source) => {
    const server = await startEcho(scheme);
    const index = CHOOSERS.findIndex(([, each]) => each === source);
    const proxies = await Promise.all(CHOOSERS.slice(0, index + 1).map(() => proxy()));
    const [inEnv, inConstructor, set, inCall] = proxies.map(({ url }) => url);
    const connection = connectionTo(server, { env: { all_proxy: inEnv ?? '' }, http_proxy: inConstructor });
    if (set !== undefined) connection.setHttpProxy(set);
    const socket = await open(connection, '/', { http_proxy: inCall });
    expect(proxies.map(({ hops }) => hops.length)).toEqual([...Array(index).fill(0), 1]);
    expect(socket.explanation.source).toBe(source);
  });

  test.each(['constructor', 'setHttpProxy', 'call'] as const)('is none, if the %s says null', async (chooser) => {
    const [server, avoided] = [await startEcho(scheme), await proxy()];
    const connection = connectTo(server.origin, {
      env: { all_proxy: avoided.url },
      http_proxy: chooser === 'constructor' ? null : avoided.url,
    });
    if (chooser === 'setHttpProxy') connection.setHttpProxy(null);
    const socket = await open(connection, '/', chooser === 'call' ? { http_proxy: null } : {});
    expect([avoided.connectionCount, socket.route.kind]).toEqual([0, 'direct']);
  });

  test('is the one of the moment of the call, whatever is set while override points run', async () => {
    const [gate, running] = [newGate(), newGate()];
    class Waiting extends Connection {
      protected override async morphAction(action: string): Promise<string> {
        running.open();
        await gate.opened;
        return action;
      }
    }
    const [server, first, second] = [await startEcho(scheme), await proxy(), await proxy()];
    const options = { baseUrl: server.origin.url, transport: newTransport(), http_proxy: first.url };
    const connection = new Waiting(options);
    const opening = open(connection);
    await running.opened;
    connection.setHttpProxy(second.url);
    gate.open();
    await opening;
    expect([first.hops.length, second.hops.length]).toEqual([1, 0]);
  });

  test('that wants other credentials is told as such, without them', async () => {
    const [server, through, transport] = [await startEcho(scheme), await proxy('http', { auth: AUTH }), newTransport()];
    const http_proxy = withCredentials(through.url, { username: 'user', password: SECRETS.plainPassword });
    const opened = connectionTo(server, { transport, http_proxy }).openWebSocket('/');
    const error = await failureOf(opened, ProxyAuthenticationError);
    expectNoSecrets(error);
    await expectNothingLeft(transport, server.origin, through);
    expect(server.origin.connectionCount).toBe(0);
  });

  test('may be authorized by HTTPProxyAuth, which the origin does not see', async () => {
    const [server, through] = [await startEcho(scheme), await proxy('http', { auth: AUTH })];
    const auth = new HTTPProxyAuth(AUTH.username, AUTH.password);
    await open(connectionTo(server, { http_proxy: through.url, auth }));
    expect(through.hops).toMatchObject([{ authorized: true, username: AUTH.username }]);
    expect(server.origin.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
  });
});

describe('by the rules of WebSockets', () => {
  type Place = 'A' | 'B' | 'none';

  const VARIABLES: readonly (readonly [SocketScheme, env: Record<string, 'A' | 'B'>, Place])[] = [
    ['wss', { wss_proxy: 'A', https_proxy: 'B', http_proxy: 'B' }, 'A'],
    ['wss', { https_proxy: 'A', http_proxy: 'B', ws_proxy: 'B', all_proxy: 'B' }, 'A'],
    ['wss', { http_proxy: 'B' }, 'none'],
    ['wss', { http_proxy: 'B', all_proxy: 'A' }, 'A'],
    ['wss', { ws_proxy: 'B' }, 'none'],
    ['wss', { WSS_PROXY: 'A' }, 'A'],
    ['ws', { ws_proxy: 'A', https_proxy: 'B', http_proxy: 'B' }, 'A'],
    ['ws', { https_proxy: 'A', http_proxy: 'B' }, 'A'],
    ['ws', { http_proxy: 'A', wss_proxy: 'B', all_proxy: 'B' }, 'A'],
  ];

  test.each(VARIABLES)('a %s WebSocket with the environment %j goes through %s', async (scheme, variables, place) => {
    const { server, proxies, expectWay } = await between(scheme);
    const env = Object.fromEntries(Object.entries(variables).map(([name, each]) => [name, proxies[each].url]));
    const connection = connectionTo(server, { env, http_proxy: undefined });
    await open(connection);
    expectWay(place);
    // What no_proxy excludes is direct.
    const excluding = connectionTo(server, { env: { ...env, no_proxy: '127.0.0.1' }, http_proxy: undefined });
    expect((await open(excluding)).route.kind).toBe('direct');
    expectWay(place);
  });

  const MAPS: readonly (readonly [SocketScheme, map: Record<string, 'A' | 'B'>, Place])[] = [
    ['wss', { wss: 'A', https: 'B', ws: 'B', all: 'B' }, 'A'],
    ['ws', { ws: 'A', http: 'B', wss: 'B', all: 'B' }, 'A'],
    ['wss', { https: 'B', all: 'A' }, 'A'],
    ['ws', { http: 'B', all: 'A' }, 'A'],
    ['wss', { 'wss://127.0.0.1': 'A', wss: 'B' }, 'A'],
    ['ws', { 'ws://other.example': 'B', ws: 'A' }, 'A'],
  ];

  test.each(MAPS)('a %s WebSocket with the map %j goes through %s', async (scheme, map, place) => {
    const { server, proxies, expectWay } = await between(scheme);
    const http_proxy = Object.fromEntries(Object.entries(map).map(([name, each]) => [name, proxies[each].url]));
    await open(connectionTo(server, { http_proxy }));
    expectWay(place);
  });
});

/** An origin, and two proxies to choose from. */
async function between(scheme: SocketScheme) {
  const [server, A, B] = [await startEcho(scheme), await proxy(), await proxy()];
  const expectWay = (place: 'A' | 'B' | 'none'): void => {
    const seen = [A.hops.length, B.hops.length];
    expect({ A: seen[0], B: seen[1] }).toEqual({ A: place === 'A' ? 1 : 0, B: place === 'B' ? 1 : 0 });
  };
  return { server, proxies: { A, B }, expectWay };
}

test('a transport of the connection’s own ends with it, and its WebSockets too; maxSockets does not count them', async () => {
  const [server, through] = [await startEcho('wss'), await station('http')];
  const options = { http_proxy: settingOf(through), maxSockets: 1, tls: trusting.tls };
  const connection = new Connection({ baseUrl: server.origin.url, ...options });
  const sockets = [await open(connection), await open(connection)];
  for (const socket of sockets) expect(await echoOf(socket, 'hello')).toBe('hello');
  await connection.close();
  await expectNothingLeft(connection.session.transport, server.origin, ...(through ? [through] : []));
  for (const socket of sockets) expect(socket.readyState).not.toBe(socket.OPEN);
  await expect(connection.openWebSocket('/')).rejects.toMatchObject({ code: 'ERR_SESSION_CLOSED' });
});

test('a WebSocket whose opening is under way when its connection is closed is handed out', async () => {
  const [gate, server] = [newGate(), await startEcho('ws')];
  const through = await proxy('http', { misbehaviour: { kind: 'hang-until', until: gate.opened } });
  const transport = newTransport();
  const connection = connectionTo(server, { transport, http_proxy: through.url });
  const opening = open(connection);
  await through.waitForHops(1);
  await connection.close();
  gate.open();
  const socket = await opening;
  expect(await echoOf(socket, 'open')).toBe('open');
  expectUpgraded(transport);
});
