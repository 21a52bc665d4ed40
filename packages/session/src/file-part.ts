import { accessSync, constants, ReadStream, statSync } from 'node:fs';
import { basename } from 'node:path';
import { types } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { bytesOf, checkFresh, isStreamed, type Streamed } from './body-kinds.ts';
import { isPlainObject } from './form.ts';
import type { Part } from './multipart.ts';

/** Where the bytes of a part come from; `size` is null if nobody knows how many. */
export type FilePartSource =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'blob'; readonly blob: Blob; readonly size: number }
  | { readonly kind: 'path'; readonly path: string; readonly size: number | null }
  | { readonly kind: 'stream'; readonly stream: Streamed; readonly size: number | null };

// RFC 9110 §5.6.2 and §5.5; a line break would begin a header, or a part, of its own.
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

const KNOWN: ReadonlySet<string> = new Set(['path', 'content', 'filename', 'contentType', 'headers', 'size']);
const WHAT_IS_A_FILE =
  '{ path }, { content }, [filename, content], bytes, a Blob, a stream or a list of these; text alone could be a path or a content';

/**
 * The files of a form as its parts. Those on disk are looked at, but not opened.
 * @throws InvalidOptionError naming the file, as `files.<name>`
 */
export function resolveFiles(files: object): Part[] {
  if (!isPlainObject(files)) throw new InvalidOptionError('files', 'must be an object: { name: file }');
  return Object.entries(files).flatMap(([name, value]: [string, unknown]) => {
    const option = `files.${name}`;
    if (!Array.isArray(value) || isTuple(value)) return [resolveFile(name, option, value)];
    return value.map((each: unknown, index) => resolveFile(name, `${option}[${index}]`, each));
  });
}

function isTuple(value: readonly unknown[]): boolean {
  return typeof value[0] === 'string' || value[0] === null;
}

function resolveFile(name: string, option: string, value: unknown): Part {
  const given = describe(option, value);
  const source = given.path === undefined ? sourceOf(option, given) : fileAt(option, given);
  const contentType =
    given.contentType ?? (source.kind === 'blob' && source.blob.type !== '' ? source.blob.type : null);
  if (contentType !== null && (typeof contentType !== 'string' || contentType === '' || CONTROL.test(contentType)))
    throw new InvalidOptionError(`${option}.contentType`, 'must be a media type such as text/plain');
  const filename = given.filename === undefined ? (nameOf(given) ?? name) : given.filename;
  return { name, filename: checkFilename(option, filename), contentType, headers: headersOf(option, given), source };
}

/** What was said of a file; nothing of it is checked yet. */
interface Given {
  readonly path?: unknown;
  readonly content?: unknown;
  readonly filename?: unknown;
  readonly contentType?: unknown;
  readonly headers?: unknown;
  readonly size?: unknown;
}

function describe(option: string, value: unknown): Given {
  if (Array.isArray(value)) {
    if (!isTuple(value) || value.length < 2 || value.length > 4)
      throw new InvalidOptionError(option, 'must be [filename, content], with a content type and headers if wanted');
    const [filename, content, contentType, headers]: unknown[] = value;
    return { filename, content, contentType, headers };
  }
  if (bytesOf(value) !== null || value instanceof Blob || isStreamed(value)) return { content: value };
  if (!isPlainObject(value)) throw new InvalidOptionError(option, `must be ${WHAT_IS_A_FILE}`);
  const stray = Object.keys(value).find((key) => !KNOWN.has(key));
  if (stray !== undefined) throw new InvalidOptionError(`${option}.${stray}`, 'there is no such option');
  const given: Given = value;
  if ((given.path === undefined) === (given.content === undefined))
    throw new InvalidOptionError(option, 'must have either path or content');
  return given;
}

function fileAt(option: string, { path, size }: Given): FilePartSource {
  if (typeof path !== 'string') throw new InvalidOptionError(`${option}.path`, 'must be the path of a file');
  if (size !== undefined) throw new InvalidOptionError(`${option}.size`, 'is for streams; the size of a file is known');
  try {
    accessSync(path, constants.R_OK);
    const stats = statSync(path);
    if (stats.isDirectory()) throw new Error('it is a directory');
    return { kind: 'path', path, size: stats.isFile() ? stats.size : null };
  } catch (error) {
    throw new InvalidOptionError(option, `${path} cannot be read: ${messageOf(error)}`);
  }
}

function sourceOf(option: string, { content, size }: Given): FilePartSource {
  if (size !== undefined && !isStreamed(content))
    throw new InvalidOptionError(`${option}.size`, 'is for streams; the size of other contents is known');
  if (typeof content === 'string') return { kind: 'bytes', bytes: Buffer.from(content) };
  const bytes = bytesOf(content);
  if (bytes !== null) return { kind: 'bytes', bytes };
  if (content instanceof Blob) return { kind: 'blob', blob: content, size: content.size };
  if (!isStreamed(content))
    throw new InvalidOptionError(option, 'has a content that is neither text, bytes, a Blob nor a stream');
  checkFresh(option, content);
  return { kind: 'stream', stream: content, size: sizeOf(option, size) };
}

function sizeOf(option: string, size: unknown): number | null {
  if (size === undefined) return null;
  if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) return size;
  throw new InvalidOptionError(`${option}.size`, 'must be a number of bytes');
}

/** The name that a file brings with it: that of its path, of a File, or of the path that a stream is read from. */
function nameOf({ path, content }: Given): string | null {
  const its = path ?? (content instanceof File ? content.name : content instanceof ReadStream ? content.path : null);
  return typeof its === 'string' && basename(its) !== '' ? its : null;
}

// Of a path its last segment is sent (RFC 7578 §4.2: no directories); there must be one.
function checkFilename(option: string, filename: unknown): string | null {
  if (filename === null) return null;
  if (typeof filename === 'string' && basename(filename) !== '') return filename;
  throw new InvalidOptionError(`${option}.filename`, 'must be a name, or null for none');
}

function headersOf(option: string, { headers }: Given): Record<string, string> {
  if (headers === undefined) return {};
  if (!isPlainObject(headers)) throw new InvalidOptionError(`${option}.headers`, 'must be an object: { name: value }');
  const checked: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!TOKEN.test(name) || typeof value !== 'string' || CONTROL.test(value))
      throw new InvalidOptionError(`${option}.headers`, 'must be names and texts without line breaks');
    if (/^content-(disposition|type)$/i.test(name))
      throw new InvalidOptionError(`${option}.headers`, `has ${name}; write filename and contentType instead`);
    checked[name] = value;
  }
  return checked;
}

function messageOf(error: unknown): string {
  return types.isNativeError(error) ? error.message : String(error);
}
