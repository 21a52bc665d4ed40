import {
  checkHttpProxy,
  explainRoute,
  formatHttpProxy,
  type HttpProxy,
  InvalidOptionError,
  type RouteExplanation,
  type RouteSettings,
  resolveRoute,
} from '@cloudlane/proxy';
import {
  parseUrl,
  printAs,
  type RequestBody,
  type RequestHeaders,
  sharedTransport,
  type Timeouts,
  type TlsOptions,
  type Transport,
} from '@cloudlane/transport';
import { type Auth, applyAuth } from './auth.ts';
import { HttpResponse } from './http-response.ts';
import { mergeHeaders, mergeTimeouts, withParams } from './merge.ts';
import { PreparedRequest } from './prepared-request.ts';
import type { QueryParams, RequestOptions, SessionOptions } from './session-options.ts';
import { VERSION } from './version.ts';

/**
 * An HTTP client on any URL: defaults for every request, and one route setting for all of them. What is a property may
 * be read and written; a change affects later requests only. Redirects are not followed.
 */
export class Session {
  headers: RequestHeaders;
  params: QueryParams;
  auth: Auth | undefined;
  timeout: number | Timeouts | undefined;
  readonly transport: Transport;
  readonly #tls: TlsOptions | undefined;
  readonly #proxyTls: TlsOptions | undefined;
  readonly #environment: Pick<RouteSettings, 'env' | 'trustEnv' | 'system' | 'noProxy'>;
  #proxy: ProxySetting | null;

