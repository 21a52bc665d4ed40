import { InvalidOptionError } from './errors.ts';

const INSPECT = Symbol.for('nodejs.util.inspect.custom');
// RFC 9110 §5.6.2 (token) and §5.5 (field-value), in what Node can write: one byte per character.
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
// RFC 9112 §3.2, §6 and RFC 9110 §7.6.1: they name the target, frame the message, or are about the connection. Said
// twice, or untruly, two readers differ over where the next message begins (RFC 9112 §11.2).
const WRITTEN_BY_CLIENT: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
]);

/**
 * Headers for the proxy, checked. The values can be read, listed and spread like those of any object, but
 * `JSON.stringify` and `util.inspect` show `***`: most of them are there to prove who is asking.
 */
export function createProxyHeaders(headers: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const masked: Record<string, string> = Object.create(MaskedHeaders.prototype);
  const names = new Set<string>();
  for (const [name, value] of Object.entries(headers)) {
    // An own property called toJSON would take the place of the method that masks.
    if (!FIELD_NAME.test(name) || name === 'toJSON') refuse('a header name is not a token as of RFC 9110');
    if (WRITTEN_BY_CLIENT.has(name.toLowerCase())) refuse(`${name} is written by the client itself; leave it out`);
    if (typeof value !== 'string') refuse(`the value of ${name} is not a string`);
    if (!FIELD_VALUE.test(value)) refuse(`the value of ${name} contains a character that no header can carry`);
    if (names.has(name.toLowerCase())) refuse(`${name} is given twice`);
    names.add(name.toLowerCase());
    Object.defineProperty(masked, name, { enumerable: true, get: () => value });
  }
  return Object.freeze(masked);
}

/** On a prototype, so that `for … in` sees the headers only. */
class MaskedHeaders {
  toJSON(): Record<string, string> {
    return Object.fromEntries(Object.keys(this).map((name) => [name, '***']));
  }

  [INSPECT](): Record<string, string> {
    return this.toJSON();
  }
}

function refuse(reason: string): never {
  throw new InvalidOptionError('http_proxy.headers', reason);
}
