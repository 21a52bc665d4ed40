import { InvalidOptionError } from '@cloudlane/proxy';
import type { HttpResponse } from './http-response.ts';
import { PreparedRequest } from './prepared-request.ts';
import type { Session } from './session.ts';
import type { RequestOptions } from './session-options.ts';

/** A request that is made when its turn comes. */
export interface RequestSpec extends RequestOptions {
  /** @defaultValue 'GET' */
  readonly method?: string | undefined;
  readonly url: string | URL;
}

/** What one of many requests may be: prepared, described, or a URL to get. */
export type ManyRequest = PreparedRequest | RequestSpec | string | URL;

/** Many requests; iterated no faster than they are sent. */
export type RequestSource = Iterable<ManyRequest> | AsyncIterable<ManyRequest>;

/** How many requests are sent together. */
export interface MapOptions<T = never> {
  /** Requests under way at once; Infinity for all. @defaultValue 64, for `imap` 2 */
  readonly size?: number | undefined;
  /**
   * What a request that fails does: its error stands in the place of its answer, or the first one ends everything and
   * aborts what is under way. @defaultValue 'settle'
   */
  readonly onError?: 'settle' | 'throw' | undefined;
  /** Whether bodies are read before their answers count as there. @defaultValue true */
  readonly prefetch?: boolean | undefined;
  /** Ends everything at once. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Makes of each answer what is kept in its place, so that a million answers need not be in memory. Its failure counts as
   * the request's. A body that it leaves unread is released.
   */
  readonly each?: ((response: HttpResponse, index: number) => T | Promise<T>) | undefined;
}

/** See `Session.map`. */
export async function mapRequests<T>(
  session: Session,
  requests: RequestSource,
  options: MapOptions<T>,
): Promise<(HttpResponse | T | Error)[]> {
  const results: (HttpResponse | T | Error)[] = [];
  for await (const { index, value } of new Batch(session, options, 64).run(requests)) results[index] = value;
  return results;
}

/** See `Session.imap`. */
export async function* imapRequests(
  session: Session,
  requests: RequestSource,
  options: Omit<MapOptions, 'each'>,
): AsyncGenerator<HttpResponse | Error> {
  for await (const { value } of new Batch<never>(session, options, 2).run(requests)) yield value;
}

interface Outcome<T> {
  readonly index: number;
  readonly value: HttpResponse | T | Error;
}

/** Requests on their way: never more than `size`, those whose outcome nobody has taken yet included. */
class Batch<T> {
  readonly #session: Session;
  readonly #options: MapOptions<T>;
  readonly #size: number;
  readonly #outcomes: Outcome<T>[] = [];
  /** One for each request under way. */
  readonly #aborts = new Set<AbortController>();
  #isSourceDone = false;
  #failure: { readonly reason: unknown } | null = null;
  #onChange: () => void = () => {};
  #onRoom: () => void = () => {};

  constructor(session: Session, options: MapOptions<T>, size: number) {
    this.#session = session;
    this.#options = options;
    this.#size = options.size ?? size;
    checkOptions(options);
  }

  async *run(requests: RequestSource): AsyncGenerator<Outcome<T>> {
    const { signal } = this.#options;
    const stop = (): void => this.#fail(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', stop, { once: true });
    void this.#feed(requests);
    try {
      for (;;) {
        const outcome = this.#outcomes.shift();
        if (this.#failure !== null) throw this.#failure.reason;
        if (outcome === undefined) {
          if (this.#isSourceDone && this.#aborts.size === 0) return;
          await this.#change();
        } else {
          this.#onRoom();
          yield outcome;
        }
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#isSourceDone = true;
      for (const abort of this.#aborts) abort.abort();
      this.#onRoom();
    }
  }

  /** Starts requests as there is room for them. */
  async #feed(requests: RequestSource): Promise<void> {
    let index = 0;
    try {
      for await (const request of requests) {
        // Whoever wanted the outcomes has gone, or one of them has ended it all.
        if (this.#isSourceDone) return;
        void this.#start(request, index);
        index += 1;
        while (this.#aborts.size + this.#outcomes.length >= this.#size && !this.#isSourceDone) await this.#room();
        if (this.#isSourceDone) return;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#isSourceDone = true;
    this.#onChange();
  }

  async #start(request: ManyRequest, index: number): Promise<void> {
    const abort = new AbortController();
    this.#aborts.add(abort);
    try {
      const value = await this.#carry(request, index, abort.signal);
      this.#outcomes.push({ index, value });
    } catch (error) {
      if (this.#options.onError === 'throw') this.#fail(error);
      else this.#outcomes.push({ index, value: asError(error) });
    }
    this.#aborts.delete(abort);
    this.#onChange();
  }

  async #carry(request: ManyRequest, index: number, signal: AbortSignal): Promise<HttpResponse | T> {
    const { each, prefetch = true, onError } = this.#options;
    const response = await this.#prepare(request).send({ signal });
    if (response.error !== null && onError === 'throw') throw response.error;
    if (prefetch) await response.content();
    if (each === undefined) return response;
    const value = await each(response, index);
    if (!response.bodyUsed) response.release();
    return value;
  }

  #prepare(request: ManyRequest): PreparedRequest {
    if (request instanceof PreparedRequest) return request;
    if (typeof request === 'string' || request instanceof URL) return this.#session.prepare('GET', request);
    const { method = 'GET', url, ...options } = request;
    return this.#session.prepare(method, url, options);
  }

  #fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#onChange();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#onChange = resolve;
    });
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }
}

function checkOptions({ size, onError, prefetch, each }: MapOptions<unknown>): void {
  if (size !== undefined && size !== Number.POSITIVE_INFINITY && !(Number.isInteger(size) && size >= 1))
    throw new InvalidOptionError('size', 'must be a whole number from 1, or Infinity');
  if (onError !== undefined && onError !== 'settle' && onError !== 'throw')
    throw new InvalidOptionError('onError', "must be 'settle' or 'throw'");
  if (prefetch !== undefined && typeof prefetch !== 'boolean')
    throw new InvalidOptionError('prefetch', 'must be true or false');
  if (each !== undefined && typeof each !== 'function') throw new InvalidOptionError('each', 'must be a function');
}

function asError(reason: unknown): Error {
  return typeof reason === 'object' && reason !== null ? (reason as Error) : new Error(String(reason));
}
