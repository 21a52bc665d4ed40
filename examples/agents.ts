import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3';
import { Transport } from '@cloudlane/transport';
import got from 'got';
import { WebSocket } from 'ws';

/**
 * Three clients of others behind one proxy, on the connections of one transport: `https://s3.example`,
 * `https://api.example/status` and `wss://feed.example`.
 */
export async function behindOneProxy(
  proxy: string,
  ca: string,
  credentials: { accessKeyId: string; secretAccessKey: string },
  { s3, api, feed }: { s3: string; api: string; feed: string },
): Promise<{ buckets: number; status: unknown; socket: WebSocket }> {
  // #region agents
  const transport = new Transport({ tls: { ca } }); // an authority of your own; leave it out for public ones
  const agents = transport.agents({ http_proxy: proxy }); // without settings: the environment, read for each request

  const requestHandler = { httpAgent: agents.http, httpsAgent: agents.https };
  const client = new S3Client({ region: 'us-east-1', endpoint: s3, credentials, forcePathStyle: true, requestHandler });
  const { Buckets = [] } = await client.send(new ListBucketsCommand());

  const status = await got(api, { agent: agents }).json();

  const socket = new WebSocket(feed, { agent: agents.https });
  // #endregion
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  await transport.close(); // what it kept; an open WebSocket is its client's
  return { buckets: Buckets.length, status, socket };
}
