import { Readable } from 'node:stream';
import { type AxiosResponse, answerOf, type CarriedAnswer } from '@cloudlane/transport';
import type { HttpResponse } from './http-response.ts';

/** An answer of a session as its axios takes it. */
export class SessionAnswer implements CarriedAnswer {
  readonly response: HttpResponse;
  readonly status: number;
  readonly statusText: string;
  readonly headers: CarriedAnswer['headers'];
  readonly url: URL;
  readonly body: Readable;

  /** @param isShared whether the caller gets the response as well, so that its body must not be begun for nothing */
  constructor(response: HttpResponse, isShared: boolean) {
    const { status, statusText, url } = response;
    const content = response.peekContent();
    this.response = response;
    this.status = status;
    this.statusText = statusText;
    this.url = url;
    this.headers = content === null ? response.headers : withoutEncoding(response);
    if (content !== null) this.body = streamOf([content]);
    else this.body = isShared ? streamOf(bodyWhenRead(response)) : response.body;
  }
}

/** The answer behind a response of `session.axios`: its redirects, route and timings; undefined if it is of another axios. */
export function httpResponseOf(response: AxiosResponse): HttpResponse | undefined {
  const answer = answerOf(response);
  return answer instanceof SessionAnswer ? answer.response : undefined;
}

// The content has been decoded.
function withoutEncoding({ headers }: HttpResponse): CarriedAnswer['headers'] {
  const { 'content-encoding': _, ...rest } = headers;
  return rest;
}

function streamOf(chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Readable {
  return Readable.from(chunks, { objectMode: false });
}

async function* bodyWhenRead(response: HttpResponse): AsyncGenerator<Buffer> {
  yield* response.body;
}
