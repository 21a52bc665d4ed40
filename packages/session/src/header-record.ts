import { maskHeaders, printAs } from '@cloudlane/transport';

// What all records of headers inherit, so that making one costs nothing. Neither spread nor entries show it.
const PRINTED: object = Object.create(Object.prototype, {
  toJSON: {
    value(this: Readonly<Record<string, unknown>>): Record<string, unknown> {
      return maskHeaders(this);
    },
    writable: true,
    configurable: true,
  },
});
printAs(PRINTED, (headers) => maskHeaders({ ...headers }));
// A header may have this name, which is writable on no other object.
Object.defineProperty(PRINTED, '__proto__', { value: undefined, writable: true });

/** A plain object of headers that prints without those that authorize; whoever reads them gets the real ones. */
export function headerRecord<T>(headers: Readonly<Record<string, T>>): Record<string, T> {
  return Object.assign(Object.create(PRINTED), headers);
}

/** Whether it was made by `headerRecord`. */
export function isHeaderRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === PRINTED;
}
