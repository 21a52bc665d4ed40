import { setDriver } from '@cloudlane/driver';
import { S3Storage } from './s3-storage.ts';

export type { S3Addressing } from './s3-address.ts';
export { S3Connection, type S3ConnectionOptions } from './s3-connection.ts';
export { ChecksumError, WrongRegionError } from './s3-errors.ts';
export type { S3ObjectPayload } from './s3-object.ts';
export type { S3Credentials } from './s3-signer.ts';
export { S3Storage, type S3StorageOptions, type S3Types } from './s3-storage.ts';

setDriver('storage', 's3', async () => S3Storage);
