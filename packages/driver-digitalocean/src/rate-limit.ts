import type { ApiResponse } from '@cloudlane/connection';

/** How many requests the token has left, as every answer tells. */
export interface RateLimit {
  /** Requests an hour. */
  readonly limit: number;
  /** Requests left. */
  readonly remaining: number;
  /** When the oldest request stops counting. */
  readonly resetsAt: Date;
}

/** Reads the `ratelimit-*` headers of an answer (`ApiResponse.headers`); null if they are not all there. */
export function readRateLimit(headers: ApiResponse['headers']): RateLimit | null {
  const [limit, remaining, reset] = ['limit', 'remaining', 'reset'].map((name) =>
    asNumber(headerText(headers, `ratelimit-${name}`)),
  );
  if (limit == null || remaining == null || reset == null) return null;
  return { limit, remaining, resetsAt: new Date(reset * 1000) };
}

/** A header that comes once. */
export function headerText(headers: ApiResponse['headers'], name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : null;
}

function asNumber(text: string | null): number | null {
  return text !== null && /^\s*\d{1,12}\s*$/.test(text) ? Number(text) : null;
}
