/**
 * Decides what `util.inspect` and `console.log` show of an object, or of all objects with that prototype. For whatever
 * leads to a secret: a value that shows itself cannot be printed by accident as a part of another.
 */
export function printAs<T extends object>(target: T, show: (value: T) => unknown): void {
  Object.defineProperty(target, Symbol.for('nodejs.util.inspect.custom'), {
    value(this: T) {
      return show(this);
    },
    configurable: true,
  });
}

/** Decides what `JSON.stringify` makes of one object. */
export function serializeAs<T extends object>(target: T, toJSON: (value: T) => unknown): void {
  Object.defineProperty(target, 'toJSON', { value: () => toJSON(target), configurable: true });
}
