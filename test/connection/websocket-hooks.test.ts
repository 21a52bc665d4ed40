// Hooks and interceptors of a connection's session meet its WebSockets too; whatever they do, one at most stays open.
import { type Connection, type ConnectionOptions, InvalidCredentialsError, ProviderError } from '@cloudlane/connection';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { Hooks } from '@cloudlane/session';
import { TimeoutError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import type { AxiosResponse } from 'axios';
import { collectGarbage } from '../support/garbage.ts';
import type { Gate } from '../support/gate.ts';
import { expectWarning } from '../support/hygiene.ts';
import { failureOf, newTransport, proxy, until } from '../transport/lab.ts';
import {
  answer,
  closeOf,
  type EchoOrigin,
  echoOf,
  expectNothingLeft,
  expectUpgraded,
  startEcho,
} from '../websocket/lab.ts';
import { newGate } from './lab.ts';
import { connectionTo, open, settingOf, station, WAYS } from './websocket-lab.ts';

const fail = (): never => {
  throw new TypeError('the hook failed');
};

/** An origin that wants the header X-Token, and a connection through the lab's way. */
async function start(way: (typeof WAYS)[number], options: ConnectionOptions = {}) {
  const server = await startEcho('wss', { instead: ({ headers }) => (headers['x-token'] === 'no' ? REFUSAL : null) });
  const [through, transport] = [await station(way), newTransport()];
  const connection = connectionTo(server, { transport, http_proxy: settingOf(through), ...options });
  const expectNone = () => expectNothingLeft(transport, server.origin, ...(through ? [through] : []));
  return { server, transport, connection, expectNone };
}

const REFUSAL = answer(401, {}, 'who?');

describe.each(WAYS)('through the proxy "%s":', (way) => {
  test('hooks run in their order, and see the handshake and its answer', async () => {
    const seen: unknown[] = [];
    const hooks: Hooks = {
      args: ({ method, url }) => void seen.push(['args', method, new URL(url).pathname]),
      preRequest: (request) => {
        seen.push(['preRequest', request.method, request.url.protocol]);
        request.setHeader('X-Hook', '1');
      },
      response: async (response) => {
        seen.push(['response', response.status, response.headers.upgrade, await response.text()]);
      },
      postRequest: ({ method }, { response }) => void seen.push(['postRequest', method, response?.status]),
    };
    const { server, transport, connection } = await start(way, { hooks });
    const socket = await open(connection);
    expect(seen).toEqual([
      ['args', 'GET', '/console'],
      ['preRequest', 'GET', 'https:'],
      ['response', 101, 'websocket', ''],
      ['postRequest', 'GET', 101],
    ]);
    expect(server.origin.requests).toMatchObject([{ headers: { 'x-hook': '1' } }]);
    expect(await echoOf(socket, 'hello')).toBe('hello');
    expectUpgraded(transport);
  });

  test.each(['args', 'preRequest', 'response', 'postRequest'] as const)(
    'a hook %s that throws leaves nothing open',
    async (name) => {
      const { server, connection, expectNone } = await start(way, { hooks: { [name]: fail }, hookErrors: 'throw' });
      await expect(connection.openWebSocket('/')).rejects.toThrow('the hook failed');
      await expectNone();
      expect(server.origin.requests).toHaveLength(name === 'args' || name === 'preRequest' ? 0 : 1);
    },
  );

  test.each(['preRequest', 'response', 'postRequest'] as const)(
    'an abort during the hook %s leaves nothing open',
    async (name) => {
      const [running, never] = [newGate(), newGate()];
      const hook = (): Promise<void> => {
        running.open();
        return never.opened;
      };
      const { connection, expectNone } = await start(way, { hooks: { [name]: hook } });
      await expectAborted(connection, running);
      await expectNone();
    },
  );

  test('interceptors see the call, may change its headers, and see its answer', async () => {
    const { server, transport, connection } = await start(way);
    const seen: unknown[] = [];
    const { request, response } = connection.session.axios.interceptors;
    request.use((config) => {
      seen.push([config.method, config.url]);
      config.headers.set('X-Interceptor', '1');
      return config;
    });
    response.use((answered) => {
      seen.push(answered.status);
      return answered;
    });
    const socket = await open(connection, '/console', { headers: { 'X-Call': '1' } });
    expect(seen).toEqual([['get', `${server.origin.url}/console`], 101]);
    expect(server.origin.requests).toMatchObject([{ headers: { 'x-call': '1', 'x-interceptor': '1' } }]);
    expect(await echoOf(socket, 'hello')).toBe('hello');
    expectUpgraded(transport);
  });

  test.each(['request', 'response'] as const)('a %s interceptor that throws leaves nothing open', async (name) => {
    const { connection, expectNone } = await start(way);
    connection.session.axios.interceptors[name].use(fail);
    await expect(connection.openWebSocket('/')).rejects.toThrow('the hook failed');
    await expectNone();
  });

  test('an interceptor that sends the config again leaves the last WebSocket alone', async () => {
    const { server, transport, connection, expectNone } = await start(way);
    const { axios } = connection.session;
    axios.interceptors.response.use((response) => resend(server, 2, response, () => axios.request(response.config)));
    const socket = await open(connection);
    expect(server.origin.requests).toHaveLength(2);
    expect(await echoOf(socket, 'hello')).toBe('hello');
    await until(() => server.clients.size === 1);
    await until(() => transport.connections.length === 1);
    expectUpgraded(transport);
    await closeOf(socket);
    await expectNone();
  });
});

/** Sends it until the origin has seen so many handshakes. */
function resend(server: EchoOrigin, count: number, last: AxiosResponse, again: () => Promise<AxiosResponse>) {
  return server.origin.requests.length < count ? again() : last;
}

test.each(['preRequest', 'response', 'postRequest'] as const)(
  'a deadline that passes during the hook %s leaves nothing open',
  async (name) => {
    const { connection, expectNone } = await start('http', { hooks: { [name]: () => newGate().opened } });
    const error = await failureOf(connection.openWebSocket('/', { timeout: 250 }), TimeoutError);
    expect(error.deadline).toBe('total');
    await expectNone();
  },
);

test('an interceptor may send a refused handshake again with another token', async () => {
  const { server, transport, connection } = await start('http');
  const { axios } = connection.session;
  axios.interceptors.response.use((response) => {
    if (response.status !== 401) return response;
    response.config.headers.set('X-Token', 'yes');
    return axios.request(response.config);
  });
  const socket = await open(connection, '/', { headers: { 'X-Token': 'no' } });
  expect(server.origin.requests.map(({ headers }) => headers['x-token'])).toEqual(['no', 'yes']);
  expect(await echoOf(socket, 'hello')).toBe('hello');
  expectUpgraded(transport);
});

test('an interceptor may set options of the call', async () => {
  const { server, transport, connection } = await start('none');
  const other = await proxy();
  connection.session.axios.interceptors.request.use((config) =>
    Object.assign(config, { http_proxy: other.url, cookies: { set: '1' }, timeout: 60_000 }),
  );
  const socket = await open(connection);
  expect(await echoOf(socket, 'hello')).toBe('hello');
  expect([other.hops.length, server.origin.requests[0]?.headers.cookie]).toEqual([1, 'set=1']);
  expectUpgraded(transport);
});

test.each(['request', 'response'] as const)(
  'an abort while a %s interceptor waits leaves nothing open',
  async (name) => {
    const { connection, expectNone } = await start('http');
    const running = newGate();
    connection.session.axios.interceptors[name].use(() => {
      running.open();
      return new Promise<never>(() => {});
    });
    await expectAborted(connection, running);
    await expectNone();
  },
);

test('an interceptor whose second try is refused leaves nothing open', async () => {
  const { connection, expectNone } = await start('http');
  const { axios } = connection.session;
  axios.interceptors.response.use((response) => {
    if (response.status !== 101) return response;
    response.config.headers.set('X-Token', 'no');
    return axios.request(response.config);
  });
  await failureOf(connection.openWebSocket('/'), InvalidCredentialsError);
  await expectNone();
});

test.each<[what: string, change: object]>([
  ['method', { method: 'post' }],
  ['data', { data: 'x' }],
])('an interceptor that changes the %s is told what must stay', async (_, change) => {
  const { server, connection, expectNone } = await start('none');
  connection.session.axios.interceptors.request.use((config) => Object.assign(config, change));
  await failureOf(connection.openWebSocket('/'), InvalidOptionError);
  await expectNone();
  expect(server.origin.connectionCount).toBe(0);
});

test('an interceptor that returns another answer leaves nothing open', async () => {
  const { connection, expectNone } = await start('none');
  connection.session.axios.interceptors.response.use((response) => ({ ...response, data: 'mine' }));
  await failureOf(connection.openWebSocket('/'), InvalidOptionError);
  await expectNone();
});

test('by default a hook that throws is passed over, with a warning', async () => {
  expectWarning('HOOK_ERROR');
  const { connection } = await start('none', { hooks: { response: fail } });
  expect(await echoOf(await open(connection), 'hello')).toBe('hello');
});

test('no answer to a handshake is told to be unread, whatever it was', async () => {
  const { connection, expectNone } = await start('none', { hooks: { response: () => {} } });
  await closeOf(await open(connection));
  await failureOf(connection.openWebSocket('/', { headers: { 'X-Token': 'no' } }), ProviderError);
  connection.session.axios.interceptors.response.use(fail);
  await expect(connection.openWebSocket('/')).rejects.toThrow('the hook failed');
  await expectNone();
  // A warning would fail this file.
  collectGarbage();
});

/** An opening that is aborted once this gate is open fails with the reason. */
async function expectAborted(connection: Connection, running: Gate): Promise<void> {
  const controller = new AbortController();
  const opened = connection.openWebSocket('/', { signal: controller.signal });
  opened.catch(() => {});
  await running.opened;
  controller.abort('enough');
  await expect(opened).rejects.toBe('enough');
}
