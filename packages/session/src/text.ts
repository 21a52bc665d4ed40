import { TextDecoder } from 'node:util';

/**
 * The charset of a `Content-Type` (RFC 9110 §8.3) in lower case, or null if it names none. The first one counts; quotes,
 * and spaces where none belong, are tolerated.
 */
export function charsetOf(contentType: string | undefined): string | null {
  if (contentType === undefined) return null;
  for (const [, name, quoted, plain] of contentType.matchAll(PARAMETER)) {
    if (name?.toLowerCase() !== 'charset') continue;
    const value = quoted?.replace(/\\(.)/gs, '$1') ?? plain?.replace(/^'(.*)'$/, '$1') ?? '';
    return value.trim().toLowerCase() || null;
  }
  return null;
}

/**
 * A whole text from its bytes. Names of encodings are those of the WHATWG, as browsers read them: `latin1` and
 * `iso-8859-1` mean windows-1252. Null: a byte order mark decides between UTF-8 and UTF-16, without one it is UTF-8; an
 * unknown name is UTF-8 as well. The mark is dropped, and what is no text becomes U+FFFD.
 */
export function decodeText(bytes: Uint8Array, encoding: string | null): string {
  const decoder = decoderOf(nameFor(encoding, bytes));
  if (decoder.encoding === UTF_8) return withoutMark(decoder.decode(bytes));
  // nodejs/node#56542: windows-1252 at once is decoded as ISO 8859-1, and 22 loses bytes; as a stream it is right.
  return withoutMark(decode(decoder, bytes, STREAM) + decode(decoder));
}

/** `decodeText` for bytes that come in pieces: the pieces of text together are the same, however the bytes were cut. */
export class PiecewiseDecoder {
  readonly #encoding: string | null;
  #decoder: TextDecoder | null = null;
  /** Bytes which may be the beginning of a byte order mark. */
  #undecided: Uint8Array = NOTHING;
  #isBeginning = true;

  /** @param encoding as for `decodeText` */
  constructor(encoding: string | null) {
    this.#encoding = encoding;
    if (!isLeftToMark(encoding)) this.#decoder = decoderOf(encoding ?? UTF_8);
  }

  /** The text that is complete with these bytes; '' if a character is still cut. */
  decode(bytes: Uint8Array): string {
    if (this.#decoder !== null) return this.#begin(decode(this.#decoder, bytes, STREAM));
    const all = this.#undecided.length === 0 ? bytes : Buffer.concat([this.#undecided, bytes]);
    if (mayBecomeMark(all)) {
      this.#undecided = all;
      return '';
    }
    return this.#begin(decode(this.#decide(all), all, STREAM));
  }

  /** What is left when no more bytes come. */
  end(): string {
    if (this.#decoder !== null) return this.#begin(decode(this.#decoder));
    return this.#begin(decode(this.#decide(this.#undecided), this.#undecided));
  }

  #begin(text: string): string {
    if (!this.#isBeginning || text === '') return text;
    this.#isBeginning = false;
    return withoutMark(text);
  }

  #decide(bytes: Uint8Array): TextDecoder {
    this.#decoder = decoderOf(nameFor(this.#encoding, bytes));
    return this.#decoder;
  }
}

const UTF_8 = 'utf-8';
const NOTHING: Uint8Array = new Uint8Array(0);
const STREAM = { stream: true } as const;
const PARAMETER = /;\s*([^\s;="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s;,]*))/gs;

// RFC 2781 §4.3: what is called utf-16 begins with a mark that tells the order of its bytes.
function isLeftToMark(encoding: string | null): boolean {
  return encoding === null || encoding.toLowerCase() === 'utf-16';
}

function nameFor(encoding: string | null, bytes: Uint8Array): string {
  return (isLeftToMark(encoding) ? encodingOfMark(bytes) : null) ?? encoding ?? UTF_8;
}

function encodingOfMark([first, second, third]: Uint8Array): string | null {
  if (first === 0xff && second === 0xfe) return 'utf-16le';
  if (first === 0xfe && second === 0xff) return 'utf-16be';
  return first === 0xef && second === 0xbb && third === 0xbf ? UTF_8 : null;
}

function mayBecomeMark(bytes: Uint8Array): boolean {
  const [first, second] = bytes;
  if (bytes.length < 2) return first === undefined || first >= 0xfe || first === 0xef;
  return bytes.length === 2 && first === 0xef && second === 0xbb;
}

// Node 24 drops a mark in the middle of a stream, too.
const KEEPING_MARKS = { ignoreBOM: true } as const;

function decoderOf(encoding: string): TextDecoder {
  try {
    return new TextDecoder(encoding, KEEPING_MARKS);
  } catch {
    return new TextDecoder(UTF_8, KEEPING_MARKS);
  }
}

function withoutMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function decode(decoder: TextDecoder, bytes?: Uint8Array, options?: typeof STREAM): string {
  try {
    return decoder.decode(bytes, options);
  } catch {
    // Node throws for an ISO-2022-JP escape that is cut off, though `fatal` is not set.
    return '\ufffd';
  }
}
