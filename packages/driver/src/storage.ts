import type { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type { CallOptions } from '@cloudlane/connection';
import type { UploadProgress } from '@cloudlane/transport';
import type { Driver, ListOptions, Resource } from './driver.ts';
import type { Pager } from './pager.ts';

/** What can be stored. Streams are read once; of a file, the size is known. */
export type ObjectBody =
  | Uint8Array
  | string
  | Readable
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | { readonly file: string };

/** A bucket or container. */
export interface StoredContainer<R = unknown> extends Resource<R> {
  readonly createdAt: Date | null;
  readonly region: string | null;
}

export interface StoredObject<R = unknown> {
  readonly provider: string;
  readonly container: string;
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Without quotes. */
  readonly etag: string | null;
  readonly modifiedAt: Date | null;
  readonly contentType: string | null;
  /** Names in lower case; empty in lists, where providers do not tell them. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly raw: R;
}

/** A byte range; both ends are part of it (RFC 9110 §14.1.2). */
export interface ByteRange {
  readonly start: number;
  readonly endInclusive: number;
  /** Size of the whole object, if the provider tells. */
  readonly total: number | null;
}

/** An object whose head is here and whose body is still to be read: exactly one of the methods may be called. */
export interface ObjectContent<R = unknown> {
  readonly info: StoredObject<R>;
  /** The part that was sent, or null if it is the whole object. */
  readonly range: ByteRange | null;
  /** The body as it comes. Fails if it breaks off. */
  stream(): Readable;
  /** @throws InvalidOptionError if it is longer than `maxBytes` */
  bytes(options?: { readonly maxBytes?: number }): Promise<Uint8Array>;
  /** The body as UTF-8. @throws InvalidOptionError if it is longer than `maxBytes` */
  text(options?: { readonly maxBytes?: number }): Promise<string>;
  /**
   * Writes the body to a file: to a temporary one beside it first, so that the path never names half an object.
   * @param options.overwrite whether a file that is there is replaced; otherwise that is an error. `false` by default
   */
  saveTo(path: string, options?: { readonly overwrite?: boolean }): Promise<void>;
}

export interface PutOptions extends CallOptions {
  /** Bytes in a stream; needed where the provider does not take bodies of unknown size. */
  readonly size?: number | undefined;
  readonly contentType?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Only if no object has that key yet. */
  readonly ifNoneMatch?: '*' | undefined;
  /** Only if the object there has this etag. */
  readonly ifMatch?: string | undefined;
  readonly onProgress?: UploadProgress | undefined;
}

export interface GetOptions extends CallOptions {
  /** First byte. */
  readonly start?: number | undefined;
  /** Last byte, itself included. */
  readonly endInclusive?: number | undefined;
}

/** What a storage driver can do beyond the contract, as data. */
export interface StorageFeatures {
  /** Uploads in parts. */
  readonly multipart: boolean;
  /** Largest object in one upload, in bytes. */
  readonly maxSinglePut: number;
  /** Bodies of unknown size. */
  readonly unknownSize: boolean;
}

export interface StorageTypes {
  readonly container: unknown;
  readonly object: unknown;
}

/** Object storage. */
export interface StorageDriver<T extends StorageTypes = StorageTypes> extends Driver {
  readonly features: StorageFeatures;
  listContainers(options?: ListOptions): Pager<StoredContainer<T['container']>>;
  createContainer(name: string, options?: CallOptions): Promise<StoredContainer<T['container']>>;
  /** @throws ConflictError if it is not empty */
  deleteContainer(name: string, options?: CallOptions): Promise<void>;
  listObjects(
    container: string,
    options?: ListOptions & { readonly prefix?: string | undefined },
  ): Pager<StoredObject<T['object']>>;
  /** @throws NotFoundError if there is no such object */
  headObject(container: string, key: string, options?: CallOptions): Promise<StoredObject<T['object']>>;
  /** @throws NotFoundError if there is no such object */
  getObject(container: string, key: string, options?: GetOptions): Promise<ObjectContent<T['object']>>;
  putObject(container: string, key: string, body: ObjectBody, options?: PutOptions): Promise<StoredObject<T['object']>>;
  /** Succeeds also if there is no such object. */
  deleteObject(container: string, key: string, options?: CallOptions): Promise<void>;
}
