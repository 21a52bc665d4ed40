import { PassThrough, Readable, Stream } from 'node:stream';
import { AxiosError, AxiosHeaders, type InternalAxiosRequestConfig } from 'axios';
import { ACCEPTED_ENCODINGS } from './content-encoding.ts';
import { isBuffered, type RequestBody } from './request-body.ts';
import { basicCredentials } from './request-headers.ts';
import type { TransportRequest } from './transport-options.ts';

/** What axios made of a call, as a request of the transport. Objects are JSON by now, URLSearchParams strings. */
export function toRequest(
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
