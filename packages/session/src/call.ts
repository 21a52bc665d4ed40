import { InvalidOptionError } from '@cloudlane/proxy';
import {
  CloudlaneError,
  closeBody,
  haveSameProxy,
  isRedirect,
  TransportError,
  type TransportRequest,
  type TransportResponse,
  withoutIdentity,
} from '@cloudlane/transport';
import type { ResolvedBehaviour } from './behaviour.ts';
import type { CallSettings } from './call-settings.ts';
import { failedAnswer } from './failed-answer.ts';
import { HttpResponse } from './http-response.ts';
import { type Patience, patienceOf, waitFor } from './patience.ts';
import { PreparedRequest } from './prepared-request.ts';
import { isOfBody, readRedirection } from './redirects.ts';
import { TooManyRedirectsError } from './session-errors.ts';
import type { WireRequest } from './wire-observer.ts';

/**
 * One call, from its first request to the answer that its caller gets: cookies, auth, hooks, redirects, second tries.
 * What goes over the wire meanwhile are requests of the transport, each over the route that the same settings choose.
 */
export class Call {
  readonly #settings: CallSettings;
  readonly #patience: Patience;
  /** The origin that the caller asked for. */
  readonly #home: string;
  readonly #history: HttpResponse[] = [];
  /** Whether every request so far went to the origin that the caller asked for: only there may credentials go. */
  #isAtHome = true;
  /** Names of the headers that auth and hooks have set, in lower case. */
  readonly #ownHeaders = new Set<string>();
  readonly #first: PreparedRequest;

  constructor(settings: CallSettings, first: PreparedRequest, signal: AbortSignal | undefined) {
    this.#settings = settings;
    this.#first = first;
    this.#home = first.url.origin;
    this.#patience = patienceOf(settings, signal);
  }

  /** The redirects so far. */
  get history(): readonly HttpResponse[] {
    return this.#history;
  }

  /** @throws the errors of `Transport.send`, RedirectError, BodyReplayError, HttpStatusError in `dangerMode` */
  async send(): Promise<HttpResponse> {
    const { safeMode } = this.#settings.behaviour;
    const response = await this.#follow().catch((error) => {
      if (!safeMode || !(error instanceof CloudlaneError)) throw error;
      const elapsed = performance.now() - this.#patience.startedAt;
      return failedAnswer(this.#first, error, this.#settings.wire, this.#history, elapsed);
    });
    return judge(response, this.#settings.behaviour);
  }

  async #follow(): Promise<HttpResponse> {
    let request = this.#first;
    for (;;) {
      const response = await this.#ask(request);
      try {
        if (!this.#isFollowed(response)) return await this.#finish(response);
        request = await this.#redirect(response);
      } catch (error) {
        response.release();
        discard(response);
        throw error;
      }
      this.#history.push(response);
    }
  }

