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
  type ConnectionInfo,
  hasInterceptors,
  parseUrl,
  printAs,
  type RequestHeaders,
  sharedTransport,
  type Timeouts,
  type TlsOptions,
  Transport,
} from '@cloudlane/transport';
import { type Auth, readAuth } from './auth.ts';
import { AxiosPassage } from './axios-passage.ts';
import { DEFAULT_BEHAVIOUR, type ResolvedBehaviour, resolveBehaviour } from './behaviour.ts';
import { Call } from './call.ts';
import {
  type CallSettings,
  checkCallNames,
  type Defaults,
  refuseUnknown,
  routeSettings,
  settleCall,
} from './call-settings.ts';
import { imapRequests, type MapOptions, mapRequests, type RequestSource } from './concurrency.ts';
import { CookieJar } from './cookie-jar.ts';
import type { HarRecorder } from './har.ts';
import { HeaderBag, type HeaderValues } from './header-bag.ts';
import { checkHooks, type Hooks, NO_HOOKS, type RequestArgs } from './hooks.ts';
import type { HttpResponse } from './http-response.ts';
import { mergeContentHeaders, ownHeader, rawTarget, withParams } from './merge.ts';
import { runArgs } from './patience.ts';
import { PreparedRequest } from './prepared-request.ts';
import { checkProxyTls, isMap, type ProxySetting, readSetting, refuseBoth } from './proxy-setting.ts';
import { encodeContent } from './request-content.ts';
import { SessionAxios } from './session-axios.ts';
import { SessionClosedError } from './session-errors.ts';
import type {
  ClientCertificate,
  Cookies,
  QueryParams,
  RequestData,
  RequestOptions,
  SessionOptions,
} from './session-options.ts';
import { VERSION } from './version.ts';

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
  readonly #connections = new Set<number>();
  #headers: HeaderBag;
  #jar: CookieJar;
  #proxy: ProxySetting | null;
  #axios: SessionAxios | null = null;
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
    } = defaults;
    for (const name of Object.keys(behaviour)) if (!Object.hasOwn(DEFAULT_BEHAVIOUR, name)) refuseUnknown(name);
    // An environment that is broken harms the request that needs it; the rest is refused at once.
    resolveRoute(ANYWHERE, { noProxy, trustEnv, env: {} });
    this.#ownsTransport = transport === undefined && (maxSockets !== undefined || maxIdleSockets !== undefined);
    this.transport = chooseTransport({ transport, maxSockets, maxIdleSockets });
    this.transport.check({ tls, proxyTls, timeout });
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
    if (proxyTls !== undefined && this.#proxy !== null) checkProxyTls(this.#proxy);
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
    this.#axios ??= new SessionAxios({
      snapshot: () => asNow(this.#snapshot()),
      settle: (defaults, options) => this.#settle(defaults, options),
      prepare: (defaults, args, settings) => this.#prepare(defaults, args, settings),
    });
    return this.#axios.instance;
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
    const defaults = this.#snapshot();
    const settings = this.#settle(defaults, options);
    if (!settings.hooks.has('args')) return await this.#prepare(defaults, { ...options, method, url }, settings).send();
    const kept = asNow(defaults);
    return await this.#resettle(kept, await runArgs(settings, { ...options, method, url }, undefined)).send();
  }

  /**
   * Makes a request without sending it. Everything is settled now: what changes on the session later is not for it. The
   * hook `args` runs when it is sent, and sees what it has come to by then.
   * @throws InvalidOptionError if the URL is not absolute, or an option is unknown, cannot be used, or contradicts another
   */
  prepare(method: string, url: string | URL, options: RequestOptions = {}): PreparedRequest {
    const defaults = this.#snapshot();
    const settings = this.#settle(defaults, options);
    const args = { ...options, method, url };
    if (!settings.hooks.has('args')) return this.#prepare(defaults, args, settings);
    return this.#prepare(asNow(defaults), args, settings, options);
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
    if (this.#ownsTransport) await this.transport.close();
    else this.transport.closeIdle(this.#connections);
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
      note: this.#note,
    };
  }

  #settle(defaults: Defaults, options: RequestOptions): CallSettings {
    if (this.#closing !== null) throw new SessionClosedError();
    checkCallNames(options);
    return settleCall(defaults, options);
  }

  /** With what the hook `args` has made of the arguments. */
  #resettle(defaults: Defaults, args: RequestArgs): PreparedRequest {
    const { method: _, url: __, ...options } = args;
    return this.#prepare(defaults, args, this.#settle(defaults, options));
  }

  /** @param hooked the options, if the hook `args` has yet to see them */
  #prepare(
    defaults: Defaults,
    args: RequestArgs,
    settings: CallSettings,
    hooked: RequestOptions | null = null,
  ): PreparedRequest {
    const { method, url } = args;
    const content = encodeContent(args);
    const target = withParams(parseUrl(url), defaults.params, args.params);
    const headers = mergeContentHeaders(defaults.headers, content, args.headers);
    if (args.cookies !== undefined) yieldToCookies(headers, args.headers);
    const init = {
      method: method.toUpperCase(),
      url: target,
      target: settings.behaviour.encodeUri ? null : rawTarget(url, defaults.params, args.params),
      headers,
      content,
    };
    return new PreparedRequest(init, (request, signal) =>
      hooked === null
        ? this.#send(settings, request, signal, (options) =>
            settleCall({ ...defaults, behaviour: settings.behaviour }, { ...args, ...options }),
          )
        : this.#sendHooked(defaults, settings, hooked, request, signal),
    );
  }

  async #send(
    settings: CallSettings,
    request: PreparedRequest,
    signal: AbortSignal | undefined,
    resettle: (options: RequestOptions) => CallSettings,
  ): Promise<HttpResponse> {
    if (this.#closing !== null) throw new SessionClosedError();
    const axios = this.#axios?.instance;
    if (axios !== undefined && hasInterceptors(axios))
      return await new AxiosPassage({ settings, request, signal, resettle }).through(axios);
    return await new Call(settings, request, signal).send();
  }

  async #sendHooked(
    defaults: Defaults,
    settings: CallSettings,
    options: RequestOptions,
    request: PreparedRequest,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const { json: _, files: __, params: ___, ...rest } = options;
    const { method, headers } = request;
    const data = dataOf(request);
    const seen = { ...rest, method, url: writtenUrl(request), headers, ...(data !== null && { data }) };
    const args = await runArgs(settings, seen, signal);
    return await this.#resettle({ ...defaults, headers: {}, params: {} }, args).send({ signal });
  }

  readonly #note = (connection: ConnectionInfo | null): void => {
    if (connection === null) return;
    this.#connections.add(connection.id);
    if (this.#closing !== null) this.transport.closeIdle(this.#connections);
    else if (this.#connections.size > MOST_CONNECTIONS) this.#forgetClosed();
  };

  #forgetClosed(): void {
    const open = new Set(this.transport.connections.map(({ id }) => id));
    for (const id of this.#connections) if (!open.has(id)) this.#connections.delete(id);
  }

  static {
    printAs<Session>(Session.prototype, (session) => ({ Session: session.toJSON() }));
  }
}

