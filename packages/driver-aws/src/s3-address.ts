import { InvalidOptionError } from '@cloudlane/proxy';

/** Where the bucket's name stands in a URL: `https://host/bucket/key` or `https://bucket.host/key`. */
export type S3Addressing = 'path' | 'virtual';

/** Percent-encodes everything but RFC 3986's unreserved characters, as signatures of S3 want it. */
export function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * A key as a path; its slashes stay.
 * @throws InvalidOptionError if the key is empty, no valid Unicode, or cannot be expressed in a URL
 */
export function encodeKey(key: string): string {
  if (typeof key !== 'string' || key === '') throw new InvalidOptionError('key', 'is empty');
  const segments = key.split('/');
  // URLs resolve such segments, encoded ones too (WHATWG URL §4.4): the request would name another object.
  if (segments.some((segment) => segment === '.' || segment === '..'))
    throw new InvalidOptionError('key', 'has a segment "." or "..", which no URL can express; choose another key');
  try {
    return segments.map(encodeRfc3986).join('/');
  } catch {
    throw new InvalidOptionError('key', 'has half of a surrogate pair; keys are sent as UTF-8');
  }
}

/**
 * Accepts what was ever allowed: before 2018 names in us-east-1 could have capitals, underscores and 255 characters.
 * @throws InvalidOptionError if it cannot be a bucket's name
 */
export function checkBucket(name: unknown): string {
  if (typeof name === 'string' && /^[A-Za-z0-9][\w.-]{1,253}[A-Za-z0-9]$/.test(name) && !name.includes('..'))
    return name;
  throw new InvalidOptionError('container', `cannot be a bucket's name; ${RULES}`);
}

/** @throws InvalidOptionError if no bucket of that name can be made today */
export function checkNewBucket(name: unknown): string {
  if (typeof name === 'string' && isHostLabel(name)) return name;
  throw new InvalidOptionError('container', `cannot be the name of a new bucket; ${RULES}`);
}

/** Whether the bucket can stand in the host name. With TLS a dot cannot: `*.host` certificates cover one label. */
export function fitsHost(bucket: string, secure: boolean): boolean {
  return isHostLabel(bucket) && !(secure && bucket.includes('.'));
}

// Amazon S3 User Guide, "General purpose bucket naming rules".
const RULES = 'write 3 to 63 lower-case letters, digits, dots and hyphens that begin and end with a letter or digit';

function isHostLabel(name: string): boolean {
  return /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !/\.\.|^\d+\.\d+\.\d+\.\d+$/.test(name);
}
