import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { Route, RouteExplanation } from '@cloudlane/proxy';
import type { Attempt } from './attempt.ts';
import type { ConnectionInfo } from './connection-info.ts';
import { maskHeaders, maskUrl } from './masking.ts';
import { printAs, serializeAs } from './printing.ts';
import type { Timings } from './timings.ts';

/** The answer to one request: its head, and its body as a stream. Prints as `<Response [200]>`. */
export class TransportResponse {
  readonly status: number;
  /** The reason phrase as it came; often empty. */
  readonly statusText: string;
  /** Names in lower case, as Node gives them. */
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /**
   * The body as it came, not decoded (see `decodeBody`). Read it to its end, or destroy it: until then its connection
   * is taken. Fails with a typed error if it breaks off, stalls (`timeout.idle`) or is aborted.
   */
  readonly body: Readable;
  /** The URL that was asked for. */
  readonly url: URL;
  readonly route: Route;
  /** The connection as it was when the head arrived; null if something answered in the network's place (nock). */
  readonly connection: ConnectionInfo | null;
  /** Makes `explanation`; holds nothing of the connection, for whoever keeps many answers. */
  readonly explain: () => RouteExplanation;
  readonly #attempt: Attempt;

  constructor(message: IncomingMessage, attempt: Attempt) {
    this.status = message.statusCode ?? 0;
    this.statusText = message.statusMessage ?? '';
    this.headers = message.headers;
    this.rawHeaders = message.rawHeaders;
    this.body = unprintable(message, attempt.url);
    this.url = attempt.url;
    this.route = attempt.route;
    this.connection = attempt.connection?.() ?? null;
    this.explain = attempt.explain;
    this.#attempt = attempt;
  }

  /** Why the request took its route. */
  get explanation(): RouteExplanation {
    return this.explain();
  }

  /** Where the time went; `body` and `total` are null until the body has been read to its end. */
  get timings(): Timings {
    return this.#attempt.timings;
  }

  /** Whether the request went over a connection that had carried others before. */
  get reusedConnection(): boolean {
    return this.connection !== null && this.connection.requestCount > 1;
  }

  /**
   * Whether the answer came instead of `100 Continue`: the body was not sent then, nor read if it is a stream, and can be
   * sent with another request.
   */
  get isBodyUnsent(): boolean {
    return this.#attempt.isBodyUnsent;
  }

  toString(): string {
    return `<Response [${this.status}]>`;
  }

  toJSON(): Record<string, unknown> {
    const { status, statusText, headers, url, route } = this;
    return { status, statusText, headers: maskHeaders(headers), url: maskUrl(url), route };
  }

  static {
    printAs<TransportResponse>(TransportResponse.prototype, String);
  }
}

// Node's message leads to its request, and that to every header sent, the proxy's credentials included.
function unprintable(message: IncomingMessage, url: URL): Readable {
  const show = (): string => `<Body of ${maskUrl(url)}>`;
  printAs(message, show);
  serializeAs(message, show);
  return message;
}
