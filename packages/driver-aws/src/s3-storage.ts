import { type ApiRequestOptions, type CallOptions, MalformedResponseError, NotFoundError } from '@cloudlane/connection';
import {
  createPager,
  type GetOptions,
  type ListOptions,
  type ObjectBody,
  type ObjectContent,
  type Page,
  type Pager,
  type PutOptions,
  type StorageDriver,
  type StorageFeatures,
  type StoredContainer,
  type StoredObject,
} from '@cloudlane/driver';
import { maskUrl } from '@cloudlane/transport';
import { checkBucket, checkNewBucket, encodeKey } from './s3-address.ts';
import { S3Connection, type S3ConnectionOptions } from './s3-connection.ts';
import { S3Content } from './s3-content.ts';
import { ChecksumError } from './s3-errors.ts';
import { bucketsOf, MAX_KEYS, objectsOf } from './s3-lists.ts';
import { objectOf, rangeHeader, type S3ObjectPayload, uploadHeaders } from './s3-object.ts';
import { MAX_SINGLE_PUT, md5Of, openUpload } from './s3-upload.ts';

/** Options of the S3 driver; all but its own go to the connection. */
export interface S3StorageOptions extends S3ConnectionOptions {
  /**
   * Whether the MD5 of each upload is computed and compared with the ETag of the answer. Switch it off for a service
   * whose ETags look like MD5 and are not, or where MD5 is forbidden (FIPS). @defaultValue true
   */
  readonly verifyUploads?: boolean | undefined;
}

/** S3's own payloads. */
export interface S3Types {
  readonly container: Readonly<Record<string, unknown>>;
  readonly object: S3ObjectPayload;
}

/** Object storage on S3, or on a service that speaks like it. A container is a bucket. */
export class S3Storage implements StorageDriver<S3Types> {
  readonly provider = 's3';
  readonly connection: S3Connection;
  readonly features: StorageFeatures = { multipart: false, maxSinglePut: MAX_SINGLE_PUT, unknownSize: false };
  readonly #verifyUploads: boolean;

  /** @throws InvalidOptionError if an option is missing, malformed or contradicts another */
  constructor({ verifyUploads = true, ...options }: S3StorageOptions) {
    this.#verifyUploads = verifyUploads;
    this.connection = new S3Connection(options);
  }

  /** The buckets of the account, in every region. Their `region` is told only with a `pageSize`. */
  listContainers(options: ListOptions = {}): Pager<StoredContainer<S3Types['container']>> {
    const { pageSize, after: _after, limit: _limit, ...call } = options;
    return createPager(async (after) => {
      const params = { 'max-buckets': pageSize, 'continuation-token': after };
      return await this.#readList('', { ...call, params }, bucketsOf);
    }, options);
  }

  /** @throws ConflictError if the name is taken, by anybody */
  async createContainer(name: string, options: CallOptions = {}): Promise<StoredContainer<S3Types['container']>> {
    const { region } = this.connection;
    const { headers } = await this.connection.request('', {
      ...options,
      method: 'PUT',
      context: { container: checkNewBucket(name) },
      // The first region is the one that must not be named.
      ...(region !== 'us-east-1' && {
        data: `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`,
        headers: { 'Content-Type': 'application/xml', ...options.headers },
      }),
    });
    return { provider: this.provider, id: name, name, createdAt: null, region, raw: headers };
  }

  async deleteContainer(name: string, options: CallOptions = {}): Promise<void> {
    await this.connection.request('', { ...options, method: 'DELETE', context: { container: checkBucket(name) } });
  }

  listObjects(
    container: string,
    options: ListOptions & { readonly prefix?: string | undefined } = {},
  ): Pager<StoredObject<S3ObjectPayload>> {
    const { pageSize, after: _after, limit, prefix, ...call } = options;
    const context = { container: checkBucket(container) };
    const wanted = pageSize ?? limit;
    return createPager(async (after) => {
      const params = {
        'list-type': 2,
        // XML 1.0 has no way to write some of the characters that keys may have.
        'encoding-type': 'url',
        'max-keys': wanted === undefined ? undefined : Math.min(wanted, MAX_KEYS),
        'continuation-token': after,
        prefix,
      };
      return await this.#readList('', { ...call, params, context }, (answer) => objectsOf(container, answer));
    }, options);
  }

  async headObject(container: string, key: string, options: CallOptions = {}): Promise<StoredObject<S3ObjectPayload>> {
    const context = { container: checkBucket(container) };
    const { http } = await this.connection.request(encodeKey(key), { ...options, method: 'HEAD', context });
    return objectOf(container, key, http);
  }

  /** @throws ProviderError with the code `InvalidRange` if the object is shorter than `start` */
  async getObject(container: string, key: string, options: GetOptions = {}): Promise<ObjectContent<S3ObjectPayload>> {
    const { start, endInclusive, ...call } = options;
    const { http } = await this.connection.request(encodeKey(key), {
      ...call,
      headers: { Accept: '*/*', ...rangeHeader(start, endInclusive), ...call.headers },
      context: { container: checkBucket(container) },
      raw: true,
    });
    return new S3Content(container, key, http);
  }

  /**
   * Stores an object in one request; a stream needs its `size`. What was sent is compared with the ETag of the answer.
   * @throws ChecksumError if the service stored something else
   * @throws ConflictError if `ifMatch` or `ifNoneMatch` does not hold
   * @throws InvalidOptionError if the size is unknown or above `features.maxSinglePut`
   */
  async putObject(
    container: string,
    key: string,
    body: ObjectBody,
    options: PutOptions = {},
  ): Promise<StoredObject<S3ObjectPayload>> {
    const { size, contentType, metadata, ifMatch, ifNoneMatch, onProgress, ...call } = options;
    const action = encodeKey(key);
    const headers = uploadHeaders({ contentType, metadata, ifMatch, ifNoneMatch });
    const context = { container: checkBucket(container) };
    const upload = await openUpload(body, size, this.#verifyUploads);
    try {
      const { http } = await this.connection.request(action, {
        ...call,
        method: 'PUT',
        data: upload.body,
        headers: { ...headers, 'Content-Length': upload.size, ...call.headers },
        onUploadProgress: onProgress,
        context,
      });
      const stored = this.#verifyUploads ? md5Of(http, container) : null;
      const sent = stored === null ? null : upload.md5();
      if (stored !== sent) throw new ChecksumError(container, key, String(sent), String(stored));
      return {
        ...objectOf(container, key, http),
        size: upload.size,
        contentType: headers['Content-Type'] ?? null,
        metadata: lowerCased(metadata),
      };
    } finally {
      await upload.close();
    }
  }

  async deleteObject(container: string, key: string, options: CallOptions = {}): Promise<void> {
    const context = { container: checkBucket(container) };
    try {
      await this.connection.request(encodeKey(key), { ...options, method: 'DELETE', context });
    } catch (error) {
      // Amazon answers 204 for an object that is not there; some others 404.
      if (!(error instanceof NotFoundError) || error.providerCode === 'NoSuchBucket') throw error;
    }
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  async #readList<T>(action: string, options: ApiRequestOptions, read: (answer: unknown) => Page<T>): Promise<Page<T>> {
    const { object, http } = await this.connection.request(action, options);
    try {
      return read(object);
    } catch (error) {
      throw new MalformedResponseError(error instanceof Error ? error.message : 'it is no list', {
        provider: this.provider,
        request: `${http.request.method} ${maskUrl(http.url)}`,
        status: http.status,
        contentType: http.headers['content-type'] ?? null,
        body: await http.text(),
      });
    }
  }
}

function lowerCased(metadata: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name.toLowerCase(), value]));
}
