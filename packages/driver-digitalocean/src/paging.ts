import type { ApiResponse } from '@cloudlane/connection';
import { createPager, type ListOptions, type Page, type Pager } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { QueryParams } from '@cloudlane/session';
import type { DigitalOceanConnection } from './digitalocean-connection.ts';
import { listIn, malformed, memberOf } from './payload.ts';

/** What a list is made of. */
export interface ListSpec<R extends object, T> {
  readonly path: string;
  /** Name of the list in the answer. */
  readonly name: string;
  readonly params?: QueryParams;
  readonly map: (raw: R) => T;
}

const MAX_PAGE_SIZE = 200;

/** A list of the API, page by page. Its cursors are page numbers, so they hold for one `pageSize`. */
export function listOf<R extends object, T>(
  connection: DigitalOceanConnection,
  spec: ListSpec<R, T>,
  options: ListOptions = {},
): Pager<T> {
  const { after, pageSize = MAX_PAGE_SIZE } = options;
  if (after !== undefined && !isPageNumber(after)) throw new InvalidOptionError('after', 'must be `next` of a page');
  return createPager((cursor) => fetchPage(connection, spec, cursor ?? '1', pageSize, options), options);
}

async function fetchPage<R extends object, T>(
  connection: DigitalOceanConnection,
  { path, name, params, map }: ListSpec<R, T>,
  page: string,
  pageSize: number,
  options: ListOptions,
): Promise<Page<T>> {
  const response = await connection.request(path, {
    ...options,
    params: { ...params, page, per_page: Math.min(pageSize, MAX_PAGE_SIZE) },
  });
  return { items: listIn<R>(response, name).map(map), next: nextPage(response, page), raw: response.object };
}

// Only the number is taken from the provider's link: an answer does not choose where the token goes next.
function nextPage(response: ApiResponse, page: string): string | null {
  const next = memberOf(memberOf(memberOf(response.object, 'links'), 'pages'), 'next');
  if (next === undefined || next === null || next === '') return null;
  const number = /[?&]page=(\d+)(?:&|#|$)/.exec(String(next))?.[1];
  if (number === undefined || !isPageNumber(number) || Number(number) <= Number(page)) {
    throw malformed(response, `the link to the page after ${page} names no later page`);
  }
  return number;
}

function isPageNumber(text: string): boolean {
  return /^[1-9]\d{0,8}$/.test(text);
}
