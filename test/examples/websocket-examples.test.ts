import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { startFakeLogs } from '../../examples/fake-logs.ts';
import { ExampleLogs } from '../../examples/log-stream.ts';
import { sayHello, whyNot } from '../../examples/websocket.ts';
import { scrubProxyVariables } from '../support/environment.ts';
import { use } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, ca, certificate, newTransport, proxy } from '../transport/lab.ts';
import { answer, startEcho } from '../websocket/lab.ts';

test('a WebSocket through an https proxy with a password', async () => {
  const [echo, through] = [await startEcho('wss'), await proxy('https', { auth: AUTH })];
  const transport = newTransport({});
  expect(await sayHello(echo.url, through.urlWithCredentials, ca.certificate, { transport })).toBe('hello');
  expect(through.hops).toMatchObject([{ kind: 'connect', target: echo.authority, username: AUTH.username }]);
});

test('why a WebSocket was not opened: the origin, or the proxy', async () => {
  const echo = await startEcho('ws', { instead: () => answer(403, {}, 'not you') });
  const options = { transport: newTransport() };
  expect(await whyNot(echo.url, { ...options, http_proxy: null })).toBe('the origin said 403: not you');
  const through = await proxy('http', { auth: AUTH });
  const reason = 'the proxy failed in proxy-handshake (ERR_PROXY_AUTHENTICATION)';
  expect(await whyNot(echo.url, { ...options, http_proxy: through.url })).toBe(reason);
  const open = await startEcho('ws');
  expect(await whyNot(open.url, { ...options, http_proxy: null })).toBe('open: ');
});

test.each([
  ['cut once', [150]],
  ['cut after the first entry, in a row, and after the last', [1, 2, 3, 299, 300]],
])(
  'a log stream through a proxy with a password, %s: nothing is lost or doubled',
  async (_, cuts) => {
    const logs = await use(startFakeLogs(SECRETS.token, 300, cuts, certificate));
    const through = await proxy('http', { auth: AUTH });
    const settings = { baseUrl: logs.url, transport: newTransport(), http_proxy: through.urlWithCredentials };
    const seen: number[] = [];
    for await (const { sequence } of new ExampleLogs({ token: SECRETS.token, ...settings }).follow('web', 0, {
      maxDelay: 20,
    }))
      seen.push(sequence);
    expect(seen).toEqual(Array.from({ length: 300 }, (__, index) => index + 1));
    expect(logs.asked).toEqual([0, ...cuts]);
    // One more for each 503.
    expect(through.hops).toHaveLength(1 + 2 * cuts.length);
  },
  30_000,
);

test('the log stream as a program of its own', async () => {
  const env = scrubProxyVariables({ ...process.env });
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['examples/dist/follow-logs.js'], { env });
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^the proxy saw: connect 127\.0\.0\.1:\d+ as user → 200$/m);
  expect(stdout.trimEnd().endsWith('30 lines over 3 connections, each once, in order')).toBe(true);
  expect(stdout).not.toMatch(/p@ss/);
}, 30_000);
