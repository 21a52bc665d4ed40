import { Readable } from 'node:stream';
import { InvalidOptionError } from '@cloudlane/proxy';
import {
  type AxiosInstance,
  type AxiosResponse,
  answerOf,
  CloudlaneError,
  type InternalAxiosRequestConfig,
  isBuffered,
  passInterceptors,
  type RequestBody,
  type TransportRequest,
  untilAborted,
  writtenByAxios,
} from '@cloudlane/transport';
import { optionsOf } from './axios-options.ts';
import { resolveBehaviour } from './behaviour.ts';
import { Call, dropJarCookies, judge } from './call.ts';
import type { CallSettings } from './call-settings.ts';
import { failedAnswer } from './failed-answer.ts';
import type { HttpResponse } from './http-response.ts';
import { mergeHeaders, rawTarget } from './merge.ts';
import { joinSignals } from './patience.ts';
import type { PreparedRequest } from './prepared-request.ts';
import { SessionAnswer } from './session-answer.ts';
import type { RequestOptions } from './session-options.ts';

/** Where a config of axios keeps the call it is for. A symbol: interceptors copy it with the rest, and do not print it. */
export const CALL: unique symbol = Symbol('call');

/** A call of the session on its way through the interceptors of its axios. */
export interface Passenger {
  readonly request: PreparedRequest;
  readonly settings: CallSettings;
  readonly signal: AbortSignal | undefined;
  /** The settings, with options that an interceptor has set. */
  resettle(options: RequestOptions): CallSettings;
  /** Called with each answer. */
}

/** One call of the session that passes the interceptors: they see a config made of its request, and what they make of it is sent. */
export class AxiosPassage {
  readonly #passenger: Passenger;
  readonly #signal: AbortSignal | undefined;
  readonly #started = performance.now();
  /** What the interceptors are shown. */
  readonly #method: string;
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #written: Readonly<Record<string, unknown>>;
  readonly #data: unknown;
  /** Every answer that came: more than one if an interceptor has sent the config again. */
  readonly #responses = new Set<HttpResponse>();
  #history: readonly HttpResponse[] = [];
  #tries = 0;

  constructor(passenger: Passenger) {
    const { request, settings, signal } = passenger;
    this.#passenger = passenger;
    this.#signal = joinSignals(signal, settings.signal);
    this.#method = request.method;
    this.#url = request.url.href;
    this.#headers = { ...request.headers };
    this.#written = writtenByAxios(this.#headers);
    this.#data = shown(request.body);
  }

  /** @throws the errors of `Call.send`, what an interceptor rejects with, InvalidOptionError */
  async through(axios: AxiosInstance): Promise<HttpResponse> {
    return judge(await this.#outcome(axios), this.#passenger.settings.behaviour);
  }

  async #outcome(axios: AxiosInstance): Promise<HttpResponse> {
    const { request, settings } = this.#passenger;
    try {
      // axios does not end a call while an interceptor takes its time.
      const response = this.#answerBehind(await untilAborted(this.#pass(axios), this.#signal));
      this.#releaseAllBut(response);
      return response;
    } catch (error) {
      this.#releaseAllBut(null);
      const reason = reasonOf(error);
      if (!settings.behaviour.safeMode || !(reason instanceof CloudlaneError)) throw reason;
      return failedAnswer(request, reason, settings.wire, this.#history, performance.now() - this.#started);
    }
  }

  /** Sends what the interceptors have made of the request, with all that belongs to the call. */
  async send(asked: TransportRequest, config: InternalAxiosRequestConfig): Promise<SessionAnswer> {
    const { signal, ...options } = optionsOf(config, asked);
    const settings = this.#settings(options);
    const call = new Call(
      { ...settings, signal: undefined },
      this.#request(asked, config, settings),
      joinSignals(this.#signal, signal),
    );
    this.#history = call.history;
    const response = await call.send();
    this.#responses.add(response);
    return new SessionAnswer(response, true);
  }

  #pass(axios: AxiosInstance): Promise<AxiosResponse> {
    const request = { method: this.#method, url: this.#url, headers: this.#headers, data: this.#data };
    return passInterceptors(axios, Object.assign(request, { [CALL]: this }));
  }

  #settings(options: RequestOptions): CallSettings {
    const { settings, resettle } = this.#passenger;
    const chosen = Object.keys(options).length === 0 ? settings : resettle(options);
    // The caller's business, once the interceptors have seen the answer.
    return {
      ...chosen,
      carry: settings.carry,
      behaviour: resolveBehaviour(chosen.behaviour, { safeMode: false, dangerMode: false }),
    };
  }

  #request(asked: TransportRequest, config: InternalAxiosRequestConfig, settings: CallSettings): PreparedRequest {
    const { request } = this.#passenger;
    const { method = 'GET', url } = asked;
    const isSameBody = config.data === this.#data;
    const headers = this.#headersOf(asked, isSameBody);
    this.#tries += 1;
    if (this.#tries > 1 && isSameBody) request.renewBody();
    const isSameUrl = String(url) === this.#url;
    if (isSameBody && isSameUrl && method === this.#method && isSame(headers, this.#headers)) return request;
    const redirection = { method, url: new URL(url), headers, keepsBody: true, isSameOrigin: true };
    const changed = request.follow(redirection, true);
    if (isSameUrl) changed.target = request.target;
    else if (!settings.behaviour.encodeUri) changed.target = rawTarget(url);
    if (!isSameBody) changed.body = asked.body ?? null;
    dropJarCookies(request, changed);
    return changed;
  }

  #headersOf(asked: TransportRequest, isSameBody: boolean): Record<string, string> {
    const entries = Object.entries(mergeHeaders(asked.headers)).flatMap(([name, value]) => {
      const isSame = this.#written[name] === value;
      // That of another body.
      if (isSame && !isSameBody && name.toLowerCase() === 'content-length') return [];
      // Unless it was changed, in the caller's own form: what no header can carry is to be refused, not left out.
      return [[name, isSame ? (this.#headers[name] ?? value) : value] as const];
    });
    return Object.fromEntries(entries);
  }

  /** @throws InvalidOptionError if there is none */
  #answerBehind(response: AxiosResponse): HttpResponse {
    const answer = typeof response === 'object' && response !== null ? answerOf(response) : undefined;
    if (answer instanceof SessionAnswer && response.data === answer.body) return answer.response;
    throw new InvalidOptionError(
      'interceptors.response',
      'returned something else than an answer of session.axios with its stream in data; to change what calls of the session get, write the hook response',
    );
  }

  #releaseAllBut(kept: HttpResponse | null): void {
    for (const response of this.#responses) if (response !== kept && !response.bodyUsed) response.release();
  }
}

/** The body, in a form that axios hands on as it is: what looks like a plain object it would copy. */
function shown(body: RequestBody | null): unknown {
  if (body === null || isBuffered(body)) return body;
  return body instanceof Readable || 'getReader' in body ? body : Readable.from(body);
}

function isSame(headers: Readonly<Record<string, string>>, others: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(headers);
  return names.length === Object.keys(others).length && names.every((name) => headers[name] === others[name]);
}

/** What has failed: axios tells it in its own error, whose cause is ours. */
function reasonOf(error: unknown): unknown {
  const isAxiosError = typeof error === 'object' && error !== null && 'isAxiosError' in error && 'cause' in error;
  return isAxiosError && error.cause instanceof CloudlaneError ? error.cause : error;
}
