import type { ByteRange, PutOptions, StoredObject } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { HttpResponse } from '@cloudlane/session';
import { bareEtag, dateOf } from './s3-xml.ts';

/** S3's own payload of an object: the headers of its answer, or in a list its entry. */
export type S3ObjectPayload = Readonly<Record<string, unknown>>;

const METADATA = 'x-amz-meta-';

/** The object that the headers of an answer describe. */
export function objectOf(container: string, key: string, { headers }: HttpResponse): StoredObject<S3ObjectPayload> {
  const metadata = Object.entries(headers)
    .filter(([name]) => name.startsWith(METADATA))
    .map(([name, value]): [string, string] => [name.slice(METADATA.length), String(value)]);
  return {
    provider: 's3',
    container,
    key,
    size: rangeOf(headers['content-range'])?.total ?? Number(headers['content-length'] ?? 0),
    etag: bareEtag(headers.etag),
    modifiedAt: dateOf(headers['last-modified']),
    contentType: headers['content-type'] ?? null,
    metadata: Object.fromEntries(metadata),
    raw: headers,
  };
}

/** Reads a `Content-Range` (RFC 9110 §14.4). */
export function rangeOf(header: string | undefined): ByteRange | null {
  const [, start, end, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header ?? '') ?? [];
  if (start === undefined || end === undefined) return null;
  return { start: Number(start), endInclusive: Number(end), total: total === '*' ? null : Number(total) };
}

/** The `Range` of a call, or nothing. @throws InvalidOptionError if there are no such bytes */
export function rangeHeader(start: number | undefined, endInclusive: number | undefined): Record<string, string> {
  if (start === undefined && endInclusive === undefined) return {};
  const from = start ?? 0;
  for (const [name, value] of Object.entries({ start: from, endInclusive })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
      throw new InvalidOptionError(name, 'must be a whole number from 0');
  }
  if (endInclusive !== undefined && endInclusive < from)
    throw new InvalidOptionError('endInclusive', 'is before start; it names the last byte wanted');
  return { Range: `bytes=${from}-${endInclusive ?? ''}` };
}

/** What an upload says of its object. @throws InvalidOptionError if metadata cannot be sent as it is */
export function uploadHeaders(options: PutOptions): Record<string, string> {
  const { contentType = 'application/octet-stream', metadata = {}, ifMatch, ifNoneMatch } = options;
  const headers: Record<string, string> = { 'Content-Type': contentType };
  for (const [name, value] of Object.entries(metadata)) {
    const header = `${METADATA}${name.toLowerCase()}`;
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      throw new InvalidOptionError(`metadata.${name}`, 'is no name for a header');
    if (header in headers) throw new InvalidOptionError(`metadata.${name}`, 'is given twice in different spellings');
    // HTTP takes blanks off the ends and knows no characters but these: another value would come back.
    if (!/^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$/.test(value))
      throw new InvalidOptionError(`metadata.${name}`, 'must be printable ASCII without blanks at its ends; encode it');
    headers[header] = value;
  }
  if (ifMatch !== undefined) headers['If-Match'] = ifMatch.includes('"') ? ifMatch : `"${ifMatch}"`;
  if (ifNoneMatch !== undefined) headers['If-None-Match'] = ifNoneMatch;
  return headers;
}
