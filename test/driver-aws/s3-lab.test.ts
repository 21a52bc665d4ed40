// The driver over real sockets: an S3 server on loopback, and the lab's proxies.
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ConflictError, NotFoundError } from '@cloudlane/connection';
import { S3Storage, type S3StorageOptions } from '@cloudlane/driver-aws';
import { type LabOrigin, type LabProxy, startProxy } from '@cloudlane/testing';
import { ProxyAuthenticationError, Transport } from '@cloudlane/transport';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { keys, noise, startS3 } from './lab.ts';

const AUTH = { username: 'user', password: SECRETS.proxyPassword };
const MIB = 1024 ** 2;

let origin: LabOrigin;
let one: LabProxy;
let two: LabProxy;
let transport: Transport;
let truncate = false;

beforeAll(async () => {
  origin = await startS3((request, response) => {
    if (!truncate || request.method !== 'GET') return false;
    response.writeHead(200, { 'content-length': 100 });
    response.write('half', () => response.destroy());
    return true;
  });
  one = await startProxy({ auth: AUTH });
  two = await startProxy({ auth: AUTH });
  await open().createContainer('bucket');
});
afterAll(async () => {
  await Promise.all([one.close(), two.close(), origin.close()]);
});
beforeEach(() => {
  transport = new Transport();
  one.reset();
  two.reset();
});
afterEach(() => transport.close());

const open = (options: Partial<S3StorageOptions> = {}) =>
  new S3Storage({ ...keys, endpoint: origin.url, env: {}, transport, ...options });

describe('directly', () => {
  test('buckets are made, listed and deleted', async () => {
    const storage = open();
    await storage.createContainer('bucket-two');
    expect((await storage.listContainers().all()).map(({ name }) => name)).toEqual(['bucket', 'bucket-two']);
    await expect(storage.createContainer('bucket-two')).rejects.toThrow(ConflictError);
    await storage.deleteContainer('bucket-two');
    await expect(storage.listObjects('bucket-two').all()).rejects.toThrow(NotFoundError);
  });

  test.each(['plain', 'a b+ü/日本 🚀', "q?#&%25=!'()*", 'a\\b|^[]`{}~"<>', 'tab\tline\n'])(
    'an object is stored, read and deleted under the key %j',
    async (key) => {
      const storage = open();
      const stored = await storage.putObject('bucket', key, 'hällo', {
        contentType: 'text/plain',
        metadata: { A: 'b' },
      });
      expect(await storage.headObject('bucket', key)).toMatchObject({
        size: 6,
        etag: stored.etag,
        contentType: 'text/plain',
        metadata: { a: 'b' },
      });
      const part = await storage.getObject('bucket', key, { start: 1, endInclusive: 2 });
      expect([part.range, await part.text()]).toEqual([{ start: 1, endInclusive: 2, total: 6 }, 'ä']);
      expect((await storage.listObjects('bucket', { prefix: key }).all()).map((object) => object.key)).toEqual([key]);
      await storage.deleteObject('bucket', key);
      await expect(storage.headObject('bucket', key)).rejects.toThrow(NotFoundError);
    },
  );

  test('a bucket that is not empty stays', async () => {
    await open().putObject('bucket', 'kept', '1');
    await expect(open().deleteContainer('bucket')).rejects.toThrow(ConflictError);
    await open().deleteObject('bucket', 'kept');
  });

  test('a download that breaks off leaves no file', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'cloudlane-s3-'));
    truncate = true;
    const download = open()
      .getObject('bucket', 'a')
      .then((content) => content.saveTo(join(dir, 'file')))
      .finally(() => {
        truncate = false;
      });
    await expect(download).rejects.toMatchObject({ code: 'ERR_RESET' });
    expect(await readdir(dir)).toEqual([]);
    await rm(dir, { recursive: true });
  });

  test('a source that stops giving is ended when the time is up', async () => {
    const stuck = new Readable({ read() {} });
    const put = open().putObject('bucket', 'a', stuck, { size: 5, timeout: 50 });
    await expect(put).rejects.toMatchObject({ code: 'ERR_TIMEOUT' });
    expect(stuck.destroyed).toBe(true);
  });

  test('a source that fails is the reason, and nothing is stored', async () => {
    const failing = Readable.from(
      (async function* () {
        yield Buffer.from('abc');
        throw new Error('the disk is gone');
      })(),
    );
    await expect(open().putObject('bucket', 'half', failing, { size: 5 })).rejects.toThrow('the disk is gone');
    await expect(open().headObject('bucket', 'half')).rejects.toThrow(NotFoundError);
  });

  test.each([4, 6])('a source of 5 bytes said to have %d stores nothing', async (size) => {
    const put = open().putObject('bucket', 'wrong', Readable.from([Buffer.from('hello')]), { size });
    await expect(put).rejects.toMatchObject({ code: 'ERR_PROTOCOL' });
    await expect(open().headObject('bucket', 'wrong')).rejects.toThrow(NotFoundError);
  });
});

