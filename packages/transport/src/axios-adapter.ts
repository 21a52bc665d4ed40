import { PassThrough, pipeline, Readable, Stream, Transform } from 'node:stream';
import { InvalidOptionError, type RouteSettings } from '@cloudlane/proxy';
import axios, {
  AxiosError,
  AxiosHeaders,
  type AxiosInstance,
  type AxiosResponse,
  CanceledError,
  type InternalAxiosRequestConfig,
} from 'axios';
import { ACCEPTED_ENCODINGS, decodeBody } from './content-encoding.ts';
import { CloudlaneError } from './errors.ts';
import { isError, messageOf } from './foreign-error.ts';
import { maskHeaders, maskUrl } from './masking.ts';
import { printAs, serializeAs } from './printing.ts';
import { isBuffered, type RequestBody } from './request-body.ts';
import { basicCredentials } from './request-headers.ts';
import type { TlsOptions } from './tls.ts';
import type { Transport } from './transport.ts';
import type { TransportRequest } from './transport-options.ts';
import type { TransportResponse } from './transport-response.ts';

declare module 'axios' {
  interface AxiosRequestConfig<D, P> extends Omit<RouteSettings, 'env'> {
    tls?: TlsOptions;
    proxyTls?: TlsOptions;
  }
}

/** What fills in the route settings of a call that has none of its own. */
export type RouteDefaults = () => Pick<TransportRequest, keyof RouteSettings | 'tls' | 'proxyTls' | 'timeout'>;

