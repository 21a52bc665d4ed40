import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';
import type { RequestOptions } from './session-options.ts';

/** The arguments of a call, as the hook `args` sees and may change them. */
export interface RequestArgs extends RequestOptions {
  readonly method: string;
  readonly url: string | URL;
}

/** Sees the data, and may change or, by returning another, replace it. */
export type Hook<T> = (data: T) => T | null | undefined | void | Promise<T | null | undefined | void>;

/** Callbacks on the way of a call: a function or a list for each name. */
export interface Hooks {
  /** The arguments, before anything is made of them. */
  readonly args?: Hook<RequestArgs> | readonly Hook<RequestArgs>[] | null | undefined;
  /** The request, with auth applied, before it goes out. */
  readonly preRequest?: Hook<PreparedRequest> | readonly Hook<PreparedRequest>[] | null | undefined;
  /** The request once its answer is there, after `response`. */
  readonly postRequest?: Hook<PreparedRequest> | readonly Hook<PreparedRequest>[] | null | undefined;
  /** The answer, before the caller has it. */
  readonly response?: Hook<HttpResponse> | readonly Hook<HttpResponse>[] | null | undefined;
}
