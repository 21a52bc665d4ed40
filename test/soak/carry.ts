// Carries one order out, and says how it ended.
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Transport, TransportError, type TransportRequest } from '@cloudlane/transport';
import type { Order } from './orders.ts';

/** The error of an upload that fails by itself. */
class SourceError extends Error {}

/** One order on its way. */
export class Errand {
  readonly order: Order;
  readonly #transport: Transport;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = new AbortController();
  readonly #body: Buffer | Readable | null;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  /** What it waits for. */
  step = 'the head';

  constructor(order: Order, transport: Transport, shared: AbortSignal) {
    const { when } = order.abort;
    this.order = order;
    this.#transport = transport;
    this.#signal = when === 'never' ? undefined : when.startsWith('never') ? shared : this.#abort.signal;
    this.#body = bodyOf(order);
  }

  /** @returns how it ended, in a word. Fails if it should have ended well, or with something that is not an error of ours */
  async run(): Promise<string> {
    const { mustSucceed } = this.order;
    try {
      return await this.#run();
    } catch (error) {
      const name = this.#nameOf(error);
      if (mustSucceed || name === null) throw error;
      return name;
    } finally {
      this.#isOver = true;
      clearTimeout(this.#timer);
      this.step = 'its own body to be closed';
      // What was aborted before it began is the caller's still.
      if (this.#body instanceof Readable && this.order.abort.when !== 'before') await closed(this.#body);
    }
  }

  async #run(): Promise<string> {
    if (this.order.abort.when === 'before') this.#abort.abort(new Error('aborted'));
    const sending = this.#transport.send(requestOf(this.order, this.#body, this.#signal));
    this.#planAbort();
    const { status, body } = await sending;
    if (this.order.abort.when === 'at the head') this.#abort.abort(new Error('aborted'));
    this.step = 'the body';
    try {
      const bytes = await this.#read(body);
      if (bytes === null) return 'left';
      if (this.order.mustSucceed) check(this.order, status, bytes);
      return status === 200 ? 'whole' : String(status);
    } finally {
      this.step = 'the body to be closed';
      await closed(body);
    }
  }

  /** @returns the body; null if it was not read to its end */
  async #read(body: Readable): Promise<Buffer | null> {
    const { reading } = this.order;
    if (reading === 'none') return leave(body);
    if (reading === 'late') for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    const chunks: Buffer[] = [];
    for await (const chunk of body) {
      if (reading === 'half') return leave(body);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #planAbort(): void {
    const { abort } = this.order;
    const fire = (): void => this.#abort.abort(new Error('aborted'));
    if (abort.when === 'at once') fire();
    if (abort.when === 'after milliseconds') this.#timer = setTimeout(fire, abort.milliseconds);
    if (abort.when === 'after turns') void this.#countDown(abort.turns).then(fire);
  }

  async #countDown(turns: number): Promise<void> {
    for (let turn = 0; turn < turns && !this.#isOver; turn += 1) await nextTurn();
  }

  #nameOf(error: unknown): string | null {
    if (error instanceof TransportError) return error.code;
    if (error instanceof SourceError) return 'source failed';
    return this.#abort.signal.aborted && error === this.#abort.signal.reason ? 'aborted' : null;
  }
}

function requestOf(order: Order, body: Buffer | Readable | null, signal: AbortSignal | undefined): TransportRequest {
  const { id, way, method, act, size, upload, uploadSize, timeout } = order;
  const declared = upload === 'declared stream' ? { 'content-length': uploadSize } : {};
  return {
    method,
    url: `${way.url}/soak`,
    http_proxy: way.http_proxy,
    headers: { 'x-id': String(id), 'x-act': act, 'x-size': String(size), ...declared },
    body,
    timeout,
    signal,
  };
}

function bodyOf({ upload, uploadSize }: Order): Buffer | Readable | null {
  if (upload === 'nothing') return null;
  if (upload === 'bytes') return dots(uploadSize);
  if (upload !== 'stuck stream') return Readable.from(chunks(uploadSize, upload === 'failing stream'));
  const stuck = new Readable({ read: () => {} });
  stuck.push(dots(uploadSize));
  return stuck;
}

async function* chunks(size: number, isFailing: boolean): AsyncGenerator<Buffer> {
  for (let left = size; left > 0; left -= 5_000) {
    await nextTurn();
    yield dots(Math.min(left, 5_000));
  }
  if (isFailing) throw new SourceError('the source failed');
}

// Buffers are no part of the heap, in which a long string would be seen as growth.
function dots(size: number): Buffer {
  return Buffer.alloc(size, '.');
}

function check({ id, uploadSize, size }: Order, status: number, bytes: Buffer): void {
  const expected = dots(size);
  expected.write(`${id}:${uploadSize}:`);
  if (status !== 200 || !bytes.equals(expected)) throw new Error(`a wrong answer: ${status} ${bytes.subarray(0, 100)}`);
}

function leave(body: Readable): null {
  body.destroy();
  return null;
}

async function closed(body: Readable): Promise<void> {
  // Its failure was told already, or nobody was left to tell.
  body.on('error', () => {});
  if (!body.closed) await new Promise((resolve) => body.once('close', resolve));
}
