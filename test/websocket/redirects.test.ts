// Handshakes that are redirected: where they go, what goes with them, and what is left behind.
import type { OriginRequest } from '@cloudlane/testing';
import { connectWebSocket, WebSocketRedirectError, WebSocketUpgradeError } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import {
  ca,
  certificate,
  expectNoSecrets,
  failureOf,
  newTransport,
  origin,
  proxy,
  socks,
  trusting,
} from '../transport/lab.ts';
import {
  answer,
  closeOf,
  connect,
  type EchoOrigin,
  echoOf,
  expectNothingLeft,
  expectUpgraded,
  redirects,
  SOCKET_SCHEMES,
  type SocketScheme,
  startEcho,
} from './lab.ts';

const HOME = '/end?page=1';
/** What stays with whom it was meant for. */
const SECRET = {
  Authorization: `Bearer ${SECRETS.token}`,
  Cookie: `sid=${SECRETS.token}`,
  'X-Auth-Token': SECRETS.token,
  'x-api-key': SECRETS.secretKey,
} as const;
const HARMLESS = { 'X-Note': 'a', Origin: 'https://app.example', 'User-Agent': 'test/1' } as const;

/** An origin that redirects from `/` to there with 302, and opens WebSockets elsewhere. */
const leadingTo = (scheme: SocketScheme, location: string): Promise<EchoOrigin> =>
  startEcho(scheme, { instead: redirects({ '/': location }) });

const lower = (headers: object): string[] => Object.keys(headers).map((name) => name.toLowerCase());

/** Which of those headers a request had. */
const had = ({ headers }: OriginRequest, those: object): string[] => lower(those).filter((name) => name in headers);

describe.each(['none', 'http', 'https', 'socks5h'] as const)('through the proxy "%s"', (way) => {
  const start = async () => (way === 'none' ? null : way === 'socks5h' ? await socks() : await proxy(way));

  test.each([301, 302, 303, 307, 308])('%i leads on, and the connection that said so is closed', async (status) => {
    const [through, transport, end] = [await start(), newTransport(), await startEcho('ws')];
    const text = answer(status, { Location: `${end.url}${HOME}`, Connection: 'keep-alive' }, 'moved');
    // It does not close by itself.
    const server = await origin('http', {
      upgrade: (_, socket) =>
        void socket
          .on('end', () => socket.destroy())
          .resume()
          .write(text),
    });
    const socket = await connect(server.url, { http_proxy: through?.url ?? null, transport });
    await server.waitUntilIdle();
    expect(await echoOf(socket, 'here')).toBe('here');
    expect(socket.url).toBe(`${end.url}${HOME}`);
    expectUpgraded(transport);
    expect([...server.requests, ...end.origin.requests].map(({ target }) => target)).toEqual(['/', HOME]);
    await closeOf(socket);
    await expectNothingLeft(transport, end.origin, ...(through ? [through] : []));
  });

  test.each<[SocketScheme, SocketScheme, 'http' | 'ws']>([
    ['ws', 'ws', 'http'],
    ['ws', 'wss', 'ws'],
    ['wss', 'wss', 'http'],
  ])('from %s to another origin with %s', async (from, to, written) => {
    const [through, transport, end] = [await start(), newTransport(), await startEcho(to)];
    const location = (written === 'http' ? end.url.replace(/^ws/, 'http') : end.url) + HOME;
    const server = await leadingTo(from, location);
    const options = { http_proxy: through?.url ?? null, headers: { ...SECRET, ...HARMLESS, Host: 'a.example' } };
    const url = server.url.replace('://', `://me:${SECRETS.plainPassword}@`);
    const socket = await connect(url, { ...options, transport });
    expect([socket.url, await echoOf(socket, 'here')]).toEqual([`${end.url}${HOME}`, 'here']);
    const [first, second] = [...server.origin.requests, ...end.origin.requests];
    if (first === undefined || second === undefined) throw new Error('a request is missing');
    expect([had(first, SECRET), had(first, HARMLESS)]).toEqual([lower(SECRET), lower(HARMLESS)]);
    expect([had(second, SECRET), had(second, HARMLESS)]).toEqual([[], lower(HARMLESS)]);
    expect([first.headers.host, second.headers.host]).toEqual(['a.example', end.authority]);
    await closeOf(socket);
    await expectNothingLeft(transport, server.origin, end.origin, ...(through ? [through] : []));
  });
});

test.each(SOCKET_SCHEMES)('on the same %s origin everything stays, the credentials of the URL too', async (scheme) => {
  const server = await leadingTo(scheme, HOME);
  const { Authorization: _, ...secret } = SECRET;
  const headers = { ...secret, ...HARMLESS, Host: 'a.example' };
  const url = server.url.replace('://', `://me:${SECRETS.plainPassword}@`);
  await connect(url, { http_proxy: null, headers });
  const authorization = `Basic ${Buffer.from(`me:${SECRETS.plainPassword}`).toString('base64')}`;
  expect(server.origin.requests).toHaveLength(2);
  for (const request of server.origin.requests) {
    expect(had(request, headers)).toEqual(lower(headers));
    expect(request.headers).toMatchObject({ authorization, host: 'a.example' });
  }
});

