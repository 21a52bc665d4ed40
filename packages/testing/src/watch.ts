/** Promises for states: "until three requests have come". Whoever changes a state calls `changed()`. */
export class Watch {
  readonly #waiting = new Set<() => boolean>();

  /** Resolves as soon as `reached` holds, at once if it does already. */
  until(reached: () => boolean): Promise<void> {
    if (reached()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.add(() => {
        if (!reached()) return false;
        resolve();
        return true;
      });
    });
  }

  changed(): void {
    for (const attempt of this.#waiting) if (attempt()) this.#waiting.delete(attempt);
  }
}
