import { InvalidOptionError } from '@cloudlane/proxy';
import {
  type AxiosInstance,
  type ConnectionInfo,
  hasInterceptors,
  isBuffered,
  parseUrl,
  type Transport,
} from '@cloudlane/transport';
import { AxiosPassage } from './axios-passage.ts';
import { resolveBehaviour } from './behaviour.ts';
import { Call } from './call.ts';
import { type CallSettings, checkCallNames, type Defaults, settleCall } from './call-settings.ts';
import type { RequestArgs } from './hooks.ts';
import type { HttpResponse } from './http-response.ts';
import { mergeContentHeaders, ownHeader, rawTarget, readParams, withParams } from './merge.ts';
import { runArgs } from './patience.ts';
import { PreparedRequest, type SendOptions } from './prepared-request.ts';
import { encodeContent } from './request-content.ts';
import { SessionAxios } from './session-axios.ts';
import { SessionClosedError } from './session-errors.ts';
import type { RequestData, RequestOptions } from './session-options.ts';

/** Makes the calls of a session of what it was given, sends them, and keeps account of the connections they took. */
export class CallMaker {
  readonly #transport: Transport;
  readonly #snapshot: () => Defaults;
  readonly #connections = new Set<number>();
  #axios: SessionAxios | null = null;
  #isClosed = false;

  /** Notes a connection that has carried a request of the session. */
  readonly note = (connection: ConnectionInfo | null): void => {
    if (connection === null) return;
    this.#connections.add(connection.id);
    if (this.#isClosed) this.#transport.closeIdle(this.#connections);
    else if (this.#connections.size > MOST_CONNECTIONS) this.#forgetClosed();
  };

  /** @param snapshot what the session gives a call that begins now */
  constructor(transport: Transport, snapshot: () => Defaults) {
    this.#transport = transport;
    this.#snapshot = snapshot;
  }

  /** See `Session.axios`; made when first asked for. */
  get axios(): AxiosInstance {
    this.#axios ??= new SessionAxios({
      snapshot: () => asNow(this.#snapshot()),
      settle: (defaults, options) => this.settle(defaults, options),
      prepare: (defaults, args, settings) => this.make(defaults, args, settings),
    });
    return this.#axios.instance;
  }

  /** See `Session.request`. @param args the options, and what is asked for */
  async request(defaults: Defaults, args: RequestArgs, options: RequestOptions): Promise<HttpResponse> {
    const settings = this.settle(defaults, options);
    if (!settings.hooks.has('args')) return await this.make(defaults, args, settings).send();
    const kept = asNow(defaults);
    return await this.#resettle(kept, await runArgs(settings, args, undefined)).send();
  }

  /** See `Session.prepare`. @param args the options, and what is asked for */
  prepare(defaults: Defaults, args: RequestArgs, options: RequestOptions): PreparedRequest {
    const settings = this.settle(defaults, options);
    if (!settings.hooks.has('args')) return this.make(defaults, args, settings);
    return this.make(asNow(defaults), args, settings, options);
  }

  /** No more calls; the connections of those so far are closed once they are idle. */
  close(): void {
    this.#isClosed = true;
    this.#transport.closeIdle(this.#connections);
  }

  /** @throws SessionClosedError; InvalidOptionError if an option is unknown, cannot be used, or contradicts another */
  settle(defaults: Defaults, options: RequestOptions): CallSettings {
    if (this.#isClosed) throw new SessionClosedError();
    checkCallNames(options);
    return settleCall(defaults, options);
  }

  /** With what the hook `args` has made of the arguments. */
  #resettle(defaults: Defaults, args: RequestArgs): PreparedRequest {
    const { method: _, url: __, ...options } = args;
    return this.make(defaults, args, this.settle(defaults, options));
  }

  /**
   * A request, and the call that it makes when it is sent.
   * @param hooked the options, if the hook `args` has yet to see them
   */
  make(
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
    return new PreparedRequest(init, (request, options) =>
      hooked === null
        ? this.#send(settings, request, options, (changed) =>
            settleCall({ ...defaults, behaviour: settings.behaviour }, { ...args, ...changed }),
          )
        : this.#sendHooked(defaults, settings, hooked, request, options),
    );
  }

  async #send(
    settings: CallSettings,
    request: PreparedRequest,
    { signal, carry }: SendOptions,
    resettle: (options: RequestOptions) => CallSettings,
  ): Promise<HttpResponse> {
    if (this.#isClosed) throw new SessionClosedError();
    const carried = carry === undefined ? settings : { ...settings, carry };
    const axios = this.#axios?.instance;
    if (axios !== undefined && hasInterceptors(axios))
      return await new AxiosPassage({ settings: carried, request, signal, resettle }).through(axios);
    return await new Call(carried, request, signal).send();
  }

  async #sendHooked(
    defaults: Defaults,
    settings: CallSettings,
    options: RequestOptions,
    request: PreparedRequest,
    sending: SendOptions,
  ): Promise<HttpResponse> {
    const { json: _, files: __, params: ___, ...rest } = options;
    const { method, headers } = request;
    const data = dataOf(request);
    const seen = { ...rest, method, url: writtenUrl(request), headers, ...(data !== null && { data }) };
    const args = await runArgs(settings, seen, sending.signal);
    return await this.#resettle({ ...defaults, headers: {}, params: {} }, args).send(sending);
  }

  #forgetClosed(): void {
    const open = new Set(this.#transport.connections.map(({ id }) => id));
    for (const id of this.#connections) if (!open.has(id)) this.#connections.delete(id);
  }
}

// Beyond this most of them are long closed.
const MOST_CONNECTIONS = 1_000;

/** The body; one that can be begun again as the function that does so. */
function dataOf(request: PreparedRequest): RequestData | null {
  const { body } = request;
  if (body === null || isBuffered(body) || !request.canRenewBody) return body;
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
  return {
    ...defaults,
    headers: { ...headers },
    params: params ? { ...readParams(params) } : {},
    behaviour: resolveBehaviour(behaviour, {}),
  };
}

/** A default header must not swallow the cookies of a call. @throws InvalidOptionError if the call gives both */
function yieldToCookies(headers: Record<string, string>, call: RequestOptions['headers']): void {
  if (ownHeader(call, 'cookie') !== undefined)
    throw new InvalidOptionError('cookies', 'contradict the header Cookie; give one of them');
  for (const name of Object.keys(headers)) if (name.toLowerCase() === 'cookie') delete headers[name];
}
