import { type HttpProxy, InvalidOptionError, type RouteExplanation } from '@cloudlane/proxy';
import {
  type Auth,
  type Carry,
  type HttpResponse,
  type PreparedRequest,
  type QueryParams,
  Session,
  withParams,
} from '@cloudlane/session';
import {
  checkOptionNames,
  closeBody,
  maskUrl,
  printAs,
  type RequestBody,
  type RequestHeaders,
  readRetryAfter,
  type TransportRequest,
  type TransportResponse,
  type UpgradeRequest,
  webSocketUrl,
} from '@cloudlane/transport';
import { type Handshake, openWebSocket, PROTOCOL_NAMES, type RoutedWebSocket } from '@cloudlane/websocket';
import {
  type ApiResponse,
  JsonResponse,
  parseAs,
  RawResponse,
  type ResponseFormat,
  XmlResponse,
} from './api-response.ts';
import { joinPath, resolveBaseUrl } from './base-url.ts';
import type { ApiRequestOptions, ConnectionOptions, WebSocketCallOptions } from './connection-options.ts';
import { makeProviderError, type ProviderError, type ProviderErrorDetails } from './provider-errors.ts';

/** Query parameters while defaults are added: null leaves one out. */
export type MutableParams = { -readonly [K in keyof QueryParams]: QueryParams[K] };

/** Headers while defaults are added: null leaves one out. */
export type MutableHeaders = { -readonly [K in keyof RequestHeaders]: RequestHeaders[K] };

/** What the override points of one call share. */
export type CallContext = Readonly<Record<string, unknown>>;

/**
 * A connection to one provider's API; drivers extend it. Every call takes the route that was chosen: by the call's
 * `http_proxy`, by `setHttpProxy`, by the constructor, or by the environment, in this order.
 *
 * Override points, all of which may be async, in the order they are called: `morphAction`, `addDefaultParams`,
 * `addDefaultHeaders`, `encodeData`, `preConnect`, `success`, then `parseBody` or `parseError`.
 */
export class Connection {
  /** Any other URL, by the same routes and settings. Auth of the provider's API is not added there. */
  readonly session: Session;
  /** Where the API is. */
  readonly baseUrl: URL;
  readonly #auth: Auth | null;

  /**
   * @param options where, by `baseUrl` or by parts, and everything a `Session` takes
   * @param defaultBaseUrl where the API is unless `options` say
   * @throws InvalidOptionError if they do not say where, or say it twice
   * @throws InvalidProxyUrlError if `http_proxy` cannot be used
   */
  constructor(options: ConnectionOptions = {}, defaultBaseUrl?: string) {
    const { baseUrl, host, port, secure, path, auth, ...sessionOptions } = options;
    this.baseUrl = resolveBaseUrl({ baseUrl, host, port, secure, path }, defaultBaseUrl);
    if (sessionOptions.tls !== undefined && this.baseUrl.protocol === 'http:') {
      throw new InvalidOptionError(
        'tls',
        `has no effect, as the API is at ${maskUrl(this.baseUrl)}; write an https:// URL`,
      );
    }
    this.session = new Session(sessionOptions);
    this.#auth = auth ?? null;
  }

  /** Name of the provider, for errors. */
  get provider(): string {
    return this.constructor.name;
  }

  /** The proxy set by the constructor or `setHttpProxy`; undefined: the environment decides, null: direct. */
  get http_proxy(): HttpProxy | undefined {
    return this.session.http_proxy;
  }

  /**
   * Chooses the proxy for every later call. Calls under way keep theirs.
   * @param proxy null: direct; undefined: back to the environment
   * @throws InvalidProxyUrlError if it cannot be used; the old setting then stays
   */
  setHttpProxy(proxy: HttpProxy | undefined): this {
    this.session.setHttpProxy(proxy);
    return this;
  }

  /** The route a call would take now, and why. Sends nothing. */
  explain(action: string = '', options: { readonly http_proxy?: HttpProxy | undefined } = {}): RouteExplanation {
    return this.session.explain(joinPath(this.baseUrl, action), options);
  }

  /** Sends one request, as JSON or XML, and resolves with the parsed answer; with `raw`, with its stream. */
  request(action: string, options: ApiRequestOptions & { readonly raw: true }): Promise<RawResponse>;
  request<T = unknown>(action: string, options?: ApiRequestOptions): Promise<ApiResponse<T>>;
  /**
   * @throws TransportError if the request does not get through
   * @throws ProviderError, by status and code, if the provider refuses it
   * @throws MalformedResponseError if the answer is not in the API's format
   */
  async request(action: string, options: ApiRequestOptions = {}): Promise<ApiResponse> {
    const context = options.context ?? {};
    const http = await this.#send(action, options, context);
    try {
      return await this.#read(http, options.raw ?? false, context);
    } finally {
      // An override point need not look at the body; its connection must not wait for that.
      if (!http.bodyUsed) http.release();
    }
  }

