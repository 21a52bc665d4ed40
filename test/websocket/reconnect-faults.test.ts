// What is tried again and what is not, over each kind of proxy; and the route of each try, which is chosen anew.
import type { IncomingMessage } from 'node:http';
import {
  closedPort,
  type LabProxy,
  type LabSocks,
  type Misbehaviour,
  type SocksMisbehaviour,
} from '@cloudlane/testing';
import { ProxyTlsError, TlsError, TransportError } from '@cloudlane/transport';
import {
  connectWebSocket,
  type ReconnectFailure,
  type RoutedWebSocket,
  type WebSocketOptions,
  WebSocketUpgradeError,
} from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, ca, failureOf, newTransport, origin, proxy, socks, withCredentials } from '../transport/lab.ts';
import { answer, echoOf, expectNothingLeft, redirects, relay, SOCKET_SCHEMES, startEcho } from './lab.ts';
import { counter, type Iterator, nextOf, noting, reconnect, reconnectBy, start, WAYS } from './reconnect-lab.ts';

/** Leaves everything to the rule. */
const byRule = (): undefined => undefined;

const RESET = { code: 'ERR_PROXY_RESET' };
const HTTP_FAULTS: readonly (readonly [what: string, misbehaviour: Misbehaviour, says: object])[] = [
  // Connecting may fail itself.
  ['resets at once', { kind: 'refuse' }, { code: expect.stringMatching(/^ERR_PROXY_(RESET|CONNECT)$/) }],
  ['resets', { kind: 'reset' }, RESET],
  ['hangs up', { kind: 'end' }, RESET],
  ...[429, 500, 502, 503, 504].map(
    (status) => [`says ${status}`, { kind: 'reply', status }, { code: 'ERR_PROXY_TUNNEL', status }] as const,
  ),
  ['opens a tunnel and hangs up', { kind: 'close-after-tunnel', how: 'end' }, { code: 'ERR_RESET' }],
  ['opens a tunnel and resets it', { kind: 'close-after-tunnel', how: 'reset' }, { code: 'ERR_RESET' }],
  ['hangs up in the middle of its answer', { kind: 'half-header' }, { code: 'ERR_PROXY_PROTOCOL', retryable: true }],
];
const SOCKS_FAULTS: readonly (readonly [what: string, misbehaviour: SocksMisbehaviour, says: object])[] = [
  ['resets at once', { kind: 'refuse' }, { code: expect.stringMatching(/^ERR_PROXY_(RESET|CONNECT)$/) }],
  ...(['greeting', 'auth', 'request'] as const).flatMap((phase) => [
    [`resets at the ${phase}`, { kind: 'reset', in: phase }, RESET] as const,
    [`hangs up at the ${phase}`, { kind: 'end', in: phase }, { code: 'ERR_SOCKS', replyCode: null }] as const,
  ]),
  ...[1, 3, 4, 5, 6].map(
    (code) => [`cannot: ${code}`, { kind: 'reply', code }, { code: 'ERR_SOCKS', replyCode: code }] as const,
  ),
  ['opens a tunnel and hangs up', { kind: 'close-after-tunnel', how: 'end' }, { code: 'ERR_RESET' }],
];

/** Twice it goes wrong, and then well. */
async function expectThird(iterator: Iterator, failures: readonly ReconnectFailure[], says: object): Promise<void> {
  const socket = await nextOf(iterator);
  const failure = (count: number): object => ({
    error: expect.objectContaining(says),
    failures: count,
    delay: 0,
    isTransient: true,
  });
  expect(failures).toEqual([failure(1), failure(2)]);
  expect(await echoOf(socket, 'after all')).toBe('after all');
  await iterator.return();
}

/** A proxy that wants credentials, and how to get there. */
async function behind(way: (typeof WAYS)[number]) {
  const through = await start(way);
  return { through, http_proxy: through?.urlWithCredentials ?? null, servers: through === null ? [] : [through] };
}

