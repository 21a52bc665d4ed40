import type { RequestHeaders } from '@cloudlane/transport';

/** Headers that can be read and written by any spelling of their names; null and undefined leave one out. */
export type HeaderValues = { [name: string]: RequestHeaders[string] };

/** Headers kept in the spelling they were written in, and found in any. */
export class HeaderBag {
  /** In the spelling of the last one to write. */
  readonly record: HeaderValues = {};
  /** The same as a plain object that does not care for spelling. */
  readonly view: HeaderValues;

  constructor(...layers: readonly (RequestHeaders | undefined)[]) {
    this.view = new Proxy(this.record, HANDLER);
    for (const layer of layers) Object.assign(this.view, layer);
  }
}

const HANDLER: ProxyHandler<HeaderValues> = {
  get: (record, name) => Reflect.get(record, spellingOf(record, name) ?? name),
  has: (record, name) => spellingOf(record, name) !== undefined,
  set(record, name, value) {
    const before = spellingOf(record, name);
    if (before !== undefined && before !== name) delete record[before];
    return Reflect.set(record, name, value);
  },
  deleteProperty(record, name) {
    const before = spellingOf(record, name);
    return before === undefined || Reflect.deleteProperty(record, before);
  },
};

function spellingOf(record: HeaderValues, name: string | symbol): string | undefined {
  if (typeof name === 'symbol') return undefined;
  if (Object.hasOwn(record, name)) return name;
  const lower = name.toLowerCase();
  return Object.keys(record).find((key) => key.toLowerCase() === lower);
}
