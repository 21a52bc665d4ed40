import type { TransportRequest } from '@cloudlane/transport';
import { filterText } from './body-filter.ts';
import { isForProxy, listHeaders } from './curl-headers.ts';
import type { HarCookie, HarPair, HarPostData, HarRequest } from './har-format.ts';
import type { SecretFilter } from './secret-filter.ts';
import { shownUrl, targetOf } from './shown-url.ts';

/**
 * A request in the archive's terms, without its secrets.
 * @param limit bytes up to which its body is kept
 */
export function toHarRequest(transported: TransportRequest, filter: SecretFilter, limit: number): HarRequest {
  const sent = [...listHeaders(transported)].filter(([name]) => !isForProxy(name));
  const valueFor = (wanted: string): string | undefined => sent.find(([name]) => name.toLowerCase() === wanted)?.[1];
  const postData = toPostData(transported, valueFor('content-type') ?? '', filter, limit);
  return {
    method: transported.method?.toUpperCase() || 'GET',
    url: shownUrl(transported, filter),
    httpVersion: 'HTTP/1.1',
    cookies: toCookies(valueFor('cookie') ?? '', filter),
    headers: sent.map(([name, value]) => ({ name, value: filter.header(name, value) })),
    queryString: toPairs(/\?(.*)/s.exec(targetOf(transported))?.[1] ?? '', filter),
    ...(postData && { postData }),
    headersSize: -1,
    bodySize: sizeOf(transported, valueFor('content-length')),
  };
}

/** Names and values of a query or a form, decoded. */
function toPairs(text: string, filter: SecretFilter): HarPair[] {
  return [...new URLSearchParams(text)].map(([name, value]) => ({ name, value: filter.field(name, value) }));
}

function toCookies(header: string, filter: SecretFilter): HarCookie[] {
  return header.split(';').flatMap((pair) => {
    const [, name, value = ''] = /^\s*([^=]+?)\s*=\s*(.*?)\s*$/s.exec(pair) ?? [];
    return name === undefined ? [] : [{ name, value: filter.cookie('cookie', name, value) }];
  });
}

function toPostData(
  { body }: TransportRequest,
  mimeType: string,
  filter: SecretFilter,
  limit: number,
): HarPostData | null {
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return null;
  const bytes = Buffer.from(body);
  const text = bytes.toString();
  // The archive has no place for bytes that are no text.
  if (bytes.length > limit || bytes.length === 0 || !Buffer.from(text).equals(bytes)) return null;
  if (/^application\/x-www-form-urlencoded/i.test(mimeType)) return { mimeType, params: toPairs(text, filter) };
  return { mimeType, text: filter.shows('body') ? text : filterText(text, mimeType, filter) };
}

function sizeOf({ body = null }: TransportRequest, declared: string | undefined): number {
  if (body === null) return 0;
  if (typeof body === 'string' || body instanceof Uint8Array) return Buffer.byteLength(body);
  return declared === undefined ? -1 : Number(declared);
}
