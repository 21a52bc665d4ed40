import { type MapOptions, mapRequests, type RequestSource } from './concurrency.ts';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';
import { Session } from './session.ts';
import type { RequestOptions } from './session-options.ts';

// Each with a session of its own: nothing is kept between two of them but the connections of the shared transport.

/** `Session.request`, once. */
export function request(method: string, url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
  return new Session().request(method, url, options);
}

/** `Session.get`, once. */
export function get(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
  return request('GET', url, options);
}

/** `Session.head`, once. */
export function head(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
  return request('HEAD', url, options);
}

/** `Session.options`, once. */
export function options(url: string | URL, given?: RequestOptions): Promise<HttpResponse> {
  return request('OPTIONS', url, given);
}

/** `Session.post`, once. */
export function post(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
  return request('POST', url, options);
}

/** `Session.put`, once. */
export function put(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
  return request('PUT', url, options);
}

/** `Session.patch`, once. */
export function patch(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
  return request('PATCH', url, options);
}

/** `Session.delete`, once; exported as `delete`. */
export function remove(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
  return request('DELETE', url, options);
}

type Prepare = (url: string | URL, options?: RequestOptions) => PreparedRequest;

/** The same functions, but the requests are only made: send them with `send()` or `map()`. */
export const prepare: Readonly<
  Record<'get' | 'options' | 'head' | 'post' | 'put' | 'patch' | 'delete', Prepare> & {
    request: (method: string, url: string | URL, options?: RequestOptions) => PreparedRequest;
  }
> = {
  request: (method, url, options) => new Session().prepare(method, url, options),
  get: (url, options) => prepare.request('GET', url, options),
  options: (url, options) => prepare.request('OPTIONS', url, options),
  head: (url, options) => prepare.request('HEAD', url, options),
  post: (url, options) => prepare.request('POST', url, options),
  put: (url, options) => prepare.request('PUT', url, options),
  patch: (url, options) => prepare.request('PATCH', url, options),
  delete: (url, options) => prepare.request('DELETE', url, options),
};

/** `Session.map`, in a session of its own. */
export function map(requests: RequestSource, options?: MapOptions): Promise<(HttpResponse | Error)[]>;
export function map<T>(
  requests: RequestSource,
  options: MapOptions<T> & Required<Pick<MapOptions<T>, 'each'>>,
): Promise<(T | Error)[]>;
export function map<T>(requests: RequestSource, options: MapOptions<T> = {}): Promise<(HttpResponse | T | Error)[]> {
  return mapRequests(new Session(), requests, options);
}

/** `Session.imap`, in a session of its own. */
export function imap(requests: RequestSource, options?: Omit<MapOptions, 'each'>): AsyncIterable<HttpResponse | Error> {
  return new Session().imap(requests, options);
}
