// Query parameters that carry a secret: pre-signed URLs (S3, Azure SAS, Google) and tokens.
const SECRET_PARAMETER =
  /^(x-amz-(signature|credential|security-token)|x-goog-(signature|credential)|signature|sig|token|access_token|api_?key|key|secret|password)$/i;
const SECRET_HEADER = /authorization|cookie|token|secret|password|signature|api-?key|^x-auth-key$/i;

/** Placeholder for a secret in anything that may be printed. */
export const MASK = '***';

/** A URL for messages and logs: no password, and no value of a query parameter that signs or authorizes. */
export function maskUrl(url: URL): string {
  if (url.password === '' && url.search === '') return url.hash === '' ? url.href : url.href.slice(0, -url.hash.length);
  const masked = new URL(url);
  masked.hash = '';
  if (masked.password !== '') masked.password = MASK;
  for (const name of new Set(masked.searchParams.keys())) {
    if (SECRET_PARAMETER.test(name)) masked.searchParams.set(name, MASK);
  }
  return masked.href;
}

/** Whether a header's value authorizes, and so must not be shown, nor sent to anybody but the one it is meant for. */
export function isSecretHeader(name: string): boolean {
  return SECRET_HEADER.test(name);
}

/** Headers for messages and logs: values of headers that authorize are replaced. */
export function maskHeaders(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, isSecretHeader(name) ? MASK : value]),
  );
}
