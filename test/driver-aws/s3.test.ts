// Each method's request and what becomes of the answer, with the network replaced by nock.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { inspect } from 'node:util';
import {
  ConflictError,
  InvalidCredentialsError,
  MalformedResponseError,
  NotFoundError,
  ProviderError,
  RateLimitError,
  ServiceUnavailableError,
} from '@cloudlane/connection';
import { getDriver, type ObjectBody } from '@cloudlane/driver';
import {
  ChecksumError,
  type S3Connection,
  S3Storage,
  type S3StorageOptions,
  WrongRegionError,
} from '@cloudlane/driver-aws';
import { Transport, type TransportRequest } from '@cloudlane/transport';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import nock from 'nock';
import { SECRETS } from '../support/secrets.ts';

const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: SECRETS.secretKey };
const amazon = 'https://s3.us-east-1.amazonaws.com';
const bucket = 'https://bucket.s3.us-east-1.amazonaws.com';
const xml = { 'Content-Type': 'application/xml' };
const md5OfHello = '5d41402abc4b2a76b9719d911017c592';

const open = (options: Partial<S3StorageOptions> = {}) => new S3Storage({ ...keys, ...options });
const failure = (promise: Promise<unknown>): Promise<Record<string, unknown>> =>
  promise.then(
    () => ({ name: 'no error' }),
    (error) => error,
  );

let dir = '';
beforeEach(async () => {
  nock.disableNetConnect();
  dir = await mkdtemp(join(tmpdir(), 'cloudlane-s3-'));
});
afterEach(async () => {
  const pending = nock.pendingMocks();
  nock.cleanAll();
  await rm(dir, { recursive: true });
  expect(pending).toEqual([]);
});
afterAll(() => nock.restore());

describe('options', () => {
  test.each<[name: string, options: object, message: RegExp]>([
    ['no access key', { accessKeyId: ' ' }, /"accessKeyId"|accessKeyId/],
    ['a line break in it', { accessKeyId: 'AKID\n' }, /accessKeyId.*blank/],
    ['no secret', { secretAccessKey: undefined }, /secretAccessKey.*empty/],
    ['a session token with a line break', { sessionToken: 'a\nb' }, /sessionToken/],
    ['a region that is none', { region: 'x/@evil' }, /region/],
    ['two endpoints', { endpoint: 'https://a.example', baseUrl: 'https://b.example' }, /endpoint.*contradicts/],
    ['credentials in the endpoint', { endpoint: 'https://a:b@a.example' }, /endpoint/],
    ['an unknown addressing', { addressing: 'dns' }, /addressing/],
    ['a bucket before an address', { endpoint: 'http://127.0.0.1:1', addressing: 'virtual' }, /addressing/],
    ['another auth', { auth: () => {} }, /auth.*no effect/],
  ])('%s is refused', (_name, options, message) => {
    expect(() => new S3Storage({ ...keys, ...options } as S3StorageOptions)).toThrow(message);
  });

  test('the registry knows the driver', async () => {
    expect(await getDriver('storage', 'S3')).toBe(S3Storage);
  });

  test('nothing that prints shows the secret key or the session token', async () => {
    nock(amazon).get('/').reply(403, '<Error><Code>InvalidToken</Code><Message>bad</Message></Error>', xml);
    const storage = open({ sessionToken: SECRETS.token });
    const error = await failure(storage.listContainers().all());
    const shown = [storage, storage.connection, error].flatMap((one) => [
      inspect(one, { depth: 20, showHidden: true }),
      JSON.stringify(one),
      String(one),
    ]);
    expect(shown.join('\n')).toContain('us-east-1');
    for (const secret of [SECRETS.secretKey, SECRETS.token, 'Signature='])
      expect(shown.join('\n')).not.toContain(secret);
  });

  test.each(['', 'ab', 'a/b', 'a..b', '-abc', 'a b', undefined])('the bucket name %p is refused', async (name) => {
    const storage = open();
    for (const call of [
      () => storage.listObjects(String(name ?? '')).all(),
      () => storage.deleteContainer(name as string),
    ])
      await expect((async () => call())()).rejects.toThrow(/container/);
  });

  test.each(['', '.', '..', 'a/../b', './a', 'a/.', '\ud800'])('the key %j is refused', async (key) => {
    const storage = open();
    for (const call of [
      storage.headObject('bucket', key),
      storage.getObject('bucket', key),
      storage.putObject('bucket', key, ''),
      storage.deleteObject('bucket', key),
    ])
      expect(await failure(call)).toMatchObject({
        code: 'ERR_INVALID_OPTION',
        message: expect.stringContaining('key'),
      });
  });
});

