// Our signatures against those of two other published signers, on random requests as they go out.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { S3Connection, type S3ConnectionOptions, S3Storage } from '@cloudlane/driver-aws';
import { type LabOrigin, type OriginRequest, startOrigin } from '@cloudlane/testing';
import { Transport, type TransportRequest } from '@cloudlane/transport';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import aws4 from 'aws4';
import { AwsV4Signer } from 'aws4fetch';
import fc from 'fast-check';
import { SECRETS } from '../support/secrets.ts';

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: SECRETS.secretKey };

/** Signs what was sent once more, with each of the others. */
async function signatures(sent: Sent, options: S3ConnectionOptions): Promise<Record<string, string | undefined>> {
  const { authorization = '', 'x-amz-date': datetime = '' } = sent.headers;
  const names = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? [];
  const headers = Object.fromEntries(names.map((name) => [name, sent.headers[name] ?? '']));
  const { accessKeyId, secretAccessKey, sessionToken, region = 'us-east-1' } = options;
  const credentials = { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
  const url = new URL(sent.url);
  const path = sent.url.slice(url.origin.length);
  const first = aws4.sign({ service: 's3', region, method: sent.method, host: url.host, path, headers }, credentials);
  // It adds the token itself.
  const { 'x-amz-security-token': _token, ...tokenless } = headers;
  const signer = { method: sent.method, url: sent.url, headers: tokenless, datetime, service: 's3', region };
  const second = await new AwsV4Signer({ ...signer, ...credentials, allHeaders: true }).sign();
  return {
    ours: authorization,
    aws4: first.headers.Authorization,
    aws4fetch: second.headers.get('authorization') ?? undefined,
  };
}

async function expectSameSignature(sent: Sent, options: S3ConnectionOptions): Promise<void> {
  const { ours, ...others } = await signatures(sent, options);
  expect(ours).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/.*Signature=[\da-f]{64}$/);
  expect(others).toEqual({ aws4: ours, aws4fetch: ours });
}

const character = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...'abcXYZ019-_.~') },
  { weight: 3, arbitrary: fc.constantFrom(...'/ !\'()*+&=?#%@:;,$"<>[]{}|\\^`\t\n') },
  { weight: 2, arbitrary: fc.constantFrom('ä', 'é', 'e\u0301', '日', '本', '🚀', '\u00a0', 'ß') },
);
const text = (minLength: number) => fc.array(character, { minLength, maxLength: 24 }).map((all) => all.join(''));
const key = text(1).filter((one) => !one.split('/').some((segment) => segment === '.' || segment === '..'));
const query = fc.dictionary(text(1), text(0), { maxKeys: 4, noNullPrototype: true });
const metadata = fc.dictionary(
  fc.stringMatching(/^[a-z][a-z\d-]{0,8}$/),
  fc.stringMatching(/^[!-~][ -~]{0,20}[!-~]$/),
  {
    maxKeys: 3,
    noNullPrototype: true,
  },
);
const body = fc.oneof(fc.constant(null), text(0), fc.uint8Array({ maxLength: 64 }));
const method = fc.constantFrom('GET', 'PUT', 'POST', 'DELETE');
const sessionToken = fc.option(fc.stringMatching(/^[A-Za-z\d+/=]{1,40}$/), { nil: undefined });
const region = fc.constantFrom('us-east-1', 'eu-central-1', 'auto');

const encodeKey = (one: string) => one.split('/').map(encodeURIComponent).join('/');
const nothing: Pick<OriginRequest, 'target' | 'headers' | 'body'> = { target: '', headers: {}, body: Buffer.of() };
const hash = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('on the wire', () => {
  let origin: LabOrigin;

  beforeAll(async () => {
    origin = await startOrigin({ handler: (_request, response) => void response.end() });
  });
  afterAll(() => origin.close());

  const request = { key, query, metadata, body, method, sessionToken, region };

  test('every random request has the signature that aws4 and aws4fetch give it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(request), async ({ key, query, metadata, body, method, sessionToken, region }) => {
        const options = { ...keys, sessionToken, region, endpoint: origin.url };
        const headers = Object.fromEntries(
          Object.entries(metadata).map(([name, value]) => [`x-amz-meta-${name}`, value]),
        );
        await new S3Connection(options).request(encodeKey(key), {
          method,
          params: query,
          headers: { ...headers, ...(body !== null && { 'Content-Type': 'text/plain;  charset=utf-8' }) },
          data: body,
          context: { container: 'bucket' },
        });
        const { target, headers: seen, body: received } = origin.requests.at(-1) ?? nothing;
        const sent = { method, url: `${origin.url}${target}`, headers: seen as Record<string, string> };
        await expectSameSignature(sent, options);
        expect(seen.host).toBe(new URL(origin.url).host);
        expect(seen['x-amz-security-token']).toBe(sessionToken);
        expect(seen['x-amz-content-sha256']).toBe(hash(received));
        // The signature covers the right object: the path decodes to the key.
        expect(decodeURIComponent(target.split('?')[0] ?? '')).toBe(`/bucket/${key}`);
      }),
      { numRuns: 300 },
    );
  }, 60_000);

  test('what the driver itself sends is signed: lists, and streams as UNSIGNED-PAYLOAD', async () => {
    const options = { ...keys, endpoint: origin.url };
    const storage = new S3Storage(options);
    await storage.putObject('bucket', 'a b', Readable.from([Buffer.from('abc')]), { size: 3, metadata: { A: 'b  c' } });
    await expect(storage.listObjects('bucket', { prefix: "+ 'ü", pageSize: 7 }).all()).rejects.toThrow(
      'ListBucketResult',
    );
    for (const { method, target, headers } of origin.requests.slice(-2)) {
      const sent = { method, url: `${origin.url}${target}`, headers: headers as Record<string, string> };
      await expectSameSignature(sent, options);
    }
    expect(origin.requests.at(-2)?.headers['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD');
  });
});

