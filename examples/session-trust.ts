import { RedirectError, Session } from '@cloudlane/session';

/** Whom to trust, and where not to follow. */
export async function fetchInside(url: string, caFile: string, certificate: string, key: string): Promise<string> {
  // #region session-trust
  const session = new Session({ verify: caFile, cert: [certificate, key], maxRedirects: 5, prefetch: true });
  try {
    const response = await session.get(url);
    return [...response.history.map((hop) => hop.url.pathname), response.url.pathname].join(' → ');
  } catch (error) {
    if (error instanceof RedirectError) return error.code; // such as ERR_REDIRECT_INSECURE: from https to http
    throw error;
  }
  // #endregion
}