/** The body; one that can be begun again as the function that does so. */
function dataOf(request: PreparedRequest): RequestData | null {
  const { body } = request;
  if (body === null || typeof body === 'string' || body instanceof Uint8Array || !request.canRenewBody) return body;
  let isBegun = false;
  return () => {
    if (isBegun) request.renewBody();
    isBegun = true;
    return request.body ?? '';
  };
}

/** The URL, with the target in it that is to go out as it was written. */
function writtenUrl({ url, target }: PreparedRequest): URL | string {
  return target === null ? url : `${new URL('/', url).href.slice(0, -1)}${target}`;
}

/** The defaults for a call that will read them again, after its hook: what may be written to until then is copied. */
function asNow(defaults: Defaults): Defaults {
  const { headers, params, behaviour } = defaults;
  return { ...defaults, headers: { ...headers }, params: { ...params }, behaviour: resolveBehaviour(behaviour, {}) };
}

// Beyond this most of them are long closed.
const MOST_CONNECTIONS = 1_000;

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

/** A default header must not swallow the cookies of a call. @throws InvalidOptionError if the call gives both */
function yieldToCookies(headers: Record<string, string>, call: RequestOptions['headers']): void {
  if (ownHeader(call, 'cookie') !== undefined)
    throw new InvalidOptionError('cookies', 'contradict the header Cookie; give one of them');
  for (const name of Object.keys(headers)) if (name.toLowerCase() === 'cookie') delete headers[name];
}
