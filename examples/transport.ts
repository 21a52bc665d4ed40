import { Transport } from '@cloudlane/transport';

/** One request over one route, and what became of its connection. */
export async function statusOf(url: string, proxy: string, ca: string): Promise<string> {
  // #region transport
  const transport = new Transport({ tls: { ca }, timeout: { total: 30_000 } });
  const response = await transport.send({ method: 'HEAD', url, http_proxy: proxy });
  response.body.resume();
  const [connection] = transport.connections; // <TunnelHTTPConnection ['https://api.example:443', HTTP/1.1, …]>
  await transport.close(); // or `await using`
  // #endregion
  return `${response.status} ${connection}`;
}
