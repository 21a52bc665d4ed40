// One connection: steps that come too early, what is told of it, and the example.
import diagnostics from 'node:diagnostics_channel';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { type HttpConnection, ResetError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { stepByStep } from '../../examples/http-connection.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, ca, expectNothingLeft, failureOf, newTransport, origin, proxy, use } from './lab.ts';
import { openWay, WAYS } from './ways.ts';

async function ask(connection: HttpConnection, target = '/'): Promise<string> {
  await connection.request('GET', target);
  return text((await connection.getResponse()).body);
}

describe.each(WAYS)('a connection to an %s origin by the way %s that is being opened', (scheme, via) => {
  test('takes no other step, and opens no second one', async () => {
    const { first, request } = await openWay(scheme, via);
    const connection = newTransport().open(request.url, { http_proxy: request.http_proxy });
    const connecting = connection.connect();
    expect(connection).toMatchObject({ isConnected: false, isClosed: false, info: { state: 'CONNECTING' } });
    await failureOf(connection.connect(), InvalidOptionError);
    await expect(connection.request('GET', '/')).rejects.toThrow('comes too early: connect() is not over');
    await connecting;
    await ask(connection);
    await connection.close();
    const asking = connection.request('GET', '/');
    await failureOf(connection.connect(), InvalidOptionError);
    await failureOf(connection.request('GET', '/'), InvalidOptionError);
    await asking;
    await text((await connection.getResponse()).body);
    expect(first.connectionCount).toBe(2);
  });
});

test('a request that cannot be sent changes nothing', async () => {
  const { through, first, request } = await openWay('https', 'http');
  const connection = newTransport().open(request.url, { http_proxy: request.http_proxy });
  await ask(connection);
  for (const [method, target, headers] of [
    ['GE T', '/', {}],
    ['GET', '/', { 'A B': 'c' }],
    ['GET', '/', { Expect: '100-continue' }],
    ['GET', '/', { a: 'b', A: 'c' }],
    ['GET', 'https://other.example/', {}],
  ] as const)
    await failureOf(connection.request(method, target, { headers }), InvalidOptionError);
  expect(connection).toMatchObject({ hasConnectedToProxy: true, isConnected: true, isVerified: true });
  await ask(connection);
  expect([first.connectionCount, through?.hops.length, connection.info?.requestCount]).toEqual([1, 1, 2]);
});

describe('nothing that can be printed shows a secret', () => {
  test.each(['opened by its URL', 'in a tunnel by hand', 'of an origin with credentials'])(
    'of a connection %s',
    async (how) => {
      const [server, through] = [await origin('https'), await proxy('http', { auth: AUTH })];
      const transport = newTransport();
      const url = new URL(`${server.url}/?sig=${SECRETS.token}`);
      url.username = 'me';
      url.password = SECRETS.originPassword;
      const byHand = how === 'in a tunnel by hand';
      const http_proxy = { url: through.urlWithCredentials, headers: { 'X-Token': SECRETS.token } };
      const connection = byHand
        ? transport.open(through.urlWithCredentials, { http_proxy: null })
        : transport.open(how.startsWith('of') ? url : server.url, { http_proxy });
      if (byHand) connection.setTunnel('127.0.0.1', { port: server.port, headers: { 'X-Token': SECRETS.token } });
      const show = (value: unknown): string =>
        `${inspect(value, { depth: Number.POSITIVE_INFINITY, showHidden: true })} ${JSON.stringify(value)} ${String(value)}`;
      expect(secretsIn(show(connection))).toEqual([]);
      expect(String(connection)).toMatch(/^<HttpConnection to https:.* through http:\/\/user:\*\*\*@127.*, closed>$/);
      await connection.request('GET', `/?token=${SECRETS.token}`, { headers: { Cookie: SECRETS.token } });
      const response = await connection.getResponse();
      expect(secretsIn(show(connection) + show(response) + show(response.body) + show(connection.info))).toEqual([]);
      expect(JSON.parse(JSON.stringify(connection))).toMatchObject({
        url: `${server.url}/`,
        route: { kind: 'tunnel' },
      });
      expect(await text(response.body)).toContain(SECRETS.token);
      expect(through.hops).toMatchObject([{ authorized: true, headers: { 'x-token': SECRETS.token } }]);
    },
  );
});

test('who listens hears of each request and its end', async () => {
  const heard: string[] = [];
  const ids = new Set<number>();
  for (const name of ['start', 'end', 'error']) {
    const note = (message: unknown): void => {
      heard.push(`${name} ${Reflect.get(Object(message), 'url')}`);
      ids.add(Reflect.get(Object(message), 'id'));
    };
    diagnostics.subscribe(`cloudlane:request:${name}`, note);
    const stop = async () => void diagnostics.unsubscribe(`cloudlane:request:${name}`, note);
    await use({ [Symbol.asyncDispose]: stop });
  }
  const server = await origin('http', {
    handler: ({ url, socket }, response) => void (url === '/break' ? socket.destroy() : response.end('good')),
  });
  const transport = newTransport();
  const connection = transport.open(server.url, { http_proxy: null });
  await ask(connection, '/good');
  await failureOf(ask(connection, '/break'), ResetError);
  await failureOf(connection.request('G T', '/bad'), InvalidOptionError);
  const expected = ['start /good', 'end /good', 'start /break', 'error /break', 'start /bad', 'error /bad'];
  expect(heard).toEqual(expected.map((each) => each.replace('/', `${server.url}/`)));
  expect(ids.size).toBe(3);
  await expectNothingLeft(transport, server);
});

test('the example goes through the tunnel that it names', async () => {
  const server = await origin('https', { handler: (_, response) => void response.end('fine') });
  const through = await proxy('http', { auth: AUTH });
  expect(await stepByStep(through.urlWithCredentials, '127.0.0.1', server.port, ca.certificate)).toBe(
    '200 fine true true',
  );
  expect(through.hops).toMatchObject([{ kind: 'connect', authorized: true, headers: { 'x-team': 'backup' } }]);
  expect(server.requests).toMatchObject([{ method: 'GET', target: '/status' }]);
  expect(server.requests[0]?.headers).not.toHaveProperty('x-team');
});