test('a redirect back home brings nothing back', async () => {
  const home = await startEcho('ws', {
    instead: ({ url }) => (url === '/' ? answer(302, { Location: away() }) : null),
  });
  const stranger = await leadingTo('ws', `${home.url}${HOME}`);
  const away = (): string => stranger.url;
  const url = home.url.replace('://', `://me:${SECRETS.plainPassword}@`);
  const { Authorization: _, ...secret } = SECRET;
  await connect(url, { http_proxy: null, headers: { ...secret, ...HARMLESS } });
  const [first, last] = home.origin.requests;
  expect(first && had(first, SECRET)).toEqual(lower(SECRET));
  expect(last && had(last, SECRET)).toEqual([]);
  expect(stranger.origin.requests.map((request) => had(request, SECRET))).toEqual([[]]);
});

describe('the client certificate', () => {
  const start = async () => {
    const tls = { ...certificate, clientCa: ca.certificate };
    const identity = await ca.issue({ names: ['client.example'] });
    const end = await startEcho('wss', { tls });
    const server = await startEcho('wss', {
      tls,
      instead: redirects({ '/': '/there', '/there': `${end.url}/` }),
    });
    const options = { ...trusting.tls, cert: identity.cert, key: identity.key };
    const seen = (): unknown =>
      [...server.origin.requests, ...end.origin.requests].map((each) => each.clientCertificate);
    return { server, options, seen };
  };

  test('of the call is not shown to another origin', async () => {
    const { server, options, seen } = await start();
    await connect(server.url, { http_proxy: null, tls: options });
    expect(seen()).toEqual(['client.example', 'client.example', null]);
  });

  test('of the transport is not shown to another origin', async () => {
    const { server, options, seen } = await start();
    await connect(server.url, { http_proxy: null, transport: newTransport({ tls: options }) });
    expect(seen()).toEqual(['client.example', 'client.example', null]);
  });
});

describe('a redirect is refused', () => {
  test.each(['http', 'ws'] as const)('from wss to %s, and nothing is sent there', async (written) => {
    const [end, transport] = [await startEcho('ws'), newTransport()];
    const location = `${end.url.replace('ws', written)}/?token=${SECRETS.token}`;
    const headers = { Location: location, 'Set-Cookie': `sid=${SECRETS.token}` };
    const server = await startEcho('wss', { instead: () => answer(307, headers, 'moved') });
    const opened = connectWebSocket(server.url, { http_proxy: null, transport, headers: SECRET });
    const error = await failureOf(opened, WebSocketRedirectError);
    const facts = { code: 'ERR_WEBSOCKET_REDIRECT', phase: 'response', hop: 'origin', status: 307, retryable: false };
    expect(error).toMatchObject({ ...facts, url: `${server.url}/`, body: Buffer.from('moved') });
    expect(error).toBeInstanceOf(WebSocketUpgradeError);
    expect(error.headers).toMatchObject({ location, 'set-cookie': [`sid=${SECRETS.token}`] });
    expect(error.message).toContain(`it leads from wss to ${end.url}/?token=***, without TLS`);
    expect(JSON.stringify(error)).not.toContain(SECRETS.token);
    await expectNothingLeft(transport, server.origin, end.origin);
    expect(end.origin.connectionCount).toBe(0);
  });

  test.each([
    ['ftp://127.0.0.1/', 'it leads to ftp:, which is no WebSocket’s'],
    ['mailto:a@b.example', 'it leads to mailto:, which is no WebSocket’s'],
    ['http://[nonsense', 'it leads to something that is no URL'],
    ['ws://127.0.0.1:99999/', 'it leads to something that is no URL'],
  ])('to %s', async (location, says) => {
    const [server, transport] = [await leadingTo('ws', location), newTransport()];
    const opened = connectWebSocket(server.url, { http_proxy: null, transport });
    const error = await failureOf(opened, WebSocketRedirectError);
    expect(error).toMatchObject({ status: 302, headers: { location } });
    expect(error.message).toContain(`the redirect (302) is not followed: ${says.replace('’', "'")}`);
    expectNoSecrets(error);
    await expectNothingLeft(transport, server.origin);
  });

  test.each([
    [undefined, 11],
    [2, 3],
    [1, 2],
  ])('if it is one more than maxRedirects: %p', async (maxRedirects, requests) => {
    const [server, transport] = [await leadingTo('ws', '/'), newTransport()];
    const opened = connectWebSocket(server.url, { http_proxy: null, transport, maxRedirects });
    const error = await failureOf(opened, WebSocketRedirectError);
    expect(error.message).toContain('it is one more than maxRedirects allows');
    expect(server.origin.requests).toHaveLength(requests);
    await expectNothingLeft(transport, server.origin);
  });
});

