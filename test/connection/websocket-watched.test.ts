// What those who watch or intercept a connection's WebSockets see of them, and what they may do.
import { PassThrough } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HarRecorder } from '@cloudlane/session';
import { expect, test } from '@jest/globals';
import { newTransport, proxy } from '../transport/lab.ts';
import { answer, startEcho } from '../websocket/lab.ts';
import { connectionTo, open } from './websocket-lab.ts';

test('verbose shows the route that a wss WebSocket takes', async () => {
  const [server, other, to] = [await startEcho('wss'), await proxy(), new PassThrough()];
  const options = { http_proxy: undefined, env: { http_proxy: other.url }, verbose: { to, showRoute: true } };
  expect((await open(connectionTo(server, options))).route.kind).toBe('direct');
  expect(String(to.read())).toMatch(/ {3}direct\n$/);
});

test('verbose shows the tunnel that a ws WebSocket takes', async () => {
  const [server, other, to] = [await startEcho('ws'), await proxy(), new PassThrough()];
  const options = { http_proxy: other.url, verbose: { to, showRoute: true } };
  expect((await open(connectionTo(server, options))).route.kind).toBe('tunnel');
  expect(String(to.read())).toContain('   tunnel http');
});

test('the HAR entry of a 101 does not say that its body was not read', async () => {
  const [server, har] = [await startEcho('ws'), new HarRecorder()];
  await open(connectionTo(server, { har }));
  expect(har.toJSON().log.entries[0]).not.toHaveProperty('comment');
});

test.each([false, true])(
  'what an interceptor sends beside the call changes nothing (it throws: %p)',
  async (throws) => {
    const [server, transport] = [await startEcho('ws'), newTransport()];
    const connection = connectionTo(server, { transport });
    const { axios } = connection.session;
    let beside: Promise<unknown> | null = null;
    axios.interceptors.response.use((response) => {
      if (beside !== null) return response;
      beside = axios.request(response.config);
      if (throws) throw new TypeError('no');
      return response;
    });
    const socket = await open(connection).catch(() => null);
    await Promise.resolve(beside).catch(() => {});
    while (transport.connections.length > (throws ? 0 : 1)) await nextTurn();
    expect([socket?.readyState, transport.connections.length]).toEqual(throws ? [undefined, 0] : [1, 1]);
  },
);

test('the WebSocket handed out is that of the answer that interceptors return', async () => {
  const instead = ({ headers }: { headers: object }) => ('x-refuse' in headers ? answer(401) : null);
  const [server, transport] = [await startEcho('ws', { instead }), newTransport()];
  const connection = connectionTo(server, { transport });
  const { axios } = connection.session;
  axios.interceptors.response.use(async (response) => {
    if (response.status !== 101) return response;
    response.config.headers.set('X-Refuse', '1');
    await axios.request(response.config);
    return response;
  });
  expect((await open(connection)).readyState).toBe(1);
});