/** Takes the request in the network's place. */
class CapturingTransport extends Transport {
  sent: Sent | null = null;

  override async send({ method = 'GET', url, headers }: TransportRequest): Promise<never> {
    const lower = Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]);
    this.sent = { method, url: String(url), headers: Object.fromEntries(lower) };
    throw new Error('captured');
  }
}

async function capture(options: Partial<S3ConnectionOptions>, container: string, action: string): Promise<Sent> {
  const transport = new CapturingTransport();
  const connection = new S3Connection({ ...keys, ...options, transport });
  await expect(connection.request(action, { context: { container } })).rejects.toThrow('captured');
  if (transport.sent === null) throw new Error('nothing was sent');
  return transport.sent;
}

describe('the URL and the Host that is signed', () => {
  const aws = 's3.us-east-1.amazonaws.com';
  test.each<[name: string, options: Partial<S3ConnectionOptions>, bucket: string, action: string, url: string]>([
    ['Amazon', {}, 'bucket', 'a/b', `https://bucket.${aws}/a/b`],
    ['a bucket alone', {}, 'bucket', '', `https://bucket.${aws}/`],
    ['a key that begins with a slash', {}, 'bucket', '/a//b/', `https://bucket.${aws}//a//b/`],
    ['… in a path', { endpoint: 'http://s3.example' }, 'bucket', '/a//b/', 'http://s3.example/bucket//a//b/'],
    ['another region', { region: 'eu-west-1' }, 'bucket', 'a', 'https://bucket.s3.eu-west-1.amazonaws.com/a'],
    ['China', { region: 'cn-north-1' }, 'bucket', 'a', 'https://bucket.s3.cn-north-1.amazonaws.com.cn/a'],
    ['a dot, which no certificate covers', {}, 'my.bucket', 'a', `https://${aws}/my.bucket/a`],
    ['capitals, which no host name has', {}, 'My_Bucket', 'a', `https://${aws}/My_Bucket/a`],
    ['an endpoint', { endpoint: 'https://s3.example:9000' }, 'bucket', 'a', 'https://s3.example:9000/bucket/a'],
    ['a default port', { endpoint: 'https://s3.example:443' }, 'bucket', 'a', 'https://s3.example/bucket/a'],
    ['a path', { endpoint: 'http://s3.example/s3/' }, 'bucket', 'a', 'http://s3.example/s3/bucket/a'],
    ['IPv6', { endpoint: 'http://[::1]:9000' }, 'bucket', 'a', 'http://[::1]:9000/bucket/a'],
    [
      'virtual hosts elsewhere',
      { endpoint: 'http://s3.example:81', addressing: 'virtual' },
      'my.bucket',
      'a',
      'http://my.bucket.s3.example:81/a',
    ],
    ['parts', { host: 's3.example', port: 9000, secure: false }, 'bucket', 'a', 'http://s3.example:9000/bucket/a'],
  ])('%s', async (_name, options, bucket, action, url) => {
    const sent = await capture(options, bucket, action);
    expect(sent.url).toBe(url);
    expect(sent.headers.host).toBe(new URL(url).host);
    await expectSameSignature(sent, { ...keys, ...options });
  });

  test('what a caller left unencoded goes out in the one spelling that is signed', async () => {
    const sent = await capture({ endpoint: 'http://s3.example' }, 'bucket', "a(b)'*!%7E%2f?x=a+b&y=%e2%82%ac&acl");
    expect(sent.url).toBe('http://s3.example/bucket/a%28b%29%27%2A%21~%2F?x=a%2Bb&y=%E2%82%AC&acl=');
  });

  test("headers that a proxy may change are not signed, and a caller's Host is", async () => {
    const transport = new CapturingTransport();
    const connection = new S3Connection({ ...keys, endpoint: 'http://s3.example', transport });
    const headers = { Range: 'bytes=0-1', 'Cache-Control': 'no-cache', HOST: 'front.example', 'X-AMZ-ACL': 'private' };
    await expect(connection.request('a', { headers })).rejects.toThrow('captured');
    expect(transport.sent?.headers.authorization).toContain(
      'SignedHeaders=host;x-amz-acl;x-amz-content-sha256;x-amz-date,',
    );
    expect(transport.sent?.headers.host).toBe('front.example');
  });

  test('a header that Node would send in another encoding than is signed is refused', async () => {
    const connection = new S3Connection({ ...keys, endpoint: 'http://s3.example' });
    await expect(connection.request('a', { headers: { 'x-amz-meta-a': 'ä' } })).rejects.toThrow('x-amz-meta-a');
  });
});