describe.each(SOCKET_SCHEMES)('a %s origin is asked again when', (scheme) => {
  async function tryThrice(through: LabProxy | LabSocks, says: object): Promise<void> {
    const [server, transport, { failures, onFailure }] = [await startEcho(scheme), newTransport(), noting(byRule)];
    const options = { transport, http_proxy: through.urlWithCredentials, onFailure };
    await expectThird(reconnect(server.url, options), failures, says);
    await expectNothingLeft(transport, server.origin, through);
    expect([through.connectionCount, server.origin.requests.length]).toEqual([3, 1]);
  }

  test.each((['http', 'https'] as const).flatMap((via) => HTTP_FAULTS.map((row) => [via, ...row] as const)))(
    'the %s proxy %s',
    async (via, _, misbehaviour, says) => {
      await tryThrice(await proxy(via, { auth: AUTH, misbehaviour: { ...misbehaviour, times: 2 } }), says);
    },
  );

  test.each(SOCKS_FAULTS)('the SOCKS proxy %s', async (_, misbehaviour, says) => {
    await tryThrice(await socks({ auth: AUTH, misbehaviour: { ...misbehaviour, times: 2 } }), says);
  });

  test.each(['http', 'https', 'socks5h'] as const)(
    'nobody listens at the proxy (%s), until somebody does',
    async (way) => {
      const [server, transport, { through, http_proxy }] = [await startEcho(scheme), newTransport(), await behind(way)];
      through?.misbehave({ kind: 'refuse', how: 'close-listener' });
      const { failures, onFailure } = noting(({ failures: count }) => {
        if (count === 2) through?.misbehave(null);
        return undefined;
      });
      const iterator = reconnect(server.url, { transport, http_proxy, onFailure });
      await expectThird(iterator, failures, { code: 'ERR_PROXY_CONNECT' });
      await expectNothingLeft(transport, server.origin);
    },
  );
});

describe.each(WAYS)('through the proxy "%s", it is tried again when', (way) => {
  test('nobody listens at the origin, until somebody does', async () => {
    const [server, transport, port] = [await startEcho('ws'), newTransport(), await closedPort()];
    const [{ http_proxy, servers }, { failures, onFailure }] = [await behind(way), noting(byRule)];
    const listening = async (failure: ReconnectFailure): Promise<undefined> => {
      onFailure(failure);
      if (failure.failures === 2) await relay(server.origin.port, undefined, port);
    };
    const iterator = reconnect(`ws://127.0.0.1:${port}`, { transport, http_proxy, onFailure: listening });
    const says = {
      none: { code: 'ERR_CONNECT' },
      http: { code: 'ERR_PROXY_TUNNEL', status: 503 },
      https: { code: 'ERR_PROXY_TUNNEL', status: 503 },
      socks5h: { code: 'ERR_SOCKS', replyCode: 5 },
    };
    await expectThird(iterator, failures, says[way]);
    await expectNothingLeft(transport, server.origin, ...servers);
  });

  test.each([429, 500, 502, 503, 504, null])('the origin says %s', async (status) => {
    const count = counter();
    const instead = (): string | null => (count() > 2 ? null : status === null ? '' : answer(status));
    const server = await startEcho('wss', { instead });
    const [{ through, http_proxy, servers }, transport] = [await behind(way), newTransport()];
    const { failures, onFailure } = noting(byRule);
    const says = status === null ? { code: 'ERR_RESET' } : { code: 'ERR_WEBSOCKET_UPGRADE', status };
    await expectThird(reconnect(server.url, { transport, http_proxy, onFailure }), failures, says);
    await expectNothingLeft(transport, server.origin, ...servers);
    expect([server.origin.requests.length, through?.hops.length ?? 3]).toEqual([3, 3]);
  });

  test('a deadline of the opening has passed', async () => {
    const count = counter();
    const silent = await origin('http', { upgrade: (_, socket) => void socket.on('end', () => socket.end()).resume() });
    const [server, transport, { http_proxy, servers }] = [await startEcho('ws'), newTransport(), await behind(way)];
    const { failures, onFailure } = noting(byRule);
    const open = (signal: AbortSignal): Promise<RoutedWebSocket> =>
      count() < 3
        ? connectWebSocket(silent.url, { transport, http_proxy, signal, timeout: 50 })
        : connectWebSocket(server.url, { transport, http_proxy, signal });
    await expectThird(reconnectBy(open, { onFailure }), failures, { code: 'ERR_TIMEOUT', deadline: 'total' });
    await expectNothingLeft(transport, silent, server.origin, ...servers);
  });
});

/** It ends at once, with the error that it was asked about, for good, and nothing is left. */
async function expectEnd(url: string, given: WebSocketOptions, servers: readonly Pick<LabProxy, 'waitUntilIdle'>[]) {
  const [transport, { failures, onFailure }] = [newTransport(), noting(byRule)];
  const iterator = reconnect(url, { transport, onFailure, http_proxy: null, ...given });
  const error = await failureOf(iterator.next(), TransportError);
  expect(failures).toEqual([{ error, failures: 1, delay: 0, isTransient: false }]);
  expect(failures[0]?.error).toBe(error);
  expect(await iterator.next()).toEqual({ done: true, value: undefined });
  await expectNothingLeft(transport, ...servers);
  return error;
}

