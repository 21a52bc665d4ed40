import { InvalidOptionError } from '@cloudlane/proxy';
import { CloudlaneError } from '@cloudlane/transport';

/** One page of a list, as the provider sent it. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Where the next page begins, for `ListOptions.after`; null: this was the last. */
  readonly next: string | null;
  /** The provider's own payload. */
  readonly raw: unknown;
}

/** A list that is fetched as it is read: nothing is asked for before it is iterated, nor after one stops. */
export interface Pager<T> extends AsyncIterable<T> {
  /** The list page by page. */
  pages(): AsyncIterable<Page<T>>;
  /** The whole list, or its first `limit` items. */
  all(options?: { readonly limit?: number }): Promise<T[]>;
}

/** What every list takes beside its `CallOptions`. */
export interface PageOptions {
  /** Items a page; the provider may cap it. */
  readonly pageSize?: number | undefined;
  /** `Page.next` of an earlier list: start there. Survives the process. */
  readonly after?: string | undefined;
  /** Items in all. @defaultValue no limit */
  readonly limit?: number | undefined;
}

/** Fetches the page that begins at `after`; null: the first. */
export type FetchPage<T> = (after: string | null) => Promise<Page<T>>;

/** A provider sent a cursor for the second time: its list would never end. */
export class RepeatedCursorError extends CloudlaneError {
  constructor() {
    super('The provider sent the same cursor twice; the list would never end', 'ERR_REPEATED_CURSOR');
  }
}

/**
 * Makes a pager. Ends at the first page whose `next` is null or empty, not at an empty page; a provider that sends the
 * same cursor twice would never end, so that is an error.
 * @throws InvalidOptionError if `limit` or `pageSize` is not a whole number from 1
 */
export function createPager<T>(fetchPage: FetchPage<T>, options: PageOptions = {}): Pager<T> {
  const { after = null, limit = Number.POSITIVE_INFINITY, pageSize } = options;
  if (limit !== Number.POSITIVE_INFINITY) checkCount('limit', limit, 1);
  if (pageSize !== undefined) checkCount('pageSize', pageSize, 1);
  async function* pages(): AsyncGenerator<Page<T>> {
    let left = limit;
    const seen = new Set<string>(after === null ? [] : [after]);
    for (let cursor: string | null = after; ; ) {
      const page = await fetchPage(cursor);
      const items = page.items.length > left ? page.items.slice(0, left) : page.items;
      left -= items.length;
      yield items === page.items ? page : { ...page, items };
      if (left <= 0 || page.next === null || page.next === '') return;
      if (seen.has(page.next)) throw new RepeatedCursorError();
      seen.add(page.next);
      cursor = page.next;
    }
  }
  async function* items(most: number): AsyncGenerator<T> {
    let left = most;
    if (left <= 0) return;
    for await (const page of pages()) {
      for (const item of page.items) {
        yield item;
        left -= 1;
        if (left <= 0) return;
      }
    }
  }
  return {
    pages,
    [Symbol.asyncIterator]: () => items(Number.POSITIVE_INFINITY),
    async all({ limit: most = Number.POSITIVE_INFINITY } = {}) {
      if (most !== Number.POSITIVE_INFINITY) checkCount('limit', most, 0);
      const list: T[] = [];
      for await (const item of items(most)) list.push(item);
      return list;
    },
  };
}

function checkCount(option: string, value: number, least: number): void {
  if (!(Number.isInteger(value) && value >= least))
    throw new InvalidOptionError(option, `must be a whole number from ${least}`);
}
