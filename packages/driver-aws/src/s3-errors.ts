import { ProviderError, type ProviderErrorInit, type ProviderErrorKind } from '@cloudlane/connection';
import { CloudlaneError } from '@cloudlane/transport';

/** Where a bucket is, and where it was looked for. */
export interface BucketPlace {
  readonly region: string | null;
  readonly endpoint: string | null;
  readonly signedFor: string;
  /** Whether the connection was given an endpoint. */
  readonly hasEndpoint: boolean;
}

/** The bucket lies in another region than requests are signed for. */
export class WrongRegionError extends ProviderError {
  /** The bucket's region, if the answer told. */
  readonly region: string | null;

  constructor(found: BucketPlace, init: ProviderErrorInit) {
    const { region, endpoint, signedFor, hasEndpoint } = found;
    const place = region === null ? (endpoint ?? 'another endpoint') : `the region ${region}`;
    const remedy =
      region === null
        ? 'set region and endpoint'
        : `set region: '${region}'${hasEndpoint ? ', and the endpoint of that region' : ''}`;
    super(`this must be asked of ${place}, not of ${signedFor}; ${remedy}`, init, 'ERR_WRONG_REGION');
    this.region = found.region;
  }
}

/** What the service stored is not what was sent. The object is there all the same, under its key. */
export class ChecksumError extends CloudlaneError {
  readonly container: string;
  readonly key: string;
  /** MD5 of what was sent. */
  readonly expected: string;
  /** MD5 of what was stored. */
  readonly actual: string;

  constructor(container: string, key: string, expected: string, actual: string) {
    super(`s3: ${container}/${key} was changed on its way: sent MD5 ${expected}, stored ${actual}`, 'ERR_CHECKSUM');
    this.container = container;
    this.key = key;
    this.expected = expected;
    this.actual = actual;
  }
}

/** Codes that say more than their status (Amazon S3 API Reference, "Error responses"). Others go by status. */
const KINDS: Readonly<Record<string, ProviderErrorKind>> = {
  InvalidAccessKeyId: 'credentials',
  SignatureDoesNotMatch: 'credentials',
  ExpiredToken: 'credentials',
  InvalidToken: 'credentials',
  TokenRefreshRequired: 'credentials',
  NoSuchKey: 'not-found',
  NoSuchBucket: 'not-found',
  NotFound: 'not-found',
  BucketAlreadyExists: 'conflict',
  BucketAlreadyOwnedByYou: 'conflict',
  BucketNotEmpty: 'conflict',
  PreconditionFailed: 'conflict',
  OperationAborted: 'conflict',
  ConditionalRequestConflict: 'conflict',
  SlowDown: 'rate-limit',
  TooManyRequests: 'rate-limit',
  RequestLimitExceeded: 'rate-limit',
};

/** The class of error that a code of S3 stands for; undefined: the status tells. */
export function kindOfCode(code: string | null): ProviderErrorKind | undefined {
  return code !== null && Object.hasOwn(KINDS, code) ? KINDS[code] : undefined;
}

/** Whether an answer says that the request went to the wrong region. */
export function isWrongRegion(status: number, code: string | null): boolean {
  if (code !== null) return WRONG_REGION.has(code);
  // Answers to HEAD have no body, and so no code.
  return status === 301 || status === 307 || status === 400;
}

const WRONG_REGION: ReadonlySet<string> = new Set([
  'PermanentRedirect',
  'TemporaryRedirect',
  'AuthorizationHeaderMalformed',
  'IncorrectEndpoint',
]);
