import { formatHttpProxy, type HttpProxy, InvalidOptionError, type RouteSettings } from '@cloudlane/proxy';
import type { AxiosCallOptions } from './index.ts';
import type { RequestBody, UploadProgress } from './request-body.ts';
import type { PoolLimits } from './socket-pool.ts';
import { DEFAULT_TIMEOUTS, LONGEST, type ResolvedTimeouts, resolveTimeouts, type Timeouts } from './timeouts.ts';
import type { TlsOptions } from './tls.ts';

/** Options of a `Transport`; they hold for all its requests. */
export interface TransportOptions {
  /** TLS with https origins. */
  readonly tls?: TlsOptions;
  /** TLS with https proxies; separate from `tls`, nothing of one is ever used for the other. */
  readonly proxyTls?: TlsOptions;
  /** Whether connections are used again. false: each request has its own and says `Connection: close`. @defaultValue true */
  readonly keepAlive?: boolean;
  /**
   * Connections at once to one place: an origin, or for forwarded requests their proxy; counted apart for other
   * credentials, proxy headers or TLS options. Further requests wait for one to become free, as long as `timeout.total`
   * lets them. @defaultValue 128
   */
  readonly maxSockets?: number;
  /** Idle connections kept for each place. @defaultValue 32 */
  readonly maxIdleSockets?: number;
  /** Milliseconds an idle connection is kept; a shorter `Keep-Alive: timeout` of the server wins. @defaultValue 15_000 */
  readonly idleTimeout?: number;
  /**
   * `'proxy'`: requests to different http origins share connections to their proxy. `'origin'`: they don't, for proxies
   * that mix up hosts on one connection. @defaultValue 'proxy'
   */
  readonly forwardReuse?: 'proxy' | 'origin';
  /**
   * Forward https requests too, instead of tunnelling them: the proxy then sees and can change everything, and verifies
   * the origin in our place. Needs https:// proxies; a request that would take another one is refused. @defaultValue false
   */
  readonly useForwardingForHttps?: boolean;
  /** Tunnel http requests too (CONNECT), for proxies that forward badly. Many refuse it for port 80. @defaultValue false */
  readonly tunnelHttp?: boolean;
  /** Deadlines in milliseconds; a number is `total`. */
  readonly timeout?: number | Timeouts;
}

/** Headers of a request; null and undefined leave one out. */
export type RequestHeaders = Readonly<Record<string, string | number | readonly string[] | null | undefined>>;

