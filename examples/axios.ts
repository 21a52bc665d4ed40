import { sharedTransport } from '@cloudlane/transport';

/** Any URL, with an axios that code of others can use as it is. */
export async function fetchJson(url: string, proxy: string): Promise<unknown> {
  // #region axios
  const { axios } = sharedTransport();
  const { data } = await axios.get(url, { http_proxy: proxy, timeout: 10_000 });
  // #endregion
  return data;
}
