import { PassThrough, Readable, Stream } from 'node:stream';
import axios, { AxiosError, AxiosHeaders, type InternalAxiosRequestConfig } from 'axios';
import { type AxiosCall, newAxiosError } from './axios-error.ts';
import type { Progress } from './axios-progress.ts';
import { ACCEPTED_ENCODINGS } from './content-encoding.ts';
import { isBuffered, type RequestBody } from './request-body.ts';
import { basicCredentials } from './request-headers.ts';
import type { RequestHeaders, TransportRequest } from './transport-options.ts';

/** What axios made of a call, as a request of the transport. Objects are JSON by now, URLSearchParams strings. */
export function toRequest(
  call: AxiosCall,
  signal: AbortSignal | undefined,
  upload: Progress | null,
  hasDefaultHeaders: boolean,
): TransportRequest {
  const { config, sent } = call;
  const headers = AxiosHeaders.from(config.headers);
  if (!hasDefaultHeaders) addDefaultHeaders(headers, config);
  if (config.auth) {
    const { username = '', password = '' } = config.auth;
    headers.set('Authorization', basicCredentials(username, password));
  }
  const body = limit(toBody(config.data, headers), config.maxBodyLength ?? -1, call);
  const { http_proxy, noProxy, trustEnv, system, source, tls, proxyTls } = config;
  const given = Object.fromEntries(
    Object.entries({ http_proxy, noProxy, trustEnv, system, source, tls, proxyTls }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return {
    ...given,
    ...sent,
    headers: toRecord(headers),
    body,
    signal,
    ...(config.timeout ? { timeout: config.timeout } : {}),
    ...(upload && { onUploadProgress: upload.report }),
  };
}

function addDefaultHeaders(headers: AxiosHeaders, { decompress, responseType }: InternalAxiosRequestConfig): void {
  headers.set('User-Agent', `axios/${axios.VERSION}`, false);
  if (decompress !== false && responseType !== 'stream') headers.set('Accept-Encoding', ACCEPTED_ENCODINGS, false);
}

/** null for those that axios is to send none of, written null or false. */
function toRecord(headers: AxiosHeaders): RequestHeaders {
  const unwanted = Object.entries(headers).filter(([, value]) => value === null || value === false);
  return {
    ...Object.fromEntries(unwanted.map(([name]) => [name, null])),
    ...(headers.toJSON() as Record<string, string>),
  };
}

function limit(body: RequestBody | null, most: number, call: AxiosCall): RequestBody | null {
  if (body === null || most < 0) return body;
  if (!isBuffered(body)) return limitStream(body, most, call);
  if (Buffer.byteLength(body) > most) throw bodyTooLong(call);
  return body;
}

async function* limitStream(
  body: Exclude<RequestBody, string | Uint8Array>,
  most: number,
  call: AxiosCall,
): AsyncGenerator<Uint8Array | string> {
  let length = 0;
  for await (const chunk of body) {
    length += Buffer.byteLength(chunk);
    if (length > most) throw bodyTooLong(call);
    yield chunk;
  }
}

function bodyTooLong(call: AxiosCall): AxiosError {
  return newAxiosError('Request body larger than maxBodyLength limit', AxiosError.ERR_BAD_REQUEST, call);
}

function toBody(data: unknown, headers: AxiosHeaders): RequestBody | null {
  if (data === undefined || data === null || data === '') return null;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (data instanceof Blob) {
    headers.setContentType(data.type || 'application/octet-stream');
    headers.setContentLength(data.size);
    return Readable.fromWeb(data.stream());
  }
  if (data instanceof FormData) {
    // The platform's own encoder of multipart bodies.
    const { body, headers: its } = new Response(data);
    headers.setContentType(its.get('content-type'));
    return body as unknown as RequestBody;
  }
  if (!(data instanceof Stream)) return data as RequestBody;
  addFormHeaders(data, headers);
  // The npm package form-data, which axios itself uses for postForm(), is a stream of the oldest kind.
  return data instanceof Readable ? data : data.pipe(new PassThrough());
}

/** The interface of the npm package form-data. */
interface FormStream {
  getHeaders(): Record<string, string>;
  hasKnownLength?(): boolean;
  getLengthSync?(): number;
}

function addFormHeaders(data: Stream, headers: AxiosHeaders): void {
  if (!isForm(data)) return;
  headers.set(data.getHeaders());
  if (data.getLengthSync && data.hasKnownLength?.()) headers.setContentLength(data.getLengthSync(), false);
}

function isForm(data: Stream): data is Stream & FormStream {
  return 'getHeaders' in data && typeof data.getHeaders === 'function';
}
