import { InvalidOptionError } from '@cloudlane/proxy';
import { HttpResponse } from './http-response.ts';
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
   * What a request that fails does: its error stands in the place of its answer, or the first one ends everything,
   * aborts what is under way and waits until it is over. @defaultValue 'settle'
   */
  readonly onError?: 'settle' | 'throw' | undefined;
  /**
   * Whether bodies are read before their answers count as there. If not, each answer holds a connection until it is read
   * or released, and too many of them leave none for the rest. @defaultValue true
   */
  readonly prefetch?: boolean | undefined;
  /** Ends everything at once, but for what `each` is doing. */
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
  try {
    for await (const { index, value } of new Batch(session, options, 64).run(requests)) results[index] = value;
    return results;
  } catch (error) {
    // Nobody gets to see them.
    for (const value of results) releaseUnread(value);
    throw error;
  }
}

/** See `Session.imap`. */
export function imapRequests(
  session: Session,
  requests: RequestSource,
  options: Omit<MapOptions, 'each'>,
): AsyncGenerator<HttpResponse | Error> {
  checkSource(requests);
  return valuesOf(new Batch<never>(session, options, 2).run(requests));
}

async function* valuesOf<T>(outcomes: AsyncIterable<Outcome<T>>): AsyncGenerator<HttpResponse | T | Error> {
  for await (const { value } of outcomes) yield value;
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
  /** What must be over before the batch is: requests of its own, not what `each` does. */
  readonly #answers = new Set<Promise<unknown>>();
  #isSourceDone = false;
  /** Whether the source was asked for a request, which it may take any time to give. */
  #isPulling = true;
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
    checkSource(requests);
    const { signal } = this.#options;
    const stop = (): void => this.#fail(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', stop, { once: true });
    const fed = this.#feed(requests);
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
      this.#end();
      await Promise.allSettled(this.#answers);
      for (const { value } of this.#outcomes) releaseUnread(value);
      if (!this.#isPulling) await fed;
    }
  }

  /** Starts requests as there is room for them. */
  async #feed(requests: RequestSource): Promise<void> {
    let index = 0;
    try {
      for await (const request of requests) {
        this.#isPulling = false;
        // Whoever wanted the outcomes has gone, or one of them has ended it all.
        if (this.#isSourceDone) return;
        void this.#start(request, index);
        index += 1;
        while (this.#aborts.size + this.#outcomes.length >= this.#size && !this.#isSourceDone) await this.#room();
        if (this.#isSourceDone) return;
        this.#isPulling = true;
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
    const { each } = this.#options;
    const prepared = this.#prepare(request);
    // One that was sent before is not ended with the batch, nor waited for then.
    const isOurs = !prepared.isSent;
    const answer = this.#answer(prepared, signal);
    if (isOurs) this.#answers.add(answer);
    const response = await answer.finally(() => this.#answers.delete(answer));
    if (each === undefined) return response;
    try {
      return await each(response, index);
    } finally {
      releaseUnread(response);
    }
  }

  async #answer(request: PreparedRequest, signal: AbortSignal): Promise<HttpResponse> {
    const { prefetch = true, onError } = this.#options;
    const response = await request.send({ signal });
    if (response.error !== null && onError === 'throw') throw response.error;
    if (prefetch) await response.content();
    return response;
  }

  #prepare(request: ManyRequest): PreparedRequest {
    if (request instanceof PreparedRequest) return request;
    if (typeof request === 'string' || request instanceof URL) return this.#session.prepare('GET', request);
    if (typeof request !== 'object' || request === null)
      throw new InvalidOptionError('requests', `yielded ${request}; it must be a URL, { url, … }, or prepared`);
    const { method = 'GET', url, ...options } = request;
    return this.#session.prepare(method, url, options);
  }

  #fail(reason: unknown): void {
    this.#failure ??= { reason };
    // At once, though whoever takes the outcomes may be busy with one.
    this.#end();
    this.#onChange();
  }

  /** No further request, and none of those under way. */
  #end(): void {
    this.#isSourceDone = true;
    for (const abort of this.#aborts) abort.abort();
    this.#onRoom();
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

function checkSource(requests: unknown): void {
  // Text can be iterated, too.
  const isIterable =
    typeof requests === 'object' &&
    requests !== null &&
    (Symbol.iterator in requests || Symbol.asyncIterator in requests);
  if (!isIterable) throw new InvalidOptionError('requests', 'must be a list of requests, or another iterable of them');
}

function releaseUnread(value: unknown): void {
  if (value instanceof HttpResponse && !value.bodyUsed) value.release();
}

const OPTIONS: ReadonlySet<string> = new Set([
  'size',
  'onError',
  'prefetch',
  'signal',
  'each',
] satisfies (keyof MapOptions)[]);

function checkOptions(options: MapOptions<unknown>): void {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name))
      throw new InvalidOptionError(name, `there is no such option; write ${[...OPTIONS].join(', ')}`);
  }
  const { size, onError, prefetch, each } = options;
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
