import { InvalidOptionError } from '@cloudlane/proxy';

/** What would end the target, or the line that it stands in, or be no part of one (RFC 9112 §3.2). */
const FORBIDDEN = /[ #\p{Cc}\p{Surrogate}]/u;

/**
 * The request target for Node, which writes each character as one byte: text beyond ASCII becomes its UTF-8 bytes.
 * @throws InvalidOptionError if no request can have it
 */
export function writeTarget(target: unknown, method: string): string {
  if (typeof target !== 'string' || !(target.startsWith('/') || (target === '*' && method === 'OPTIONS')))
    throw new InvalidOptionError('target', 'must be a path that starts with /, or * for OPTIONS');
  if (FORBIDDEN.test(target))
    throw new InvalidOptionError('target', 'has a blank, a control character or a #; write them percent-encoded');
  return Buffer.from(target).toString('latin1');
}
