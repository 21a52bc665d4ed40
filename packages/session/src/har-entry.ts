import type { Readable } from 'node:stream';
import { formatProxy, InvalidOptionError, InvalidProxyUrlError, type Route, resolveRoute } from '@cloudlane/proxy';
import { CloudlaneError, type Timings, TransportError } from '@cloudlane/transport';
import type { HarEntry, HarRequest } from './har-format.ts';
import { toHarRequest } from './har-request.ts';
import { type AnswerHead, NO_RESPONSE, toHarResponse } from './har-response.ts';
import { toHarTimes } from './har-timings.ts';
import type { HttpResponse } from './http-response.ts';
import { unreadBody } from './leaked-bodies.ts';
import type { SecretFilter } from './secret-filter.ts';
import type { WireRequest } from './wire-observer.ts';

/** What of each request and answer is kept. */
export interface HarKeeping {
  readonly filter: SecretFilter;
  /** Bytes up to which bodies are kept. */
  readonly limit: number;
}

/** What is kept of an answer until its body is over: nothing that leads to it, nor to its connection. */
interface OpenAnswer {
  readonly answer: WeakRef<HttpResponse>;
  readonly request: HarRequest;
  readonly head: AnswerHead;
  /** Until the head came. */
  readonly timings: Timings;
  /** Milliseconds until the head came. */
  readonly elapsed: number;
  /** When it came, in the clock of `performance.now()`. */
  readonly answeredAt: number;
  readonly facts: Pick<HarEntry, 'connection' | '_route' | '_proxy' | '_reusedConnection'>;
}

/**
 * The entry of an answer. It completes itself when the body is over, and does not hold the answer: one that is lost
 * unread frees its connection and is told of, recorded or not.
 */
export class AnswerEntry {
  readonly startedAt: number;
  readonly #keeping: HarKeeping;
  #known: OpenAnswer | HarEntry;
  #isRead = false;

  constructor(sent: WireRequest, response: HttpResponse, keeping: HarKeeping) {
    this.startedAt = sent.startedAt;
    this.#keeping = keeping;
    const open = openAnswer(sent, response, keeping);
    const body = unreadBody(response);
    this.#known = body === null ? this.#write(open, emptyBody(open), response) : open;
    if (body !== null) this.#listen(body, open);
  }

  /** The entry as far as it is known. */
  get entry(): HarEntry {
    const known = this.#known;
    if (!('head' in known)) return known;
    const response = known.answer.deref();
    const timings = response?.timings ?? known.timings;
    return this.#write(known, { timings, isRead: this.#isRead }, response);
  }

  #listen(body: Readable, open: OpenAnswer): void {
    const over = (): void => {
      body.off('end', over).off('close', over);
      this.#isRead = body.readableEnded;
      void this.#complete(open);
    };
    // After 'end' its reader goes on, and may lose the answer before 'close'.
    body.on('end', over).on('close', over);
  }

  async #complete(open: OpenAnswer): Promise<void> {
    const isRead = this.#isRead;
    const lost = isRead ? { ...open.timings, ...bodyTimes(open, performance.now()) } : open.timings;
    const response = open.answer.deref();
    // The last of it may have yet to be decoded.
    if (response?.bodyUsed) await response.content().catch(() => {});
    this.#known = this.#write(open, { timings: response?.timings ?? lost, isRead }, response);
  }

  #write(open: OpenAnswer, { timings, isRead }: BodyFacts, response: HttpResponse | undefined): HarEntry {
    const { filter, limit } = this.#keeping;
    const body = { isRead, content: response?.peekContent() ?? null, encoding: response?.encoding ?? null };
    return {
      ...common(this.startedAt, open.request, timings),
      response: toHarResponse(open.head, body, filter, limit),
      ...(!isRead && { comment: 'the body has not been read to its end' }),
      ...open.facts,
    };
  }
}

interface BodyFacts {
  readonly timings: Timings;
  readonly isRead: boolean;
}

function openAnswer({ transported }: WireRequest, response: HttpResponse, { filter, limit }: HarKeeping): OpenAnswer {
  const { status, statusText, headers, route, connection, timings, elapsed, reusedConnection } = response;
  const request = toHarRequest(transported, filter, limit);
  return {
    answer: new WeakRef(response),
    request: response.isBodyUnsent ? { ...request, bodySize: 0 } : request,
    head: { method: response.request.method, status, statusText, headers },
    timings,
    elapsed,
    answeredAt: performance.now(),
    facts: {
      ...(connection && { connection: String(connection.id) }),
      ...routeFacts(route),
      _reusedConnection: reusedConnection,
    },
  };
}

// Over with the head; its end, which is about to be told, is not worth waiting for.
function emptyBody(open: OpenAnswer): BodyFacts {
  return { timings: { ...open.timings, ...bodyTimes(open, open.answeredAt) }, isRead: true };
}

function bodyTimes({ elapsed, answeredAt }: OpenAnswer, endedAt: number): Pick<Timings, 'body' | 'total'> {
  const body = endedAt - answeredAt;
  return { body, total: elapsed + body };
}

/** The entry of a request that was not answered. */
export function failedEntry(sent: WireRequest, error: unknown, { filter, limit }: HarKeeping): HarEntry {
  const timings = error instanceof TransportError ? error.timings : null;
  const request = toHarRequest(sent.transported, filter, limit);
  return {
    ...common(sent.startedAt, request, timings, Math.max(0, Date.now() - sent.startedAt)),
    response: NO_RESPONSE,
    ...routeFacts(routeOf(sent, error)),
    _error: describe(error),
  };
}

function common(
  startedAt: number,
  request: HarRequest,
  timings: Timings | null,
  elapsed?: number,
): Pick<HarEntry, 'startedDateTime' | 'time' | 'request' | 'cache' | 'timings'> {
  return { startedDateTime: new Date(startedAt).toISOString(), request, cache: {}, ...toHarTimes(timings, elapsed) };
}

function routeOf({ transported }: WireRequest, error: unknown): Route | null {
  if (error instanceof TransportError && error.route !== null) return error.route;
  try {
    return resolveRoute(transported.url, transported);
  } catch {
    return null;
  }
}

function routeFacts(route: Route | null): Pick<HarEntry, '_route' | '_proxy'> {
  if (route === null) return {};
  return route.kind === 'direct' ? { _route: 'direct' } : { _route: route.kind, _proxy: formatProxy(route.proxy) };
}

// Our own messages show no secrets; what others write, nobody knows.
function describe(error: unknown): string {
  const isOurs =
    error instanceof CloudlaneError || error instanceof InvalidOptionError || error instanceof InvalidProxyUrlError;
  if (isOurs) return `${error.code}: ${error.message}`;
  const { code, name } = Object(error);
  return String(typeof code === 'string' ? code : (name ?? typeof error));
}
