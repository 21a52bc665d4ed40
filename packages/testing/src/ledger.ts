/** One request that brought a proxy header to an origin. Holds no header value: it may be a password. */
export interface CredentialLeak {
  /** URL of the origin. */
  readonly origin: string;
  /** Lower-case name of the header. */
  readonly header: string;
  /** Request target as on the wire. */
  readonly target: string;
}

const leaks: CredentialLeak[] = [];

/**
 * Every request of this process in which an origin of the lab saw `proxy-authorization` or another `proxy-*`
 * header. A test setup asserts that it is empty at the end. Origins started with `leakIsExpected` do not report.
 */
export function credentialLeaks(): readonly CredentialLeak[] {
  return [...leaks];
}

/** Empties the ledger: for tests of the ledger itself. */
export function forgetCredentialLeaks(): void {
  leaks.length = 0;
}

/** Enters what one request brought that was meant for a proxy. */
export function checkForLeaks(origin: string, target: string, rawHeaders: readonly string[]): void {
  for (const [index, name] of rawHeaders.entries()) {
    if (index % 2 === 0 && /^proxy-/i.test(name)) leaks.push({ origin, header: name.toLowerCase(), target });
  }
}