  #isFollowed(response: HttpResponse): boolean {
    const { allowRedirects = response.request.method !== 'HEAD' } = this.#settings.behaviour;
    return allowRedirects && isRedirect(response);
  }

  async #redirect(response: HttpResponse): Promise<PreparedRequest> {
    await response.drain();
    // Auth or a hook may have put it in the place of the one that was to be sent.
    const { request } = response;
    const { behaviour, wire } = this.#settings;
    const { maxRedirects } = behaviour;
    if (this.#history.length >= maxRedirects) throw new TooManyRedirectsError(response, maxRedirects);
    const redirection = readRedirection(response, request, behaviour);
    this.#isAtHome &&= redirection.url.origin === this.#home;
    const next = request.follow(redirection, response.isBodyUnsent);
    if (fromJar.has(request)) next.setHeader('Cookie', null);
    if (!redirection.keepsBody) discard(response);
    if (!redirection.isSameOrigin) for (const name of this.#ownHeaders) next.setHeader(name, null);
    // What was meant for one proxy is not for another; an origin never sees it.
    const isSameProxy = haveSameProxy(request.url, next.url, wire);
    next.setHeader(FOR_PROXY, (isSameProxy && request.header(FOR_PROXY)) || null);
    return next;
  }

  async #finish(response: HttpResponse): Promise<HttpResponse> {
    const { hooks, behaviour } = this.#settings;
    discard(response);
    if (behaviour.prefetch) await response.content();
    const { request } = response;
    const shown = hooks.has('response')
      ? await waitFor(hooks.run('response', response), 'the hook response', request, this.#patience)
      : response;
    // Nobody else has it any more.
    if (shown !== response && !response.bodyUsed) response.release();
    if (hooks.has('postRequest'))
      await waitFor(hooks.run('postRequest', request, shown), 'the hook postRequest', request, this.#patience);
    return shown;
  }

  /** One request of the call, with its cookies and its auth, and again after a challenge. */
  async #ask(request: PreparedRequest): Promise<HttpResponse> {
    let current = request;
    for (let tries = 1; ; tries += 1) {
      try {
        this.#addCookies(current);
        current = await this.#authorize(current);
        if (tries === 1 && request === this.#first) current = await this.#runPreRequest(current);
      } catch (error) {
        // As the transport does with what fails on the way.
        if (current.body !== null) closeBody(current.body);
        throw error;
      }
      const response = await this.#try(current);
      if (!(await this.#shouldAskAgain(current, response, tries))) return response;
      await response.drain();
      if (!response.isBodyUnsent) current.renewBody();
    }
  }

  async #runPreRequest(request: PreparedRequest): Promise<PreparedRequest> {
    const { hooks } = this.#settings;
    if (!hooks.has('preRequest')) return request;
    const before = { ...request.headers };
    const shown = await waitFor(hooks.run('preRequest', request), 'the hook preRequest', request, this.#patience);
    this.#noteHeaders(before, shown);
    return shown;
  }

  #addCookies(request: PreparedRequest): void {
    const header = request.header('Cookie');
    // The caller's own header is all there is.
    if (header !== undefined && header !== fromJar.get(request)) return;
    const { jar, cookies } = this.#settings;
    const given = this.#isAtHome ? cookies : undefined;
    const value = jar.header(request.url, { isOwnOrigin: this.#isAtHome, ...(given && { given }) });
    if (value === null && header === undefined) return;
    request.setHeader('Cookie', value);
    if (value !== null) fromJar.set(request, value);
  }

  async #authorize(request: PreparedRequest): Promise<PreparedRequest> {
    const { auth } = this.#settings;
    if (auth === null || !this.#isAtHome) return request;
    if (!auth.keepsUrlCredentials) request.dropUrlCredentials();
    const before = { ...request.headers };
    const returned = (await waitFor(auth.apply(request), 'auth', request, this.#patience)) ?? request;
    if (!(returned instanceof PreparedRequest))
      throw new InvalidOptionError('auth', 'returned something else than the request; return that, or nothing');
    const { authorization } = this.#settings;
    if (authorization !== undefined) returned.setHeader('Authorization', authorization);
    this.#noteHeaders(before, returned);
    return returned;
  }

  /** What auth and hooks have set for one origin is not for another. */
  #noteHeaders(before: Readonly<Record<string, string>>, { headers }: PreparedRequest): void {
    for (const [name, value] of Object.entries(headers)) {
      if (before[name] !== value && !isOfBody(name.toLowerCase())) this.#ownHeaders.add(name.toLowerCase());
    }
  }

  async #shouldAskAgain(request: PreparedRequest, response: HttpResponse, tries: number): Promise<boolean> {
    const { auth, authorization } = this.#settings;
    if (response.status === 417 && request.header('Expect') !== undefined) {
      // RFC 9110 §10.1.1: it does not know the expectation; without it, it may take the request.
      request.setHeader('Expect', null);
      return true;
    }
    if (response.status !== 401 || auth?.answerChallenge === undefined || authorization !== undefined) return false;
    if (!this.#isAtHome || tries >= MOST_TRIES) return false;
    try {
      return await waitFor(auth.answerChallenge(response), 'auth', request, this.#patience);
    } catch (error) {
      response.release();
      throw error;
    }
  }

  /** Sends one request, and again as often as `maxRetries` says while nothing of it has reached the origin. */
  async #try(request: PreparedRequest): Promise<HttpResponse> {
    for (let left = this.#settings.behaviour.maxRetries; ; left -= 1) {
      try {
        return await this.#carry(request);
      } catch (error) {
        if (left === 0 || !(error instanceof TransportError && error.retryable) || !request.canRenewBody) throw error;
        request.renewBody();
      }
    }
  }

  async #carry(request: PreparedRequest): Promise<HttpResponse> {
    const { transport, carry, jar, observers, onDownloadProgress } = this.#settings;
    const asked = this.#transported(request);
    const transported = carry?.adapt === undefined ? asked : carry.adapt(asked);
    const sent = observers.length === 0 ? null : { request, transported, startedAt: Date.now() };
    if (sent !== null) for (const observer of observers) observer.sending?.(sent);
    const started = performance.now();
    let carried: TransportResponse;
    try {
      carried = await (carry === undefined ? transport.send(transported) : carry(transported));
    } catch (error) {
      if (sent !== null) this.#tellFailure(sent, error);
      throw error;
    }
    this.#settings.note(carried.connection);
    const cookies = carried.headers['set-cookie'];
    if (cookies !== undefined) jar.store(request.url, cookies);
    const elapsed = performance.now() - started;
    const response = new HttpResponse({ request, carried, history: [...this.#history], elapsed, onDownloadProgress });
    if (sent !== null) for (const observer of observers) observer.answered?.(sent, response);
    return response;
  }

  #tellFailure(sent: WireRequest, error: unknown): void {
    for (const observer of this.#settings.observers) observer.failed?.(sent, error);
  }

  #transported({ method, url, headers, body, target }: PreparedRequest): TransportRequest {
    const { wire } = this.#settings;
    // Spelled out, as copies of whole objects are slow.
    return {
      method,
      url,
      target: target ?? undefined,
      headers,
      body,
      signal: this.#patience.signal,
      http_proxy: wire.http_proxy,
      source: wire.source,
      noProxy: wire.noProxy,
      env: wire.env,
      trustEnv: wire.trustEnv,
      system: wire.system,
      tls: this.#isAtHome ? wire.tls : withoutIdentity(wire.tls),
      proxyTls: wire.proxyTls,
      timeout: wire.timeout,
      startedAt: this.#patience.startedAt,
      keepAlive: wire.keepAlive,
      onUploadProgress: wire.onUploadProgress,
    };
  }
}

/**
 * What `dangerMode` makes of an answer: a status of 400 or above is an error, which `safeMode` keeps from being raised.
 * @throws HttpStatusError; the body is released
 */
export function judge(response: HttpResponse, { dangerMode, safeMode }: ResolvedBehaviour): HttpResponse {
  if (!dangerMode || response.status < 400) return response;
  if (safeMode) return response.noteStatus();
  response.release();
  return response.raiseForStatus();
}

/** The `Cookie` headers that are no caller's own. */
const fromJar = new WeakMap<PreparedRequest, string>();

/** Takes the cookies of the jar off a request that was made of another: those are looked up for each one. */
export function dropJarCookies(from: PreparedRequest, made: PreparedRequest): void {
  if (fromJar.has(from) && made.header('Cookie') === fromJar.get(from)) made.setHeader('Cookie', null);
}

const FOR_PROXY = 'Proxy-Authorization';

// As many as Digest needs whose first nonce is unknown and whose second is stale.
const MOST_TRIES = 3;

/** Closes a streamed body that was refused unread, and will not be sent. */
function discard({ request: { body }, isBodyUnsent }: HttpResponse): void {
  if (isBodyUnsent && body !== null) closeBody(body);
}
