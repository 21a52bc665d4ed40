// One row for each class, code, status and reply code that can end the opening of a WebSocket: see ERRORS.md.
import {
  ConflictError,
  InvalidCredentialsError,
  MalformedResponseError,
  NotFoundError,
  type ProviderError,
  type ProviderErrorInit,
  RateLimitError,
  ServiceUnavailableError,
} from '@cloudlane/connection';
import { InvalidOptionError, InvalidProxyUrlError } from '@cloudlane/proxy';
import { SessionClosedError } from '@cloudlane/session';
import * as transport from '@cloudlane/transport';
import {
  ClosedError,
  CloudlaneError,
  ConnectError,
  ProtocolError,
  ProxyAuthenticationError,
  ProxyConnectError,
  ProxyError,
  ProxyProtocolError,
  ProxyResponseError,
  ProxyTlsError,
  ProxyTunnelError,
  ResetError,
  SocksError,
  TimeoutError,
  TlsError,
  TransportError,
  type TransportErrorInit,
} from '@cloudlane/transport';
import { isTransient, WebSocketRedirectError, WebSocketUpgradeError } from '@cloudlane/websocket';
import { describe, expect, test } from '@jest/globals';
import { makeProviderError } from '../../packages/connection/src/provider-errors.ts';
import { requestedDelay } from '../../packages/websocket/src/transience.ts';

const FACTS: TransportErrorInit = { phase: 'response', hop: 'origin', proxy: null, url: 'wss://api.example/' };
const HANDSHAKE: TransportErrorInit = { ...FACTS, phase: 'proxy-handshake', hop: 'proxy' };
const answer = (status: number, headers: Readonly<Record<string, string>> = {}) => ({
  status,
  statusText: '',
  headers,
  body: Buffer.alloc(0),
});
const upgrade = (status: number, headers: Readonly<Record<string, string>> = {}): WebSocketUpgradeError =>
  new WebSocketUpgradeError('no', { ...FACTS, ...answer(status, headers) });
const tunnel = (status: number): ProxyTunnelError =>
  new ProxyTunnelError('no', { ...HANDSHAKE, ...answer(status), hasConnectedToProxy: true });
const forwarded = (status: number): ProxyResponseError => new ProxyResponseError('no', { ...FACTS, ...answer(status) });
const socks = (replyCode: number | null, code = 'ERR_SOCKS'): SocksError =>
  new SocksError('no', { ...HANDSHAKE, step: 'request', replyCode, code });
const deadline = (name: string, init: Partial<TransportErrorInit> = {}): TimeoutError =>
  new TimeoutError('late', { ...FACTS, ...init, deadline: name, milliseconds: 1 });
const init = (status: number, retryAfter: number | null = null): ProviderErrorInit => ({
  provider: 'Example',
  request: 'GET https://api.example/',
  status,
  retryAfter,
});
const provider = (status: number): ProviderError => makeProviderError({ message: 'no' }, init(status));

const TRANSIENT: readonly (readonly [what: string, error: unknown])[] = [
  ['ConnectError: DNS', new ConnectError('no', { ...FACTS, phase: 'origin-dns' })],
  ['ConnectError: TCP', new ConnectError('no', { ...FACTS, phase: 'origin-connect', retryable: true })],
  ['ProxyConnectError: DNS', new ProxyConnectError('no', { ...HANDSHAKE, phase: 'proxy-dns' })],
  ['ProxyConnectError: TCP', new ProxyConnectError('no', { ...HANDSHAKE, phase: 'proxy-connect', retryable: true })],
  ['ResetError: nothing had been sent', new ResetError('no', { ...FACTS, phase: 'origin-tls', retryable: true })],
  ['ResetError: the handshake had been sent', new ResetError('no', FACTS)],
  ...['connect', 'handshake', 'firstByte', 'idle', 'total'].map(
    (name) => [`TimeoutError: ${name}`, deadline(name)] as const,
  ),
  ['ProxyError ERR_PROXY_RESET', new ProxyError('no', { ...HANDSHAKE, code: 'ERR_PROXY_RESET', retryable: true })],
  ['ProxyTlsError: it broke', new ProxyTlsError('no', { ...HANDSHAKE, phase: 'proxy-tls', retryable: true })],
  ...[500, 502, 503, 504, 507, 599].map((status) => [`ProxyTunnelError ${status}`, tunnel(status)] as const),
  ['ProxyTunnelError 429', tunnel(429)],
  ...[502, 503, 504].map((status) => [`ProxyResponseError ${status}`, forwarded(status)] as const),
  ...[null, 1, 3, 4, 5, 6, 91].map((code) => [`SocksError ${code}`, socks(code)] as const),
  ...[429, 500, 502, 503, 504, 520].map((status) => [`WebSocketUpgradeError ${status}`, upgrade(status)] as const),
  ['RateLimitError', new RateLimitError('no', init(429, 5_000))],
  ['ServiceUnavailableError', new ServiceUnavailableError('no', init(503))],
  ...[429, 500, 502, 503, 504].map((status) => [`a provider’s ${status}`, provider(status)] as const),
];

