import { idOf, type Ref } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';

/** The id in a reference, for a body. @throws InvalidOptionError if it is empty or no text */
export function idIn(reference: Ref, option: string): string {
  const id: unknown = reference == null ? null : idOf(reference);
  if (typeof id !== 'string' || id.trim() === '')
    throw new InvalidOptionError(option, 'must be an id, or what has one');
  if (/[\p{Cc}\p{Cs}]/u.test(id)) throw new InvalidOptionError(option, 'contains a character that no id has');
  return id;
}

/** The id in a reference to what DigitalOcean numbers, for a path. @throws InvalidOptionError if it is no number */
export function numberIn(reference: Ref, option: string): string {
  const id = idIn(reference, option);
  if (!/^\d+$/.test(id))
    throw new InvalidOptionError(option, 'must have the number that DigitalOcean gave it as its id');
  return encodeURIComponent(id);
}

/** The id in a reference, for a body whose numbers are numbers and whose names are texts. */
export function numberOrNameIn(reference: Ref, option: string): number | string {
  const id = idIn(reference, option);
  return /^\d{1,15}$/.test(id) ? Number(id) : id;
}