/** A real axios over a transport. */
export function createAxios(transport: Transport, defaults: RouteDefaults = () => ({})): AxiosInstance {
  const adapter = (config: InternalAxiosRequestConfig): Promise<AxiosResponse> => adapt(transport, defaults(), config);
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

async function adapt(
  transport: Transport,
  defaults: ReturnType<RouteDefaults>,
  config: InternalAxiosRequestConfig,
): Promise<AxiosResponse> {
  const abort = followCancellation(config);
  const url = axios.getUri(config);
  const sent = { method: config.method?.toUpperCase() ?? 'GET', url };
  try {
    const response = await transport.send(toRequest(defaults, config, url, abort.signal));
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

function toRequest(
  defaults: ReturnType<RouteDefaults>,
  config: InternalAxiosRequestConfig,
  url: string,
  signal: AbortSignal | undefined,
): TransportRequest {
  const headers = AxiosHeaders.from(config.headers);
  const decompress = config.decompress !== false && config.responseType !== 'stream';
  if (decompress) headers.set('Accept-Encoding', ACCEPTED_ENCODINGS, false);
  if (config.auth) headers.set('Authorization', basicCredentials(config.auth.username, config.auth.password));
  const body = limit(toBody(config.data, headers), config.maxBodyLength ?? -1);
  const { http_proxy, noProxy, trustEnv, system, source, tls, proxyTls, onUploadProgress } = config;
  const given = Object.fromEntries(
    Object.entries({ http_proxy, noProxy, trustEnv, system, source, tls, proxyTls }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return {
    ...defaults,
    ...given,
    method: config.method,
    url,
    headers: headers.toJSON() as Record<string, string>,
    body,
    signal,
    ...(config.timeout ? { timeout: config.timeout } : {}),
    ...(onUploadProgress && {
      onUploadProgress: (loaded: number, total: number | null) =>
        onUploadProgress({
          loaded,
          ...(total === null ? {} : { total }),
          bytes: loaded,
          lengthComputable: total !== null,
          upload: true,
        }),
    }),
  };
}

function limit(body: RequestBody | null, most: number): RequestBody | null {
  if (body === null || most < 0) return body;
  if (!isBuffered(body)) return limitStream(body, most);
  if (Buffer.byteLength(body) > most) throw bodyTooLong();
  return body;
}

async function* limitStream(
  body: Exclude<RequestBody, string | Uint8Array>,
  most: number,
): AsyncGenerator<Uint8Array | string> {
  let length = 0;
  for await (const chunk of body) {
    length += Buffer.byteLength(chunk);
    if (length > most) throw bodyTooLong();
    yield chunk;
  }
}

function bodyTooLong(): AxiosError {
  return new AxiosError('Request body larger than maxBodyLength limit', AxiosError.ERR_BAD_REQUEST);
}

// After axios' transformRequest: objects are JSON by now, URLSearchParams strings.
function toBody(data: unknown, headers: AxiosHeaders): RequestBody | null {
  if (data === undefined || data === null || data === '') return null;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (data instanceof FormData || data instanceof Blob) {
    // The platform's own encoder of multipart bodies.
    const encoded = new Response(data);
    const type = encoded.headers.get('content-type');
    if (type) headers.setContentType(type);
    return encoded.body as unknown as RequestBody;
  }
  if (!(data instanceof Stream)) return data as RequestBody;
  // The npm package form-data, which axios itself uses for postForm(), is a stream of the oldest kind.
  if ('getHeaders' in data && typeof data.getHeaders === 'function') headers.set(data.getHeaders());
  return data instanceof Readable ? data : data.pipe(new PassThrough());
}

async function readData(
  response: TransportResponse,
  config: InternalAxiosRequestConfig,
  release: () => void,
): Promise<unknown> {
  const { responseType, decompress, onDownloadProgress } = config;
  const received = onDownloadProgress ? reportDownload(response, onDownloadProgress) : response.body;
  const body = decompress === false ? received : decodeBody(received, response.headers['content-encoding']);
  // As axios does: who reads the headers must not decode again.
  if (body !== received) delete response.headers['content-encoding'];
  if (responseType === 'stream') {
    response.body.once('close', release);
    return body;
  }
  const bytes = await readBytes(body, config);
  release();
  if (responseType === 'arraybuffer') return bytes;
  const text = bytes.toString((config.responseEncoding as BufferEncoding | undefined) ?? 'utf8');
  // As axios does: a byte order mark is no part of the text.
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

async function readBytes(body: Readable, config: InternalAxiosRequestConfig): Promise<Buffer> {
  const { maxContentLength: most = -1 } = config;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      if (most >= 0 && length > most) {
        throw new AxiosError(`maxContentLength size of ${most} exceeded`, AxiosError.ERR_BAD_RESPONSE);
      }
    }
  } catch (error) {
    // What a decoder says of a corrupt body.
    if (isError(error) && 'errno' in error) throw new AxiosError(messageOf(error), AxiosError.ERR_BAD_RESPONSE);
    throw error;
  }
  return Buffer.concat(chunks);
}

/** The body as it came, counted on its way. */
function reportDownload(
  response: TransportResponse,
  report: NonNullable<InternalAxiosRequestConfig['onDownloadProgress']>,
): Readable {
  const length = Number(response.headers['content-length'] ?? Number.NaN);
  const total = Number.isNaN(length) ? {} : { total: length };
  let loaded = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      loaded += chunk.length;
      report({ loaded, ...total, bytes: chunk.length, lengthComputable: !Number.isNaN(length), download: true });
      callback(null, chunk);
    },
  });
  return pipeline(response.body, counter, () => {});
}

interface SentRequest {
  readonly method: string;
  readonly url: string;
}

function toAxiosResponse(
  response: TransportResponse,
  data: unknown,
  config: InternalAxiosRequestConfig,
  request: SentRequest,
): AxiosResponse {
  return unprintable(
    {
      data,
      status: response.status,
      statusText: response.statusText,
      headers: AxiosHeaders.from(response.headers as Record<string, string>),
      config,
      request,
    },
    request,
  );
}

function statusError(response: AxiosResponse, config: InternalAxiosRequestConfig, request: SentRequest): AxiosError {
  const code = response.status < 500 ? AxiosError.ERR_BAD_REQUEST : AxiosError.ERR_BAD_RESPONSE;
  return unprintable(
    new AxiosError(`Request failed with status code ${response.status}`, code, config, request, response),
    request,
  );
}

// Third-party code asks `axios.isAxiosError` and reads `config`; the error stays the typed one.
function asAxiosError(error: CloudlaneError, config: InternalAxiosRequestConfig, request: SentRequest): CloudlaneError {
  for (const [name, value] of Object.entries({ isAxiosError: true, config, request })) {
    Object.defineProperty(error, name, { value, enumerable: false, configurable: true });
  }
  return error;
}

// A config holds every header of its request, credentials included; it must not be printed along.
function unprintable<
  T extends { status?: number; headers?: unknown; data?: unknown; message?: string; code?: string; stack?: string },
>(value: T, request: SentRequest): T {
  const summary = (): Record<string, unknown> => ({
    ...(value instanceof Error ? { name: value.name, message: value.message, code: value.code } : {}),
    ...(value.status === undefined ? {} : { status: value.status }),
    ...(value instanceof Error || value.headers === undefined
      ? {}
      : {
          headers: maskHeaders(AxiosHeaders.from(value.headers as Record<string, string>).toJSON()),
          data: value.data,
        }),
    method: request.method,
    url: URL.canParse(request.url) ? maskUrl(new URL(request.url)) : null,
  });
  const show = (): unknown => (value instanceof Error ? `${value.stack} ${JSON.stringify(summary())}` : summary());
  serializeAs(value, summary);
  printAs(value, show);
  return value;
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
