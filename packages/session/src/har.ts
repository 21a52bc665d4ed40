import { InvalidOptionError } from '@cloudlane/proxy';
import { printAs, VERSION } from '@cloudlane/transport';
import { AnswerEntry, failedEntry, type HarKeeping } from './har-entry.ts';
import type { Har, HarEntry } from './har-format.ts';
import type { HttpResponse } from './http-response.ts';
import { replaceFile } from './replace-file.ts';
import { SecretFilter } from './secret-filter.ts';
import type { WireObserver, WireRequest } from './wire-observer.ts';

/** What a `HarRecorder` keeps. */
export interface HarOptions {
  /** Where `save()` writes to. */
  readonly path?: string | undefined;
  /**
   * Whether bodies are kept, or up to how many bytes each: those in memory that were sent, and those that were received
   * by `content()`, `text()` or `json()`. Fields that look like a secret are masked. @defaultValue false
   */
  readonly content?: boolean | number | undefined;
  /**
   * Names of headers, cookies, parameters and fields to be kept as they are; `cookie` and `set-cookie` for all cookies,
   * `body` for bodies; `*` for everything.
   */
  readonly showSecrets?: readonly string[] | undefined;
  /** The oldest entries are dropped beyond it, and counted. @defaultValue 10_000 */
  readonly maxEntries?: number | undefined;
}

/**
 * Records requests and their answers, hops of a redirect and second tries too, as an HTTP Archive 1.2, which browsers
 * and many tools can show. Its secrets are masked. It holds no answer: one that is lost unread is told of as ever, and its
 * entry says that it was not read.
 */
export class HarRecorder implements WireObserver {
  /** Where `save()` writes to, if nothing else is said. */
  readonly path: string | undefined;
  readonly #keeping: HarKeeping;
  readonly #maxEntries: number;
  #entries: Entry[] = [];
  #dropped = 0;

  /** @throws InvalidOptionError naming the option that cannot be used */
  constructor(options: HarOptions = {}) {
    const { path, content, maxEntries } = checked(options);
    const limit = typeof content === 'number' ? content : content ? Number.POSITIVE_INFINITY : 0;
    this.path = path;
    this.#keeping = { filter: new SecretFilter(options.showSecrets), limit };
    this.#maxEntries = maxEntries;
  }

  answered(sent: WireRequest, response: HttpResponse): void {
    this.#add(() => new AnswerEntry(sent, response, this.#keeping));
  }

  failed(sent: WireRequest, error: unknown): void {
    this.#add(() => ({ startedAt: sent.startedAt, entry: failedEntry(sent, error, this.#keeping) }));
  }

  /** The archive as it is now. What is still under way is missing; bodies not yet read have no size and no time. */
  toJSON(): Har {
    // Answers come in another order than requests go out.
    const entries = this.#entries.toSorted((a, b) => a.startedAt - b.startedAt).map(({ entry }) => entry);
    const creator = { name: 'cloudlane', version: VERSION };
    return { log: { version: '1.2', creator, entries, ...(this.#dropped > 0 && { _dropped: this.#dropped }) } };
  }

  /**
   * Writes the archive to a file, which is never there by half, and which only its owner can read.
   * @param path instead of the option's
   * @throws InvalidOptionError if there is neither
   */
  async save(path: string | undefined = this.path): Promise<void> {
    if (typeof path !== 'string' || path === '')
      throw new InvalidOptionError('path', 'is missing: name the file, here or as an option of the recorder');
    await replaceFile(path, `${JSON.stringify(this, null, 2)}\n`);
  }

  #add(make: () => Entry): void {
    const entry = attempt(make);
    if (entry === null) this.#dropped += 1;
    else this.#entries.push(entry);
    if (this.#entries.length > this.#maxEntries) {
      this.#entries.shift();
      this.#dropped += 1;
    }
  }

  static {
    printAs<HarRecorder>(HarRecorder.prototype, (recorder) => `<HarRecorder [${recorder.#entries.length} entries]>`);
  }
}

interface Entry {
  readonly startedAt: number;
  readonly entry: HarEntry;
}

// Nobody's request must fail for what is written of it.
function attempt<T>(make: () => T): T | null {
  try {
    return make();
  } catch {
    return null;
  }
}

const NAMES: ReadonlySet<string> = new Set([
  'path',
  'content',
  'showSecrets',
  'maxEntries',
] satisfies (keyof HarOptions)[]);

function checked(options: HarOptions): HarOptions & { readonly maxEntries: number } {
  const { path, content = false, maxEntries = 10_000 } = options;
  for (const name of Object.keys(options)) {
    if (!NAMES.has(name)) throw new InvalidOptionError(name, 'is not an option of HarRecorder');
  }
  if (path !== undefined && (typeof path !== 'string' || path === ''))
    throw new InvalidOptionError('path', 'must be the path of a file');
  if (typeof content !== 'boolean' && !isCount(content, 0))
    throw new InvalidOptionError('content', 'must be true, false, or a whole number of bytes from 0');
  if (!isCount(maxEntries, 1)) throw new InvalidOptionError('maxEntries', 'must be a whole number from 1, or Infinity');
  return { ...options, maxEntries };
}

function isCount(value: unknown, least: number): boolean {
  return value === Number.POSITIVE_INFINITY || (Number.isInteger(value) && Number(value) >= least);
}