  /**
   * Opens a WebSocket of the API, with all that a request has: `http_proxy`, auth, headers, parameters, deadlines and override
   * points (`preConnect` sees a GET of the https URL). Of the environment, and of an `http_proxy` that is a map, what is for
   * ws and wss counts. It stays open when the connection is closed, unless the session has a transport of its own.
   *
   * @throws the errors of `request`: what the provider answers instead of a WebSocket is a ProviderError. Its redirects are
   * not followed.
   */
  async openWebSocket(action: string, options: WebSocketCallOptions = {}): Promise<RoutedWebSocket> {
    checkOptionNames(options, WEBSOCKET_NAMES);
    const { params, headers, http_proxy, signal, timeout, context = {} } = options;
    const opened = new OpenedSockets();
    const open = async (wire: TransportRequest): Promise<TransportResponse> =>
      opened.note(await openWebSocket(this.session.transport, toUpgrade(wire), options));
    const carry: Carry = Object.assign(open, { adapt: toWebSocketUrl });
    // Raw: what it may say instead is not parsed either.
    const request = { params, headers, http_proxy, signal, timeout, raw: true };
    try {
      const http = await this.#send(action, request, context, carry);
      return await this.#handOut(http, opened.take(http), context);
    } finally {
      opened.end();
    }
  }

  /** Closes the session; see there. */
  close(): Promise<void> {
    return this.session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Safe to log. */
  toJSON(): Record<string, unknown> {
    return { provider: this.provider, baseUrl: maskUrl(this.baseUrl), ...this.session.toJSON() };
  }

  /** How the provider speaks. */
  protected get format(): ResponseFormat {
    return 'json';
  }

  /** The path of a call, before it is joined to the base URL's. */
  protected morphAction(action: string, _context: CallContext): string | Promise<string> {
    return action;
  }

  /** Adds parameters that every call has; the call's own are already there, and win. */
  protected addDefaultParams(_params: MutableParams, _context: CallContext): void | Promise<void> {}

  /** Adds headers that every call has; the call's own win. */
  protected addDefaultHeaders(_headers: MutableHeaders, _context: CallContext): void | Promise<void> {}

  /** Turns `data` into a body. Strings, bytes and streams are one already. */
  protected encodeData(data: unknown, _context: CallContext): RequestBody | Promise<RequestBody> {
    return data as RequestBody;
  }

  /** Sees the request as it will go out, last of all: the place to sign it. */
  protected preConnect(_request: PreparedRequest, _context: CallContext): void | Promise<void> {}

  /** Whether the provider did as asked. */
  protected success(response: HttpResponse, _context: CallContext): boolean | Promise<boolean> {
    return response.ok;
  }

  /** The body of an answer that was a success. */
  protected parseBody(response: HttpResponse, _context: CallContext): unknown {
    return parseAs(this.format, response, this.provider);
  }

  /** What an answer that was no success says. */
  protected async parseError(response: HttpResponse, _context: CallContext): Promise<ProviderErrorDetails> {
    return { message: (await response.text()).trim().slice(0, 200) || response.statusText };
  }

  async #send(action: string, options: ApiRequestOptions, context: CallContext, carry?: Carry): Promise<HttpResponse> {
    const { method = 'GET', http_proxy, signal, timeout, onUploadProgress } = options;
    const { json, data = null } = options;
    if (json !== undefined && data !== null) throw new InvalidOptionError('json', 'contradicts data; give one of them');
    const auth = this.#auth;
    // First of all, so that what setHttpProxy changes while the override points run is not for this call.
    const request = this.session.prepare(method, this.baseUrl, {
      ...THIS_ANSWER,
      ...(options.raw && { prefetch: false }),
      auth,
      http_proxy,
      signal,
      timeout,
      onUploadProgress,
    });
    const own = options.params instanceof URLSearchParams ? fieldsOf(options.params) : options.params;
    const params: MutableParams = { ...own };
    const headers: MutableHeaders = {
      // What is handed on as a stream is taken as it is.
      ...(options.raw ? { 'Accept-Encoding': null } : { Accept: ACCEPT[this.format] }),
      ...(json !== undefined && { 'Content-Type': 'application/json' }),
    };
    const path = await this.morphAction(action, context);
    await this.addDefaultParams(params, context);
    await this.addDefaultHeaders(headers, context);
    if (json !== undefined) request.body = JSON.stringify(json);
    else if (data !== null) request.body = await this.encodeData(data, context);
    request.url = withParams(joinPath(request.url, path), params, own);
    request.mergeHeaders(headers);
    request.mergeHeaders(options.headers);
    await this.preConnect(request, context);
    return await request.send({ carry });
  }

