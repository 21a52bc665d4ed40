import { test } from '@jest/globals';

/** On the CI every test runs; elsewhere those whose programs are missing are listed at the end of the run. */
export const onCi: boolean = process.env.CI === 'true';

/** Stands in for tests that cannot run on this machine: a failure on the CI, elsewhere a line in the run's last lines. */
export function notRunHere(name: string, install: string): void {
  const title = `${name} – install ${install}`;
  if (onCi) {
    test(title, () => {
      throw new Error(`On the CI nothing is left out: install ${install}`);
    });
  } else {
    test.skip(title, () => {});
  }
}
