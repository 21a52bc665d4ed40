import { isNativeError } from 'node:util/types';

/** Whether it is an error, also one of another realm: in a vm context (jest) Node's own errors are not `instanceof Error`. */
export function isError(value: unknown): value is Error {
  return isNativeError(value) || value instanceof Error;
}

/** What an error says. */
export function messageOf(error: unknown): string {
  if (!isError(error)) return 'unknown fault';
  // Happy Eyeballs (RFC 8305) tries several addresses, and the error lists what each said.
  if ('errors' in error && Array.isArray(error.errors) && error.errors.length > 0) {
    return error.errors.map(messageOf).join('; ');
  }
  return error.message.trim();
}
