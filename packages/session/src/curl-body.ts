import type { TransportRequest } from '@cloudlane/transport';
import { filterBody } from './body-filter.ts';
import type { SecretFilter } from './secret-filter.ts';
import { quoteForShell } from './shell-quote.ts';

/** A body as a part of a command. */
export interface CurlBody {
  /** Whether curl sends a body, or says at least that it is empty. */
  readonly hasData: boolean;
  /** Whether it may be long, or of any length. */
  readonly isLong: boolean;
  /** What gives the body to curl, with its `|`; or nothing. */
  readonly before: string;
  readonly words: readonly string[];
  /** What the reader must know or do. */
  readonly notes: readonly string[];
}

/** Larger ones are no good to anybody who reads the command. */
const MAX_PRINTED = 1024 * 1024;
/** Linux takes 128 KiB in one argument. */
const MAX_ARGUMENT = 100_000;
// Node says `Content-Length: 0` with all other methods.
const WITHOUT_BODY: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);
const NONE: CurlBody = { hasData: false, isLong: false, before: '', words: [], notes: [] };

/** The body of a request for curl, to the byte, but for its secrets. */
export function curlBody(transported: TransportRequest, filter: SecretFilter): CurlBody {
  const body = transported.body ?? null;
  if (body === null) return saysLength(transported) ? inWord('') : NONE;
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return fromStream(transported);
  const bytes = Buffer.from(body);
  const why = whyNotPrinted(bytes, transported, filter);
  if (why !== null) return fromStdin(`the body, ${bytes.length} bytes, ${why}; give it on the standard input`);
  const printed = filter.shows('body') ? bytes : filterBody(bytes, headerOf(transported, 'content-type') ?? '', filter);
  const text = printed.toString();
  // What is not UTF-8, and a NUL, cannot stand in a word of bash.
  if (text.includes('\0') || !Buffer.from(text).equals(printed)) return inBase64(printed);
  if (printed.length > MAX_ARGUMENT) return { ...fromStdin(), before: `printf %s ${quoteForShell(text)} | ` };
  return inWord(text);
}

function inWord(text: string): CurlBody {
  return { ...NONE, hasData: true, words: [`--data-raw ${quoteForShell(text)}`] };
}

function inBase64(bytes: Buffer): CurlBody {
  return { ...fromStdin(), before: `base64 -d <<<'${bytes.toString('base64')}' | ` };
}

function fromStream(transported: TransportRequest): CurlBody {
  const isDeclared = ['content-length', 'transfer-encoding'].some((name) => headerOf(transported, name) !== null);
  const from = fromStdin('the body was a stream; give it on the standard input');
  return isDeclared ? from : { ...from, words: ["--header 'Transfer-Encoding: chunked'", ...from.words] };
}

/** @param note what the reader must know, if the command alone will not do */
function fromStdin(note?: string): CurlBody {
  const notes = note === undefined ? [] : [note];
  return { ...NONE, hasData: true, isLong: notes.length > 0, words: ['--data-binary @-'], notes };
}

function whyNotPrinted(bytes: Buffer, transported: TransportRequest, filter: SecretFilter): string | null {
  if (bytes.length > MAX_PRINTED) return 'is too long to be printed';
  const encoding = headerOf(transported, 'content-encoding') ?? 'identity';
  return encoding !== 'identity' && !filter.shows('body') ? 'is compressed, and may hold secrets' : null;
}

function saysLength(transported: TransportRequest): boolean {
  const method = transported.method?.toUpperCase() || 'GET';
  return !WITHOUT_BODY.has(method) || headerOf(transported, 'content-length') !== null;
}

function headerOf({ headers = {} }: TransportRequest, wanted: string): string | null {
  const [, value = null] = Object.entries(headers).find(([name]) => name.toLowerCase() === wanted) ?? [];
  return value === null || value === undefined ? null : String(value);
}