describe.each(WAYS)('through the proxy "%s" it ends at once when', (way) => {
  test.each<[what: string, given: WebSocketOptions]>([
    ['nobody trusts', { tls: {} }],
    ['is for another name', { tls: { ca: ca.certificate, servername: 'x.example' } }],
  ])('the origin has a certificate that %s', async (_, given) => {
    const [server, { http_proxy, servers }] = [await startEcho('wss'), await behind(way)];
    const error = await expectEnd(server.url, { http_proxy, ...given }, [server.origin, ...servers]);
    expect([error.constructor, error.hop, server.origin.connectionCount]).toEqual([TlsError, 'origin', 1]);
  });

  const upgrade = (status: number): object => ({ code: 'ERR_WEBSOCKET_UPGRADE', status });
  test.each<[what: string, instead: (request: IncomingMessage) => string | null, facts: object]>([
    ...[200, 400, 401, 403, 404, 407, 410].map((status): [string, () => string, object] => [
      `says ${status}`,
      () => answer(status),
      upgrade(status),
    ]),
    ['redirects, which is not wanted', redirects({ '/': '/a' }), upgrade(302)],
    ['speaks no HTTP', () => 'nothing to see', { code: 'ERR_PROTOCOL' }],
  ])('the origin %s', async (_, instead, facts) => {
    const [server, { through, http_proxy, servers }] = [await startEcho('wss', { instead }), await behind(way)];
    const error = await expectEnd(server.url, { http_proxy, maxRedirects: 0 }, [server.origin, ...servers]);
    expect(error).toMatchObject(facts);
    expect([server.origin.requests.length, through?.hops.length ?? 1]).toEqual([1, 1]);
  });

  test('the origin does not take the token of a later connection', async () => {
    const count = counter();
    const server = await startEcho('wss', { instead: () => (count() > 2 ? answer(401) : null) });
    const [{ http_proxy, servers }, transport] = [await behind(way), newTransport()];
    const { failures, onFailure } = noting(byRule);
    const iterator = reconnect(server.url, { transport, http_proxy, onFailure });
    for (const text of ['first', 'second']) expect(await echoOf(await nextOf(iterator), text)).toBe(text);
    const error = await failureOf(iterator.next(), WebSocketUpgradeError);
    expect(failures).toEqual([{ error, failures: 1, delay: 0, isTransient: false }]);
    await expectNothingLeft(transport, server.origin, ...servers);
  });
});

describe.each(SOCKET_SCHEMES)('a %s origin is given up at once when', (scheme) => {
  const wrong = { username: 'user', password: SECRETS.plainPassword } as const;

  test.each<[via: 'http' | 'https', what: string, misbehaviour: Misbehaviour | null, facts: object]>(
    (['http', 'https'] as const).flatMap((via) => [
      [via, 'does not take the password', null, { code: 'ERR_PROXY_AUTHENTICATION', status: 407 }],
      [via, 'says 403', { kind: 'reply', status: 403 }, { code: 'ERR_PROXY_TUNNEL', status: 403 }],
      [via, 'says 404', { kind: 'reply', status: 404 }, { code: 'ERR_PROXY_TUNNEL', status: 404 }],
      [via, 'speaks no HTTP', { kind: 'garbage' }, { code: 'ERR_PROXY_PROTOCOL' }],
    ]),
  )('the %s proxy %s', async (via, _, misbehaviour, facts) => {
    const [server, through] = [await startEcho(scheme), await proxy(via, { auth: AUTH })];
    through.misbehave(misbehaviour);
    const http_proxy = withCredentials(through.url, wrong);
    expect(await expectEnd(server.url, { http_proxy }, [through])).toMatchObject(facts);
    expect([through.hops.length, server.origin.connectionCount]).toEqual([1, 0]);
  });

  test.each<[what: string, given: WebSocketOptions, port: 'secure' | 'plain']>([
    ['nobody trusts its certificate', { proxyTls: {} }, 'secure'],
    ['its certificate is for another', { proxyTls: { ca: ca.certificate, servername: 'x.example' } }, 'secure'],
    ['it speaks no TLS', {}, 'plain'],
  ])('an https proxy cannot be talked to: %s', async (_, given, which) => {
    const [server, through] = [await startEcho(scheme), await proxy(which === 'secure' ? 'https' : 'http')];
    const http_proxy = through.url.replace('http:', 'https:');
    const error = await expectEnd(server.url, { http_proxy, ...given }, [through]);
    expect([error.constructor, error.hop, through.connectionCount]).toEqual([ProxyTlsError, 'proxy', 1]);
  });

  test.each<[what: string, misbehaviour: SocksMisbehaviour | null, facts: object]>([
    ['does not take the password', null, { code: 'ERR_SOCKS_AUTHENTICATION' }],
    ['has a rule against it', { kind: 'reply', code: 2 }, { code: 'ERR_SOCKS', replyCode: 2 }],
    ['does not know the command', { kind: 'reply', code: 7 }, { code: 'ERR_SOCKS', replyCode: 7 }],
    ['is no SOCKS proxy', { kind: 'http-answer' }, { code: 'ERR_PROXY_PROTOCOL' }],
  ])('the SOCKS proxy %s', async (_, misbehaviour, facts) => {
    const [server, through] = [await startEcho(scheme), await socks({ auth: AUTH })];
    through.misbehave(misbehaviour);
    const http_proxy = withCredentials(through.url, misbehaviour === null ? wrong : AUTH);
    expect(await expectEnd(server.url, { http_proxy }, [through])).toMatchObject(facts);
    expect([through.connectionCount, server.origin.connectionCount]).toEqual([1, 0]);
  });
});

