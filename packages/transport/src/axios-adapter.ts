import { InvalidOptionError } from '@cloudlane/proxy';
import axios, { type AxiosInstance, type AxiosResponse, CanceledError, type InternalAxiosRequestConfig } from 'axios';
import { asAxiosError, readData, statusError, toAxiosResponse, unprintable } from './axios-answer.ts';
import { toRequest } from './axios-request.ts';
import { CloudlaneError } from './errors.ts';
import type { Transport } from './transport.ts';

/** A real axios over a transport. */
export function createAxios(transport: Transport): AxiosInstance {
  const adapter = (config: InternalAxiosRequestConfig): Promise<AxiosResponse> => adapt(transport, config);
  const instance = axios.create({ adapter, proxy: false, maxRedirects: 0 });
  instance.interceptors.request.use(
    (config) => {
      refuseOtherWays(config, adapter);
      return config;
    },
    null,
    // Runs in the caller's stack, without a promise of its own.
    { synchronous: true },
  );
  return instance;
}

// Options of axios that would choose a way past the route, and what to write instead.
const OTHER_WAYS: Readonly<Record<string, string>> = {
  httpAgent: 'connections are the transport’s; write its options instead',
  httpsAgent: 'connections are the transport’s; write its options (tls, proxyTls) instead',
  socketPath: 'routes lead to hosts; Unix sockets are not supported',
  transport: 'requests are sent by the transport',
  beforeRedirect: 'redirects are not followed here',
  lookup: 'names are looked up by the route',
  maxRate: 'is not supported',
};

function refuseOtherWays(config: InternalAxiosRequestConfig, adapter: unknown): void {
  if (config.proxy !== false && config.proxy !== undefined) {
    throw new InvalidOptionError(
      'proxy',
      'is axios’ own; write http_proxy: "http://user:password@host:port", or null for direct',
    );
  }
  if (config.adapter !== adapter)
    throw new InvalidOptionError('adapter', 'is fixed: another one would not take the route');
  if (config.maxRedirects !== 0)
    throw new InvalidOptionError('maxRedirects', 'must be 0: redirects are not followed here');
  const { httpVersion } = config as { httpVersion?: unknown };
  if (httpVersion !== undefined && Number(httpVersion) !== 1)
    throw new InvalidOptionError('httpVersion', 'must be 1: proxies are spoken to in HTTP/1.1');
  for (const [name, reason] of Object.entries(OTHER_WAYS)) {
    if ((config as unknown as Record<string, unknown>)[name]) throw new InvalidOptionError(name, reason);
  }
}

async function adapt(transport: Transport, config: InternalAxiosRequestConfig): Promise<AxiosResponse> {
  const abort = followCancellation(config);
  const url = axios.getUri(config);
  const sent = { method: config.method?.toUpperCase() ?? 'GET', url };
  try {
    const response = await transport.send(toRequest(config, url, abort.signal));
    const data = await readData(response, config, abort.release);
    const answer = toAxiosResponse(response, data, config, sent);
    const { validateStatus } = config;
    if (!validateStatus || validateStatus(response.status)) return answer;
    throw statusError(answer, config, sent);
  } catch (error) {
    abort.release();
    if (abort.isCancelled()) throw unprintable(new CanceledError(undefined, config, sent), sent);
    throw error instanceof CloudlaneError ? asAxiosError(error, config, sent) : error;
  }
}

interface Cancellation {
  readonly signal: AbortSignal | undefined;
  isCancelled(): boolean;
  release(): void;
}

// axios has two ways to cancel: AbortSignal and, older, CancelToken.
function followCancellation({ signal, cancelToken }: InternalAxiosRequestConfig): Cancellation {
  if (!cancelToken) {
    return {
      signal: signal as AbortSignal | undefined,
      isCancelled: () => signal?.aborted === true,
      release: () => {},
    };
  }
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  cancelToken.promise.then(abort, () => {});
  if (signal?.aborted) abort();
  signal?.addEventListener?.('abort', abort);
  return {
    signal: controller.signal,
    isCancelled: () => controller.signal.aborted,
    release: () => signal?.removeEventListener?.('abort', abort),
  };
}
