/** Milliseconds of a `Retry-After` field (RFC 9110 §10.2.3): seconds or an HTTP date. null if there is none, or none that can be read. */
export function readRetryAfter(value: string | undefined, now: number = Date.now()): number | null {
  if (value === undefined) return null;
  if (/^\s*\d+\s*$/.test(value)) {
    const milliseconds = Number(value) * 1000;
    return Number.isSafeInteger(milliseconds) ? milliseconds : null;
  }
  // Only with GMT: of the other forms Date would make local time.
  const date = /GMT\s*$/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
