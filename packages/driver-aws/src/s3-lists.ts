import type { Page, StoredContainer, StoredObject } from '@cloudlane/driver';
import type { S3ObjectPayload } from './s3-object.ts';
import { bareEtag, child, children, dateOf, textOf, type XmlElement } from './s3-xml.ts';

/** Most objects on a page of ListObjectsV2 (Amazon S3 API Reference: `max-keys`). */
export const MAX_KEYS = 1000;

/** A page of ListBuckets. @throws Error if the answer is no such page */
export function bucketsOf(answer: unknown): Page<StoredContainer<XmlElement>> {
  const result = rootOf(answer, 'ListAllMyBucketsResult');
  const items = children(child(result, 'Buckets'), 'Bucket').map((raw): StoredContainer<XmlElement> => {
    const name = textOf(raw, 'Name') ?? '';
    const createdAt = dateOf(textOf(raw, 'CreationDate'));
    return { provider: 's3', id: name, name, createdAt, region: textOf(raw, 'BucketRegion'), raw };
  });
  return { items, next: textOf(result, 'ContinuationToken'), raw: answer };
}

/** A page of ListObjectsV2. @throws Error if the answer is no such page, or a key in it cannot be decoded */
export function objectsOf(container: string, answer: unknown): Page<StoredObject<S3ObjectPayload>> {
  const result = rootOf(answer, 'ListBucketResult');
  const isEncoded = textOf(result, 'EncodingType') === 'url';
  const items = children(result, 'Contents').map((raw): StoredObject<S3ObjectPayload> => {
    const key = textOf(raw, 'Key') ?? '';
    return {
      provider: 's3',
      container,
      key: isEncoded ? decodeKey(key) : key,
      size: Number(textOf(raw, 'Size') ?? 0),
      etag: bareEtag(textOf(raw, 'ETag')),
      modifiedAt: dateOf(textOf(raw, 'LastModified')),
      contentType: null,
      metadata: {},
      raw,
    };
  });
  const next = textOf(result, 'IsTruncated') === 'true' ? textOf(result, 'NextContinuationToken') : null;
  return { items, next, raw: answer };
}

// An answer that is well-formed, but not this list, must not be taken for an empty list.
function rootOf(answer: unknown, name: string): unknown {
  if (typeof answer === 'object' && answer !== null && name in answer) return Reflect.get(answer, name);
  throw new Error(`there is no <${name}> in it`);
}

// Amazon and MinIO write a blank as plus, Swift and Ceph as %20; a plus itself is %2B everywhere.
function decodeKey(key: string): string {
  return decodeURIComponent(key.replaceAll('+', '%20'));
}
