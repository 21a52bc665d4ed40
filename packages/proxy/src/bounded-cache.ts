const MAX_ENTRIES = 256;
const MAX_KEY_LENGTH = 16_384;

/** Results by text. Forgets the oldest when full, and never keeps a very long text alive. */
export class BoundedCache<Value> {
  readonly #entries = new Map<string, Value>();

  getOrMake(key: string, make: () => Value): Value {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const made = make();
    if (key.length > MAX_KEY_LENGTH) return made;
    if (this.#entries.size >= MAX_ENTRIES) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    this.#entries.set(key, made);
    return made;
  }
}
