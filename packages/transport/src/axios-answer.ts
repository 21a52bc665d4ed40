import { pipeline, type Readable, Transform } from 'node:stream';
import { AxiosError, AxiosHeaders, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';
import { decodeBody, isDecodingFault } from './content-encoding.ts';
import type { CloudlaneError } from './errors.ts';
import { messageOf } from './foreign-error.ts';
import { maskHeaders, maskUrl } from './masking.ts';
import { printAs, serializeAs } from './printing.ts';
import type { TransportResponse } from './transport-response.ts';

/** The answer's body in the form that `responseType` asks for. `release` is called once it is read. */
export async function readData(
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
    if (isDecodingFault(error)) throw new AxiosError(messageOf(error), AxiosError.ERR_BAD_RESPONSE);
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

/** What axios calls `request`: here only what may be printed of it. */
export interface SentRequest {
  readonly method: string;
  readonly url: string;
}

/** The answer as axios gives it. */
export function toAxiosResponse(
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

/** The error for a status that `validateStatus` does not take. */
export function statusError(
  response: AxiosResponse,
  config: InternalAxiosRequestConfig,
  request: SentRequest,
): AxiosError {
  const code = response.status < 500 ? AxiosError.ERR_BAD_REQUEST : AxiosError.ERR_BAD_RESPONSE;
  return unprintable(
    new AxiosError(`Request failed with status code ${response.status}`, code, config, request, response),
    request,
  );
}

/** Third-party code asks `axios.isAxiosError` and reads `config`; the error stays the typed one. */
export function asAxiosError(
  error: CloudlaneError,
  config: InternalAxiosRequestConfig,
  request: SentRequest,
): CloudlaneError {
  for (const [name, value] of Object.entries({ isAxiosError: true, config, request })) {
    Object.defineProperty(error, name, { value, enumerable: false, configurable: true });
  }
  return error;
}

/** A config holds every header of its request, credentials included; it must not be printed along. */
export function unprintable<
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
