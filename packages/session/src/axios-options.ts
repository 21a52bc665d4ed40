import { InvalidOptionError } from '@cloudlane/proxy';
import type { InternalAxiosRequestConfig, TransportRequest } from '@cloudlane/transport';
import type { Defaults } from './call-settings.ts';
import type { QueryParams, RequestOptions } from './session-options.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** What `session.axios` takes in a call's config, besides what `transport.axios` takes. Axios' own options stay its own. */
export type SessionAxiosOptions = Omit<
  RequestOptions,
  // axios has its own, or others for them.
  | ('headers' | 'params' | 'auth' | 'data' | 'timeout' | 'signal' | 'onUploadProgress' | 'onDownloadProgress')
  | ('maxRedirects' | 'json' | 'files' | 'safeMode' | 'dangerMode')
  | ('http_proxy' | 'noProxy')
>;

declare module '@cloudlane/transport' {
  interface AxiosCallOptions extends Writable<SessionAxiosOptions> {}
}

const TAKEN: Readonly<Record<keyof SessionAxiosOptions, true>> = {
  proxies: true,
  verify: true,
  cert: true,
  cookies: true,
  hooks: true,
  hookErrors: true,
  prefetch: true,
  keepAlive: true,
  maxRetries: true,
  allowRedirects: true,
  allowInsecureRedirects: true,
  strictMode: true,
  encodeUri: true,
  verbose: true,
  debug: true,
};

// Options of a session's calls that an axios has others for; and what to write instead.
const NOT_TAKEN: Readonly<Record<string, string>> = {
  json: 'is a session’s; write data',
  files: 'is a session’s; write a FormData in data, or use postForm()',
  safeMode: 'is a session’s; axios tells errors by rejecting',
  dangerMode: 'is a session’s; write validateStatus',
};

/**
 * The options of a session's call that a config of its axios holds.
 * @throws InvalidOptionError naming one that axios has another for
 */
export function optionsOf(config: InternalAxiosRequestConfig, request: TransportRequest): RequestOptions {
  for (const [name, reason] of Object.entries(NOT_TAKEN)) {
    if (Reflect.get(config, name) !== undefined) throw new InvalidOptionError(name, reason);
  }
  const { maxRedirects } = config;
  const { http_proxy, noProxy, timeout, signal, onUploadProgress } = request;
  return withoutUndefined({
    ...Object.fromEntries(Object.keys(TAKEN).map((name) => [name, Reflect.get(config, name)])),
    // axios knows no other way to say so.
    ...(maxRedirects === 0 ? { allowRedirects: false } : { maxRedirects }),
    // It is in the request's headers already.
    auth: config.auth === undefined ? undefined : null,
    ...{ http_proxy, noProxy, timeout, signal, onUploadProgress },
  });
}

/** A session's defaults, with what a config says of what only a session has an option for. */
export function defaultsFor(
  defaults: Defaults,
  { params }: InternalAxiosRequestConfig,
  request: TransportRequest,
): Defaults {
  const { tls = defaults.tls, proxyTls = defaults.proxyTls, trustEnv, system } = request;
  const environment = { ...defaults.environment, ...withoutUndefined({ trustEnv, system }) };
  return { ...defaults, tls, proxyTls, environment, params: withoutNamed(defaults.params, params) };
}

/** Parameters but those that a call's own, which are in its URL already, stand in for. */
function withoutNamed(params: QueryParams, given: unknown): QueryParams {
  const names =
    given instanceof URLSearchParams
      ? [...given.keys()]
      : Object.entries(given ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  return Object.fromEntries(Object.entries(params).filter(([name]) => !names.includes(name)));
}

function withoutUndefined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
