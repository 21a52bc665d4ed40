import { createRequire } from 'node:module';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type NpmFormData from 'form-data';
import { type FilePartSource, resolveFiles } from './file-part.ts';
import type { FormEntry } from './form.ts';
import { MultipartBody, type MultipartPiece } from './multipart-body.ts';
import type { RequestContent } from './request-content.ts';

/** What a file of a form can be made of. Streams are read once. */
export type FileContent =
  | string
  | Uint8Array
  | ArrayBuffer
  | Blob
  | Readable
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>;

/** How a file of a form is described. */
export interface FileDescription {
  /** Its last segment is sent; null sends none, so that servers take the part for a field. @defaultValue the name of path or File, else the field's */
  readonly filename?: string | null | undefined;
  /** @defaultValue by the file name's extension, else application/octet-stream */
  readonly contentType?: string | undefined;
  /** Further headers of this part. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A file on disk: opened only when its turn comes, and again if the request is sent again. */
export interface FileOnDisk extends FileDescription {
  readonly path: string;
}

/** A file from elsewhere. */
export interface FileWithContent extends FileDescription {
  readonly content: FileContent;
  /** Bytes of a stream, if known; it must keep to them. Without it the whole form has no Content-Length. */
  readonly size?: number | undefined;
}

/** Requests' tuple. */
export type FileTuple = readonly [
  filename: string | null,
  content: FileContent,
  contentType?: string | undefined,
  headers?: Readonly<Record<string, string>> | undefined,
];

/**
 * One file of a form. Text alone is none, as it could be a path or a content: `{ path: 'a.txt' }` or `{ content: 'text' }`.
 * A list that begins with text or null is a tuple, any other a list of files under one name.
 */
export type FilePart = Exclude<FileContent, string> | FileOnDisk | FileWithContent | FileTuple;

/** A part of a form that is ready to be written. */
export interface Part {
  readonly name: string;
  /** Its last segment is sent; null: none. */
  readonly filename: string | null;
  /** null: by the file name's extension; a part without a file name has none then. */
  readonly contentType: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly source: FilePartSource;
}

/**
 * A form with files as multipart/form-data (RFC 7578): names in UTF-8 and escaped as the HTML Standard §4.10.22.8 has it.
 * Nothing is opened before the body is read; it can be had again if no part is a stream.
 * @throws InvalidOptionError naming the file that cannot be read or sent
 */
export function encodeMultipart(fields: readonly FormEntry[], files: object): RequestContent {
  return encodeParts([...fields.map(fieldPart), ...resolveFiles(files)]);
}

/** A part for a field of a form. */
export function fieldPart([name, value]: FormEntry): Part {
  return { name, filename: null, contentType: null, headers: {}, source: { kind: 'bytes', bytes: Buffer.from(value) } };
}

/** The type of bytes that nobody knows better (RFC 2046 §4.5.1). */
export const OCTETS = 'application/octet-stream';

/** Parts as one body, its type and, if every part's is known, its length. */
export function encodeParts(parts: readonly Part[]): RequestContent {
  const { boundary, heads } = writeHeads(parts);
  const pieces: MultipartPiece[] = parts.map(({ source }, index) => ({ head: heads[index] ?? '', source }));
  const tail = `--${boundary}--\r\n`;
  const length = lengthOf(pieces, tail);
  // A path without a size is a pipe or a device, which gives its bytes once.
  const isRenewable = parts.every(
    ({ source }) =>
      source.kind === 'bytes' || source.kind === 'blob' || (source.kind === 'path' && source.size !== null),
  );
  const headers = {
    'Content-Type': `multipart/form-data; boundary=${boundary}`,
    ...(length !== null && { 'Content-Length': String(length) }),
  };
  const whole = length !== null && length <= MOST_IN_MEMORY ? joinBytes(pieces, tail) : null;
  if (whole !== null) return { body: whole, headers, renew: null };
  const create = (): MultipartBody => new MultipartBody(pieces, tail);
  return { body: create(), headers, renew: isRenewable ? create : null };
}

/** Bytes of a form that is better made at once: it can then be signed, and sent again over another connection. */
const MOST_IN_MEMORY = 1024 * 1024;

/** The form in one piece, if all of it is in memory. */
function joinBytes(pieces: readonly MultipartPiece[], tail: string): Buffer | null {
  const chunks: Uint8Array[] = [];
  for (const { head, source } of pieces) {
    if (source.kind !== 'bytes') return null;
    chunks.push(Buffer.from(head), source.bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat([...chunks, Buffer.from(tail)]);
}

function lengthOf(pieces: readonly MultipartPiece[], tail: string): number | null {
  let length = tail.length;
  for (const { head, source } of pieces) {
    const size = source.kind === 'bytes' ? source.bytes.length : source.size;
    if (size === null) return null;
    length += Buffer.byteLength(head) + size + 2;
  }
  return length;
}

/**
 * Boundary and heads are form-data's work; its stream is not used. That leaves files open when it is destroyed, waits for
 * ever for a part that was, and cannot be read with `for await`.
 */
function writeHeads(parts: readonly Part[]): { boundary: string; heads: string[] } {
  const FormData = loadFormData();
  const boundary = new FormData().getBoundary();
  const rest = `\r\n--${boundary}--\r\n`.length;
  const heads = parts.map(({ name, filename, contentType, headers }) => {
    const form = new FormData();
    form.setBoundary(boundary);
    // form-data would look a name without an extension up as one: f is Fortran.
    const type = contentType ?? (filename !== null && extname(filename) === '' ? OCTETS : null);
    // An empty content: text without a file name gets no type, bytes always do.
    form.append(name, filename === null ? '' : Buffer.alloc(0), {
      ...(filename !== null && { filename }),
      ...(type !== null && { contentType: type }),
      header: { ...headers },
    });
    return form.getBuffer().toString().slice(0, -rest);
  });
  return { boundary, heads };
}

// Only a form with files pays for it: loading it takes longer than many a program's start.
function loadFormData(): typeof NpmFormData {
  const load = createRequire(import.meta.url);
  const loaded: typeof NpmFormData = load('form-data');
  return loaded;
}
