import { InvalidOptionError } from '@cloudlane/proxy';
import type { FieldValue } from './session-options.ts';

/** A name of a form and its text. */
export type FormEntry = readonly [name: string, value: string];

/**
 * The fields of a form in their order: a list repeats its name, null and undefined leave it out.
 * @throws InvalidOptionError naming the field whose value is no text, number or boolean
 */
export function formEntries(fields: object): FormEntry[] {
  if (fields instanceof URLSearchParams) return [...fields];
  return Object.entries(fields).flatMap(([name, value]: [string, unknown]) =>
    (Array.isArray(value) ? value : [value])
      .filter((each) => each !== null && each !== undefined)
      .map((each: unknown): FormEntry => [name, textOf(name, each)]),
  );
}

/** The body of a form without files: application/x-www-form-urlencoded, as the URL Standard §5.2 writes it. */
export function encodeForm(fields: object): string {
  const params = new URLSearchParams();
  for (const [name, value] of formEntries(fields)) params.append(name, value);
  return params.toString();
}

/** Whether a value can be taken for the fields of a form: an object literal, from whatever realm. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || (!Array.isArray(value) && Object.getPrototypeOf(prototype) === null);
}

function textOf(name: string, value: unknown): string {
  if (isFieldValue(value)) return String(value);
  const what = Array.isArray(value) ? 'a list in a list' : value instanceof Blob ? 'a file' : `of type ${typeof value}`;
  throw new InvalidOptionError(
    `data.${name}`,
    `is ${what}; a field is text, a number, a boolean or a list of them; a file belongs into files, other objects into json`,
  );
}

/** Whether a value is the text of one field, or has one. */
export function isFieldValue(value: unknown): value is FieldValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

/** Says what a value is, never what is in it. */
export function whatIs(value: unknown): string {
  if (Array.isArray(value)) return 'is a list';
  if (typeof value === 'string') return 'is text';
  if (value instanceof Promise) return 'is a promise, which was not awaited';
  if (typeof value !== 'object' || value === null) return `is ${value === null ? 'null' : `a ${typeof value}`}`;
  return `is of the class ${value.constructor?.name ?? 'Object'}`;
}
