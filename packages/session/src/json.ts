import { CloudlaneError, maskUrl } from '@cloudlane/transport';
import { findJsonFault, type JsonFault } from './json-fault.ts';

/** The body of an answer is not JSON (RFC 8259). Nothing of the body is in the error: it may hold secrets. */
export class JsonDecodeError extends CloudlaneError {
  /** The URL that answered, masked. */
  readonly url: string;
  /** Where the text stops being JSON, in UTF-16 units from 0; the text's length if it is cut off. */
  readonly position: number;
  /** The line of that place, from 1. */
  readonly line: number;
  /** Its column, from 1, in UTF-16 units. */
  readonly column: number;

  /** @param why for people, with nothing of the text */
  constructor(url: URL, text: string, position: number, why: string) {
    super(`The answer of ${maskUrl(url)} is not JSON: ${why}`, 'ERR_JSON');
    this.url = maskUrl(url);
    this.position = position;
    const [line, column] = lineAndColumn(text, position);
    this.line = line;
    this.column = column;
  }
}

/**
 * `JSON.parse` for the body of an answer; strict, without comments and trailing commas.
 * @throws JsonDecodeError that says where the text stops being JSON, and what it seems to be instead
 */
export function parseJson<T>(text: string, url: URL, contentType: string | undefined): T {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The parser's own error tells the place only now and then, and quotes the text: it is not kept.
    const fault = findJsonFault(text);
    throw fault === null ? error : new JsonDecodeError(url, text, fault.position, reason(text, fault, contentType));
  }
}

function reason(text: string, { position, expected }: JsonFault, contentType: string | undefined): string {
  if (text === '') return 'the body is empty';
  if (text.trim() === '') return 'the body is blank';
  if (isHtml(text, contentType)) return 'it is an HTML page: something between here and the origin answered';
  const [line, column] = lineAndColumn(text, position);
  const place = `line ${line}, column ${column}`;
  const what = position === text.length ? `it ends at ${place}, before ${expected}` : `${place} should be ${expected}`;
  return `${what} (its length is ${text.length})`;
}

function isHtml(text: string, contentType: string | undefined): boolean {
  const start = text.trimStart();
  return (/html/i.test(contentType ?? '') && start.startsWith('<')) || /^<(!doctype html|html)\b/i.test(start);
}

function lineAndColumn(text: string, position: number): [line: number, column: number] {
  let line = 1;
  let start = 0;
  for (const newline of text.slice(0, position).matchAll(/\r\n?|\n/g)) {
    line += 1;
    start = newline.index + newline[0].length;
  }
  return [line, position - start + 1];
}
