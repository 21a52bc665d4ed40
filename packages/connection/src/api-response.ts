import { Readable } from 'node:stream';
import { types } from 'node:util';
import type { HttpResponse } from '@cloudlane/session';
import { maskUrl, printAs } from '@cloudlane/transport';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { MalformedResponseError } from './provider-errors.ts';

/** A provider's answer, checked and parsed. */
export class ApiResponse<T = unknown> {
  /** The body as the provider means it: parsed JSON or XML, text, or a stream. */
  readonly object: T;
  readonly status: number;
  readonly headers: HttpResponse['headers'];
  /** The answer below: route, explanation, connection, elapsed. */
  readonly http: HttpResponse;

  constructor(http: HttpResponse, object: T, headers: HttpResponse['headers'] = http.headers) {
    this.http = http;
    this.status = http.status;
    this.headers = headers;
    this.object = object;
  }

  /** Safe to log as far as `object` is. */
  toJSON(): Record<string, unknown> {
    const { status, object, http } = this;
    return { status, object, request: http.request };
  }

  static {
    printAs<ApiResponse>(ApiResponse.prototype, (response) => response.toJSON());
  }
}

/** An answer in JSON. An empty body is `null`. */
export class JsonResponse<T = unknown> extends ApiResponse<T> {}

/** An answer in XML, as objects: text as strings, repeated elements as lists. An empty body is `null`. */
export class XmlResponse<T = unknown> extends ApiResponse<T> {}

/** An answer whose body is left as a stream; read it or destroy it, its connection waits for that. */
export class RawResponse extends ApiResponse<Readable> {
  /** @throws StreamConsumedError if the body was taken as a stream */
  static async of(http: HttpResponse): Promise<RawResponse> {
    if (!http.bodyUsed) return new RawResponse(http, http.body);
    // A hook has read it: its content is there, and no longer encoded.
    const stream = Readable.from([await http.content()], { objectMode: false });
    const { 'content-encoding': encoding, 'content-length': length, ...rest } = http.headers;
    return new RawResponse(http, stream, encoding === undefined ? http.headers : rest);
  }
}

/** How a connection's provider speaks. */
export type ResponseFormat = 'json' | 'xml';

/** Reads a body in a provider's format. @throws MalformedResponseError if it is not in that format */
export async function parseAs(format: ResponseFormat, http: HttpResponse, provider: string): Promise<unknown> {
  const text = await http.text();
  if (text.trim() === '') return null;
  try {
    return format === 'json' ? JSON.parse(text) : parseXml(text);
  } catch (error) {
    const contentType = http.headers['content-type'] ?? null;
    const why = types.isNativeError(error) ? withoutExcerpt(error.message) : 'unknown fault';
    const hint = /html/i.test(contentType ?? '')
      ? ' (it is an HTML page: something between here and the provider answered)'
      : '';
    throw new MalformedResponseError(`it is not ${format.toUpperCase()}${hint}: ${why}`, {
      provider,
      request: `${http.request.method} ${maskUrl(http.url)}`,
      status: http.status,
      contentType,
      body: text,
    });
  }
}

// The parser's own defaults change data: 00123 becomes 123, 1e5 becomes 100000, blanks and numeric entities are lost.
const XML = new XMLParser({
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  htmlEntities: true,
  ignoreAttributes: true,
  ignoreDeclaration: true,
  // The line breaks of indented documents are no text; what an element without others contains is, blank or not.
  tagValueProcessor: (_name, text, _path, _hasAttributes, isLeaf) => (!isLeaf && text.trim() === '' ? '' : undefined),
});

/** A message of `JSON.parse` without the piece of the text that it quotes. */
function withoutExcerpt(message: string): string {
  return message.replace(/, (\.\.\.)?".*$/s, '');
}

function parseXml(text: string): unknown {
  if (text.includes('<!DOCTYPE') && withoutOpaque(text).includes('<!DOCTYPE'))
    throw new Error('document types are not accepted');
  const valid = XMLValidator.validate(text);
  if (valid !== true) throw new Error(`${valid.err.msg} (line ${valid.err.line})`);
  return XML.parse(text);
}

/** The document without what may contain any characters: comments and CDATA. */
function withoutOpaque(text: string): string {
  return text.replace(/<!--.*?-->|<!\[CDATA\[.*?\]\]>/gs, '');
}