describe('through a proxy that wants a password', () => {
  const ways: [name: string, make: () => S3Storage, call?: () => object][] = [
    ['the constructor', () => open({ http_proxy: one.urlWithCredentials })],
    [
      'setHttpProxy',
      () => {
        const storage = open();
        storage.connection.setHttpProxy(one.urlWithCredentials);
        return storage;
      },
    ],
    ['the call', () => open(), () => ({ http_proxy: one.urlWithCredentials })],
    ['the environment', () => open({ env: { http_proxy: one.urlWithCredentials } })],
  ];

  test.each(ways)('every method goes, set by %s', async (_name, make, call = () => ({})) => {
    const storage = make();
    const before = origin.requests.length;
    await storage.createContainer('proxied', call());
    await storage.listContainers(call()).all();
    await storage.putObject('proxied', 'a b/ü', 'hello', call());
    await storage.listObjects('proxied', call()).all();
    await storage.headObject('proxied', 'a b/ü', call());
    expect(await (await storage.getObject('proxied', 'a b/ü', call())).text()).toBe('hello');
    await storage.deleteObject('proxied', 'a b/ü', call());
    await storage.deleteContainer('proxied', call());
    expect(one.hops.map(({ method, authorized }) => [method, authorized])).toEqual(
      ['PUT', 'GET', 'PUT', 'GET', 'HEAD', 'GET', 'DELETE', 'DELETE'].map((method) => [method, true]),
    );
    const reached = origin.requests.slice(before);
    expect(reached).toHaveLength(8);
    for (const { headers } of reached) expect(headers['proxy-authorization']).toBeUndefined();
  });

  test('20 MiB go both ways as they are made, and into a file', async () => {
    const storage = open({ http_proxy: one.urlWithCredentials });
    const sent = createHash('sha256');
    async function* source() {
      for await (const chunk of noise(20 * MIB)) {
        sent.update(chunk);
        yield chunk;
      }
    }
    await storage.putObject('bucket', 'large', source(), { size: 20 * MIB });
    const digest = sent.digest('hex');
    const got = createHash('sha256');
    for await (const chunk of (await storage.getObject('bucket', 'large')).stream()) got.update(chunk);
    expect(got.digest('hex')).toBe(digest);
    const dir = await mkdtemp(join(tmpdir(), 'cloudlane-s3-'));
    await (await storage.getObject('bucket', 'large')).saveTo(join(dir, 'large'));
    expect(
      createHash('sha256')
        .update(await readFile(join(dir, 'large')))
        .digest('hex'),
    ).toBe(digest);
    await storage.putObject('bucket', 'again', { file: join(dir, 'large') });
    expect((await storage.headObject('bucket', 'again')).etag).toBe((await storage.headObject('bucket', 'large')).etag);
    expect(one.hops).toHaveLength(6);
    await rm(dir, { recursive: true });
    for (const key of ['large', 'again']) await storage.deleteObject('bucket', key);
  }, 30_000);

  test('50 calls at once over two proxies: each goes by its own', async () => {
    const storage = open();
    const before = origin.requests.length;
    const urls = [one.urlWithCredentials, two.urlWithCredentials];
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        storage.putObject('bucket', `parallel-${index}`, String(index), { http_proxy: urls[index % 2] }),
      ),
    );
    const targets = [one, two].map(({ hops }) => hops.map(({ target }) => Number(target.split('-').at(-1))));
    expect(targets.map((all) => all.length)).toEqual([25, 25]);
    expect(targets.map((all) => new Set(all.map((index) => index % 2)))).toEqual([new Set([0]), new Set([1])]);
    const reached = origin.requests.slice(before);
    expect(reached).toHaveLength(50);
    for (const { headers } of reached) expect(headers['proxy-authorization']).toBeUndefined();
  });

  test('nothing reaches the service once the proxy has refused', async () => {
    const before = origin.requests.length;
    const storage = open({ http_proxy: one.url });
    const body = Readable.from(noise(4 * MIB));
    for (const call of [storage.listContainers().all(), storage.putObject('bucket', 'a', body, { size: 4 * MIB })])
      await expect(call).rejects.toThrow(ProxyAuthenticationError);
    expect(body.destroyed).toBe(true);
    expect([one.hops.length, origin.requests.length - before]).toEqual([2, 0]);
  });
});