/** One request over one hop: no redirects, no retries. The route settings choose its way; by default the environment. */
export interface TransportRequest extends RouteSettings {
  /** @defaultValue 'GET' */
  readonly method?: string | undefined;
  /** Absolute http or https URL. Credentials in it become Basic authorization, unless `headers` have another. */
  readonly url: string | URL;
  /**
   * The request target as it goes out, byte for byte, instead of the URL's path and query; also within the absolute form
   * that a forwarding proxy needs. Starts with `/`, or is `*` for OPTIONS. Text beyond ASCII goes out as UTF-8.
   */
  readonly target?: string | undefined;
  /**
   * `Proxy-Authorization` among them goes to the proxy only; any other `Proxy-…` is left out. `Expect: 100-continue` has
   * the body wait until the server asks for it, a second at most; see `TransportResponse.isBodyUnsent`. It is left out if
   * there is no body.
   */
  readonly headers?: RequestHeaders | undefined;
  /**
   * A stream is closed when the call fails. It is not touched if the call is refused before it began (a bad option, an
   * aborted signal), or if an answer from 300 on comes while the body waits (`Expect`), that of a proxy included.
   */
  readonly body?: RequestBody | null | undefined;
  /** Instead of the transport's. */
  readonly tls?: TlsOptions | undefined;
  /** Instead of the transport's. */
  readonly proxyTls?: TlsOptions | undefined;
  /** Laid over the transport's. */
  readonly timeout?: number | Timeouts | undefined;
  /**
   * Where `timeout.total` counts from, if this request is not the first of its call. In the clock of `performance.now()`.
   * @defaultValue now
   */
  readonly startedAt?: number | undefined;
  /** false: the request has a connection of its own, says `Connection: close`, and the connection is closed after the answer. @defaultValue the transport's */
  readonly keepAlive?: boolean | undefined;
  /** Ends the request at once, whatever it is doing; the promise, or the body's stream, fails with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  readonly onUploadProgress?: UploadProgress | undefined;
}

/** Options of `Transport.open`. The route settings choose the way of the connection; by default the environment. */
export interface OpenOptions extends RouteSettings {
  /** Instead of the transport's. */
  readonly tls?: TlsOptions | undefined;
  /** Instead of the transport's. */
  readonly proxyTls?: TlsOptions | undefined;
  /** Laid over the transport's. */
  readonly timeout?: number | Timeouts | undefined;
}

/**
 * A request whose answer may switch its connection to another protocol (RFC 9110 §7.8). The route settings choose its way;
 * an HTTP proxy is always asked for a tunnel.
 */
export interface UpgradeRequest extends OpenOptions {
  /** Absolute http, https, ws or wss URL. For the latter two the variables of WebSockets count. */
  readonly url: string | URL;
  /** As those of any request; `Upgrade` and what belongs to it are added by whoever makes the request. */
  readonly headers?: RequestHeaders | undefined;
  /** As `TransportRequest.startedAt`. */
  readonly startedAt?: number | undefined;
  /** Ends the request at once, with its reason; once the protocol is switched it has no effect. */
  readonly signal?: AbortSignal | undefined;
}

const ROUTE_NAMES: readonly (keyof RouteSettings)[] = ['http_proxy', 'noProxy', 'env', 'trustEnv', 'system', 'source'];
const OPEN_NAMES: readonly (keyof OpenOptions)[] = [...ROUTE_NAMES, 'tls', 'proxyTls', 'timeout'];
const UPGRADE_NAMES: readonly (keyof UpgradeRequest)[] = [...OPEN_NAMES, 'url', 'headers', 'startedAt', 'signal'];
const REQUEST_NAMES: readonly (keyof TransportRequest)[] = [
  ...UPGRADE_NAMES,
  'method',
  'target',
  'body',
  'keepAlive',
  'onUploadProgress',
];
const KNOWN: Readonly<Record<'send' | 'open' | 'upgrade' | 'agents', ReadonlySet<string>>> = {
  agents: new Set(ROUTE_NAMES),
  send: new Set(REQUEST_NAMES),
  upgrade: new Set(UPGRADE_NAMES),
  open: new Set(OPEN_NAMES),
};

/** @throws InvalidOptionError if there is no option of that name */
export function checkNames(options: object, call: keyof typeof KNOWN): void {
  checkOptionNames(options, KNOWN[call]);
}

/**
 * A misspelled `http_proxy` must not become a direct connection.
 * @throws InvalidOptionError if there is an option whose name is not among these
 */
export function checkOptionNames(options: object, known: ReadonlySet<string>): void {
  for (const name in options) if (!known.has(name)) refuseOption(name);
}

/** @throws InvalidOptionError always: there is no option of that name */
export function refuseOption(name: string): never {
  const hint = /prox/i.test(name) ? '; the proxy is called http_proxy' : '';
  throw new InvalidOptionError(name, `there is no such option${hint}`);
}

/**
 * Beside a proxy that speaks no TLS, `proxyTls` would do nothing. Later settings may name another proxy.
 * @param source who named it
 * @throws InvalidOptionError naming `proxyTls`
 */
export function checkProxyTls(proxy: HttpProxy | undefined, source: string): void {
  const shown = formatHttpProxy(proxy);
  // What a map leaves open may have an https:// proxy from the environment.
  if (typeof shown !== 'string' || shown.startsWith('https:')) return;
  const [scheme] = shown.split(':');
  throw new InvalidOptionError('proxyTls', `needs an https:// proxy, and ${source} names a ${scheme}:// one`);
}

/** @throws InvalidOptionError if one of these cannot be used: each would fail much later, and without a name */
export function checkCall({
  method,
  signal,
  onUploadProgress,
}: Pick<TransportRequest, 'method' | 'signal' | 'onUploadProgress'>): void {
  if (method !== undefined && typeof method !== 'string')
    throw new InvalidOptionError('method', "must be a string, such as 'GET'");
  if (signal !== undefined && !isAbortSignal(signal)) throw new InvalidOptionError('signal', 'must be an AbortSignal');
  if (onUploadProgress !== undefined && typeof onUploadProgress !== 'function')
    throw new InvalidOptionError('onUploadProgress', 'must be a function');
}

// By what it can do: one of another realm is no instance of ours.
function isAbortSignal(value: unknown): boolean {
  return SIGNAL_METHODS.every((name) => typeof Object(value)[name] === 'function');
}

const SIGNAL_METHODS = ['addEventListener', 'removeEventListener', 'throwIfAborted'];

/** @throws InvalidOptionError if `keepAlive` is neither true nor false, or a header of the caller's says otherwise */
export function checkKeepAlive({ keepAlive, headers = {} }: Pick<TransportRequest, 'keepAlive' | 'headers'>): void {
  if (typeof keepAlive !== 'boolean') throw new InvalidOptionError('keepAlive', 'must be true or false');
  if (keepAlive) return;
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() !== 'connection' || value === null || value === undefined) continue;
    if (!/(?:^|[\s,])close(?:$|[\s,])/i.test(String(value)))
      throw new InvalidOptionError(`headers.${name}`, 'contradicts keepAlive: false; leave it out');
  }
}

