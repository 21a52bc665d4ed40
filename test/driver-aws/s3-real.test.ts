// OpenStack Swift's S3 API, which checks every signature, through Squid, which wants a password. The server has a name
// that only Squid can resolve, so that nothing can get there by another way.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ConflictError, InvalidCredentialsError, NotFoundError } from '@cloudlane/connection';
import { S3Storage, type S3StorageOptions, WrongRegionError } from '@cloudlane/driver-aws';
import { ProxyAuthenticationError } from '@cloudlane/transport';
import { beforeAll, expect, test } from '@jest/globals';
import { describeReal, needs, running, startSquid, startSwift } from '../support/real-servers.ts';

const MIB = 1024 ** 2;
/** Of the big object. */
const SIZE = 512;

describeReal('Swift through Squid', [...needs.swift, ...needs.squid], () => {
  const squid = running(startSquid);
  const swift = running(startSwift);
  let storage: S3Storage;

  function options(): S3StorageOptions {
    const { s3Url, accessKey, secretKey, region } = swift();
    const endpoint = new URL(s3Url);
    endpoint.hostname = squid().privateHost;
    const http_proxy = { url: squid().basicUrl, auth: squid().credentials };
    return { accessKeyId: accessKey, secretAccessKey: secretKey, region, endpoint: endpoint.href, http_proxy };
  }

  beforeAll(async () => {
    storage = new S3Storage(options());
    await storage.createContainer('bucket');
  });

  test('there is no other way', async () => {
    await expect(storage.listContainers({ http_proxy: null }).all()).rejects.toMatchObject({ phase: 'origin-dns' });
    await expect(storage.listContainers({ http_proxy: squid().basicUrl }).all()).rejects.toThrow(
      ProxyAuthenticationError,
    );
  });

  test('a wrong secret is refused', async () => {
    const call = new S3Storage({ ...options(), secretAccessKey: 'wrong' }).listContainers().all();
    await expect(call).rejects.toThrow(InvalidCredentialsError);
    await expect(call).rejects.toMatchObject({ status: 403, providerCode: 'SignatureDoesNotMatch' });
  });

  test('a wrong region is named', async () => {
    const call = new S3Storage({ ...options(), region: 'eu-west-1' }).listObjects('bucket').all();
    await expect(call).rejects.toThrow(WrongRegionError);
    await expect(call).rejects.toThrow("set region: 'us-east-1'");
  });

  test('buckets are made, listed and deleted', async () => {
    await storage.createContainer('bucket-two');
    await expect(storage.createContainer('bucket-two')).rejects.toThrow(ConflictError);
    expect((await storage.listContainers().all()).map(({ name }) => name)).toContain('bucket-two');
    await storage.deleteContainer('bucket-two');
    await expect(storage.deleteContainer('bucket-two')).rejects.toThrow(NotFoundError);
  });

  test.each([
    'plain',
    'a b+ü/日本 🚀',
    '/begins//with/slashes/',
    "q?#&%25=!'()*",
    'a\\b|^[]`{}~"<>',
    'tab\tline\n',
    ';:@$,',
    '%2e%2E/%',
  ])('the signature holds for the key %j', async (key) => {
    const sent = { contentType: 'text/plain', metadata: { Owner: 'me  too' } };
    const { etag } = await storage.putObject('bucket', key, 'hällo', sent);
    expect(await storage.headObject('bucket', key)).toMatchObject({ size: 6, etag, metadata: { owner: 'me  too' } });
    const part = await storage.getObject('bucket', key, { start: 1, endInclusive: 2 });
    expect([part.range, await part.text()]).toEqual([{ start: 1, endInclusive: 2, total: 6 }, 'ä']);
    expect((await storage.listObjects('bucket', { prefix: key }).all()).map((object) => object.key)).toEqual([key]);
    await storage.deleteObject('bucket', key);
    await storage.deleteObject('bucket', key);
    await expect(storage.headObject('bucket', key)).rejects.toThrow(NotFoundError);
  });

  test('the signature holds for a bucket in the host name', async () => {
    const { s3Url, accessKey, secretKey, region } = swift();
    const direct = new S3Storage({ accessKeyId: accessKey, secretAccessKey: secretKey, region, endpoint: s3Url });
    await storage.putObject('bucket', 'a b', 'hello');
    const answer = await direct.connection.request('a%20b', { headers: { Host: 'bucket.s3.test' }, raw: true });
    expect(await text(answer.object)).toBe('hello');
  });

  test('5,000 objects are stored sixteen at a time and listed by pages', async () => {
    const started = performance.now();
    await storage.createContainer('many');
    const names = Array.from({ length: 5_000 }, (_, index) => `object ${String(index).padStart(4, '0')}`);
    const left = names.values();
    const worker = async () => {
      for (const name of left) await storage.putObject('many', name, name);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    const stored = performance.now();
    const sizes: number[] = [];
    const listed: string[] = [];
    for await (const page of storage.listObjects('many').pages()) {
      sizes.push(page.items.length);
      listed.push(...page.items.map(({ key }) => key));
    }
    expect(listed).toEqual(names);
    expect(sizes).toEqual([1000, 1000, 1000, 1000, 1000]);
    const seconds = (from: number, to: number) => ((to - from) / 1000).toFixed(1);
    console.log(`5,000 puts in ${seconds(started, stored)} s, listed in ${seconds(stored, performance.now())} s`);
    const puts = (await squid().log()).filter(({ method, url }) => method === 'PUT' && url.includes('/many/'));
    expect(puts).toHaveLength(5_000);
    expect(new Set(puts.map(({ user, status }) => `${user} ${status}`))).toEqual(new Set(['alice 200']));
  }, 240_000);

  test(`${SIZE} MiB go both ways in little memory`, async () => {
    await storage.createContainer('large');
    const { code, output, complaints } = await run(join(import.meta.dirname, 'transfer.mjs'), SIZE * MIB, options());
    const seen = (await squid().log()).filter(({ url }) => url.endsWith('/large/object'));
    expect({ code, complaints, seen: seen.map(({ user, method, status }) => [user, method, status]) }).toEqual({
      code: 0,
      complaints: '',
      seen: [
        ['alice', 'PUT', 200],
        ['alice', 'GET', 200],
      ],
    });
    const { upload, download, peak } = JSON.parse(output);
    const speed = (seconds: number) => `${(SIZE / seconds).toFixed(0)} MiB/s`;
    console.log(
      `${SIZE} MiB up ${speed(upload.seconds)}, down ${speed(download.seconds)}, peak RSS ${(peak / MIB).toFixed(0)} MiB`,
    );
    expect(download.sha256).toBe(upload.sha256);
    // What is not held is still collected late on a busy machine: whoever holds it all needs more than all of it.
    expect(peak).toBeLessThan(0.7 * SIZE * MIB);
  }, 240_000);
});

async function run(script: string, size: number, options: S3StorageOptions) {
  const child = spawn(process.execPath, [script, String(size)]);
  child.stdin.end(JSON.stringify(options));
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [output, complaints, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { code, output, complaints };
}
