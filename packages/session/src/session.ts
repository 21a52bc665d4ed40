import {
  explainRoute,
  formatHttpProxy,
  type HttpProxy,
  InvalidOptionError,
  type ProxyMap,
  type RouteExplanation,
  resolveRoute,
} from '@cloudlane/proxy';
import {
  ACCEPTED_ENCODINGS,
  type AxiosInstance,
  checkProxyTls,
  parseUrl,
  printAs,
  type RequestHeaders,
  refuseOption,
  sharedTransport,
  type Timeouts,
  type TlsOptions,
  Transport,
  VERSION,
} from '@cloudlane/transport';
import { type Auth, readAuth } from './auth.ts';
import { DEFAULT_BEHAVIOUR, type ResolvedBehaviour, resolveBehaviour } from './behaviour.ts';
import { CallMaker } from './call-maker.ts';
import { type Defaults, routeSettings } from './call-settings.ts';
import { imapRequests, type MapOptions, mapRequests, type RequestSource } from './concurrency.ts';
import { CookieJar } from './cookie-jar.ts';
import type { HarRecorder } from './har.ts';
import { HeaderBag, type HeaderValues } from './header-bag.ts';
import { checkHooks, type Hooks, NO_HOOKS } from './hooks.ts';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';
import { isMap, type ProxySetting, readSetting, refuseBoth } from './proxy-setting.ts';
import { readSessionOptions } from './session-checks.ts';
import type { ClientCertificate, Cookies, QueryParams, RequestOptions, SessionOptions } from './session-options.ts';

/** Query parameters that can be written to. */
export type MutableParams = { -readonly [K in keyof QueryParams]: QueryParams[K] };

/**
 * An HTTP client on any URL: defaults for every request, cookies, redirects, and one route setting for all of them. What
 * is a property may be read and written; a change affects later requests only.
 */
export class Session implements ResolvedBehaviour {
  params: MutableParams;
  auth: Auth | null;
  timeout: number | Timeouts | undefined;
  hooks: Hooks;
  verify: boolean | string | undefined;
  cert: ClientCertificate | null | undefined;
  noProxy: string | readonly string[] | undefined;
  trustEnv: boolean;
  allowRedirects: ResolvedBehaviour['allowRedirects'];
  maxRedirects: number;
  allowInsecureRedirects: boolean;
  strictMode: boolean;
  prefetch: boolean;
  keepAlive: boolean;
  maxRetries: number;
  safeMode: boolean;
  dangerMode: boolean;
  encodeUri: boolean;
  hookErrors: 'warn' | 'throw';
  verbose: ResolvedBehaviour['verbose'];
  debug: ResolvedBehaviour['debug'];
  readonly transport: Transport;
  /** What records every request and answer. */
  readonly har: HarRecorder | undefined;
  readonly #ownsTransport: boolean;
  readonly #tls: TlsOptions;
  readonly #proxyTls: TlsOptions;
  readonly #environment: Pick<SessionOptions, 'env' | 'system'>;
  readonly #calls: CallMaker;
  #headers: HeaderBag;
  #jar: CookieJar;
  #proxy: ProxySetting | null;
  #closing: Promise<void> | null = null;