describe('buckets', () => {
  test('are listed', async () => {
    const one = '<Bucket><Name>one</Name><CreationDate>2024-05-06T07:08:09.000Z</CreationDate></Bucket>';
    nock(amazon)
      .get('/')
      .reply(
        200,
        `<?xml version="1.0"?>\n<ListAllMyBucketsResult>\n<Buckets>\n${one}\n</Buckets></ListAllMyBucketsResult>`,
      );
    expect(await open().listContainers().all()).toEqual([
      {
        provider: 's3',
        id: 'one',
        name: 'one',
        createdAt: new Date('2024-05-06T07:08:09Z'),
        region: null,
        raw: expect.objectContaining({ Name: 'one' }),
      },
    ]);
  });

  test('are listed page by page if a page size is given', async () => {
    const page = (name: string, token = '') =>
      `<ListAllMyBucketsResult><Buckets><Bucket><Name>${name}</Name><BucketRegion>eu-west-1</BucketRegion></Bucket></Buckets><ContinuationToken>${token}</ContinuationToken></ListAllMyBucketsResult>`;
    nock(amazon).get('/').query({ 'max-buckets': 1 }).reply(200, page('one', 'a+/='));
    nock(amazon).get('/').query({ 'max-buckets': 1, 'continuation-token': 'a+/=' }).reply(200, page('two'));
    const all = await open().listContainers({ pageSize: 1 }).all();
    expect(all.map(({ name, region }) => [name, region])).toEqual([
      ['one', 'eu-west-1'],
      ['two', 'eu-west-1'],
    ]);
  });

  test('are made in us-east-1 without naming it', async () => {
    nock(bucket).put('/', '').reply(200);
    expect(await open().createContainer('bucket')).toMatchObject({ name: 'bucket', region: 'us-east-1' });
  });

  test('are made in another region by naming it', async () => {
    const wanted = /<LocationConstraint>eu-west-1<\/LocationConstraint>/;
    nock('https://bucket.s3.eu-west-1.amazonaws.com').put('/', wanted).reply(200);
    expect(await open({ region: 'eu-west-1' }).createContainer('bucket')).toMatchObject({ region: 'eu-west-1' });
  });

  test('of a name that is no longer allowed are not made', async () => {
    expect(await failure(open().createContainer('My_Bucket'))).toMatchObject({ code: 'ERR_INVALID_OPTION' });
  });

  test('are deleted', async () => {
    nock(bucket).delete('/').reply(204);
    await open().deleteContainer('bucket');
  });

  test('that are not empty are not', async () => {
    nock(bucket).delete('/').reply(409, '<Error><Code>BucketNotEmpty</Code></Error>');
    expect(await failure(open().deleteContainer('bucket'))).toBeInstanceOf(ConflictError);
  });
});

