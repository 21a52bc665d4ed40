import { finished, Readable, Stream } from 'node:stream';
import type { RequestContent } from './request-content.ts';

/** What is used of a form of the npm package form-data, a stream of the oldest kind. */
export interface NpmForm extends Stream {
  getHeaders(): Record<string, unknown>;
  getBoundary(): string;
  hasKnownLength(): boolean;
  getLengthSync(): number;
  pause(): void;
  resume(): void;
  destroy(): void;
}

const METHODS = ['getHeaders', 'getBoundary', 'hasKnownLength', 'getLengthSync'] as const;

/** Whether it is a form of the npm package form-data, of whatever copy of it. */
export function isNpmForm(value: unknown): value is NpmForm {
  return value instanceof Stream && METHODS.every((method) => typeof Reflect.get(value, method) === 'function');
}

/** Such a form as a body; it can be read once. */
export function encodeNpmForm(form: NpmForm): RequestContent {
  return {
    body: new NpmFormBody(form),
    headers: {
      'Content-Type': String(form.getHeaders()['content-type']),
      ...(form.hasKnownLength() && { 'Content-Length': String(form.getLengthSync()) }),
    },
    renew: null,
  };
}

/** Reads an old stream with back-pressure, fails with whatever is in it, and closes that too. */
class NpmFormBody extends Readable {
  readonly #form: NpmForm;
  #hasBegun = false;

  constructor(form: NpmForm) {
    super();
    this.#form = form;
  }

  override _read(): void {
    if (!this.#hasBegun) this.#begin();
    this.#form.resume();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const parts = partsOf(this.#form);
    this.#form.destroy();
    for (const part of parts) part.destroy();
    callback(error);
  }

  #begin(): void {
    this.#hasBegun = true;
    this.#form
      .on('data', (chunk: Uint8Array | string) => this.#take(chunk))
      .on('end', () => this.push(null))
      .on('error', (error) => this.destroy(error));
    // form-data would wait for ever for one that was closed before its end.
    for (const part of partsOf(this.#form)) {
      finished(part, { writable: false }, (error) => error && this.destroy(error));
    }
  }

  #take(chunk: Uint8Array | string): void {
    if (!this.push(chunk)) this.#form.pause();
  }
}

// form-data has no word for them, and drops them when it is destroyed.
function partsOf(form: NpmForm): Readable[] {
  const inside: unknown = Reflect.get(form, '_streams');
  const all: unknown[] = [Reflect.get(form, '_currentStream'), ...(Array.isArray(inside) ? inside : [])];
  return all
    .map((each) => (each instanceof Stream ? Reflect.get(each, 'source') : null) ?? each)
    .filter((each) => each instanceof Readable);
}