test('as many redirects as maxRedirects are followed', async () => {
  const server = await startEcho('ws', { instead: redirects({ '/': '/1', '/1': '/2' }) });
  const socket = await connect(server.url, { http_proxy: null, maxRedirects: 2 });
  expect(socket.url).toBe(`${server.url}/2`);
});

test('the fragment of a Location is left out, as a WebSocket has none', async () => {
  const socket = await connect((await leadingTo('ws', '/there?a=1#part')).url, { http_proxy: null });
  expect(new URL(socket.url)).toMatchObject({ pathname: '/there', search: '?a=1', hash: '' });
});

test.each<[string, string, number | undefined]>([
  ['a redirect with maxRedirects: 0', answer(302, { Location: '/there' }), 0],
  ['one without Location', answer(302), undefined],
  ['one with an empty Location', answer(302, { Location: '' }), undefined],
  ['300, which leaves the choice to a human', answer(300, { Location: '/there' }), undefined],
  ['304', 'HTTP/1.1 304 Lab\r\nLocation: /there\r\nConnection: close\r\n\r\n', undefined],
  ['201', answer(201, { Location: '/there' }), undefined],
])('%s is an answer as any other', async (_, text, maxRedirects) => {
  const [server, transport] = [await startEcho('ws', { instead: () => text }), newTransport()];
  const opened = connectWebSocket(server.url, { http_proxy: null, transport, maxRedirects });
  const error = await failureOf(opened, WebSocketUpgradeError);
  expect(error.constructor).toBe(WebSocketUpgradeError);
  expect(error).toMatchObject({ code: 'ERR_WEBSOCKET_UPGRADE', status: Number(text.slice(9, 12)) });
  expect(server.origin.requests).toHaveLength(1);
  await expectNothingLeft(transport, server.origin);
});

describe('the way is chosen anew at each redirect', () => {
  test('from the environment: by ws_proxy, then by wss_proxy', async () => {
    const [one, other, end] = [await proxy('http'), await proxy('https'), await startEcho('wss')];
    const server = await leadingTo('ws', end.url);
    const env = { ws_proxy: one.url, wss_proxy: other.url };
    const socket = await connect(server.url, { env });
    expect([one.hops, other.hops]).toMatchObject([[{ target: server.authority }], [{ target: end.authority }]]);
    expect(socket.explanation.source).toBe('env:wss_proxy');
  });

  test.each([
    ['away from', true],
    ['to', false],
  ])('%s the proxy that no_proxy excludes it from', async (_, first) => {
    const [through, end] = [await proxy('http'), await startEcho('ws')];
    const server = await leadingTo('ws', end.url);
    const excluded = first ? end : server;
    await connect(server.url, { env: { ws_proxy: through.url, no_proxy: excluded.authority } });
    expect(through.hops).toMatchObject([{ target: (first ? server : end).authority }]);
  });

  test('and Proxy-Authorization of the caller goes to the proxy it was meant for, and no other', async () => {
    const auth = { username: 'user', password: SECRETS.plainPassword };
    const headers = {
      'Proxy-Authorization': `Basic ${Buffer.from(`user:${SECRETS.plainPassword}`).toString('base64')}`,
    };
    const [one, other, end] = [await proxy('http', { auth }), await proxy('http'), await startEcho('wss')];
    const server = await startEcho('ws', { instead: redirects({ '/': '/there', '/there': `${end.url}/` }) });
    await connect(server.url, { headers, env: { ws_proxy: one.url, wss_proxy: other.url } });
    expect(one.hops).toMatchObject([{ authorized: true }, { authorized: true }]);
    expect(other.hops).toMatchObject([{ target: end.authority, username: null }]);
    await connect(server.url, { headers, http_proxy: one.url });
    expect(one.hops.map(({ authorized }) => authorized)).toEqual(Array(5).fill(true));
    const seen = [...server.origin.requests, ...end.origin.requests].map((request) => had(request, headers));
    expect(seen).toEqual(Array(6).fill([]));
  });
});

test('a redirect to a host whose proxy cannot be used fails, and opens nothing there', async () => {
  const end = await startEcho('wss');
  const [server, transport] = [await leadingTo('ws', end.url), newTransport()];
  const opened = connectWebSocket(server.url, { transport, env: { wss_proxy: 'gopher://127.0.0.1:1' } });
  await expect(opened).rejects.toMatchObject({ code: 'ERR_INVALID_PROXY_URL', source: 'env:wss_proxy' });
  await expectNothingLeft(transport, server.origin, end.origin);
  expect(end.origin.connectionCount).toBe(0);
});
