import { inspect } from 'node:util';

/** Everything that the usual ways of printing show of a value. */
export function print(value: unknown): string {
  const ways = [
    inspect(value, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
    inspect(value, { depth: Number.POSITIVE_INFINITY, showHidden: true, customInspect: false }),
    inspect(value, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: false, compact: false }),
    JSON.stringify(value) ?? '',
    String(value),
  ];
  if (value instanceof Error) ways.push(value.message, value.stack ?? '', inspect(value.cause));
  return ways.join('\n');
}
