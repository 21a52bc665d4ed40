import { isSecretField, isSecretHeader } from './secret-names.ts';

/** Placeholder for a secret in anything that may be printed. */
export const MASK = '***';

/** A URL for messages and logs: no password, and no value of a query parameter that may be a secret. */
export function maskUrl(url: URL): string {
  if (url.password === '' && url.search === '') return url.hash === '' ? url.href : url.href.slice(0, -url.hash.length);
  const masked = new URL(url);
  masked.hash = '';
  if (masked.password !== '') masked.password = MASK;
  for (const name of new Set(masked.searchParams.keys())) {
    if (isSecretField(name)) masked.searchParams.set(name, MASK);
  }
  return masked.href;
}

/** Headers for messages and logs: values of headers that authorize are replaced. */
export function maskHeaders(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, isSecretHeader(name) ? MASK : value]),
  );
}
