import {
  DigitalOceanCompute,
  DigitalOceanConnection,
  DigitalOceanDns,
  type DigitalOceanOptions,
} from '@cloudlane/driver-digitalocean';

/** Makes a node, waits for it, and gives it a name, all over one proxy. */
export async function publishServer(
  token: string,
  proxy: string,
  options: Partial<DigitalOceanOptions>,
  pollMs: number,
): Promise<void> {
  // #region digitalocean
  // `proxy` is 'http://user:password@proxy.example:3128'. One connection, one proxy setting for both.
  const connection = new DigitalOceanConnection({ token, http_proxy: proxy, ...options });
  const compute = new DigitalOceanCompute(connection);
  const dns = new DigitalOceanDns(connection);

  const creating = await compute.createNode({ name: 'web-1', size: 's-1vcpu-1gb', image: 'debian-12-x64' });
  const node = await creating.wait({ pollMs, maxWaitMs: 300_000 });
  const data = node.addresses
    .filter(({ family, scope }) => family === 4 && scope === 'public')
    .map(({ address }) => ({ type: 'A', address }) as const);
  await dns.putRecordSet('example.com', { name: 'web-1', ttl: 300, data });
  // #endregion
}
