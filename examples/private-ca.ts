import { Transport } from '@cloudlane/transport';

/** One request through an https proxy, where both the proxy and the origin have authorities of their own. */
export async function statusBehind(url: string, proxy: string, proxyCa: string, originCa: string): Promise<number> {
  // #region private-ca
  const transport = new Transport({
    tls: { ca: originCa }, // for origins, and for a proxy that opens their TLS and signs anew
    proxyTls: { ca: proxyCa }, // for https:// proxies: 'https://user:password@proxy.example:3129'
  });
  const response = await transport.send({ url, http_proxy: proxy });
  const [connection] = transport.connections;
  const verified = connection?.tls?.isVerified && connection.proxyTls?.isVerified; // true
  // #endregion
  response.body.resume();
  await transport.close();
  return verified ? response.status : 0;
}
