// One connection through a proxy that its user has named by hand: setTunnel.
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import { type HttpConnection, ProxyTunnelError, type TunnelOptions } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, failureOf, newTransport, origin, proxy } from './lab.ts';

async function ask(connection: HttpConnection, target = '/'): Promise<string> {
  await connection.request('GET', target);
  return text((await connection.getResponse()).body);
}

const byHand = { http_proxy: null } as const;

describe.each([
  ['http', 'http'],
  ['http', 'https'],
  ['https', 'http'],
  ['https', 'https'],
] as const)('through an %s proxy to an %s origin', (via, scheme) => {
  const secure = scheme === 'https';

  test('U4 U5 setTunnel sends CONNECT, with its headers for the proxy alone, and Host', async () => {
    const [server, through] = [await origin(scheme), await proxy(via, { auth: AUTH })];
    const connection = newTransport().open(`${through.urlWithCredentials}/of?no#use`, byHand);
    expect(connection).toMatchObject({ host: '127.0.0.1', port: through.port, proxyIsTunneling: false });
    const headers = { 'X-Extra': 'for you', 'User-Agent': 'mine' };
    expect(connection.setTunnel('127.0.0.1', { port: server.port, headers, secure })).toBe(connection);
    expect(connection).toMatchObject({ port: through.port, proxyIsTunneling: true, proxyIsForwarding: false });
    const answer = JSON.parse(await ask(connection, '/path?query'));
    const authority = `127.0.0.1:${server.port}`;
    expect(through.hops).toMatchObject([{ kind: 'connect', method: 'CONNECT', target: authority, authorized: true }]);
    expect(through.hops[0]?.headers).toEqual({
      host: authority,
      'x-extra': 'for you',
      'user-agent': 'mine',
      'proxy-authorization': expect.any(String),
    });
    expect(answer).toMatchObject({ target: '/path?query', headers: { host: authority, connection: 'keep-alive' } });
    expect(Object.keys(answer.headers).sort()).toEqual(['connection', 'host']);
    expect(connection).toMatchObject({ isVerified: secure, proxyIsVerified: via === 'https' });
  });

  test('U15 the tunnel stays in force over close(): a second CONNECT, and no request to the proxy itself', async () => {
    const [server, through] = [await origin(scheme), await proxy(via)];
    const connection = newTransport().open(through.url, byHand);
    connection.setTunnel('127.0.0.1', { port: server.port, secure, headers: { 'X-Extra': 'again' } });
    for (const count of [1, 2]) {
      await connection.connect();
      await ask(connection);
      await connection.close();
      expect(through.hops.map(({ kind, headers }) => [kind, headers['x-extra']])).toEqual(
        Array(count).fill(['connect', 'again']),
      );
    }
    expect(server.requests).toHaveLength(2);
  });
});

