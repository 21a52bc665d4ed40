import { InvalidOptionError } from '@cloudlane/proxy';
import { isPlainObject, whatIs } from './form.ts';

/**
 * Refuses what holds no names and values of its own: those of a Map, for instance, would be lost without a word.
 * @param option how the option is called
 * @param advice what to write instead
 * @throws InvalidOptionError if it is no plain object
 */
export function checkRecord(value: unknown, option: string, advice: string): void {
  if (!isPlainObject(value)) throw new InvalidOptionError(option, `${whatIs(value)}; write ${advice}`);
}
