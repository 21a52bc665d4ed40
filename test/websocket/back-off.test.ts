import { InvalidOptionError } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { type BackOffOptions, createBackOff } from '../../packages/websocket/src/back-off.ts';

const ALMOST_ONE = 1 - Number.EPSILON;
const longest = (options: BackOffOptions): ((retry: number) => number) => createBackOff(options, () => 1);

describe('the longest pause before a retry', () => {
  test.each<[what: string, options: BackOffOptions, pauses: number[]]>([
    ['a second, doubled each time up to a minute', {}, [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1_000)],
    ['doubles from initialDelay', { initialDelay: 5 }, [5, 10, 20, 40, 80, 160, 320, 640]],
    ['stays at maxDelay', { initialDelay: 5, maxDelay: 30 }, [5, 10, 20, 30, 30, 30, 30, 30]],
    ['is maxDelay where initialDelay is more', { initialDelay: 50, maxDelay: 30 }, Array(8).fill(30)],
    ['is none with maxDelay: 0', { maxDelay: 0 }, Array(8).fill(0)],
    ['is none with initialDelay: 0', { initialDelay: 0 }, Array(8).fill(0)],
    ['takes undefined for the default', { initialDelay: undefined, maxDelay: undefined }, [1_000, 2_000, 4_000]],
  ])('%s', (_, options, pauses) => {
    expect(pauses.map((_pause, index) => longest(options)(index + 1))).toEqual(pauses);
  });

  test.each([1_023, 1_024, 1_025, 10_000])('is maxDelay at retry %i', (retry) => {
    expect(longest({})(retry)).toBe(60_000);
    expect(longest({ maxDelay: 2_147_483_647 })(retry)).toBe(2_147_483_647);
    expect(longest({ initialDelay: 0 })(retry)).toBe(0);
  });
});

describe('the jitter is full', () => {
  test.each([1, 2, 3, 7, 20, 10_000])('from none to the whole of it, at retry %i', (retry) => {
    const most = longest({})(retry);
    const at = (random: number): number => createBackOff({}, () => random)(retry);
    expect([at(0), at(0.25), at(0.5)]).toEqual([0, most / 4, most / 2]);
    expect(at(ALMOST_ONE)).toBeLessThan(most);
    expect(at(ALMOST_ONE)).toBeGreaterThan(most * 0.999);
  });

  test('each pause is drawn anew', () => {
    const drawn = [0.5, 0, 0.25];
    const backOff = createBackOff({}, () => drawn.shift() ?? Number.NaN);
    expect([backOff(1), backOff(1), backOff(2)]).toEqual([500, 0, 500]);
  });

  test('by default at random, within its bounds', () => {
    const backOff = createBackOff({ initialDelay: 8, maxDelay: 100 });
    const pauses = Array.from({ length: 200 }, () => backOff(3));
    expect(pauses.filter((pause) => pause < 0 || pause >= 32)).toEqual([]);
    expect(new Set(pauses).size).toBeGreaterThan(100);
    expect(Math.max(...pauses) - Math.min(...pauses)).toBeGreaterThan(8);
  });
});

describe('a delay that no timer can wait is refused by name', () => {
  const BAD: readonly unknown[] = [-1, Number.NaN, Number.POSITIVE_INFINITY, 2_147_483_648, '5', null, true, {}, 5n];

  test.each((['initialDelay', 'maxDelay'] as const).flatMap((option) => BAD.map((value) => ({ option, value }))))(
    '$option: $value',
    ({ option, value }) => {
      const options: BackOffOptions = Object.fromEntries([[option, value]]);
      expect(() => createBackOff(options)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_OPTION', option, name: 'InvalidOptionError' }),
      );
    },
  );

  test.each([0, 0.5, 1, 2_147_483_647])('%d is none of them', (value) => {
    expect(() => createBackOff({ initialDelay: value, maxDelay: value })).not.toThrow();
  });

  test('and the error says what to write', () => {
    expect(() => createBackOff({ maxDelay: -1 })).toThrow(InvalidOptionError);
    expect(() => createBackOff({ maxDelay: -1 })).toThrow(/maxDelay.*milliseconds from 0 .*2147483647/);
  });
});
