import { Transport } from '@cloudlane/transport';

/** One request through a proxy that is named by hand, step by step. */
export async function stepByStep(proxy: string, host: string, port: number, ca: string): Promise<string> {
  // #region http-connection
  const transport = new Transport({ tls: { ca } });
  const connection = transport.open(proxy, { http_proxy: null, timeout: { connect: 5_000 } });
  connection.setTunnel(host, { port, headers: { 'X-Team': 'backup' } }); // the headers are for the proxy alone
  await connection.connect();
  connection.timeout = { firstByte: 30_000 };
  await connection.request('GET', '/status');
  const response = await connection.getResponse();
  const body = await response.body.setEncoding('utf8').toArray();
  const { isVerified, hasConnectedToProxy } = connection;
  await connection.close(); // can be used again: the tunnel stays set
  // #endregion
  await transport.close();
  return `${response.status} ${body.join('')} ${isVerified} ${hasConnectedToProxy}`;
}
