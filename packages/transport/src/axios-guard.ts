import { InvalidOptionError } from '@cloudlane/proxy';
import { type AxiosAdapter, type AxiosInstance, type InternalAxiosRequestConfig, isAxiosError } from 'axios';
import { maskPrinting, sentBy } from './axios-error.ts';

/** The way of an instance's calls. */
export interface GuardedWay {
  readonly adapter: AxiosAdapter;
  /** Whether calls may ask for redirects to be followed. */
  readonly followsRedirects: boolean;
  /** Hears of each call before the interceptors do. */
  readonly begin: (config: InternalAxiosRequestConfig) => void;
}

/**
 * Keeps an instance of axios, and those that its `create()` makes, on its carrier's way: a call with an option
 * that would leave it fails with InvalidOptionError. Errors that axios itself makes print no more than ours.
 */
export function guardInstance(instance: AxiosInstance, way: GuardedWay): AxiosInstance {
  // axios asks whether an interceptor applies before it runs the first of them, which may take its time.
  const begin: Interceptor = {
    runWhen: (config) => {
      way.begin(config);
      return false;
    },
  };
  const check: Interceptor = {
    fulfilled: (config) => {
      refuseOtherWays(config, way);
      return config;
    },
    // Runs in the caller's stack, without a promise of its own.
    synchronous: true,
  };
  const hide: Interceptor = {
    rejected: (error) => {
      const isOfThisCall = isAxiosError(error) && error.config?.adapter === way.adapter;
      if (isOfThisCall && !Object.hasOwn(error, 'toJSON')) maskPrinting(error, sentBy(error.config ?? {}));
      throw error;
    },
  };
  // First for who has given the option, last as an interceptor may have added it, or lost ours with the whole config.
  // Which of the two is which depends on `transitional.legacyInterceptorReqResOrdering`.
  surround(instance.interceptors.request, [begin, check], [check]);
  surround(instance.interceptors.response, [hide], []);
  const { create } = instance;
  instance.create = (config) => {
    const derived = guardInstance(create(config), way);
    refuseOtherWays(derived.defaults, way);
    return derived;
  };
  return instance;
}

interface Interceptor {
  readonly fulfilled?: <T extends object>(value: T) => T;
  readonly rejected?: (error: unknown) => never;
  readonly runWhen?: (config: InternalAxiosRequestConfig) => boolean;
  readonly synchronous?: boolean;
}

type Visit = (interceptor: Interceptor) => void;

// An interceptor of ours in the manager's own list could be ejected or cleared. axios walks that list with forEach().
function surround(manager: object, before: readonly Interceptor[], after: readonly Interceptor[]): void {
  const forEach: unknown = Reflect.get(manager, 'forEach');
  if (typeof forEach !== 'function') throw new TypeError('This version of axios has other interceptors');
  const visitAll = (visit: Visit): void => {
    before.forEach(visit);
    forEach.call(manager, visit);
    after.forEach(visit);
  };
  Object.defineProperty(manager, 'forEach', { value: visitAll });
}

// Options of axios that would choose a way past the route, or that only another way has; and what to write instead.
const OTHER_WAYS: Readonly<Record<string, string>> = {
  httpAgent: 'connections are the transport’s; write its options instead',
  httpsAgent: 'connections are the transport’s; write its options (tls, proxyTls) instead',
  socketPath: 'routes lead to hosts; Unix sockets are not supported',
  transport: 'requests are sent by the transport',
  beforeRedirect: 'is not called',
  lookup: 'names are looked up by the route',
  family: 'addresses are chosen by the route',
  insecureHTTPParser: 'answers must be valid HTTP',
  http2Options: 'proxies are spoken to in HTTP/1.1',
  fetchOptions: 'is for fetch, which would not take the route',
  maxRate: 'is not supported',
};

// What the answer may be wanted as. Others axios knows are for fetch.
const RESPONSE_TYPES = ['arraybuffer', 'blob', 'document', 'json', 'stream', 'text'];

function refuseOtherWays(config: object, { adapter, followsRedirects }: GuardedWay): void {
  const option = (name: string): unknown => Reflect.get(config, name);
  const [proxy, httpVersion, env, responseType] = ['proxy', 'httpVersion', 'env', 'responseType'].map(option);
  if (proxy !== false && proxy !== undefined) {
    throw new InvalidOptionError(
      'proxy',
      'is axios’ own; write http_proxy: "http://user:password@host:port", or null for direct',
    );
  }
  if (option('adapter') !== adapter)
    throw new InvalidOptionError('adapter', 'is fixed: another one would not take the route');
  refuseRedirects(option('maxRedirects'), followsRedirects);
  if (httpVersion !== undefined && Number(httpVersion) !== 1)
    throw new InvalidOptionError('httpVersion', 'must be 1: proxies are spoken to in HTTP/1.1');
  if (typeof env === 'object' && env !== null && 'fetch' in env && env.fetch)
    throw new InvalidOptionError('env.fetch', 'would not take the route');
  if (responseType && !RESPONSE_TYPES.includes(String(responseType)))
    throw new InvalidOptionError('responseType', `must be one of ${RESPONSE_TYPES.join(', ')}`);
  for (const [name, reason] of Object.entries(OTHER_WAYS)) {
    if (option(name)) throw new InvalidOptionError(name, reason);
  }
}

function refuseRedirects(maxRedirects: unknown, followsRedirects: boolean): void {
  if (!followsRedirects && maxRedirects !== 0)
    throw new InvalidOptionError('maxRedirects', 'must be 0: redirects are not followed here');
  const isCount = maxRedirects === undefined || (Number.isSafeInteger(maxRedirects) && Number(maxRedirects) >= 0);
  if (!isCount) throw new InvalidOptionError('maxRedirects', 'must be a whole number from 0');
}
