import { InvalidOptionError } from '@cloudlane/proxy';
import {
  type AxiosInstance,
  type Carrier,
  createAxios,
  type InternalAxiosRequestConfig,
  type RequestHeaders,
  type TransportRequest,
} from '@cloudlane/transport';
import { defaultsFor, optionsOf } from './axios-options.ts';
import { AxiosPassage, CALL } from './axios-passage.ts';
import { Call } from './call.ts';
import type { CallSettings, Defaults } from './call-settings.ts';
import type { RequestArgs } from './hooks.ts';
import type { HttpResponse } from './http-response.ts';
import { runArgs } from './patience.ts';
import type { PreparedRequest } from './prepared-request.ts';
import { SessionAnswer } from './session-answer.ts';
import type { RequestOptions } from './session-options.ts';

/** What a session lends to its axios. */
export interface AxiosHost {
  snapshot(): Defaults;
  /** @throws SessionClosedError, InvalidOptionError */
  settle(defaults: Defaults, options: RequestOptions): CallSettings;
  prepare(defaults: Defaults, args: RequestArgs, settings: CallSettings): PreparedRequest;
}

/** The axios of a session. Each of its calls is a call of the session. */
export class SessionAxios implements Carrier {
  readonly followsRedirects = true;
  readonly hasDefaultHeaders = true;
  readonly instance: AxiosInstance;
  readonly #host: AxiosHost;

  constructor(host: AxiosHost) {
    this.#host = host;
    this.instance = createAxios(this);
  }

  /** Notes what the session is like now: a call keeps it while interceptors take their time, and when it is repeated. */
  begin(config: InternalAxiosRequestConfig): void {
    const call: unknown = Reflect.get(config, CALL);
    if (call instanceof AxiosPassage || call instanceof AxiosCall) return;
    Reflect.set(config, CALL, new AxiosCall(this.#host, this.#host.snapshot()));
  }

  /** @throws the errors of `Call.send`, SessionClosedError, InvalidOptionError */
  async send(request: TransportRequest, config: InternalAxiosRequestConfig): Promise<SessionAnswer> {
    const call: unknown = Reflect.get(config, CALL);
    if (call instanceof AxiosPassage || call instanceof AxiosCall) return await call.send(request, config);
    throw new InvalidOptionError(
      'interceptors.request',
      'returned a config of its own; return the one it was given, or a copy of that ({ ...config })',
    );
  }
}

/** A call that was made on the axios of a session. */
class AxiosCall {
  readonly #host: AxiosHost;
  readonly #defaults: Defaults;

  constructor(host: AxiosHost, defaults: Defaults) {
    this.#host = host;
    this.#defaults = defaults;
  }

  async send(request: TransportRequest, config: InternalAxiosRequestConfig): Promise<SessionAnswer> {
    const defaults = defaultsFor(this.#defaults, config, request);
    const { method = 'GET', url } = request;
    const args = { ...OWN_ERRORS, ...optionsOf(config, request), ...contentOf(config, request), method, url };
    const response = await this.#call(defaults, args);
    return new SessionAnswer(response, false);
  }

  async #call(defaults: Defaults, before: RequestArgs): Promise<HttpResponse> {
    let args = before;
    let settings = this.#settle(defaults, args);
    if (settings.hooks.has('args')) {
      args = await runArgs(settings, args, undefined);
      settings = this.#settle(defaults, args);
    }
    return await new Call(settings, this.#host.prepare(defaults, args, settings), undefined).send();
  }

  #settle(defaults: Defaults, { method: _, url: __, ...options }: RequestArgs): CallSettings {
    return this.#host.settle(defaults, options);
  }
}

// An axios tells errors in its own way.
const OWN_ERRORS = { safeMode: false, dangerMode: false } as const;

/** The body, if possible as one that can follow a redirect, and the headers. */
function contentOf(
  { data, maxBodyLength = -1 }: InternalAxiosRequestConfig,
  { body, headers }: TransportRequest,
): Pick<RequestOptions, 'data' | 'headers'> {
  // Counted on its way, a body can be read but once.
  if (maxBodyLength >= 0) return { data: body, headers };
  if (data instanceof Blob) return { data, headers };
  // Its boundary is another each time it is encoded.
  if (data instanceof FormData) return { data, headers: withoutType(headers) };
  return { data: body, headers };
}

function withoutType(headers: RequestHeaders = {}): RequestHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !/^content-(?:type|length)$/i.test(name)));
}
