import { pipeline, type Readable, Transform } from 'node:stream';
import { AxiosError, AxiosHeaders, type AxiosProgressEvent, type AxiosResponse } from 'axios';
import { type CarriedAnswer, noteAnswer } from './axios-carrier.ts';
import { type AxiosCall, maskPrinting, newAxiosError } from './axios-error.ts';
import { progressTo } from './axios-progress.ts';
import { decodeBody, isDecodingFault } from './content-encoding.ts';
import { messageOf } from './foreign-error.ts';

/** The answer as axios gives it, its body in the form that `responseType` asks for. `release` is called once it is read. */
export async function readAnswer(answer: CarriedAnswer, call: AxiosCall, release: () => void): Promise<AxiosResponse> {
  const { config, sent } = call;
  const { status, statusText } = answer;
  const received = config.onDownloadProgress ? reportDownload(answer, config.onDownloadProgress) : answer.body;
  const encoding = config.decompress === false ? undefined : answer.headers['content-encoding'];
  const decoded = decodeBody(received, encoding);
  const headers = AxiosHeaders.from(answer.headers as Record<string, string>);
  // As axios does: who reads the headers must not decode again.
  if (decoded !== received) headers.delete('content-encoding');
  const data = await readData(answer, decoded, call, release);
  noteAnswer(sent, answer);
  // Not to be printed: the place a redirect leads to may be signed.
  if (answer.url) Object.defineProperty(sent, 'res', { value: { responseUrl: answer.url.href } });
  return maskPrinting({ data, status, statusText, headers, config, request: sent }, sent);
}

async function readData(
  answer: CarriedAnswer,
  decoded: Readable,
  call: AxiosCall,
  release: () => void,
): Promise<unknown> {
  const { responseType, responseEncoding, maxContentLength = -1 } = call.config;
  const body = maxContentLength < 0 ? decoded : limitLength(decoded, maxContentLength, call);
  if (responseType === 'stream') {
    answer.body.once('close', release);
    return body;
  }
  const bytes = await readBytes(body, call);
  release();
  if (responseType === 'arraybuffer') return bytes;
  if (responseType === 'blob') return new Blob([bytes], { type: answer.headers['content-type'] ?? '' });
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
function reportDownload(answer: CarriedAnswer, listener: (event: AxiosProgressEvent) => void): Readable {
  const length = Number(answer.headers['content-length'] ?? Number.NaN);
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
  return pipeline(answer.body, counter, () => progress.flush());
}
