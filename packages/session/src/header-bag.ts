import type { RequestHeaders } from '@cloudlane/transport';
import { headerRecord } from './header-record.ts';
import { readHeaders } from './merge.ts';

/** Headers that can be read and written by any spelling of their names; null and undefined leave one out. */
export type HeaderValues = { [name: string]: RequestHeaders[string] };

/** Headers kept in the spelling they were written in, and found in any. */
export class HeaderBag {
  /** In the spelling of the last one to write. Prints without those that authorize. */
  readonly record: HeaderValues = headerRecord({});
  /** The same as a plain object that does not care for spelling. */
  readonly view: HeaderValues;

  /** @throws InvalidOptionError if a layer is neither a plain object nor Headers */
  constructor(...layers: readonly (RequestHeaders | Headers | null | undefined)[]) {
    this.view = new Proxy(this.record, HANDLER);
    for (const layer of layers) if (layer) Object.assign(this.view, readHeaders(layer));
  }
}

const HANDLER: ProxyHandler<HeaderValues> = {
  get: (record, name) => Reflect.get(record, spellingOf(record, name) ?? name),
  has: (record, name) => spellingOf(record, name) !== undefined,
  getOwnPropertyDescriptor: (record, name) =>
    Reflect.getOwnPropertyDescriptor(record, spellingOf(record, name) ?? name),
  set(record, name, value) {
    forgetOther(record, name);
    return Reflect.set(record, name, value);
  },
  defineProperty(record, name, descriptor) {
    forgetOther(record, name);
    return Reflect.defineProperty(record, name, descriptor);
  },
  deleteProperty(record, name) {
    const before = spellingOf(record, name);
    return before === undefined || Reflect.deleteProperty(record, before);
  },
};

function forgetOther(record: HeaderValues, name: string | symbol): void {
  const before = spellingOf(record, name);
  if (before !== undefined && before !== name) delete record[before];
}

function spellingOf(record: HeaderValues, name: string | symbol): string | undefined {
  if (typeof name === 'symbol') return undefined;
  if (Object.hasOwn(record, name)) return name;
  const lower = name.toLowerCase();
  return Object.keys(record).find((key) => key.toLowerCase() === lower);
}
