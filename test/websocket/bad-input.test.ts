// What is wrong with a call is said at once, by the option's name and with what to write; nothing is opened.
import { InvalidOptionError, InvalidProxyUrlError } from '@cloudlane/proxy';
import { connectWebSocket, openWebSocket, reconnectWebSocket, type WebSocketOptions } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { certificate, expectNothingLeft, failureOf, newTransport } from '../transport/lab.ts';
import { startEcho } from './lab.ts';

type Given = Readonly<Record<string, unknown>>;

/** Options as JavaScript may give them. */
const untyped = (options: Given): WebSocketOptions => options;

test.each<[string | URL, string]>([
  ['ftp://127.0.0.1/', 'ftp:// is no WebSocket'],
  ['mailto:a@b.example', 'write a ws:// or wss:// URL'],
  ['file:///etc/hosts', 'write a ws:// or wss:// URL'],
  [new URL('socks5://127.0.0.1:1080'), 'write a ws:// or wss:// URL'],
  ['ws://127.0.0.1/#part', 'has a fragment, which a WebSocket cannot have; leave out #'],
  ['http://127.0.0.1/#part', 'has a fragment'],
  ['/console', 'is not an absolute URL'],
  ['127.0.0.1:80', 'is not an absolute URL'],
  ['', 'is not an absolute URL'],
  [`ws://me:${SECRETS.plainPassword}@127.0.0.1:port/`, 'is not an absolute URL'],
])('the URL %s is refused', async (url, says) => {
  const transport = newTransport();
  const error = await failureOf(connectWebSocket(url, { transport, http_proxy: null }), InvalidOptionError);
  expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'url', message: expect.stringContaining(says) });
  expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain(SECRETS.plainPassword);
  expect(() => reconnectWebSocket(url)).toThrow(expect.objectContaining({ option: 'url' }));
  expect(transport.connections).toEqual([]);
});

const handshakeHeaders = [
  'Connection',
  'UPGRADE',
  'Sec-WebSocket-Key',
  'sec-websocket-version',
  'Sec-Websocket-Extensions',
  'SEC-WEBSOCKET-ACCEPT',
];