describe('lists of objects', () => {
  const entry = (key: string) =>
    `<Contents>\n<Key>${key}</Key><LastModified>2024-05-06T07:08:09.000Z</LastModified><ETag>&quot;abc&quot;</ETag><Size>00012</Size></Contents>`;
  const page = (entries: string, next = '') =>
    `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>${entries}<IsTruncated>${next !== ''}</IsTruncated>${next && `<NextContinuationToken>${next}</NextContinuationToken>`}</ListBucketResult>`;
  const query = { 'list-type': 2, 'encoding-type': 'url' };

  test('go on over three pages, of which the middle one is empty', async () => {
    nock(bucket)
      .get('/')
      .query(query)
      .reply(200, page(entry('a') + entry('b'), 'two'));
    nock(bucket)
      .get('/')
      .query({ ...query, 'continuation-token': 'two' })
      .reply(200, page('', 'th+r/ee='));
    nock(bucket)
      .get('/')
      .query({ ...query, 'continuation-token': 'th+r/ee=' })
      .reply(200, page(entry('c')));
    expect((await open().listObjects('bucket').all()).map(({ key }) => key)).toEqual(['a', 'b', 'c']);
  });

  test('decode keys, and tell what the entry says', async () => {
    const wanted = { ...query, 'max-keys': 1000, prefix: 'ü +' };
    nock(bucket)
      .get('/')
      .query(wanted)
      .reply(200, page(entry('%C3%BC+%2B/a%26b%0A')));
    expect(await open().listObjects('bucket', { prefix: 'ü +', pageSize: 5000 }).all()).toEqual([
      {
        provider: 's3',
        container: 'bucket',
        key: 'ü +/a&b\n',
        size: 12,
        etag: 'abc',
        modifiedAt: new Date('2024-05-06T07:08:09Z'),
        contentType: null,
        metadata: {},
        raw: expect.objectContaining({ Size: '00012' }),
      },
    ]);
  });

  test('leave keys alone that the service did not encode', async () => {
    nock(bucket)
      .get('/')
      .query(query)
      .reply(200, page(entry('a+b%20&amp;')).replace(/<Enc.*Type>/, ''));
    expect((await open().listObjects('bucket').all())[0]?.key).toBe('a+b%20&');
  });

  test('begin where an earlier one ended, and stop at a limit', async () => {
    const wanted = { ...query, 'max-keys': 1, 'continuation-token': 'here' };
    nock(bucket)
      .get('/')
      .query(wanted)
      .reply(200, page(entry('a') + entry('b'), 'more'));
    expect(await open().listObjects('bucket', { after: 'here', limit: 1 }).all()).toHaveLength(1);
  });

  test.each([
    ['another document', '<Html/>'],
    ['a page of a portal', '<!DOCTYPE html><html></html>'],
    ['nothing', ''],
    ['a key that is no UTF-8', page(entry('%ff'))],
  ])('are not empty when %s came: that is an error', async (_name, answer) => {
    nock(bucket).get('/').query(query).reply(200, answer);
    expect(await failure(open().listObjects('bucket').all())).toBeInstanceOf(MalformedResponseError);
  });
});

describe('reading an object', () => {
  const head = { ETag: '"abc"', 'Last-Modified': 'Mon, 06 May 2024 07:08:09 GMT', 'Content-Type': 'text/plain' };

  test('its head', async () => {
    const headers = { ...head, 'Content-Length': '12', 'x-amz-meta-Owner': 'me' };
    nock(bucket).head('/a%20b/%C3%BC%2B%27').reply(200, '', headers);
    expect(await open().headObject('bucket', "a b/ü+'")).toEqual({
      provider: 's3',
      container: 'bucket',
      key: "a b/ü+'",
      size: 12,
      etag: 'abc',
      modifiedAt: new Date('2024-05-06T07:08:09Z'),
      contentType: 'text/plain',
      metadata: { owner: 'me' },
      raw: expect.objectContaining({ etag: '"abc"' }),
    });
  });

  test('all of it', async () => {
    nock(bucket)
      .get('/a')
      .reply(200, 'hällo', { ...head, 'Content-Length': '6' });
    const content = await open().getObject('bucket', 'a');
    expect([content.range, content.info.size, await content.text()]).toEqual([null, 6, 'hällo']);
    expect(() => content.stream()).toThrow(expect.objectContaining({ code: 'ERR_STREAM_CONSUMED' }));
  });

  test('nothing of it, if it is empty', async () => {
    nock(bucket)
      .get('/a')
      .reply(200, '', { ...head, 'Content-Length': '0' });
    expect((await (await open().getObject('bucket', 'a')).bytes()).length).toBe(0);
  });

  test.each([
    [{ start: 1, endInclusive: 3 }, 'bytes=1-3'],
    [{ start: 4 }, 'bytes=4-'],
    [{ endInclusive: 0 }, 'bytes=0-0'],
  ])('the range %j', async (range, header) => {
    nock(bucket, { reqheaders: { range: header } })
      .get('/a')
      .reply(206, 'ell', { ...head, 'Content-Range': 'bytes 1-3/12' });
    const content = await open().getObject('bucket', 'a', range);
    expect([content.range, content.info.size]).toEqual([{ start: 1, endInclusive: 3, total: 12 }, 12]);
    expect(Buffer.from(await content.bytes()).toString()).toBe('ell');
  });

  test.each([{ start: -1 }, { start: 1.5 }, { start: 5, endInclusive: 4 }])('not the range %j', async (range) => {
    expect(await failure(open().getObject('bucket', 'a', range))).toMatchObject({ code: 'ERR_INVALID_OPTION' });
  });

  test('no more than maxBytes', async () => {
    nock(bucket).get('/a').reply(200, 'hello');
    const content = await open().getObject('bucket', 'a');
    expect(await failure(content.bytes({ maxBytes: 4 }))).toMatchObject({ code: 'ERR_INVALID_OPTION' });
  });

  test('into a file', async () => {
    nock(bucket).get('/a').times(3).reply(200, 'hello');
    const path = join(dir, 'file');
    const get = () => open().getObject('bucket', 'a');
    await (await get()).saveTo(path);
    expect(await readFile(path, 'utf8')).toBe('hello');
    await writeFile(path, 'kept');
    expect(await failure((await get()).saveTo(path))).toMatchObject({ code: 'ERR_INVALID_OPTION' });
    expect(await readFile(path, 'utf8')).toBe('kept');
    await (await get()).saveTo(path, { overwrite: true });
    expect([await readFile(path, 'utf8'), await readdir(dir)]).toEqual(['hello', ['file']]);
  });

  test('not over a file that appears meanwhile', async () => {
    const path = join(dir, 'file');
    const late = Readable.from(
      (async function* () {
        await writeFile(path, 'kept');
        yield 'hello';
      })(),
    );
    nock(bucket)
      .get('/a')
      .reply(200, () => late);
    expect(await failure((await open().getObject('bucket', 'a')).saveTo(path))).toMatchObject({
      code: 'ERR_INVALID_OPTION',
    });
    expect([await readFile(path, 'utf8'), await readdir(dir)]).toEqual(['kept', ['file']]);
  });
});

