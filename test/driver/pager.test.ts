import { createPager, type Page, type PageOptions, RepeatedCursorError } from '@cloudlane/driver';
import { describe, expect, test } from '@jest/globals';

/** A list of the provider: pages by cursor, and a log of what was asked for. */
function listOf(pages: Readonly<Record<string, readonly [items: readonly number[], next: string | null]>>) {
  const asked: (string | null)[] = [];
  const fetch = async (after: string | null): Promise<Page<number>> => {
    asked.push(after);
    if (asked.length > 20) throw new Error('the list does not end');
    const [items, next] = pages[after ?? 'first'] ?? [[], null];
    return { items, next, raw: { after } };
  };
  return { asked, pager: (options?: PageOptions) => createPager(fetch, options) };
}

const three = () => listOf({ first: [[1, 2], 'b'], b: [[3, 4], 'c'], c: [[5], null] });

describe('a pager', () => {
  test('fetches page after page', async () => {
    const { asked, pager } = three();
    expect(await pager().all()).toEqual([1, 2, 3, 4, 5]);
    expect(asked).toEqual([null, 'b', 'c']);
  });

  test('fetches nothing before it is iterated', async () => {
    const { asked, pager } = three();
    const list = pager();
    const items = list[Symbol.asyncIterator]();
    const pages = list.pages()[Symbol.asyncIterator]();
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual([]);
    await items.next();
    expect(asked).toEqual([null]);
    await pages.next();
    expect(asked).toEqual([null, null]);
  });

  test('fetches a page only when the one before is used up', async () => {
    const { asked, pager } = three();
    const items = pager()[Symbol.asyncIterator]();
    await items.next();
    await items.next();
    expect(asked).toEqual([null]);
    await items.next();
    expect(asked).toEqual([null, 'b']);
  });

  test.each([1, 2])('fetches nothing after a break at item %d', async (last) => {
    const { asked, pager } = three();
    for await (const item of pager()) if (item === last) break;
    expect(asked).toEqual([null]);
  });

  test('can be iterated again, from the beginning', async () => {
    const { asked, pager } = three();
    const list = pager();
    expect(await list.all()).toEqual(await list.all());
    expect(asked).toEqual([null, 'b', 'c', null, 'b', 'c']);
  });

  test('does not end at an empty page', async () => {
    const { pager } = listOf({ first: [[1], 'b'], b: [[], 'c'], c: [[2], null] });
    expect(await pager().all()).toEqual([1, 2]);
  });

  test('ends at an empty cursor', async () => {
    const { asked, pager } = listOf({ first: [[1], ''] });
    expect(await pager().all()).toEqual([1]);
    expect(asked).toEqual([null]);
  });

  test.each<[name: string, pages: Parameters<typeof listOf>[0], after: string | undefined, asked: number]>([
    ['at once', { first: [[1], 'b'], b: [[2], 'b'] }, undefined, 2],
    ['in a circle', { first: [[1], 'b'], b: [[2], 'c'], c: [[3], 'b'] }, undefined, 3],
    ['that it was given', { x: [[1], 'x'] }, 'x', 1],
  ])('refuses a cursor that comes again %s', async (_name, pages, after, count) => {
    const { asked, pager } = listOf(pages);
    const seen: number[] = [];
    const read = async () => {
      for await (const item of pager({ after })) seen.push(item);
    };
    await expect(read()).rejects.toThrow(RepeatedCursorError);
    expect([asked.length, seen.length]).toEqual([count, count]);
  });

  test('begins after a cursor', async () => {
    const { asked, pager } = three();
    expect(await pager({ after: 'b' }).all()).toEqual([3, 4, 5]);
    expect(asked).toEqual(['b', 'c']);
  });

  test.each<[limit: number, items: number[], asked: number]>([
    [1, [1], 1],
    [2, [1, 2], 1],
    [3, [1, 2, 3], 2],
    [5, [1, 2, 3, 4, 5], 3],
    [9, [1, 2, 3, 4, 5], 3],
    [Number.POSITIVE_INFINITY, [1, 2, 3, 4, 5], 3],
  ])('with the limit %d gives %j after %d pages', async (limit, items, count) => {
    const [whole, first] = [three(), three()];
    expect(await whole.pager({ limit }).all()).toEqual(items);
    expect(await first.pager().all({ limit })).toEqual(items);
    expect([whole.asked.length, first.asked.length]).toEqual([count, count]);
  });

  test('takes the smaller of two limits', async () => {
    expect(await three().pager({ limit: 2 }).all({ limit: 4 })).toEqual([1, 2]);
    expect(await three().pager({ limit: 4 }).all({ limit: 2 })).toEqual([1, 2]);
  });

  test('fetches nothing for all({ limit: 0 })', async () => {
    const { asked, pager } = three();
    expect(await pager().all({ limit: 0 })).toEqual([]);
    expect(asked).toEqual([]);
  });

  test.each([0, -1, 1.5, Number.NaN, '5'])('refuses the count %p', async (count) => {
    const { asked, pager } = three();
    const value = count as number;
    expect(() => pager({ limit: value })).toThrow(expect.objectContaining({ option: 'limit' }));
    expect(() => pager({ pageSize: value })).toThrow(expect.objectContaining({ option: 'pageSize' }));
    if (count !== 0) await expect(pager().all({ limit: value })).rejects.toMatchObject({ option: 'limit' });
    expect(asked).toEqual([]);
  });

  test('refuses an endless pageSize', () => {
    expect(() => three().pager({ pageSize: Number.POSITIVE_INFINITY })).toThrow(
      expect.objectContaining({ option: 'pageSize' }),
    );
  });

  test('gives whole pages, the last one cut to the limit', async () => {
    const pages: Page<number>[] = [];
    for await (const page of three().pager({ limit: 3 }).pages()) pages.push(page);
    expect(pages).toEqual([
      { items: [1, 2], next: 'b', raw: { after: null } },
      { items: [3], next: 'c', raw: { after: 'b' } },
    ]);
  });

  test('gives an empty list as one empty page', async () => {
    const { pager } = listOf({ first: [[], null] });
    const pages: Page<number>[] = [];
    for await (const page of pager().pages()) pages.push(page);
    expect(pages).toEqual([{ items: [], next: null, raw: { after: null } }]);
    expect(await pager().all()).toEqual([]);
  });

  test('passes on what fetching fails with, after the items before', async () => {
    const fetch = async (after: string | null): Promise<Page<number>> => {
      if (after !== null) throw new RangeError('gone');
      return { items: [1], next: 'b', raw: null };
    };
    const seen: number[] = [];
    const read = async () => {
      for await (const item of createPager(fetch)) seen.push(item);
    };
    await expect(read()).rejects.toThrow('gone');
    expect(seen).toEqual([1]);
  });
});