const ROWS: readonly (readonly [option: string, given: Given, says: string])[] = [
  ['proxy', { proxy: 'http://127.0.0.1:3128' }, 'there is no such option; the proxy is called http_proxy'],
  ['httpProxy', { httpProxy: 'http://127.0.0.1:3128' }, 'the proxy is called http_proxy'],
  ['agent', { agent: {} }, 'there is no such option'],
  ['followRedirects', { followRedirects: true }, 'there is no such option'],
  ['handshakeTimeout', { handshakeTimeout: 1 }, 'there is no such option'],
  ['rejectUnauthorized', { rejectUnauthorized: false }, 'there is no such option'],
  ['proxyTls', { proxyTls: {}, http_proxy: 'http://127.0.0.1:9' }, 'needs an https:// proxy'],
  ['proxyTls', { proxyTls: {}, http_proxy: 'socks5h://127.0.0.1:9' }, 'needs an https:// proxy'],
  ['maxRedirects', { maxRedirects: -1 }, 'must be a whole number from 0 (none)'],
  ['maxRedirects', { maxRedirects: 1.5 }, 'must be a whole number from 0 (none)'],
  ['maxRedirects', { maxRedirects: '3' }, 'must be a whole number from 0 (none)'],
  ['maxRedirects', { maxRedirects: null }, 'must be a whole number from 0 (none)'],
  ['maxRedirects', { maxRedirects: Number.POSITIVE_INFINITY }, 'must be a whole number from 0 (none)'],
  ['timeout', { timeout: null }, 'must be milliseconds, or an object of them'],
  ['timeout', { timeout: '5' }, 'must be milliseconds, or an object of them'],
  ['timeout', { timeout: { open: 5 } }, 'knows no "open"; write connect, handshake, firstByte, idle, total'],
  ['timeout.total', { timeout: -1 }, 'must be milliseconds from 0 (off)'],
  ['timeout.total', { timeout: Number.NaN }, 'must be milliseconds from 0 (off)'],
  ['timeout.total', { timeout: { total: null } }, 'must be milliseconds from 0 (off)'],
  ['timeout.connect', { timeout: { connect: '5' } }, 'must be milliseconds from 0 (off)'],
  ['signal', { signal: {} }, 'must be an AbortSignal'],
  ['signal', { signal: new AbortController() }, 'must be an AbortSignal'],
  ['protocols', { protocols: 'a b' }, 'must be names without spaces or commas, each of them once'],
  ['protocols', { protocols: 'a,b' }, 'must be names without spaces or commas'],
  ['protocols', { protocols: '' }, 'must be names'],
  ['protocols', { protocols: ['a', 'a'] }, 'each of them once'],
  ['protocols', { protocols: [1] }, 'must be names'],
  ['protocols', { protocols: 5 }, 'must be names'],
  ['protocols', { protocols: null }, 'must be names'],
  ['maxPayload', { maxPayload: '1' }, 'must be a whole number of bytes from 0'],
  ['maxPayload', { maxPayload: -1 }, 'must be a whole number of bytes from 0'],
  ['maxPayload', { maxPayload: null }, 'must be a whole number of bytes from 0'],
  ['closeTimeout', { closeTimeout: -1 }, 'must be milliseconds from 0'],
  ['closeTimeout', { closeTimeout: '1' }, 'must be milliseconds from 0'],
  ['closeTimeout', { closeTimeout: 2 ** 31 }, 'must be milliseconds from 0'],
  ['autoPong', { autoPong: 'yes' }, 'must be true or false'],
  ['skipUTF8Validation', { skipUTF8Validation: 1 }, 'must be true or false'],
  ['allowSynchronousEvents', { allowSynchronousEvents: null }, 'must be true or false'],
  ['perMessageDeflate', { perMessageDeflate: 'on' }, 'must be true, false, or the options of it'],
  ['perMessageDeflate', { perMessageDeflate: null }, 'must be true, false, or the options of it'],
  ...handshakeHeaders.map((name) => [`headers.${name}`, { headers: { [name]: 'x' } }, 'leave it out'] as const),
  ['headers.Sec-WebSocket-Protocol', { headers: { 'Sec-WebSocket-Protocol': 'a' } }, 'write the option protocols'],
  ['headers.upgrade', { headers: new Headers({ Upgrade: 'h2c' }) }, 'belongs to the handshake'],
  ['headers.x-note', { headers: { 'X-Note': '1', 'x-note': '2' } }, 'is given twice in different spellings'],
  ['headers.Proxy-Authorization', { headers: { 'Proxy-Authorization': 'a\r\nb: c' } }, 'no header can carry'],
  ['headers.Expect', { headers: { Expect: '100-continue' } }, 'belongs to the handshake'],
  ['headers.content-length', { headers: { 'content-length': 1 } }, 'belongs to the handshake'],
  ['headers', { headers: [['X-Note', 'a']] }, 'must be an object of names and values, or Headers'],
  ['transport', { transport: {} }, 'must be a Transport'],
  ['pingInterval', { pingInterval: -1 }, 'must be milliseconds from 0'],
  ['pingTimeout', { pingTimeout: '1' }, 'must be milliseconds from 0'],
  ['request', { headers: { 'X-Note': `a\r\nX-Token: ${SECRETS.token}` } }, 'X-Note'],
  ['request', { headers: { 'X Note': 'a' } }, 'was refused'],
];

