import { types } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { RequestBody } from '@cloudlane/transport';
import { bytesOf, checkFresh, isStreamed } from './body-kinds.ts';
import { encodeForm, formEntries, isPlainObject, whatIs } from './form.ts';
import { encodeMultipart } from './multipart.ts';
import { encodeNpmForm, isNpmForm } from './npm-form.ts';
import { encodeFormData, isFormData } from './platform-form.ts';
import type { RequestOptions } from './session-options.ts';

/** A body, what its headers say of it, and how to have it again. */
export interface RequestContent {
  readonly body: RequestBody | null;
  /** Its type, and its length where that is known of a stream. */
  readonly headers: Readonly<Record<string, string>>;
  /** Makes another body just like it; null: what is in memory is sent again as it is, and a stream only once. */
  readonly renew: (() => RequestBody) | null;
}

/**
 * Turns the data of a call into a body.
 * @throws InvalidOptionError naming the option that cannot be sent, or contradicts another
 */
export function encodeContent(options: Pick<RequestOptions, 'data' | 'json' | 'files'>): RequestContent {
  const { json } = options;
  const data: unknown = options.data ?? null;
  const files = options.files ?? null;
  if (json !== undefined) {
    if (data !== null) throw new InvalidOptionError('json', 'contradicts data; give one of them');
    if (files !== null) throw new InvalidOptionError('json', 'contradicts files; give one of them');
    return inMemory(encodeJson(json), 'application/json');
  }
  if (files !== null) return encodeMultipart(formEntries(fieldsBesideFiles(data)), files);
  return data === null ? { body: null, headers: {}, renew: null } : encodeData(data);
}

function encodeData(data: unknown): RequestContent {
  if (typeof data === 'function') return encodeFactory(() => data());
  if (data instanceof URLSearchParams) return inMemory(encodeForm(data), FORM);
  if (data instanceof Blob) return encodeBlob(data);
  // Before the streams: by its types it is one.
  if (isNpmForm(data)) return encodeNpmForm(data);
  if (isFormData(data)) return encodeFormData(data);
  const body = toBody(data);
  if (body !== null) return { body, headers: {}, renew: null };
  if (isPlainObject(data)) return inMemory(encodeForm(data), FORM);
  throw new InvalidOptionError('data', `${whatIs(data)}; it must be ${WHAT_IS_DATA}`);
}

const FORM = 'application/x-www-form-urlencoded';
const WHAT_IS_DATA =
  'text, bytes, a stream, an async iterable, a Blob, a form (URLSearchParams, FormData, an object of fields), or a function that makes a body; other values go into json';

function inMemory(body: string, type: string): RequestContent {
  return { body, headers: { 'Content-Type': type }, renew: null };
}

function encodeJson(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // The rest of it draws the circle.
    const [why] = (types.isNativeError(error) ? error.message : String(error)).split('\n');
    throw new InvalidOptionError('json', `cannot be written as JSON: ${why}`);
  }
  if (text === undefined) throw new InvalidOptionError('json', `is ${typeof value}, which JSON has no word for`);
  return text;
}

function encodeFactory(create: () => unknown): RequestContent {
  const renew = (): RequestBody => {
    const made = create();
    const body = toBody(made);
    if (body === null)
      throw new InvalidOptionError(
        'data',
        `is a function whose result ${whatIs(made)}; it must be a body: text, bytes, a stream or an async iterable`,
      );
    return body;
  };
  return { body: renew(), headers: {}, renew };
}

function encodeBlob(blob: Blob): RequestContent {
  const renew = (): RequestBody => blob.stream();
  const headers = { ...(blob.type !== '' && { 'Content-Type': blob.type }), 'Content-Length': String(blob.size) };
  return { body: renew(), headers, renew };
}

function toBody(value: unknown): RequestBody | null {
  if (typeof value === 'string') return value;
  if (!isStreamed(value)) return bytesOf(value);
  checkFresh('data', value);
  return value;
}

function fieldsBesideFiles(data: unknown): object {
  if (data === null) return {};
  if (data instanceof URLSearchParams || (isPlainObject(data) && !isStreamed(data))) return data;
  throw new InvalidOptionError(
    'data',
    `${whatIs(data)}; with files it must be the fields of their form: an object or URLSearchParams`,
  );
}
