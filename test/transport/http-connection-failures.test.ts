// One connection through a proxy that fails: whose fault it is, and that the next step works again.
import { text } from 'node:stream/consumers';
import { closedPort, type LabOrigin, type LabProxy, type Misbehaviour } from '@cloudlane/testing';
import {
  type HttpConnection,
  ProxyAuthenticationError,
  ProxyConnectError,
  ProxyError,
  ProxyTlsError,
  ProxyTunnelError,
  ResetError,
  TimeoutError,
  TlsError,
  type TransportError,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, expectNoSecrets, expectNothingLeft, failureOf, newTransport, origin, proxy } from './lab.ts';

async function ask(connection: HttpConnection): Promise<string> {
  await connection.request('GET', '/');
  return text((await connection.getResponse()).body);
}

const byHand = { http_proxy: null } as const;

interface Failure {
  readonly name: string;
  readonly via?: 'https';
  readonly misbehaviour?: Misbehaviour;
  readonly expected: abstract new (...args: never[]) => TransportError;
  readonly phase: string;
  readonly reached: boolean;
}

const FAILURES: readonly Failure[] = [
  { name: 'a name that nobody knows', expected: ProxyConnectError, phase: 'proxy-dns', reached: false },
  { name: 'a dead proxy', expected: ProxyConnectError, phase: 'proxy-connect', reached: false },
  ...(
    [
      [
        '407',
        { kind: 'reply', status: 407, headers: { 'Proxy-Authenticate': 'Basic realm="x"' } },
        ProxyAuthenticationError,
      ],
      ...[502, 302, 403].map((status) => [String(status), { kind: 'reply', status }, ProxyTunnelError] as const),
      ['an end', { kind: 'end' }, ProxyError],
      ['a reset', { kind: 'reset' }, ProxyError],
      ['garbage', { kind: 'garbage' }, ProxyError],
      ['silence', { kind: 'hang' }, TimeoutError],
    ] as const
  ).map(([answer, misbehaviour, expected]) => ({
    name: `${answer} to CONNECT`,
    misbehaviour,
    expected,
    phase: 'proxy-handshake',
    reached: true,
  })),
  {
    name: 'a proxy that does not start TLS',
    via: 'https',
    misbehaviour: { kind: 'mute' },
    expected: TimeoutError,
    phase: 'proxy-tls',
    reached: false,
  },
  {
    name: 'a tunnel that dies',
    misbehaviour: { kind: 'close-after-tunnel' },
    expected: ResetError,
    phase: 'origin-tls',
    reached: true,
  },
  { name: 'an origin that is not trusted', expected: TlsError, phase: 'origin-tls', reached: true },
];

async function openFailing({ name, misbehaviour, expected }: Failure, server: LabOrigin, through: LabProxy) {
  const dead = name === 'a dead proxy' ? `http://127.0.0.1:${await closedPort()}` : null;
  const url = name.startsWith('a name') ? 'http://nx.invalid:1' : (dead ?? through.urlWithCredentials);
  through.misbehave(misbehaviour ?? null);
  const transport = newTransport({
    ...(name.endsWith('trusted') && { tls: {} }),
    ...(expected === TimeoutError && { timeout: { handshake: 250 } }),
  });
  const connection = transport.open(url, byHand).setTunnel('127.0.0.1', { port: server.port });
  return { transport, connection };
}

describe('U6 U14 hasConnectedToProxy', () => {
  test.each(FAILURES)('is $reached after $name, by connect and by request; then it works again', async (failure) => {
    const [server, through] = [await origin('https'), await proxy(failure.via, { auth: AUTH })];
    const { transport, connection } = await openFailing(failure, server, through);
    expect(connection.hasConnectedToProxy).toBe(false);
    for (const attempt of [() => connection.connect(), () => connection.request('GET', '/')]) {
      const error = await failureOf(attempt(), failure.expected);
      expect(error).toMatchObject({ phase: failure.phase, hasConnectedToProxy: failure.reached });
      expect(connection).toMatchObject({ hasConnectedToProxy: failure.reached, isClosed: true, isConnected: false });
      expectNoSecrets(error);
    }
    await expectNothingLeft(transport, through, server);
    expect(server.requests).toEqual([]);
    if (failure.misbehaviour === undefined) return;
    through.misbehave(null);
    await ask(connection);
    expect([connection.hasConnectedToProxy, server.requests.length]).toEqual([true, 1]);
    await connection.close();
    expect(connection.hasConnectedToProxy).toBe(false);
  });

  test('is false on a direct route, also when it works', async () => {
    const server = await origin();
    const connection = newTransport().open(server.url, byHand);
    await ask(connection);
    expect(connection).toMatchObject({ isConnected: true, hasConnectedToProxy: false });
  });

  test('tells of a TLS fault of the proxy', async () => {
    const through = await proxy('https');
    const connection = newTransport({ proxyTls: {} }).open(through.url, byHand).setTunnel('a.example');
    await failureOf(connection.connect(), ProxyTlsError);
    expect(connection.hasConnectedToProxy).toBe(false);
  });

  test.each([
    ['another', { headers: {} }, 'http://user:wrong@', 'the credentials were not accepted'],
    ['no', { headers: {} }, 'http://', 'it wants credentials; write'],
    [
      'another by header',
      { headers: { 'Proxy-Authorization': 'Basic eDp5' } },
      'http://',
      'the credentials were not accepted',
    ],
  ])('tells a proxy that is shown %s password from a dead one', async (_, options, prefix, says) => {
    const through = await proxy('http', { auth: AUTH });
    const url = through.url.replace('http://', prefix);
    const connection = newTransport().open(url, byHand).setTunnel('a.example', options);
    for (const attempt of [() => connection.connect(), () => connection.request('GET', '/')])
      expect((await failureOf(attempt(), ProxyAuthenticationError)).message).toContain(says);
    expect(connection.hasConnectedToProxy).toBe(true);
  });
});