describe.each(['connectWebSocket', 'reconnectWebSocket'] as const)('%s', (call) => {
  /** Begins, and ends with what is wrong. */
  async function begin(url: string, options: WebSocketOptions): Promise<unknown> {
    if (call === 'connectWebSocket') return connectWebSocket(url, options);
    return reconnectWebSocket(url, options).next();
  }

  test.each(ROWS)('refuses %s: %j', async (option, given, says) => {
    const [server, transport] = [await startEcho('wss'), newTransport()];
    const options = untyped({ transport, http_proxy: null, ...given });
    const error = await failureOf(begin(server.url, options), InvalidOptionError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option });
    expect(error.message).toContain(says);
    expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain(SECRETS.token);
    await expectNothingLeft(transport, server.origin);
    expect(server.origin.connectionCount).toBe(0);
  });

  test('refuses tls with a ws URL', async () => {
    const [server, transport] = [await startEcho('ws'), newTransport()];
    const options = { transport, http_proxy: null, tls: { ca: certificate.cert } };
    const error = await failureOf(begin(server.url, options), InvalidOptionError);
    expect(error).toMatchObject({ option: 'tls', message: expect.stringContaining('write wss://') });
    expect(server.origin.connectionCount).toBe(0);
  });

  test.each<[source: string, given: WebSocketOptions]>([
    ['option http_proxy', { http_proxy: `gopher://me:${SECRETS.plainPassword}@127.0.0.1:1` }],
    ['option http_proxy', { http_proxy: 'http://127.0.0.1:99999' }],
    ['option http_proxy', { http_proxy: `http://${SECRETS.plainPassword}:` }],
    ['env:wss_proxy', { http_proxy: undefined, env: { wss_proxy: 'http://:8080' } }],
    ['env:ALL_PROXY', { http_proxy: undefined, env: { ALL_PROXY: `x://${SECRETS.plainPassword}@a` } }],
  ])('refuses a proxy that cannot be used: %s', async (source, given) => {
    const [server, transport] = [await startEcho('wss'), newTransport()];
    const error = await failureOf(begin(server.url, { transport, ...given }), InvalidProxyUrlError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_PROXY_URL', source });
    expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain(SECRETS.plainPassword);
    await expectNothingLeft(transport, server.origin);
    expect(server.origin.connectionCount).toBe(0);
  });
});

test.each<[string, Given, string]>([
  ['initialDelay', { initialDelay: -1 }, 'must be milliseconds from 0'],
  ['initialDelay', { initialDelay: '1' }, 'must be milliseconds from 0'],
  ['maxDelay', { maxDelay: Number.POSITIVE_INFINITY }, 'must be milliseconds from 0'],
  ['maxDelay', { maxDelay: null }, 'must be milliseconds from 0'],
  ['stableAfter', { stableAfter: Number.NaN }, 'must be milliseconds from 0'],
  ['stableAfter', { stableAfter: null }, 'must be milliseconds from 0'],
  ['maxFailures', { maxFailures: 0 }, 'must be a number from 1'],
  ['maxFailures', { maxFailures: Number.NaN }, 'must be a number from 1'],
  ['maxFailures', { maxFailures: 'x' }, 'must be a number from 1'],
  ['maxRetries', { maxRetries: 1 }, 'there is no such option'],
  ['proxy', { proxy: 'http://127.0.0.1:9' }, 'the proxy is called http_proxy'],
])('reconnectWebSocket refuses %s: %j before it is iterated, of a URL and of a function', (option, given, says) => {
  const refused = expect.objectContaining({ option, message: expect.stringContaining(says) });
  expect(() => reconnectWebSocket('ws://127.0.0.1:9', untyped(given))).toThrow(refused);
  expect(() => reconnectWebSocket(() => Promise.reject(new Error('opened')), untyped(given))).toThrow(refused);
});

test('reconnectWebSocket takes options of opening only with a URL', () => {
  const open = (): Promise<never> => Promise.reject(new Error('opened'));
  const given = untyped({ http_proxy: null });
  expect(() => reconnectWebSocket(open, given)).toThrow(expect.objectContaining({ option: 'http_proxy' }));
});

test.each([
  ['fetch', { fetch: true }, 'there is no such option'],
  ['http_proxi', { http_proxi: 'http://127.0.0.1:9' }, 'the proxy is called http_proxy'],
])('openWebSocket refuses a request with %s', async (option, given, says) => {
  const [server, transport] = [await startEcho('ws'), newTransport()];
  const opened = openWebSocket(transport, { url: server.url, http_proxy: null, ...given });
  const error = await failureOf(opened, InvalidOptionError);
  expect(error).toMatchObject({ option, message: expect.stringContaining(says) });
  expect(server.origin.connectionCount).toBe(0);
});