describe('storing an object', () => {
  const bodies: [name: string, make: () => ObjectBody | Promise<ObjectBody>, size: number | undefined][] = [
    ['text', () => 'hello', undefined],
    ['bytes', () => new Uint8Array(Buffer.from('hello')), undefined],
    ['a Readable', () => Readable.from([Buffer.from('hel'), Buffer.from('lo')]), 5],
    ['a Readable of text', () => Readable.from(['hel', 'lo']), 5],
    [
      'a web stream',
      () =>
        new ReadableStream({
          start(controller) {
            controller.enqueue(Buffer.from('hello'));
            controller.close();
          },
        }),
      5,
    ],
    [
      'an async iterable',
      async function* () {
        yield Buffer.from('hello');
      } as () => ObjectBody,
      5,
    ],
    [
      'a file',
      async () => {
        await writeFile(join(dir, 'source'), 'hello');
        return { file: join(dir, 'source') };
      },
      undefined,
    ],
  ];

  test.each(bodies)('from %s', async (_name, make, size) => {
    nock(bucket, { reqheaders: { 'content-length': '5', 'content-type': 'application/octet-stream' } })
      .put('/a', 'hello')
      .reply(200, '', { ETag: `"${md5OfHello}"`, 'x-amz-version-id': 'v1' });
    expect(await open().putObject('bucket', 'a', await make(), { size })).toEqual({
      provider: 's3',
      container: 'bucket',
      key: 'a',
      size: 5,
      etag: md5OfHello,
      modifiedAt: null,
      contentType: 'application/octet-stream',
      metadata: {},
      raw: expect.objectContaining({ 'x-amz-version-id': 'v1' }),
    });
  });

  test('with its type, metadata and conditions, and a header of the caller', async () => {
    const reqheaders = {
      'content-type': 'text/plain',
      'x-amz-meta-owner': 'me  too',
      'if-none-match': '*',
      'if-match': '"abc"',
      'x-amz-storage-class': 'GLACIER',
    };
    nock(bucket, { reqheaders }).put('/a', 'hello').reply(200);
    const stored = await open().putObject('bucket', 'a', 'hello', {
      contentType: 'text/plain',
      metadata: { Owner: 'me  too' },
      ifNoneMatch: '*',
      ifMatch: 'abc',
      headers: { 'x-amz-storage-class': 'GLACIER' },
    });
    expect(stored).toMatchObject({ contentType: 'text/plain', metadata: { owner: 'me  too' }, etag: null });
  });

  test('that is empty', async () => {
    nock(bucket, { reqheaders: { 'content-length': '0' } })
      .put('/a', '')
      .twice()
      .reply(200);
    expect(await open().putObject('bucket', 'a', '')).toMatchObject({ size: 0 });
    expect(await open().putObject('bucket', 'a', Readable.from([]), { size: 0 })).toMatchObject({ size: 0 });
  });

  test('tells its progress', async () => {
    nock(bucket).put('/a', 'hello').reply(200);
    const seen: unknown[] = [];
    const body = Readable.from([Buffer.from('hel'), Buffer.from('lo')]);
    await open().putObject('bucket', 'a', body, { size: 5, onProgress: (...progress) => seen.push(progress) });
    expect(seen).toEqual([
      [3, 5],
      [5, 5],
    ]);
  });

  test.each<[name: string, body: unknown, options: object, message: RegExp]>([
    ['a stream without its size', Readable.from(['a']), {}, /size.*missing/],
    ['a size that the text contradicts', 'hello', { size: 4 }, /size.*4.*5/],
    ['a size that is none', 'hello', { size: -1 }, /size/],
    ['more than fits one upload', Readable.from(['a']), { size: 5 * 1024 ** 3 + 1 }, /size.*5368709120/],
    ['a number', 42, {}, /body/],
    ['nothing', null, {}, /body/],
    ['a folder', { file: tmpdir() }, {}, /file/],
    ['metadata beyond ASCII', 'a', { metadata: { a: 'ü' } }, /metadata.a/],
    ['metadata with a blank at its end', 'a', { metadata: { a: 'b ' } }, /metadata.a/],
    ['metadata with a line break', 'a', { metadata: { a: 'b\r\nEvil: 1' } }, /metadata.a/],
    ['metadata of no name', 'a', { metadata: { 'a b': 'c' } }, /metadata.a b/],
    ['metadata of two spellings', 'a', { metadata: { a: '1', A: '2' } }, /metadata.A/],
  ])('refuses %s', async (_name, body, options, message) => {
    const error = await failure(open().putObject('bucket', 'a', body as ObjectBody, options));
    expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', message: expect.stringMatching(message) });
  });

  test('refuses a stream that was read before', async () => {
    const body = Readable.from(['a']);
    body.destroy();
    expect(await failure(open().putObject('bucket', 'a', body, { size: 1 }))).toMatchObject({
      code: 'ERR_INVALID_OPTION',
    });
  });

  const other = '0123456789abcdef0123456789abcdef';
  test.each(['text', 'stream'])('raises an error if something else was stored: %s', async (kind) => {
    nock(bucket)
      .put('/a')
      .reply(200, '', { ETag: `"${other}"` });
    const body = kind === 'text' ? 'hello' : Readable.from([Buffer.from('hello')]);
    const error = await failure(open().putObject('bucket', 'a', body, { size: 5 }));
    expect(error).toBeInstanceOf(ChecksumError);
    expect(error).toMatchObject({ code: 'ERR_CHECKSUM', expected: md5OfHello, actual: other, key: 'a' });
  });

  test.each<[name: string, headers: Record<string, string>, options: Partial<S3StorageOptions>]>([
    ['of several parts', { ETag: `"${other}-2"` }, {}],
    ['with a key of KMS', { ETag: `"${other}"`, 'x-amz-server-side-encryption': 'aws:kms' }, {}],
    [
      'with a key of the customer',
      { ETag: `"${other}"`, 'x-amz-server-side-encryption-customer-algorithm': 'AES256' },
      {},
    ],
    ['of another kind', { ETag: '"0x8DB"' }, {}],
    ['of any kind, when told not to', { ETag: `"${other}"` }, { verifyUploads: false }],
  ])('takes no ETag for MD5 that is none: %s', async (_name, headers, options) => {
    nock(bucket).put('/a', 'hello').reply(200, '', headers);
    expect(await open(options).putObject('bucket', 'a', 'hello')).toMatchObject({ size: 5 });
  });
});