describe('U4 setTunnel', () => {
  test.each<[string, TunnelOptions, string, string]>([
    ['api.example', {}, 'https', 'api.example:443'],
    ['api.example', { secure: false }, 'http', 'api.example:80'],
    ['API.example', { port: 8443 }, 'https', 'api.example:8443'],
    ['::1', {}, 'https', '[::1]:443'],
    ['[::1]', { port: 1, secure: false }, 'http', '[::1]:1'],
    ['bücher.example', {}, 'https', 'xn--bcher-kva.example:443'],
  ])('for %s with %j asks for %s by CONNECT %s', async (host, options, scheme, authority) => {
    const through = await proxy('http', { misbehaviour: { kind: 'reply', status: 403 } });
    const connection = newTransport().open(through.url, byHand).setTunnel(host, options);
    const error = await failureOf(connection.connect(), ProxyTunnelError);
    expect(through.hops).toMatchObject([{ target: authority, headers: { host: authority } }]);
    expect(error.url).toContain(`${scheme}://`);
    expect(error.explanation).toMatchObject({ source: 'setTunnel', route: { kind: 'tunnel' } });
  });

  test.each<[string, string, TunnelOptions]>([
    ['a line break in the host', 'a.example\r\nX: y', {}],
    ['a line break after the host', 'a.example\n', {}],
    ['a tab in the host', 'a\t.example', {}],
    ['NUL in the host', 'a.example\0', {}],
    ['a blank in the host', 'a .example', {}],
    ['no host', '', {}],
    ['a port in the host', 'a.example:443', {}],
    ['a user in the host', 'me@a.example', {}],
    ['a path in the host', 'a.example/path', {}],
    ['a backslash in the host', 'a.example\\b', {}],
    ['a percent escape in the host', 'a%0d%0a.example', {}],
    ['half a bracket', '[::1', {}],
    ...[0, -1, 65_536, 1.5, Number.NaN].map((port): [string, string, object] => [
      `port ${port}`,
      'a.example',
      { port },
    ]),
    ['a line break in a header name', 'a.example', { headers: { 'A\r\nB': 'c' } }],
    ['a blank in a header name', 'a.example', { headers: { 'A B': 'c' } }],
    ['a line break in a header value', 'a.example', { headers: { A: `b\r\nProxy-Authorization: ${SECRETS.token}` } }],
    ['NUL in a header value', 'a.example', { headers: { A: `${SECRETS.token}\0` } }],
    ['a second Host', 'a.example', { headers: { host: 'b.example' } }],
    ['a length', 'a.example', { headers: { 'Content-Length': '5' } }],
    ['a second user', 'a.example', { headers: { 'Proxy-Authorization': SECRETS.token } }],
  ])('refuses %s, and leaves the connection as it was', async (_, host, options) => {
    const through = await proxy('http', { auth: AUTH });
    const connection = newTransport().open(through.urlWithCredentials, byHand);
    const set = async () => connection.setTunnel(host, options);
    const error = await failureOf(set(), InvalidOptionError);
    expect(secretsIn(`${error.stack} ${JSON.stringify(error)}`)).toEqual([]);
    expect([connection.proxyIsTunneling, through.connectionCount]).toEqual([false, 0]);
  });

  test('comes too late on an open connection, not on one that is closed again', async () => {
    const [server, through] = [await origin('https'), await proxy()];
    const connection = newTransport().open(through.url, byHand);
    await connection.connect();
    expect(() => connection.setTunnel('127.0.0.1', { port: server.port })).toThrow('comes too late');
    expect([connection.proxyIsTunneling, connection.isConnected]).toEqual([false, true]);
    await connection.close();
    connection.setTunnel('127.0.0.1', { port: server.port });
    const connecting = connection.connect();
    expect(() => connection.setTunnel('other.example')).toThrow('comes too late');
    await connecting;
    await ask(connection);
    expect(through.hops).toHaveLength(1);
  });

  test.each(['http://proxy.example:3128', 'https://proxy.example', 'socks5h://proxy.example'])(
    'contradicts a proxy that is set: %s',
    (http_proxy) => {
      const connection = newTransport().open('http://first.example', { http_proxy });
      expect(() => connection.setTunnel('a.example')).toThrow('contradicts the proxy that is set');
    },
  );
});

test('credentials of a request that come too late for CONNECT are refused, the same again are not', async () => {
  const [server, through] = [await origin('https'), await proxy()];
  const connection = newTransport().open(server.url, { http_proxy: through.url });
  const basic = (user: string) => ({ headers: { 'Proxy-Authorization': `Basic ${btoa(`${user}:x`)}` } });
  for (const user of ['first', 'first']) {
    await connection.request('GET', '/', basic(user));
    await text((await connection.getResponse()).body);
  }
  await failureOf(connection.request('GET', '/', basic('second')), InvalidOptionError);
  expect(through.hops).toMatchObject([{ username: 'first' }]);
  expect(server.requests).toHaveLength(2);
});
