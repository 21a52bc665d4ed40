import { maskHeaders, printAs } from '@cloudlane/transport';

// What all records of headers inherit, so that making one costs nothing; neither spread nor entries show it. As nothing
// is above it, they pass for plain objects as those of another realm do.
const PRINTED: object = Object.create(null, Object.getOwnPropertyDescriptors(Object.prototype));
// The one name that no record could have a header of.
Reflect.deleteProperty(PRINTED, '__proto__');
printAs(PRINTED, (headers) => maskHeaders({ ...headers }));
Object.defineProperty(PRINTED, 'toJSON', {
  value(this: Readonly<Record<string, unknown>>): Record<string, unknown> {
    return maskHeaders(this);
  },
  writable: true,
  configurable: true,
});

/** A plain object of headers that prints without those that authorize; whoever reads them gets the real ones. */
export function headerRecord<T>(headers: Readonly<Record<string, T>>): Record<string, T> {
  return Object.assign(Object.create(PRINTED), headers);
}

/** Whether it was made by `headerRecord`. */
export function isHeaderRecord(value: object): boolean {
  return Object.getPrototypeOf(value) === PRINTED;
}