const FINAL: readonly (readonly [what: string, error: unknown])[] = [
  ['TlsError', new TlsError('no', { ...FACTS, phase: 'origin-tls' })],
  ['ProxyTlsError', new ProxyTlsError('no', { ...HANDSHAKE, phase: 'proxy-tls' })],
  [
    'ProxyAuthenticationError',
    new ProxyAuthenticationError('no', { ...HANDSHAKE, ...answer(407), schemes: [], realm: null }),
  ],
  ...[302, 400, 401, 403, 404, 405].map((status) => [`ProxyTunnelError ${status}`, tunnel(status)] as const),
  ['ProxyResponseError 403', forwarded(403)],
  // Not allowed by the ruleset, and what no other try will make the proxy speak.
  ...[2, 7, 8].map((code) => [`SocksError ${code}`, socks(code)] as const),
  ...[null, 1, 92, 93, 255].map(
    (code) => [`SocksError ERR_SOCKS_AUTHENTICATION ${code}`, socks(code, 'ERR_SOCKS_AUTHENTICATION')] as const,
  ),
  ['ProxyProtocolError', new ProxyProtocolError('no', HANDSHAKE)],
  ['ProxyError', new ProxyError('no', HANDSHAKE)],
  ['ProtocolError', new ProtocolError('no', FACTS)],
  ['ClosedError', new ClosedError('no', FACTS)],
  ['SessionClosedError', new SessionClosedError()],
  ['TransportError', new TransportError('no', FACTS)],
  ...[200, 204, 400, 401, 403, 404, 405, 407, 410, 421, 426, 451].map(
    (status) => [`WebSocketUpgradeError ${status}`, upgrade(status)] as const,
  ),
  ...[301, 302, 307].map(
    (status) =>
      [`WebSocketRedirectError ${status}`, new WebSocketRedirectError('no', { ...FACTS, ...answer(status) })] as const,
  ),
  ['InvalidCredentialsError', new InvalidCredentialsError('no', init(401))],
  ['InvalidCredentialsError by its code', new InvalidCredentialsError('no', init(403))],
  ['NotFoundError', new NotFoundError('no', init(404))],
  ['ConflictError', new ConflictError('no', init(409))],
  ...[200, 400, 401, 403, 404, 409, 412, 422].map((status) => [`a provider’s ${status}`, provider(status)] as const),
  [
    'MalformedResponseError',
    new MalformedResponseError('no', { provider: 'Example', request: '', status: 200, contentType: null, body: '' }),
  ],
  ['CloudlaneError', new CloudlaneError('no', 'ERR_EXAMPLE')],
  ['InvalidOptionError', new InvalidOptionError('timeout', 'no')],
  ['InvalidProxyUrlError', new InvalidProxyUrlError('call http_proxy', 'no')],
  ['AbortError', new DOMException('aborted', 'AbortError')],
  ['the reason of a signal', AbortSignal.abort().reason],
  ['a plain error', new Error('no')],
  ['a TypeError', new TypeError('no')],
  ['Node’s own error', Object.assign(new Error('no'), { code: 'ECONNREFUSED' })],
  ['a stranger with a status', Object.assign(new Error('no'), { status: 503, retryable: true })],
  ...['text', 503, null, undefined].map((value) => [`no error: ${value}`, value] as const),
];

test.each(TRANSIENT)('worth another try: %s', (_, error) => {
  expect(isTransient(error)).toBe(true);
});

test.each(FINAL)('not worth another try: %s', (_, error) => {
  expect(isTransient(error)).toBe(false);
});

test('no class of the transport is missing here', () => {
  const here = [...TRANSIENT, ...FINAL].map(([, error]) => Object(error).constructor.name);
  const names = Object.entries(transport).flatMap(([name, value]) =>
    typeof value === 'function' && value.prototype instanceof CloudlaneError ? [name] : [],
  );
  expect(names.length).toBeGreaterThan(10);
  // Of a body, which the opening of a WebSocket has not.
  expect(names.filter((name) => !here.includes(name))).toEqual(['TooManyCodingsError']);
});

describe('how long whoever refused has asked to wait', () => {
  const tomorrow = new Date(Date.now() + 86_400_000).toUTCString();

  test.each<[what: string, error: unknown, delay: number | object]>([
    ['an origin: seconds', upgrade(503, { 'retry-after': '7' }), 7_000],
    ['an origin: a date', upgrade(429, { 'retry-after': tomorrow }), expect.any(Number)],
    ['an origin that said nothing', upgrade(503), 0],
    ['an origin whose words cannot be read', upgrade(503, { 'retry-after': 'soon' }), 0],
    ['a provider', new RateLimitError('no', init(429, 5_000)), 5_000],
    ['a provider, by what its driver read', makeProviderError({ message: 'no' }, init(503, 250)), 250],
    ['a provider that said nothing', provider(503), 0],
    ['a proxy’s TLS', new ProxyTlsError('no', HANDSHAKE), 0],
    ['the network', new ResetError('no', FACTS), 0],
    ['a stranger', Object.assign(new Error('no'), { retryAfter: 5_000 }), 0],
    ['nobody', undefined, 0],
  ])('%s', (_, error, delay) => {
    expect(requestedDelay(error)).toEqual(delay);
  });

  test('a date counts from now', () => {
    const delay = requestedDelay(upgrade(429, { 'retry-after': tomorrow }));
    expect(delay).toBeGreaterThan(80_000_000);
    expect(delay).toBeLessThanOrEqual(86_400_000);
  });
});
