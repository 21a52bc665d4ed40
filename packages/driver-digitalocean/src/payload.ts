import { type ApiResponse, MalformedResponseError } from '@cloudlane/connection';
import { maskUrl } from '@cloudlane/transport';

/** The object under this name in an answer. @throws MalformedResponseError if there is none */
export function objectIn<T extends object>(response: ApiResponse, name: string): T {
  const value = memberOf(response.object, name);
  if (typeof value !== 'object' || value === null) throw malformed(response, `it has no object "${name}"`);
  return value as T;
}

/** The list under this name in an answer. @throws MalformedResponseError if there is none */
export function listIn<T extends object>(response: ApiResponse, name: string): readonly T[] {
  const value = memberOf(response.object, name);
  if (!Array.isArray(value)) throw malformed(response, `it has no list "${name}"`);
  return value;
}

/** An answer in good JSON that is not what the API says of itself. */
export function malformed(response: ApiResponse, why: string): MalformedResponseError {
  const { request, url } = response.http;
  return new MalformedResponseError(why, {
    provider: 'digitalocean',
    request: `${request.method} ${maskUrl(url)}`,
    status: response.status,
    contentType: response.headers['content-type'] ?? null,
    body: JSON.stringify(response.object),
  });
}

/** A time in ISO 8601. */
export function asDate(text: string | null | undefined): Date | null {
  const milliseconds = Date.parse(text ?? '');
  return Number.isNaN(milliseconds) ? null : new Date(milliseconds);
}

/** A member of what may be no object. */
export function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
