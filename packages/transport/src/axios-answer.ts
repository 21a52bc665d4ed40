import { pipeline, type Readable, Transform } from 'node:stream';
import { AxiosError, AxiosHeaders, type AxiosProgressEvent, type AxiosResponse } from 'axios';
import { type AxiosCall, maskPrinting, newAxiosError } from './axios-error.ts';
import { progressTo } from './axios-progress.ts';
import { decodeBody, isDecodingFault } from './content-encoding.ts';
import { messageOf } from './foreign-error.ts';
import type { TransportResponse } from './transport-response.ts';

/** The answer's body in the form that `responseType` asks for. `release` is called once it is read. */
export async function readData(response: TransportResponse, call: AxiosCall, release: () => void): Promise<unknown> {
  const { responseType, responseEncoding, decompress, onDownloadProgress, maxContentLength = -1 } = call.config;
  const received = onDownloadProgress ? reportDownload(response, onDownloadProgress) : response.body;
  const decoded = decompress === false ? received : decodeBody(received, response.headers['content-encoding']);
  // As axios does: who reads the headers must not decode again.
  if (decoded !== received) delete response.headers['content-encoding'];
  const body = maxContentLength < 0 ? decoded : limitLength(decoded, maxContentLength, call);
  if (responseType === 'stream') {
    response.body.once('close', release);
    return body;
  }
  const bytes = await readBytes(body, call);
  release();
  if (responseType === 'arraybuffer') return bytes;
  if (responseType === 'blob') return new Blob([bytes], { type: response.headers['content-type'] ?? '' });
  const text = bytes.toString((responseEncoding as BufferEncoding | undefined) ?? 'utf8');
  // As axios does: a byte order mark is no part of the text.
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

async function readBytes(body: Readable, call: AxiosCall): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of body) chunks.push(chunk);
  } catch (error) {
    // What a decoder says of a corrupt body.
    if (!isDecodingFault(error)) throw error;
    throw newAxiosError(messageOf(error), AxiosError.ERR_BAD_RESPONSE, call, { cause: error });
  }
  return Buffer.concat(chunks);
}

function limitLength(body: Readable, most: number, call: AxiosCall): Readable {
  let length = 0;
  const limiter = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      length += chunk.length;
      if (length <= most) callback(null, chunk);
      else callback(newAxiosError(`maxContentLength size of ${most} exceeded`, AxiosError.ERR_BAD_RESPONSE, call));
    },
  });
  return pipeline(body, limiter, () => {});
}

/** The body as it came, counted on its way. */
function reportDownload(response: TransportResponse, listener: (event: AxiosProgressEvent) => void): Readable {
  const length = Number(response.headers['content-length'] ?? Number.NaN);
  const total = Number.isNaN(length) ? null : length;
  const progress = progressTo(listener, 'download');
  let loaded = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      loaded += chunk.length;
      progress.report(loaded, total);
      callback(null, chunk);
    },
  });
  return pipeline(response.body, counter, () => progress.flush());
}

/** The answer as axios gives it. */
export function toAxiosResponse(
  { status, statusText, headers }: TransportResponse,
  data: unknown,
  { config, sent }: AxiosCall,
): AxiosResponse {
  const given = AxiosHeaders.from(headers as Record<string, string>);
  return maskPrinting({ data, status, statusText, headers: given, config, request: sent }, sent);
}
