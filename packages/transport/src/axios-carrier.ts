import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { AxiosResponse, InternalAxiosRequestConfig } from 'axios';
import type { TransportRequest } from './transport-options.ts';

/** What an axios of ours needs of an answer. A `TransportResponse` is one. */
export interface CarriedAnswer {
  readonly status: number;
  readonly statusText: string;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** As it came, not decoded: axios decodes it by `content-encoding`, reads it, or hands it on (`responseType: 'stream'`). */
  readonly body: Readable;
  /** Where it came from, after redirects. Users of axios find it where its Node adapter has it: `request.res.responseUrl`. */
  readonly url?: URL;
}

/** Who sends the requests of an axios of ours: a `Transport`, or what stands before one. */
export interface Carrier {
  /** Whether it follows redirects, as many as `maxRedirects` of the config says, or of its own choice. @defaultValue false: a call that asks for them is refused */
  readonly followsRedirects?: boolean;
  /**
   * Whether it has a `User-Agent`, an `Accept` and an `Accept-Encoding` of its own: then axios adds none. A header that a
   * call wants left out (null or false in its config) is null in the request. @defaultValue false
   */
  readonly hasDefaultHeaders?: boolean;
  /**
   * Hears of a call as it begins, in the caller's stack and before any interceptor. What it sets in the config under a
   * symbol is there for `send`, and stays with the config when the call is repeated with it.
   */
  begin?(config: InternalAxiosRequestConfig): void;
  /**
   * Sends what axios made of a call. What the request has no place for (`maxRedirects`, options of the carrier's own) is
   * in the call's config; its `auth` is in the request's headers already.
   */
  send(request: TransportRequest, config: InternalAxiosRequestConfig): Promise<CarriedAnswer>;
}

const answers = new WeakMap<object, CarriedAnswer>();

/** Notes the answer that an axios response tells of, under that response's `request`. */
export function noteAnswer(sent: object, answer: CarriedAnswer): void {
  answers.set(sent, answer);
}

/**
 * What the carrier gave for an axios response, also after interceptors have copied it (`{ ...response, data }`);
 * undefined if it is not of an axios of ours, or its `request` was taken away.
 */
export function answerOf(response: AxiosResponse): CarriedAnswer | undefined {
  const sent: unknown = response.request;
  return typeof sent === 'object' && sent !== null ? answers.get(sent) : undefined;
}