describe('deleting an object', () => {
  test.each([204, 200, 404])('succeeds on %p', async (status) => {
    nock(bucket)
      .delete('/a/b')
      .reply(status, status === 404 ? '<Error><Code>NoSuchKey</Code></Error>' : '');
    await open().deleteObject('bucket', 'a/b');
  });

  test('fails if there is no such bucket', async () => {
    nock(bucket).delete('/a').reply(404, '<Error><Code>NoSuchBucket</Code></Error>');
    expect(await failure(open().deleteObject('bucket', 'a'))).toBeInstanceOf(NotFoundError);
  });
});

describe('errors', () => {
  type ErrorClass = abstract new (...args: never[]) => Error;
  test.each<[status: number, code: string, ErrorClass: ErrorClass]>([
    [403, 'InvalidAccessKeyId', InvalidCredentialsError],
    [403, 'SignatureDoesNotMatch', InvalidCredentialsError],
    [400, 'ExpiredToken', InvalidCredentialsError],
    [400, 'InvalidToken', InvalidCredentialsError],
    [401, 'AccessDenied', InvalidCredentialsError],
    [403, 'AccessDenied', ProviderError],
    [403, 'RequestTimeTooSkewed', ProviderError],
    [404, 'NoSuchKey', NotFoundError],
    [404, 'NoSuchBucket', NotFoundError],
    [409, 'BucketAlreadyExists', ConflictError],
    [409, 'BucketAlreadyOwnedByYou', ConflictError],
    [409, 'OperationAborted', ConflictError],
    [412, 'PreconditionFailed', ConflictError],
    [503, 'SlowDown', RateLimitError],
    [429, 'TooManyRequests', RateLimitError],
    [503, 'ServiceUnavailable', ServiceUnavailableError],
    [500, 'InternalError', ProviderError],
    [416, 'InvalidRange', ProviderError],
  ])('%p %s', async (status, code, Class) => {
    const answer = `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>It&apos;s &#x77;rong</Message><RequestId>R1</RequestId></Error>`;
    nock(bucket).get('/a').reply(status, answer, xml);
    const error = await failure(open().getObject('bucket', 'a'));
    expect(error.constructor).toBe(Class);
    expect(error).toMatchObject({ provider: 's3', status, providerCode: code, requestId: 'R1' });
    expect(error.message).toBe(`s3: GET ${bucket}/a was answered with ${status}: ${code}: It's wrong`);
  });

  test.each([
    [404, NotFoundError],
    [403, ProviderError],
    [412, ConflictError],
    [503, ServiceUnavailableError],
  ])('%p to HEAD, which has no body', async (status, Class) => {
    nock(bucket).head('/a').reply(status, '', { 'x-amz-request-id': 'R2' });
    const error = await failure(open().headObject('bucket', 'a'));
    expect(error.constructor).toBe(Class);
    expect(error).toMatchObject({ status, requestId: 'R2', providerCode: null });
  });

  test('what something between answers is not taken for S3', async () => {
    nock(bucket).get('/a').reply(502, '<html>Bad gateway</html>', { 'Content-Type': 'text/html' });
    const error = await failure(open().getObject('bucket', 'a'));
    expect(error).toBeInstanceOf(ServiceUnavailableError);
    expect(error.message).toContain('Bad gateway');
  });

  test('nothing of what was to be signed is repeated', async () => {
    const answer = `<Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message><CanonicalRequest>x-amz-security-token:${SECRETS.token}</CanonicalRequest></Error>`;
    nock(bucket).get('/a').reply(403, answer);
    const error = await failure(open({ sessionToken: SECRETS.token }).getObject('bucket', 'a'));
    expect(inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error)).not.toContain(SECRETS.token);
  });

  const redirect = (code: string, rest = '') => `<Error><Code>${code}</Code><Message>m</Message>${rest}</Error>`;
  const told = { 'x-amz-bucket-region': 'eu-west-1' };
  test.each<
    [name: string, status: number, body: string, headers: Record<string, string>, region: string | null, says: RegExp]
  >([
    [
      '301',
      301,
      redirect('PermanentRedirect', '<Endpoint>s3.eu-west-1.amazonaws.com</Endpoint>'),
      told,
      'eu-west-1',
      /region eu-west-1, not of us-east-1; set region: 'eu-west-1'$/,
    ],
    [
      '307',
      307,
      redirect('TemporaryRedirect', '<Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint>'),
      {},
      null,
      /asked of b\.s3-eu-west-1\.amazonaws\.com/,
    ],
    [
      '400',
      400,
      redirect('AuthorizationHeaderMalformed', '<Region>eu-west-1</Region>'),
      {},
      'eu-west-1',
      /set region: 'eu-west-1'/,
    ],
    ['301 without a body', 301, '', told, 'eu-west-1', /set region: 'eu-west-1'/],
    ['400 without a body', 400, '', told, 'eu-west-1', /set region: 'eu-west-1'/],
  ])('a redirect names the region and what to set: %s', async (_name, status, body, headers, region, says) => {
    nock(bucket).get('/a').reply(status, body, headers);
    const error = await failure(open().getObject('bucket', 'a'));
    expect(error).toBeInstanceOf(WrongRegionError);
    expect(error).toMatchObject({ code: 'ERR_WRONG_REGION', status, region, message: expect.stringMatching(says) });
  });

  test('a redirect away from a given endpoint says that it has to change too', async () => {
    nock('http://s3.example').get('/bucket/a').reply(301, '', told);
    const error = await failure(open({ endpoint: 'http://s3.example' }).getObject('bucket', 'a'));
    expect(error.message).toMatch(/set region: 'eu-west-1', and the endpoint of that region$/);
  });

  test('another 400 is not taken for a redirect', async () => {
    nock(bucket).get('/a').reply(400, redirect('InvalidArgument'), told);
    expect((await failure(open().getObject('bucket', 'a'))).constructor).toBe(ProviderError);
  });
});

