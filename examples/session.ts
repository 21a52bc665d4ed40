import { HTTPBasicAuth, Session } from '@cloudlane/session';

/** Any URL with defaults of its own. */
export async function search(url: string, proxy: string, words: string): Promise<unknown> {
  // #region session
  const session = new Session({ auth: new HTTPBasicAuth('user', 'password'), timeout: { firstByte: 5_000 } });
  session.setHttpProxy(proxy);
  const response = await session.get(url, { params: { q: words } });
  return response.raiseForStatus().json();
  // #endregion
}
