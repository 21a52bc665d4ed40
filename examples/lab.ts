import { startOrigin, startProxy } from '@cloudlane/testing';
import { sharedTransport } from '@cloudlane/transport';

/** A test of your own: what does the code do when the proxy refuses, and does anything slip past it? */
export async function refusedByProxy(): Promise<{ reason: string; originSaw: number }> {
  // #region lab
  const origin = await startOrigin();
  const proxy = await startProxy({ auth: { username: 'user', password: 'right' } });
  const { axios } = sharedTransport();
  const reason = await axios.get(origin.url, { http_proxy: proxy.url }).catch((error) => error.code);
  const originSaw = origin.requests.length;
  await Promise.all([origin.close(), proxy.close()]); // or `await using`
  // #endregion
  return { reason, originSaw }; // ERR_PROXY_AUTHENTICATION, 0
}