  async #read(http: HttpResponse, raw: boolean, context: CallContext): Promise<ApiResponse> {
    if (await this.success(http, context)) {
      return raw ? await RawResponse.of(http) : this.#wrap(http, await this.parseBody(http, context));
    }
    throw this.#refusal(http, await this.parseError(http, context));
  }

  async #handOut(http: HttpResponse, socket: RoutedWebSocket | null, context: CallContext): Promise<RoutedWebSocket> {
    try {
      if (socket !== null) return socket;
      const isSuccess = await this.success(http, context);
      throw this.#refusal(http, isSuccess ? NO_WEBSOCKET : await this.parseError(http, context));
    } finally {
      if (!http.bodyUsed) http.release();
    }
  }

  #refusal(http: HttpResponse, details: ProviderErrorDetails): ProviderError {
    return makeProviderError(details, {
      ...details,
      provider: this.provider,
      request: `${http.request.method} ${maskUrl(http.url)}`,
      status: http.status,
      retryAfter: readRetryAfter(http.headers['retry-after']) ?? details.retryAfter ?? null,
    });
  }

  #wrap(http: HttpResponse, object: unknown): ApiResponse {
    return this.format === 'json' ? new JsonResponse(http, object) : new XmlResponse(http, object);
  }

  static {
    printAs<Connection>(Connection.prototype, (connection) => connection.toJSON());
  }
}

const NO_WEBSOCKET: ProviderErrorDetails = { message: 'this was answered instead of opening a WebSocket' };

// What an API answers is for its driver to judge, whatever the session does with other answers.
const THIS_ANSWER = { allowRedirects: false, safeMode: false, dangerMode: false, encodeUri: true } as const;

const ACCEPT: Readonly<Record<ResponseFormat, string>> = { json: 'application/json', xml: 'application/xml' };

/** Names and lists of their values. */
function fieldsOf(params: URLSearchParams): QueryParams {
  return Object.fromEntries([...params.keys()].map((name) => [name, params.getAll(name)]));
}

/**
 * The handshake that a request stands for.
 * @throws InvalidOptionError if an override point has made of it what no handshake can be
 */
function toUpgrade(wire: TransportRequest): UpgradeRequest {
  const { method, url, target, body, keepAlive: _, onUploadProgress: __, ...request } = wire;
  const isBare = method === 'GET' && target === undefined && (body === null || body === undefined);
  if (!isBare) {
    if (body !== null && body !== undefined) closeBody(body);
    throw new InvalidOptionError('request', 'of a WebSocket must stay a GET without a body; leave these to requests');
  }
  return { ...request, url };
}

/** Whose route is that of a WebSocket. */
function toWebSocketUrl(wire: TransportRequest): TransportRequest {
  return { ...wire, url: webSocketUrl(new URL(wire.url)) };
}

/** The WebSockets of one call: interceptors may send it more than once, and hand out any of its answers. */
class OpenedSockets {
  // An answer keeps the headers that came with it, whatever is made of it.
  readonly #sockets = new Map<TransportResponse['headers'], RoutedWebSocket>();
  #isOver = false;

  note({ response, socket }: Handshake): TransportResponse {
    if (socket !== null && this.#isOver) socket.terminate();
    else if (socket !== null) this.#sockets.set(response.headers, socket);
    return response;
  }

  /** The one that an answer has opened; it is the caller's from then on. */
  take({ headers }: HttpResponse): RoutedWebSocket | null {
    const socket = this.#sockets.get(headers) ?? null;
    this.#sockets.delete(headers);
    return socket;
  }

  /** Closes those that nobody has taken, and those that come later. */
  end(): void {
    this.#isOver = true;
    for (const socket of this.#sockets.values()) socket.terminate();
  }
}

const WEBSOCKET_NAMES: ReadonlySet<string> = new Set([
  ...PROTOCOL_NAMES,
  ...(['params', 'headers', 'http_proxy', 'signal', 'timeout', 'context'] satisfies (keyof WebSocketCallOptions)[]),
]);