  /**
   * @throws InvalidProxyUrlError if `http_proxy` cannot be used
   * @throws InvalidOptionError if options contradict each other
   */
  constructor(defaults: SessionOptions = {}) {
    const {
      transport,
      headers,
      params,
      auth,
      timeout,
      tls,
      proxyTls,
      userAgent,
      http_proxy,
      noProxy,
      env,
      trustEnv,
      system,
      ...unknown
    } = defaults;
    refuseUnknown(unknown);
    // An environment that is broken harms the request that needs it; the rest is refused at once.
    resolveRoute(ANYWHERE, { noProxy, trustEnv, env: {} });
    this.transport = transport ?? sharedTransport();
    this.transport.check({ tls, proxyTls, timeout });
    this.headers = { 'User-Agent': userAgent === undefined ? USER_AGENT : userAgent, Accept: '*/*', ...headers };
    this.params = params ?? {};
    this.auth = auth;
    this.timeout = timeout;
    this.#tls = tls;
    this.#proxyTls = proxyTls;
    this.#environment = { noProxy, env, trustEnv, system };
    this.#proxy = readSetting(http_proxy, 'constructor http_proxy');
    if (proxyTls !== undefined && this.#proxy !== null) checkProxyTls(this.#proxy);
  }

  /** The proxy set by the constructor or `setHttpProxy`; undefined: the environment decides, null: direct. */
  get http_proxy(): HttpProxy | undefined {
    return this.#proxy?.value;
  }

  /** The same as `setHttpProxy`. */
  set http_proxy(proxy: HttpProxy | undefined) {
    this.setHttpProxy(proxy);
  }

  /**
   * Chooses the proxy for every later request. Requests under way keep theirs; connections through the proxy before are
   * closed once nobody has used them for a second.
   * @param proxy null: direct; undefined: back to the environment
   * @throws InvalidProxyUrlError if it cannot be used; the old setting then stays
   */
  setHttpProxy(proxy: HttpProxy | undefined): this {
    const before = this.#proxy;
    this.#proxy = readSetting(proxy, 'setHttpProxy');
    // Also if the next one names the same proxy: the first request through it ends its retirement.
    if (before !== null) this.transport.retire(before.value);
    return this;
  }

  /** The route a request to this URL would take now, and why. Sends nothing. */
  explain(url: string | URL, options: { readonly http_proxy?: HttpProxy | undefined } = {}): RouteExplanation {
    return explainRoute(parseUrl(url), this.#routeSettings(options));
  }

  /**
   * Sends a request and resolves with its answer as soon as the headers are there, whatever the status.
   * @throws the errors of `Transport.send`
   */
  request(method: string, url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    try {
      return this.prepare(method, url, options).send();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Makes a request without sending it. Everything is settled now: what changes on the session later is not for it.
   * @throws InvalidOptionError if the URL is not absolute, or options contradict each other
   */
  prepare(method: string, url: string | URL, options: RequestOptions = {}): PreparedRequest {
    const auth = options.auth === undefined ? this.auth : options.auth;
    const settings = {
      ...this.#routeSettings(options),
      tls: this.#tls,
      proxyTls: this.#proxyTls,
      timeout: mergeTimeouts(this.timeout, options.timeout),
      signal: options.signal,
      onUploadProgress: options.onUploadProgress,
    };
    const { body, headers } = encodeBody(options);
    const target = withParams(parseUrl(url), this.params, options.params);
    const merged = mergeHeaders(this.headers, headers, options.headers);
    return new PreparedRequest(method.toUpperCase(), target, merged, body, async (request) => {
      const started = performance.now();
      if (auth) await applyAuth(auth, request);
      const response = await this.transport.send({
        ...settings,
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body,
      });
      return new HttpResponse(response, request, performance.now() - started);
    });
  }

  get(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request('GET', url, options);
  }

  head(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request('HEAD', url, options);
  }

  options(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request('OPTIONS', url, options);
  }

  post(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request('POST', url, options);
  }

  put(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request('PUT', url, options);
  }

  patch(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request('PATCH', url, options);
  }

  delete(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request('DELETE', url, options);
  }

  /** Safe to log: the proxy is masked, header values and auth are left out. */
  toJSON(): Record<string, unknown> {
    return { http_proxy: formatHttpProxy(this.http_proxy), timeout: this.timeout };
  }

  #routeSettings({ http_proxy, noProxy }: Pick<RequestOptions, 'http_proxy' | 'noProxy'>): RouteSettings {
    const { noProxy: defaultNoProxy, ...environment } = this.#environment;
    const proxy = http_proxy === undefined ? this.#proxy : { value: http_proxy, source: 'call http_proxy' };
    return {
      ...environment,
      noProxy: noProxy ?? defaultNoProxy,
      ...(proxy && { http_proxy: proxy.value, source: proxy.source }),
    };
  }

  static {
    printAs<Session>(Session.prototype, (session) => ({ Session: session.toJSON() }));
  }
}

const USER_AGENT = `cloudlane/${VERSION}`;

/** An http URL that stands for all of them: nothing is ever sent there (RFC 6761 §6.4). */
const ANYWHERE = 'http://cloudlane.invalid';

/** A proxy setting that was found usable, and who made it. */
interface ProxySetting {
  readonly value: HttpProxy;
  readonly source: string;
}

/** Refuses what cannot be used where it is made, not at the first request. */
function readSetting(value: HttpProxy | undefined, source: string): ProxySetting | null {
  checkHttpProxy(value, source);
  return value === undefined ? null : { value: copyOf(value), source };
}

/** A copy that stays as it is when the caller's own object changes. */
function copyOf(value: HttpProxy): HttpProxy {
  if (value === null || typeof value === 'string') return value;
  if (value instanceof URL) return new URL(value);
  const copy = { ...value };
  for (const [name, part] of Object.entries(copy)) Reflect.set(copy, name, copyPart(part));
  return copy;
}

function copyPart(part: unknown): unknown {
  // What parseProxyUrl has made is frozen, and would not survive a copy.
  if (typeof part !== 'object' || part === null || Object.isFrozen(part)) return part;
  if (part instanceof URL) return new URL(part);
  return Array.isArray(part) ? [...part] : { ...part };
}

/** Beside a proxy that speaks no TLS, `proxyTls` would do nothing. Later settings may name another proxy. */
function checkProxyTls({ value, source }: ProxySetting): void {
  const shown = formatHttpProxy(value);
  // What a map leaves open may have an https:// proxy from the environment.
  if (typeof shown !== 'string' || shown.startsWith('https:')) return;
  const [scheme] = shown.split(':');
  throw new InvalidOptionError('proxyTls', `needs an https:// proxy, and ${source} names a ${scheme}:// one`);
}

// A misspelled http_proxy must not become a direct connection.
function refuseUnknown(options: object): void {
  const name = Object.keys(options)[0];
  if (name === undefined) return;
  const hint = /prox/i.test(name) ? '; the proxy is called http_proxy' : '';
  throw new InvalidOptionError(name, `there is no such option${hint}`);
}

function encodeBody({ json, data }: RequestOptions): { body: RequestBody | null; headers: RequestHeaders } {
  if (json === undefined) return { body: data ?? null, headers: {} };
  if (data !== undefined && data !== null) throw new InvalidOptionError('json', 'contradicts data; give one of them');
  return { body: JSON.stringify(json), headers: { 'Content-Type': 'application/json' } };
}