declare module 'axios' {
  interface AxiosRequestConfig<D, P> extends AxiosCallOptions {}
}

/** Options with every default in place. */
export interface ResolvedTransportOptions extends PoolLimits {
  readonly tls: TlsOptions;
  readonly proxyTls: TlsOptions;
  readonly forwardReuse: 'proxy' | 'origin';
  readonly useForwardingForHttps: boolean;
  readonly tunnelHttp: boolean;
  readonly timeouts: ResolvedTimeouts;
}

const DEFAULTS: ResolvedTransportOptions = {
  tls: {},
  proxyTls: {},
  keepAlive: true,
  maxSockets: 128,
  maxIdleSockets: 32,
  idleTimeout: 15_000,
  forwardReuse: 'proxy',
  useForwardingForHttps: false,
  tunnelHttp: false,
  timeouts: DEFAULT_TIMEOUTS,
};

/** @throws InvalidOptionError naming an option that is unknown or cannot take effect */
export function resolveTransportOptions(options: TransportOptions): ResolvedTransportOptions {
  const { timeout, ...rest } = options;
  for (const name of Object.keys(rest)) {
    if (name === 'timeouts' || !(name in DEFAULTS)) throw new InvalidOptionError(name, 'is not an option of Transport');
  }
  const resolved = { ...DEFAULTS, ...withoutUndefined(rest), timeouts: resolveTimeouts(timeout, DEFAULT_TIMEOUTS) };
  if (!isCount(resolved.maxSockets, 1))
    throw new InvalidOptionError('maxSockets', 'must be a whole number from 1, or Infinity');
  if (!isCount(resolved.maxIdleSockets, 0))
    throw new InvalidOptionError('maxIdleSockets', 'must be a whole number from 0, or Infinity');
  if (!(resolved.idleTimeout >= 0 && resolved.idleTimeout <= LONGEST))
    throw new InvalidOptionError('idleTimeout', `must be milliseconds from 0 to ${LONGEST}`);
  if (resolved.forwardReuse !== 'proxy' && resolved.forwardReuse !== 'origin')
    throw new InvalidOptionError('forwardReuse', "must be 'proxy' or 'origin'");
  for (const name of ['keepAlive', 'useForwardingForHttps', 'tunnelHttp'] as const) {
    if (typeof resolved[name] !== 'boolean') throw new InvalidOptionError(name, 'must be true or false');
  }
  if (resolved.tunnelHttp && options.forwardReuse !== undefined && !resolved.useForwardingForHttps)
    throw new InvalidOptionError('forwardReuse', 'is without effect beside tunnelHttp, which forwards nothing');
  return resolved;
}

function isCount(value: unknown, least: number): boolean {
  return value === Number.POSITIVE_INFINITY || (Number.isInteger(value) && Number(value) >= least);
}

function withoutUndefined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
