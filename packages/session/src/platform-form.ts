import { basename } from 'node:path';
import { InvalidOptionError } from '@cloudlane/proxy';
import { encodeParts, fieldPart, OCTETS, type Part } from './multipart.ts';
import type { RequestContent } from './request-content.ts';

/** The platform's FormData as `fetch` sends it, but with its length. */
export function encodeFormData(form: FormData): RequestContent {
  return encodeParts([...form].map(([name, value]) => formDataPart(unifyBreaks(name), value)));
}

/** Whether it is a FormData: the platform's, or one of a package such as undici. */
export function isFormData(value: unknown): value is FormData {
  if (value instanceof FormData) return true;
  return Object.prototype.toString.call(value) === '[object FormData]' && Symbol.iterator in Object(value);
}

function formDataPart(name: string, value: string | File): Part {
  if (typeof value === 'string') return fieldPart([name, unifyBreaks(value)]);
  if (!(value instanceof Blob))
    throw new InvalidOptionError(`data.${name}`, 'is a file of a foreign kind; give a File or a Blob');
  const source = { kind: 'blob', blob: value, size: value.size } as const;
  return {
    name,
    filename: basename(value.name) === '' ? name : value.name,
    contentType: value.type || OCTETS,
    headers: {},
    source,
  };
}

// HTML Standard §4.10.22.8: every line break of a name or text becomes CRLF.
function unifyBreaks(text: string): string {
  return text.replace(/\r\n|\r|\n/g, '\r\n');
}
