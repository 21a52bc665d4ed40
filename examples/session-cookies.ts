import { CookieJar, Session } from '@cloudlane/session';

/** Cookies of one run for the next. */
export async function signInOnce(url: string, jarPath: string): Promise<string> {
  // #region session-cookies
  const session = new Session({ prefetch: true });
  await session.post(`${url}/login`, { data: { user: 'ada' } }); // sets one; followed redirects may set more
  await session.get(url, { cookies: { theme: 'dark', tracking: null } }); // for this call: one more, one less
  await session.cookies.save(jarPath); // readable by its owner only

  const later = new Session({ cookies: await CookieJar.load(jarPath) });
  const answer = await later.get(url);
  // #endregion
  return answer.text();
}