describe.each(SOCKET_SCHEMES)('each connection to a %s origin takes the route that is right then', (scheme) => {
  const variable = `${scheme}_proxy`;
  const start3 = async () => ({
    server: await startEcho(scheme),
    transport: newTransport(),
    secure: await proxy('https', { auth: AUTH }),
    plain: await proxy('http', { auth: AUTH }),
    other: await socks({ auth: AUTH }),
  });

  test('by the environment as it changes between them, no_proxy included', async () => {
    const { server, transport, secure, plain, other } = await start3();
    const env: Record<string, string | undefined> = { [variable]: secure.urlWithCredentials };
    const iterator = reconnect(server.url, { transport, env });
    const ways: unknown[] = [];
    for (const change of [
      { [variable]: plain.urlWithCredentials },
      { [variable]: other.urlWithCredentials },
      { no_proxy: '127.0.0.1' },
      { no_proxy: '', [variable]: secure.urlWithCredentials },
      {},
    ]) {
      const socket = await nextOf(iterator);
      expect(await echoOf(socket, 'here')).toBe('here');
      const { route, explanation } = socket;
      const asked = [secure, plain, other].map(({ openTunnels }) => openTunnels);
      ways.push([route.kind, explanation.source, ...asked]);
      Object.assign(env, change);
    }
    const source = `env:${variable}`;
    expect(ways).toEqual([
      ['tunnel', source, 1, 0, 0],
      ['tunnel', source, 0, 1, 0],
      ['socks', source, 0, 0, 1],
      ['direct', 'env:no_proxy', 0, 0, 0],
      ['tunnel', source, 1, 0, 0],
    ]);
    await iterator.return();
    await expectNothingLeft(transport, server.origin, secure, plain, other);
    expect([secure, plain, other].map(({ connectionCount }) => connectionCount)).toEqual([2, 1, 1]);
  });

  test('after a failure too: away from a proxy that is gone', async () => {
    const { server, transport, secure, plain, other } = await start3();
    plain.misbehave({ kind: 'refuse', how: 'close-listener' });
    secure.misbehave({ kind: 'reply', status: 503 });
    const env: Record<string, string | undefined> = { [variable]: plain.urlWithCredentials };
    const next = [secure.urlWithCredentials, other.urlWithCredentials];
    const { failures, onFailure } = noting(() => {
      env[variable] = next.shift();
      return undefined;
    });
    const socket = await nextOf(reconnect(server.url, { transport, env, onFailure }));
    expect(await echoOf(socket, 'here')).toBe('here');
    expect(failures).toMatchObject([
      { error: { code: 'ERR_PROXY_CONNECT' }, isTransient: true },
      { error: { code: 'ERR_PROXY_TUNNEL', status: 503 }, isTransient: true },
    ]);
    expect([socket.route.kind, other.openTunnels]).toEqual(['socks', 1]);
  });
});
