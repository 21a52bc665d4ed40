import { InvalidOptionError } from '@cloudlane/proxy';
import { PiecewiseDecoder } from './text.ts';

/** How a text is cut into lines. */
export interface LinesOptions {
  /** Leaves empty lines out; servers send them to keep a connection alive. @defaultValue false */
  readonly skipEmpty?: boolean;
  /** What ends a line, instead of `\n`, `\r\n` and `\r`: any text but an empty one. */
  readonly delimiter?: string;
  /**
   * UTF-16 units that a line may have without its end, so that an endless one cannot fill the memory; `Infinity`: any
   * number. @defaultValue 16_777_216
   */
  readonly maxLength?: number;
}

/** Units of a line unless `maxLength` says otherwise. */
export const MAX_LINE_LENGTH: number = 2 ** 24;

/**
 * Cuts a stream into lines without their ends, the same ones however the stream is chunked. A line is delivered as soon
 * as its end was received, and the last one at the end of the stream, if it is not empty. U+2028 and its like are text:
 * JSON lines may contain them. For `encoding` see `decodeText`.
 * @throws InvalidOptionError at once for an option that is unknown or cannot be used; while iterating, for a line beyond
 *   `maxLength`, after the lines before it
 */
export function splitLines(
  chunks: AsyncIterable<Uint8Array>,
  options: LinesOptions & { readonly encoding: string | null },
): AsyncGenerator<string> {
  const { delimiter, maxLength = MAX_LINE_LENGTH } = options;
  checkOptions(options);
  const line = new Line(maxLength);
  return cutLines(
    chunks,
    options,
    delimiter === undefined ? new NewlineCutter(line) : new DelimiterCutter(line, delimiter),
  );
}

const NAMES: ReadonlySet<string> = new Set(['skipEmpty', 'delimiter', 'maxLength', 'encoding']);

function checkOptions(options: LinesOptions): void {
  const { skipEmpty = false, delimiter = '\n', maxLength = MAX_LINE_LENGTH } = options;
  for (const name of Object.keys(options))
    if (!NAMES.has(name))
      throw new InvalidOptionError(name, 'there is no such option of lines; write skipEmpty, delimiter or maxLength');
  if (typeof skipEmpty !== 'boolean') throw new InvalidOptionError('skipEmpty', 'it must be true or false');
  if (typeof delimiter !== 'string') throw new InvalidOptionError('delimiter', 'it must be text');
  if (delimiter === '') throw new InvalidOptionError('delimiter', 'it is empty; leave it out to have lines of text');
  if (typeof maxLength !== 'number' || !(maxLength >= 1))
    throw new InvalidOptionError('maxLength', 'it must be a number of 1 or more, or Infinity');
}

async function* cutLines(
  chunks: AsyncIterable<Uint8Array>,
  { encoding, skipEmpty = false }: LinesOptions & { readonly encoding: string | null },
  cutter: Cutter,
): AsyncGenerator<string> {
  const decoder = new PiecewiseDecoder(encoding);
  for await (const chunk of chunks) {
    for (const line of cutter.cut(decoder.decode(chunk))) if (!skipEmpty || line !== '') yield line;
  }
  for (const line of cutter.cut(decoder.end())) if (!skipEmpty || line !== '') yield line;
  const last = cutter.end();
  if (last !== '') yield last;
}

interface Cutter {
  /** The lines that are complete with this text. */
  cut(text: string): Iterable<string>;
  /** The line that has no end. */
  end(): string;
}

/** A line that grows. Never looked into while it does: that would cost its whole length for each piece. */
class Line {
  readonly #maxLength: number;
  #text = '';
  #pieces: string[] = [];
  #length = 0;

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  add(piece: string): void {
    if (piece === '') return;
    this.#length += piece.length;
    if (this.#length > this.#maxLength)
      throw new InvalidOptionError(
        'maxLength',
        `is ${this.#maxLength}, but a line is longer; raise it, or read chunks`,
      );
    this.#pieces.push(piece);
    // Joined strings are trees in V8: without this a line that comes byte by byte takes 30 times its length.
    if (this.#pieces.length === 1024) {
      this.#text += this.#pieces.join('');
      this.#pieces = [];
    }
  }

  /** The line; a new one begins. */
  take(): string {
    const line = this.#text + this.#pieces.join('');
    this.#text = '';
    this.#pieces = [];
    this.#length = 0;
    return line;
  }
}

class NewlineCutter implements Cutter {
  readonly #line: Line;
  /** The text so far ended with \r, and its line is out: a \n that comes next belongs to it. */
  #afterReturn = false;

  constructor(line: Line) {
    this.#line = line;
  }

  *cut(text: string): Generator<string> {
    if (text === '') return;
    let start = this.#afterReturn && text.startsWith('\n') ? 1 : 0;
    this.#afterReturn = text.endsWith('\r');
    const newline = /\r\n?|\n/g;
    newline.lastIndex = start;
    for (let match = newline.exec(text); match !== null; match = newline.exec(text)) {
      this.#line.add(text.slice(start, match.index));
      start = newline.lastIndex;
      yield this.#line.take();
    }
    this.#line.add(text.slice(start));
  }

  end(): string {
    return this.#line.take();
  }
}

class DelimiterCutter implements Cutter {
  readonly #line: Line;
  readonly #delimiter: string;
  /** The end of the text so far, in which the delimiter may have begun. */
  #tail = '';

  constructor(line: Line, delimiter: string) {
    this.#line = line;
    this.#delimiter = delimiter;
  }

  *cut(text: string): Generator<string> {
    const all = this.#tail + text;
    const { length } = this.#delimiter;
    let start = 0;
    for (let at = all.indexOf(this.#delimiter); at !== -1; at = all.indexOf(this.#delimiter, start)) {
      this.#line.add(all.slice(start, at));
      start = at + length;
      yield this.#line.take();
    }
    const tail = Math.max(start, all.length - length + 1);
    this.#line.add(all.slice(start, tail));
    this.#tail = all.slice(tail);
  }

  end(): string {
    this.#line.add(this.#tail);
    this.#tail = '';
    return this.#line.take();
  }
}