  /**
   * @throws InvalidProxyUrlError if `http_proxy` cannot be used
   * @throws InvalidOptionError if an option is unknown, cannot be used, or contradicts another
   */
  constructor(defaults: SessionOptions = {}) {
    const {
      transport,
      maxSockets,
      maxIdleSockets,
      baseHeaders = BASE_HEADERS,
      headers,
      params,
      cookies,
      auth,
      timeout,
      hooks,
      verify,
      cert,
      tls,
      proxyTls,
      userAgent,
      http_proxy,
      proxies,
      noProxy,
      env,
      trustEnv,
      system,
      har,
      ...behaviour
    } = readSessionOptions(defaults);
    for (const name of Object.keys(behaviour)) if (!Object.hasOwn(DEFAULT_BEHAVIOUR, name)) refuseOption(name);
    // An environment that is broken harms the request that needs it; the rest is refused at once.
    resolveRoute(ANYWHERE, { noProxy, trustEnv, env: {} });
    this.#ownsTransport = transport === undefined && (maxSockets !== undefined || maxIdleSockets !== undefined);
    this.transport = chooseTransport({ transport, maxSockets, maxIdleSockets });
    this.transport.check({ tls, proxyTls, timeout });
    this.#calls = new CallMaker(this.transport, () => this.#snapshot());
    this.#headers = new HeaderBag(baseHeaders, userAgent === undefined ? {} : { 'User-Agent': userAgent }, headers);
    this.params = { ...params };
    this.#jar = cookies instanceof CookieJar ? cookies : new CookieJar(cookies);
    if (auth !== undefined && auth !== null) readAuth(auth);
    this.auth = auth ?? null;
    this.timeout = timeout;
    this.hooks = hooks ?? NO_HOOKS;
    checkHooks(this.hooks);
    this.verify = verify;
    this.cert = cert;
    this.#tls = tls ?? this.transport.tls;
    this.#proxyTls = proxyTls ?? this.transport.proxyTls;
    if (verify !== undefined && tls !== undefined && (tls.verify !== undefined || tls.ca !== undefined))
      throw new InvalidOptionError('verify', 'contradicts tls.verify and tls.ca; give one of them');
    if (cert !== undefined && cert !== null && tls?.cert !== undefined)
      throw new InvalidOptionError('cert', 'contradicts tls.cert; give one of them');
    this.noProxy = noProxy;
    this.trustEnv = trustEnv ?? true;
    this.#environment = { env, system };
    this.har = har;
    const resolved = resolveBehaviour(DEFAULT_BEHAVIOUR, behaviour);
    this.allowRedirects = resolved.allowRedirects;
    this.maxRedirects = resolved.maxRedirects;
    this.allowInsecureRedirects = resolved.allowInsecureRedirects;
    this.strictMode = resolved.strictMode;
    this.prefetch = resolved.prefetch;
    this.keepAlive = resolved.keepAlive;
    this.maxRetries = resolved.maxRetries;
    this.safeMode = resolved.safeMode;
    this.dangerMode = resolved.dangerMode;
    this.encodeUri = resolved.encodeUri;
    this.hookErrors = resolved.hookErrors;
    this.verbose = resolved.verbose;
    this.debug = resolved.debug;
    refuseBoth({ http_proxy, proxies });
    this.#proxy = readSetting(proxies ?? http_proxy, `constructor ${proxies === undefined ? 'http_proxy' : 'proxies'}`);
    if (proxyTls !== undefined && this.#proxy !== null) checkProxyTls(this.#proxy.value, this.#proxy.source);
  }

  /** Headers of every request, whatever the spelling of their names; null sends none, not even the built-in one. */
  get headers(): HeaderValues {
    return this.#headers.view;
  }

  /** In the place of all of them, the built-in ones too. */
  set headers(headers: HeaderValues) {
    this.#headers = new HeaderBag(headers);
  }

  /** The cookies: those that came with answers, and those that were set here. */
  get cookies(): CookieJar {
    return this.#jar;
  }

  /** Another jar, or cookies for the origin of each call in a new one. */
  set cookies(cookies: CookieJar | Cookies) {
    this.#jar = cookies instanceof CookieJar ? cookies : new CookieJar(cookies);
  }

  /** The proxy set by the constructor or `setHttpProxy`; undefined: the environment decides, null: direct. */
  get http_proxy(): HttpProxy | undefined {
    return this.#proxy?.value;
  }

  /** The same as `setHttpProxy`. */
  set http_proxy(proxy: HttpProxy | undefined) {
    this.setHttpProxy(proxy);
  }

  /** `http_proxy` if it is a map, as Requests calls it. */
  get proxies(): ProxyMap | undefined {
    return isMap(this.http_proxy) ? this.http_proxy : undefined;
  }

  /** The same as `setHttpProxy`. */
  set proxies(proxies: ProxyMap | undefined) {
    refuseBoth({ proxies });
    this.setHttpProxy(proxies);
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

  /**
   * A real axios each of whose calls is a call of this session. It takes axios' options, and ours (`http_proxy`,
   * `verify`, `hooks` …); errors are AxiosErrors with ours as their `cause`. While interceptors are registered on it,
   * every other call of the session passes them, too.
   */
  get axios(): AxiosInstance {
    return this.#calls.axios;
  }

  /** The route a request to this URL would take now, and why. Sends nothing. */
  explain(
    url: string | URL,
    options: Pick<RequestOptions, 'http_proxy' | 'proxies' | 'noProxy'> = {},
  ): RouteExplanation {
    return explainRoute(parseUrl(url), routeSettings(this.#snapshot(), options));
  }

  /**
   * Sends a request and resolves with its answer as soon as the headers are there, whatever the status.
   * @throws the errors of `Transport.send`, RedirectError, TooManyRedirectsError, BodyReplayError
   * @throws InvalidOptionError if an option is unknown, cannot be used, or contradicts another
   */
  async request(method: string, url: string | URL, options: RequestOptions = {}): Promise<HttpResponse> {
    return await this.#calls.request(this.#snapshot(), { ...options, method, url }, options);
  }

  /**
   * Makes a request without sending it. Everything is settled now: what changes on the session later is not for it. The
   * hook `args` runs when it is sent, and sees what it has come to by then.
   * @throws InvalidOptionError if the URL is not absolute, or an option is unknown, cannot be used, or contradicts another
   */
  prepare(method: string, url: string | URL, options: RequestOptions = {}): PreparedRequest {
    return this.#calls.prepare(this.#snapshot(), { ...options, method, url }, options);
  }

  /**
   * Sends many requests, some at a time, and resolves with their answers in the order of the requests. What is iterated
   * is asked for its next request only when there is room for it.
   */
  map(requests: RequestSource, options?: MapOptions): Promise<(HttpResponse | Error)[]>;
  map<T>(
    requests: RequestSource,
    options: MapOptions<T> & Required<Pick<MapOptions<T>, 'each'>>,
  ): Promise<(T | Error)[]>;
  map<T>(requests: RequestSource, options: MapOptions<T> = {}): Promise<(HttpResponse | T | Error)[]> {
    return mapRequests(this, requests, options);
  }

  /** Sends many requests, some at a time, and yields their answers as they come. Leaving the loop aborts the rest. */
  imap(requests: RequestSource, options: Omit<MapOptions, 'each'> = {}): AsyncIterable<HttpResponse | Error> {
    return imapRequests(this, requests, options);
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

  /**
   * Closes the connections that carried this session's requests, once those under way are over, and saves its `har` if
   * that has a path. Connections that others of the same transport use meanwhile may go, too; they open new ones.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Safe to log: the proxy is masked, header values, cookies and auth are left out. */
  toJSON(): Record<string, unknown> {
    return { http_proxy: formatHttpProxy(this.http_proxy), timeout: this.timeout };
  }

  async #close(): Promise<void> {
    this.#calls.close();
    if (this.#ownsTransport) await this.transport.close();
    if (this.har?.path !== undefined) await this.har.save();
  }

  #snapshot(): Defaults {
    const { env, system } = this.#environment;
    return {
      session: this,
      behaviour: this,
      headers: this.#headers.record,
      jar: this.#jar,
      tls: this.#tls,
      proxyTls: this.#proxyTls,
      proxy: this.#proxy,
      environment: { noProxy: this.noProxy, env, trustEnv: this.trustEnv, system },
      params: this.params,
      auth: this.auth,
      timeout: this.timeout,
      hooks: this.hooks,
      verify: this.verify,
      cert: this.cert,
      transport: this.transport,
      observer: this.har,
      note: this.#calls.note,
    };
  }

  static {
    printAs<Session>(Session.prototype, (session) => ({ Session: session.toJSON() }));
  }
}

const BASE_HEADERS: RequestHeaders = {
  'User-Agent': `cloudlane/${VERSION}`,
  Accept: '*/*',
  'Accept-Encoding': ACCEPTED_ENCODINGS,
};

/** An http URL that stands for all of them: nothing is ever sent there (RFC 6761 §6.4). */
const ANYWHERE = 'http://cloudlane.invalid';

function chooseTransport({
  transport,
  maxSockets,
  maxIdleSockets,
}: Pick<SessionOptions, 'transport' | 'maxSockets' | 'maxIdleSockets'>): Transport {
  if (maxSockets === undefined && maxIdleSockets === undefined) return transport ?? sharedTransport();
  if (transport !== undefined) {
    const name = maxSockets === undefined ? 'maxIdleSockets' : 'maxSockets';
    throw new InvalidOptionError(name, 'is the transport’s, which is given; make it with this option');
  }
  return new Transport({
    ...(maxSockets !== undefined && { maxSockets }),
    ...(maxIdleSockets !== undefined && { maxIdleSockets }),
  });
}
