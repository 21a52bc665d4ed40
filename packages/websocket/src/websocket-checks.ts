import { checkHttpProxy, InvalidOptionError, resolveRoute } from '@cloudlane/proxy';
import {
  checkCall,
  checkMilliseconds,
  checkOptionNames,
  checkProxyTls,
  parseUrl,
  type RequestHeaders,
  sharedTransport,
  Transport,
} from '@cloudlane/transport';
import { PROTOCOL_NAMES, type ProtocolOptions, protocolList, type WebSocketOptions } from './websocket-options.ts';

const OPTION_NAMES: ReadonlySet<string> = new Set([
  ...PROTOCOL_NAMES,
  ...([
    'http_proxy',
    'noProxy',
    'env',
    'trustEnv',
    'system',
    'headers',
    'tls',
    'proxyTls',
    'timeout',
    'signal',
    'maxRedirects',
    'transport',
  ] satisfies (keyof WebSocketOptions)[]),
]);

/**
 * Refuses at once what would be refused at the first handshake.
 * @throws InvalidOptionError, InvalidProxyUrlError naming what is unknown, cannot be used, or contradicts URL or proxy
 */
export function checkWebSocketOptions(url: URL, options: WebSocketOptions): void {
  checkOptionNames(options, OPTION_NAMES);
  checkProtocolOptions(options);
  const { headers, transport, http_proxy, signal, tls, proxyTls, timeout }: WebSocketOptions = options;
  if (transport !== undefined && !(transport instanceof Transport))
    throw new InvalidOptionError('transport', 'must be a Transport');
  checkHandshakeHeaders(headers);
  checkHttpProxy(http_proxy, 'option http_proxy');
  const { noProxy, env, trustEnv, system } = options;
  resolveRoute(url, { http_proxy, noProxy, env, trustEnv, system });
  checkCall({ signal });
  (transport ?? sharedTransport()).check({ tls, proxyTls, timeout });
  if (tls !== undefined && url.protocol === 'ws:')
    throw new InvalidOptionError('tls', 'has no effect on a ws:// URL; write wss://');
  if (proxyTls !== undefined) {
    if (http_proxy === null) throw new InvalidOptionError('proxyTls', 'has no effect, as http_proxy is null');
    checkProxyTls(http_proxy, 'option http_proxy');
  }
  const { maxRedirects = 0 } = options;
  if (!Number.isSafeInteger(maxRedirects) || maxRedirects < 0)
    throw new InvalidOptionError('maxRedirects', 'must be a whole number from 0 (none)');
}

/**
 * The ws or wss URL of a WebSocket. http and https stand for them.
 * @throws InvalidOptionError if it is none
 */
export function parseWebSocketUrl(value: string | URL): URL {
  const url = new URL(parseUrl(value));
  if (url.protocol === 'http:' || url.protocol === 'https:') return parseWebSocketUrl(url.href.replace(/^http/, 'ws'));
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:')
    throw new InvalidOptionError('url', `${url.protocol}// is no WebSocket's; write a ws:// or wss:// URL`);
  // RFC 6455 §3.
  if (url.hash !== '')
    throw new InvalidOptionError('url', 'has a fragment, which a WebSocket cannot have; leave out #…');
  return url;
}

/** @throws InvalidOptionError naming a header that belongs to the handshake, or to a body, which it has none of */
export function checkHandshakeHeaders(headers: RequestHeaders | Headers = {}): void {
  const given: unknown = headers;
  if (typeof given !== 'object' || given === null || Array.isArray(given) || given instanceof Map)
    throw new InvalidOptionError('headers', 'must be an object of names and values, or Headers');
  for (const name of headers instanceof Headers ? headers.keys() : Object.keys(headers)) {
    const lower = name.toLowerCase();
    if (lower === 'sec-websocket-protocol')
      throw new InvalidOptionError(`headers.${name}`, 'belongs to the handshake; write the option protocols');
    if (HANDSHAKE_HEADERS.has(lower) || lower.startsWith('sec-websocket-'))
      throw new InvalidOptionError(`headers.${name}`, 'belongs to the handshake; leave it out');
  }
}

// ws writes the first two itself, another spelling would be a second one; the others tell of a body.
const HANDSHAKE_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'upgrade',
  'transfer-encoding',
  'content-length',
  'expect',
]);

/** @throws InvalidOptionError naming the option that cannot be used; `ws` would say so too late, or not at all */
export function checkProtocolOptions(options: ProtocolOptions): void {
  const { protocols, perMessageDeflate }: { readonly [K in keyof ProtocolOptions]: unknown } = options;
  const isList = protocols === undefined || typeof protocols === 'string' || Array.isArray(protocols);
  const names = isList ? protocolList(options.protocols) : [protocols];
  const isToken = (name: unknown): boolean => typeof name === 'string' && /^[!#$%&'*+\-.\w^`|~]+$/.test(name);
  if (!names.every(isToken) || new Set(names).size < names.length)
    throw new InvalidOptionError('protocols', 'must be names without spaces or commas, each of them once');
  const { maxPayload } = options;
  if (maxPayload !== undefined && !(Number.isSafeInteger(maxPayload) && maxPayload >= 0))
    throw new InvalidOptionError('maxPayload', 'must be a whole number of bytes from 0 (any)');
  for (const name of ['closeTimeout', 'pingInterval', 'pingTimeout'] as const)
    if (options[name] !== undefined) checkMilliseconds(name, options[name]);
  for (const name of ['autoPong', 'skipUTF8Validation', 'allowSynchronousEvents'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && typeof value !== 'boolean') throw new InvalidOptionError(name, 'must be true or false');
  }
  if (
    perMessageDeflate !== undefined &&
    typeof perMessageDeflate !== 'boolean' &&
    (typeof perMessageDeflate !== 'object' || perMessageDeflate === null)
  )
    throw new InvalidOptionError('perMessageDeflate', 'must be true, false, or the options of it that ws describes');
}