/** Takes requests in the network's place. */
class CapturingTransport extends Transport {
  readonly sent: TransportRequest[] = [];

  override async send(request: TransportRequest): Promise<never> {
    this.sent.push(request);
    throw new Error('captured');
  }
}

describe('every method', () => {
  const methods: [name: string, call: (storage: S3Storage, options: object) => Promise<unknown>][] = [
    ['listContainers', (storage, options) => storage.listContainers(options).all()],
    ['createContainer', (storage, options) => storage.createContainer('bucket', options)],
    ['deleteContainer', (storage, options) => storage.deleteContainer('bucket', options)],
    ['listObjects', (storage, options) => storage.listObjects('bucket', options).all()],
    ['headObject', (storage, options) => storage.headObject('bucket', 'a', options)],
    ['getObject', (storage, options) => storage.getObject('bucket', 'a', options)],
    ['putObject', (storage, options) => storage.putObject('bucket', 'a', 'hello', options)],
    ['deleteObject', (storage, options) => storage.deleteObject('bucket', 'a', options)],
  ];

  test.each(methods)('%s hands on all of its CallOptions', async (_name, call) => {
    const transport = new CapturingTransport();
    const { signal } = new AbortController();
    const headers = { 'x-amz-request-payer': 'requester' };
    const options = { http_proxy: 'http://proxy.example:3128', signal, timeout: 1234, headers };
    await expect(call(open({ transport }), options)).rejects.toThrow('captured');
    expect(transport.sent).toEqual([
      expect.objectContaining({ ...options, headers: expect.objectContaining(headers), source: 'call http_proxy' }),
    ]);
  });

  test('a call that is aborted while it runs fails with the reason', async () => {
    nock(bucket).get('/a').delay(5_000).reply(200);
    const controller = new AbortController();
    const call = failure(open().getObject('bucket', 'a', { signal: controller.signal }));
    setImmediate(() => controller.abort(new Error('enough')));
    expect(await call).toMatchObject({ message: 'enough' });
    nock.abortPendingRequests();
  });

  test('any other call of the API is signed and parsed too', async () => {
    nock(bucket, { reqheaders: { authorization: /^AWS4/ } })
      .get('/a%20b')
      .query({ tagging: '' })
      .reply(200, '<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>');
    const connection: S3Connection = open().connection;
    const context = { container: 'bucket' };
    const answer = await connection.request('a%20b', { params: { tagging: '' }, context });
    expect(answer.object).toEqual({ Tagging: { TagSet: { Tag: { Key: 'k', Value: 'v' } } } });
  });
});
