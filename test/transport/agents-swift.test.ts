// The S3 client of AWS against OpenStack Swift, which checks every signature, through Squid, which wants a password.
import { Readable } from 'node:stream';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { ProxyAuthenticationError, Transport } from '@cloudlane/transport';
import { expect, test } from '@jest/globals';
import { describeReal, needs, running, startSquid, startSwift } from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';
import { reasonOf } from './agents-faults.ts';
import { BYTES, digest } from './agents-lab.ts';

// It warns of Node 20, which Cloudlane supports.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

describeReal('Swift through Squid', [...needs.swift, ...needs.squid], () => {
  const squid = running(startSquid);
  const swift = running(startSwift);

  function clientWith(auth: { username: string; password: string } | undefined) {
    const { s3Url, accessKey, secretKey, region } = swift();
    const endpoint = new URL(s3Url);
    endpoint.hostname = squid().privateHost;
    const transport = closeAfterTest(new Transport());
    const agents = transport.agents({ http_proxy: { url: squid().basicUrl, ...(auth && { auth }) } });
    const config: S3ClientConfig = {
      endpoint: endpoint.href,
      region,
      credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
      forcePathStyle: true,
      // Swift does not know the framing in which a stream goes out with a checksum.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      requestHandler: { httpAgent: agents.http, httpsAgent: agents.https },
    };
    return { s3: new S3Client(config), transport, endpoint };
  }

  test('makes a bucket, puts a buffer and a stream, gets and lists them', async () => {
    const { s3, transport, endpoint } = clientWith(squid().credentials);
    const Bucket = 'agents';
    await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(new PutObjectCommand({ Bucket, Key: 'buffer', Body: BYTES }));
    const Body = Readable.from([BYTES.subarray(0, 1000), BYTES.subarray(1000)]);
    await s3.send(new PutObjectCommand({ Bucket, Key: 'a stream', Body, ContentLength: BYTES.length }));
    for (const Key of ['buffer', 'a stream']) {
      const object = await s3.send(new GetObjectCommand({ Bucket, Key }));
      expect(digest(Buffer.from((await object.Body?.transformToByteArray()) ?? []))).toBe(digest(BYTES));
    }
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
    expect(Contents.map(({ Key, Size }) => [Key, Size])).toEqual([
      ['a stream', BYTES.length],
      ['buffer', BYTES.length],
    ]);
    expect(transport.connections.map(({ kind }) => kind)).toContain('forward');
    await squid().logged({ user: 'alice', method: 'GET', url: `${endpoint.href}${Bucket}/?list-type=2`, status: 200 });
  });

  // The proxy's answer to a forwarded request is an answer to the client.
  test('without the password the proxy says no', async () => {
    const { s3 } = clientWith(undefined);
    const error = await reasonOf(s3.send(new ListObjectsV2Command({ Bucket: 'agents' })));
    expect(error).not.toBeInstanceOf(ProxyAuthenticationError);
    expect(error).toMatchObject({ $metadata: { httpStatusCode: 407 } });
  });
});
