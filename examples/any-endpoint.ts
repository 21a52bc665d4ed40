import { DigitalOceanCompute } from '@cloudlane/driver-digitalocean';

/** An endpoint that no driver method covers: same auth, same route, same errors. */
export async function accountEmail(
  token: string,
  options: { baseUrl?: string; http_proxy?: string } = {},
): Promise<string> {
  // #region any-endpoint
  const { connection } = new DigitalOceanCompute({ token, ...options });
  const { object } = await connection.request<{ account: { email: string } }>('/account');
  // #endregion
  return object.account.email;
}
