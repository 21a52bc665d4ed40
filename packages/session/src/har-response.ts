import { filterBody, filterText } from './body-filter.ts';
import type { HarContent, HarCookie, HarPair, HarResponse } from './har-format.ts';
import type { HttpResponse } from './http-response.ts';
import type { SecretFilter } from './secret-filter.ts';
import { decodeText } from './text.ts';

/** What stands for the answer of a request that failed. */
export const NO_RESPONSE: HarResponse = {
  status: 0,
  statusText: '',
  httpVersion: 'HTTP/1.1',
  cookies: [],
  headers: [],
  content: { size: 0, mimeType: '' },
  redirectURL: '',
  headersSize: -1,
  bodySize: -1,
};

/** What the archive tells of the head of an answer; leads to neither the answer nor its connection. */
export interface AnswerHead {
  /** Of the request. */
  readonly method: string;
  readonly status: number;
  readonly statusText: string;
  readonly headers: HttpResponse['headers'];
}

/** What is known of the body of an answer. */
export interface AnswerBody {
  /** Whether it has come to its end. */
  readonly isRead: boolean;
  /** All of it, if it was asked for as a whole. */
  readonly content: Buffer | null;
  /** The charset of its text. */
  readonly encoding: string | null;
}

/**
 * An answer in the archive's terms, without its secrets, as far as it has been read.
 * @param limit bytes up to which its body is kept
 */
export function toHarResponse(head: AnswerHead, body: AnswerBody, filter: SecretFilter, limit: number): HarResponse {
  const { status, statusText, headers } = head;
  const bodySize = receivedBytes(head, body);
  return {
    ...NO_RESPONSE,
    status,
    statusText,
    cookies: (headers['set-cookie'] ?? []).map((line) => toCookie(line, filter)),
    headers: toPairs(headers, filter),
    content: toContent(head, body, bodySize, filter, limit),
    redirectURL: filter.header('location', headers.location ?? ''),
    bodySize,
  };
}

function toPairs(headers: AnswerHead['headers'], filter: SecretFilter): HarPair[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    [values ?? []].flat().map((value) => ({ name, value: filter.header(name, value) })),
  );
}

// As it came over the wire; of what is not told, only an answer that was not encoded shows it.
function receivedBytes({ method, status, headers }: AnswerHead, { isRead, content }: AnswerBody): number {
  if (method === 'HEAD' || status === 204 || status === 304) return 0;
  if (!isRead) return -1;
  if (content !== null && !isEncoded(headers)) return content.length;
  return headers['content-length'] === undefined ? -1 : Number(headers['content-length']);
}

function isEncoded(headers: AnswerHead['headers']): boolean {
  return (headers['content-encoding'] ?? 'identity') !== 'identity';
}

function toContent(
  { headers }: AnswerHead,
  { content: bytes, encoding }: AnswerBody,
  bodySize: number,
  filter: SecretFilter,
  limit: number,
): HarContent {
  const mimeType = headers['content-type'] ?? '';
  if (bytes === null) return { size: isEncoded(headers) ? 0 : Math.max(0, bodySize), mimeType };
  const compression = bytes.length - bodySize;
  const content = { size: bytes.length, ...(isEncoded(headers) && bodySize >= 0 && { compression }), mimeType };
  if (limit === 0) return content;
  if (bytes.length > limit) return { ...content, comment: `not kept, as it has more than ${limit} bytes` };
  const text = decodeText(bytes, encoding);
  // Bytes that are no text come out as replacement characters; what they are, nobody knows.
  if (text.includes('\ufffd'))
    return { ...content, text: unlessShown(bytes, mimeType, filter).toString('base64'), encoding: 'base64' };
  return { ...content, text: filter.shows('body') ? text : filterText(text, mimeType, filter) };
}

function unlessShown(bytes: Buffer, mimeType: string, filter: SecretFilter): Buffer {
  return filter.shows('body') ? bytes : filterBody(bytes, mimeType, filter);
}

// RFC 6265 §5.2; the last attribute of a name counts.
function toCookie(line: string, filter: SecretFilter): HarCookie {
  const [first = '', ...rest] = line.split(';');
  const [name, value] = split(first);
  const attributes = new Map(rest.map((part) => split(part)).map(([key, text]) => [key.toLowerCase(), text]));
  const [path, domain, expires] = ['path', 'domain', 'expires'].map((key) => attributes.get(key));
  const until = new Date(expires ?? Number.NaN);
  return {
    name,
    value: filter.cookie('set-cookie', name, value),
    ...(path !== undefined && { path }),
    ...(domain !== undefined && { domain }),
    ...(!Number.isNaN(until.getTime()) && { expires: until.toISOString() }),
    httpOnly: attributes.has('httponly'),
    secure: attributes.has('secure'),
  };
}

function split(pair: string): [name: string, value: string] {
  const equals = pair.indexOf('=');
  return equals === -1 ? [pair.trim(), ''] : [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()];
}
