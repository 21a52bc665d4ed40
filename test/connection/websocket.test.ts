// `openWebSocket` of a connection: all that a request of the API has goes along with the handshake.
import { getEventListeners } from 'node:events';
import {
  ConflictError,
  Connection,
  type ConnectionOptions,
  InvalidCredentialsError,
  KeyConnection,
  type MutableHeaders,
  type MutableParams,
  NotFoundError,
  ProviderError,
  type ProviderErrorDetails,
  RateLimitError,
  ServiceUnavailableError,
  type WebSocketCallOptions,
} from '@cloudlane/connection';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { HttpResponse, PreparedRequest } from '@cloudlane/session';
import { ProtocolError, ResetError, TimeoutError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { expectNoSecrets, failureOf, newTransport } from '../transport/lab.ts';
import {
  answer,
  closeOf,
  echoOf,
  expectNothingLeft,
  expectUpgraded,
  nextMessage,
  SOCKET_SCHEMES,
  startEcho,
} from '../websocket/lab.ts';
import { connectionTo, muteOrigin, open } from './websocket-lab.ts';

describe.each(SOCKET_SCHEMES)('a %s WebSocket', (scheme) => {
  test('is open when it is handed out, below the path of the API', async () => {
    const server = await startEcho(scheme);
    const transport = newTransport();
    const connection = new Connection({ baseUrl: `${server.origin.url}/v2`, transport, http_proxy: null });
    const socket = await open(connection, '/rooms/1', { params: { a: ['1', '2'], b: 'x y', c: null } });
    expect(socket.url).toBe(`${server.url}/v2/rooms/1?a=1&a=2&b=x%20y`);
    expect(server.origin.requests.map(({ method, target }) => [method, target])).toEqual([
      ['GET', '/v2/rooms/1?a=1&a=2&b=x%20y'],
    ]);
    expect(await echoOf(socket, 'hello')).toBe('hello');
    expectUpgraded(transport);
    expect(await closeOf(socket)).toBe(1000);
    await expectNothingLeft(transport, server.origin);
  });

  test('has what the override points add, and the signer sees a GET of the URL with http', async () => {
    const seen: unknown[] = [];
    class Signing extends KeyConnection {
      protected override async morphAction(action: string, context: object): Promise<string> {
        seen.push(context);
        return `/account/7${action}`;
      }
      protected override addDefaultParams(params: MutableParams): void {
        params.version ??= '3';
        params.key = this.key;
      }
      protected override addDefaultHeaders(headers: MutableHeaders): void {
        headers['X-Key'] = this.key;
        headers['X-Region'] = 'eu';
      }
      protected override async preConnect(request: PreparedRequest, context: object): Promise<void> {
        const { method, url, body } = request;
        seen.push([method, url.href, body, request.header('X-Region'), context]);
        request.setHeader('X-Signature', `signed ${url.pathname}`);
      }
    }
    const server = await startEcho(scheme);
    const options = { baseUrl: server.origin.url, transport: newTransport(), http_proxy: null };
    const context = { room: 1 };
    const call = { params: { version: '4' }, headers: { 'x-region': 'us' }, context };
    const socket = await open(new Signing(SECRETS.secretKey, options), '/console', call);
    const key = new URLSearchParams({ key: SECRETS.secretKey }).get('key') ?? '';
    const { searchParams, pathname } = new URL(socket.url);
    expect([pathname, searchParams.get('version'), searchParams.get('key')]).toEqual(['/account/7/console', '4', key]);
    const { url, protocol } = socket;
    expect(seen).toEqual([context, ['GET', url.replace(/^ws/, 'http'), null, 'us', context]]);
    expect(protocol).toBe('');
    expect(server.origin.requests[0]?.headers).toMatchObject({
      'x-key': SECRETS.secretKey,
      'x-region': 'us',
      'x-signature': 'signed /account/7/console',
    });
    expect(secretsIn(String(socket))).toEqual([]);
  });

  test('takes the options of the protocol', async () => {
    const server = await startEcho(scheme, { server: { perMessageDeflate: true } });
    const connection = connectionTo(server);
    const plain = await open(connection, '/', { protocols: ['v2.api', 'v1.api'], perMessageDeflate: false });
    expect([plain.protocol, plain.extensions]).toEqual(['v2.api', '']);
    const packed = await open(connection, '/', { maxPayload: 100 });
    expect([packed.protocol, packed.extensions]).toEqual(['', 'permessage-deflate']);
    expect(await echoOf(packed, 'x'.repeat(100))).toHaveLength(100);
    const tooLong = { code: 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' };
    await expect(echoOf(packed, 'x'.repeat(101))).rejects.toMatchObject(tooLong);
  });
});

test('pings are sent, and an origin that does not answer them is given up', async () => {
  const server = await startEcho('ws', { server: { autoPong: false } });
  const socket = await open(connectionTo(server), '/', { pingInterval: 10, pingTimeout: 10 });
  await expect(nextMessage(socket)).rejects.toMatchObject({ deadline: 'pingTimeout' });
});

describe('headers', () => {
  test('are those of session, driver and call, in this order, and null removes one', async () => {
    class Adding extends Connection {
      protected override addDefaultHeaders(headers: MutableHeaders): void {
        Object.assign(headers, { 'X-Driver': 'driver', 'X-Both': 'driver' });
      }
    }
    const server = await startEcho('ws');
    const connection = new Adding({ baseUrl: server.origin.url, transport: newTransport(), http_proxy: null });
    connection.session.headers = { 'X-Session': 'session', 'X-Both': 'session', 'X-Gone': 'session' };
    await open(connection, '/', { headers: new Headers({ 'x-both': 'call' }) });
    await open(connection, '/', { headers: { 'x-GONE': null, 'X-Driver': null, 'User-Agent': null } });
    const [first, second] = server.origin.requests.map(({ headers }) => headers);
    expect(first).toMatchObject({
      'x-session': 'session',
      'x-driver': 'driver',
      'x-both': 'call',
      'x-gone': 'session',
    });
    expect(second).toMatchObject({ 'x-session': 'session', 'x-both': 'driver' });
    for (const name of ['x-gone', 'x-driver', 'user-agent']) expect(second).not.toHaveProperty([name]);
  });

  test('of the handshake are there once, and nothing asks for a packed or parsed answer', async () => {
    const server = await startEcho('ws');
    await open(connectionTo(server), '/');
    const names = server.origin.requests[0]?.rawHeaders.filter((_, index) => index % 2 === 0) ?? [];
    const counts = names.map((name) => name.toLowerCase());
    expect(counts.toSorted()).toEqual([...new Set(counts)].toSorted());
    expect(counts).toEqual(expect.arrayContaining(['upgrade', 'connection', 'sec-websocket-key', 'user-agent']));
    expect(counts).not.toContain('accept-encoding');
    expect(counts).not.toContain('content-type');
  });
});

/** An origin that opens no WebSocket, but answers with this. */
const refusing = (status: number, headers: Readonly<Record<string, string>> = {}, body = '') =>
  startEcho('ws', { instead: () => answer(status, headers, body) });

class Reading extends Connection {
  protected override async parseError(response: HttpResponse): Promise<ProviderErrorDetails> {
    return response.json<ProviderErrorDetails>();
  }
}

describe('what the provider answers instead', () => {
  test.each([
    [302, ProviderError, 'ERR_PROVIDER', false],
    [400, ProviderError, 'ERR_PROVIDER', false],
    [401, InvalidCredentialsError, 'ERR_INVALID_CREDENTIALS', false],
    [403, ProviderError, 'ERR_PROVIDER', false],
    [404, NotFoundError, 'ERR_NOT_FOUND', false],
    [409, ConflictError, 'ERR_CONFLICT', false],
    [426, ProviderError, 'ERR_PROVIDER', false],
    [429, RateLimitError, 'ERR_RATE_LIMIT', true],
    [500, ProviderError, 'ERR_PROVIDER', false],
    [503, ServiceUnavailableError, 'ERR_SERVICE_UNAVAILABLE', true],
  ])('with status %d is an error of its own', async (status, Class, code, retryable) => {
    const server = await refusing(status, { 'Retry-After': '7' }, ' why \n');
    const transport = newTransport();
    const url = `/rooms?token=${encodeURIComponent(SECRETS.token)}`;
    const error = await failureOf(connectionTo(server, { transport }).openWebSocket(url), Class);
    expect(error).toMatchObject({
      name: Class.name,
      code,
      status,
      retryable,
      retryAfter: 7000,
      provider: 'Connection',
    });
    expect(error.message).toBe(`Connection: GET ${server.url}/rooms?token=*** was answered with ${status}: why`);
    expect(server.origin.requests).toHaveLength(1);
    await expectNothingLeft(transport, server.origin);
  });

  test('is read by parseError, which may name the kind of error and how long to wait', async () => {
    const said = {
      message: 'slow down',
      providerCode: 'Throttled',
      requestId: 'r-1',
      kind: 'rate-limit',
      retryAfter: 5,
    };
    const server = await refusing(400, {}, JSON.stringify(said));
    const transport = newTransport();
    const connection = new Reading({ baseUrl: server.origin.url, transport, http_proxy: null });
    const error = await failureOf(connection.openWebSocket('/'), RateLimitError);
    expect(error).toMatchObject({ status: 400, providerCode: 'Throttled', requestId: 'r-1', retryAfter: 5 });
    expect(error.message).toMatch(/: Throttled: slow down$/);
    await expectNothingLeft(transport, server.origin);
  });

  test('says, if it was a success, that no WebSocket was opened', async () => {
    const server = await refusing(200, {}, '{"message":"not read"}');
    const transport = newTransport();
    const connection = new Reading({ baseUrl: server.origin.url, transport, http_proxy: null });
    const error = await failureOf(connection.openWebSocket('/page'), ProviderError);
    expect(error).toMatchObject({ status: 200, code: 'ERR_PROVIDER' });
    expect(error.message).toMatch(/\/page was answered with 200: .*instead of opening a WebSocket$/);
    await expectNothingLeft(transport, server.origin);
  });

  test('that a driver cannot read leaves nothing open', async () => {
    const server = await refusing(500, {}, 'no JSON');
    const transport = newTransport();
    const connection = new Reading({ baseUrl: server.origin.url, transport, http_proxy: null });
    await expect(connection.openWebSocket('/')).rejects.toThrow();
    await expectNothingLeft(transport, server.origin);
  });

  test('is not followed if it is a redirect, whatever the session says', async () => {
    const goal = await startEcho('ws');
    const server = await refusing(307, { Location: `${goal.url}/` });
    const connection = connectionTo(server, { allowRedirects: true, maxRedirects: 3 });
    await expect(connection.openWebSocket('/')).rejects.toMatchObject({ status: 307, code: 'ERR_PROVIDER' });
    expect([goal.origin.connectionCount, server.origin.requests.length]).toEqual([0, 1]);
  });

  test('with 101, if it is not that of a WebSocket, is told as such', async () => {
    const server = await startEcho('ws', {
      instead: () =>
        'HTTP/1.1 101 Lab\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n',
    });
    const transport = newTransport();
    const error = await failureOf(connectionTo(server, { transport }).openWebSocket('/'), ProtocolError);
    expectNoSecrets(error);
    await expectNothingLeft(transport, server.origin);
  });
});

describe('input that cannot be used is refused by name, and nothing is opened:', () => {
  const CALLS: readonly (readonly [option: string, options: object])[] = [
    ['method', { method: 'GET' }],
    ['json', { json: {} }],
    ['data', { data: 'x' }],
    ['raw', { raw: true }],
    ['transport', { transport: null }],
    ['maxRedirects', { maxRedirects: 1 }],
    ['tls', { tls: {} }],
    ['protocols', { protocols: 'a b' }],
    ['protocols', { protocols: ['a', 'a'] }],
    ['maxPayload', { maxPayload: -1 }],
    ['perMessageDeflate', { perMessageDeflate: 'yes' }],
    ['pingInterval', { pingInterval: '1s' }],
    ['params', { params: 'a=b' }],
    ['headers', { headers: 'a: b' }],
    ['headers.sec-websocket-protocol', { headers: { 'Sec-WebSocket-Protocol': 'a' } }],
    ['headers.Upgrade', { headers: { Upgrade: 'h2c' } }],
    ['timeout', { timeout: 'soon' }],
    ['signal', { signal: {} }],
  ];

  test.each(CALLS)('%s, of %j', async (option, options) => {
    const server = await startEcho('ws');
    const transport = newTransport();
    const opened = connectionTo(server, { transport }).openWebSocket('/', options as WebSocketCallOptions);
    const error = await failureOf(opened, InvalidOptionError);
    expect(error.option.toLowerCase()).toBe(option.toLowerCase());
    expect([server.origin.connectionCount, transport.connections]).toEqual([0, []]);
  });

  test.each<[what: string, change: Partial<PreparedRequest>]>([
    ['a body', { body: 'x' }],
    ['a stream as body', { body: new Blob(['x']).stream() }],
    ['a target', { target: '/*' }],
  ])('%s, which preConnect has given the request', async (_, change) => {
    class Changing extends Connection {
      protected override preConnect(request: PreparedRequest): void {
        Object.assign(request, change);
      }
    }
    const server = await startEcho('ws');
    const connection = new Changing({ baseUrl: server.origin.url, transport: newTransport(), http_proxy: null });
    const error = await failureOf(connection.openWebSocket('/'), InvalidOptionError);
    expect(error.message).toContain('must stay a GET without a body');
    expect(server.origin.connectionCount).toBe(0);
  });
});

describe('deadlines', () => {
  test.each<[where: string, options: ConnectionOptions, call: WebSocketCallOptions]>([
    ['the connection', { timeout: { total: 50 } }, {}],
    ['the call', { timeout: { total: 60_000 } }, { timeout: 50 }],
  ])('of %s hold for the opening', async (_, options, call) => {
    const server = await muteOrigin('ws');
    const transport = newTransport();
    const opened = connectionTo(server, { transport, ...options }).openWebSocket('/', call);
    expect(await failureOf(opened, TimeoutError)).toMatchObject({ deadline: 'total', milliseconds: 50 });
    await expectNothingLeft(transport, server.origin);
  });

  test('an origin that ends the connection instead of answering is told as such', async () => {
    const server = await startEcho('ws', { instead: () => '' });
    const transport = newTransport();
    await failureOf(connectionTo(server, { transport }).openWebSocket('/'), ResetError);
    await expectNothingLeft(transport, server.origin);
  });

  test('and signals have no effect on an open WebSocket', async () => {
    const server = await startEcho('ws');
    const controller = new AbortController();
    const { signal } = controller;
    const socket = await open(connectionTo(server), '/', { timeout: 60_000, signal });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    controller.abort();
    expect(await echoOf(socket, 'still here')).toBe('still here');
  });
});
