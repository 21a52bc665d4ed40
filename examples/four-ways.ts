import { DigitalOceanCompute } from '@cloudlane/driver-digitalocean';

/** Lists nodes four times, the proxy chosen in four ways. */
export async function fourWays(
  token: string,
  proxy: string,
  other: string,
  options: { baseUrl?: string; env?: Record<string, string> } = {},
): Promise<string[]> {
  const names: string[] = [];
  // #region four-ways
  // 1. The environment: http_proxy, https_proxy, all_proxy, no_proxy.
  const cloud = new DigitalOceanCompute({ token, ...options });
  for await (const node of cloud.listNodes()) names.push(node.name);

  // 2. The constructor: this driver. `proxy` is 'http://user:password@proxy.example:3128'.
  const behind = new DigitalOceanCompute({ token, http_proxy: proxy, ...options });
  for await (const node of behind.listNodes()) names.push(node.name);

  // 3. From now on; undefined returns to the environment, null is direct.
  behind.connection.setHttpProxy(other);
  for await (const node of behind.listNodes()) names.push(node.name);

  // 4. This call alone.
  for await (const node of behind.listNodes({ http_proxy: null })) names.push(node.name);
  // #endregion
  return names;
}
