// What a provider answers when it does not do as asked:
//
//   CloudlaneError
//   ├─ ProviderError              status, providerCode, requestId, retryable
//   │  ├─ InvalidCredentialsError   401, and what the provider calls wrong keys or signatures
//   │  ├─ NotFoundError             404
//   │  ├─ ConflictError             409, 412
//   │  ├─ RateLimitError            429: retryAfter
//   │  └─ ServiceUnavailableError   502, 503, 504: retryAfter
//   └─ MalformedResponseError     the answer is not what the API speaks: body
import { CloudlaneError } from '@cloudlane/transport';

/** What a driver reads from a provider's error answer. */
export interface ProviderErrorDetails {
  readonly message: string;
  /** The provider's own code, such as `NoSuchBucket`. */
  readonly providerCode?: string | null;
  /** The id under which the provider can find the request. */
  readonly requestId?: string | null;
  /** Class of the error where the status alone does not tell it. */
  readonly kind?: ProviderErrorKind;
  /** Milliseconds to wait, where the provider tells it otherwise than by `Retry-After`. */
  readonly retryAfter?: number | null;
}

export type ProviderErrorKind = 'credentials' | 'not-found' | 'conflict' | 'rate-limit' | 'unavailable' | 'other';

/** What every provider error carries. */
export interface ProviderErrorInit extends Omit<ProviderErrorDetails, 'message' | 'kind'> {
  readonly provider: string;
  /** Method and URL, masked. */
  readonly request: string;
  readonly status: number;
  /** Milliseconds to wait, as `Retry-After` says (RFC 9110 §10.2.3), or null. */
  readonly retryAfter: number | null;
}

// Not by status: providers limit rates with 400 and 403 too, and tell it by their code.
const RETRYABLE: ReadonlySet<string> = new Set(['ERR_RATE_LIMIT', 'ERR_SERVICE_UNAVAILABLE']);

/** The provider got the request and refused it. */
export class ProviderError extends CloudlaneError {
  readonly provider: string;
  readonly request: string;
  readonly status: number;
  readonly providerCode: string | null;
  readonly requestId: string | null;
  readonly retryAfter: number | null;
  /** Whether the provider is likely to take the same request later. */
  readonly retryable: boolean;

  constructor(message: string, init: ProviderErrorInit, code: string = 'ERR_PROVIDER') {
    const named = init.providerCode ? `${init.providerCode}: ` : '';
    super(`${init.provider}: ${init.request} was answered with ${init.status}: ${named}${message}`, code);
    this.provider = init.provider;
    this.request = init.request;
    this.status = init.status;
    this.providerCode = init.providerCode ?? null;
    this.requestId = init.requestId ?? null;
    this.retryAfter = init.retryAfter;
    this.retryable = RETRYABLE.has(code);
  }
}

/** The credentials are missing, wrong, expired, or the signature does not match. */
export class InvalidCredentialsError extends ProviderError {
  constructor(message: string, init: ProviderErrorInit) {
    super(message, init, 'ERR_INVALID_CREDENTIALS');
  }
}

/** What the request names does not exist, or must not be seen by these credentials. */
export class NotFoundError extends ProviderError {
  constructor(message: string, init: ProviderErrorInit) {
    super(message, init, 'ERR_NOT_FOUND');
  }
}

/** The state of the resource does not allow it: it exists already, is in use, or has changed. */
export class ConflictError extends ProviderError {
  constructor(message: string, init: ProviderErrorInit) {
    super(message, init, 'ERR_CONFLICT');
  }
}

/** Too many requests; `retryAfter` says how many milliseconds to wait, if the provider does. */
export class RateLimitError extends ProviderError {
  constructor(message: string, init: ProviderErrorInit) {
    super(message, init, 'ERR_RATE_LIMIT');
  }
}

/** The provider is not able to answer now. */
export class ServiceUnavailableError extends ProviderError {
  constructor(message: string, init: ProviderErrorInit) {
    super(message, init, 'ERR_SERVICE_UNAVAILABLE');
  }
}

/** The answer is not what the API speaks: an HTML page of something in between, or a truncated document. */
export class MalformedResponseError extends CloudlaneError {
  readonly provider: string;
  readonly request: string;
  readonly status: number;
  readonly contentType: string | null;
  /** The first 64 KiB of the body; readable, not printed. */
  declare readonly body: string;

  constructor(
    why: string,
    init: { provider: string; request: string; status: number; contentType: string | null; body: string },
  ) {
    super(
      `${init.provider}: the answer (${init.status}) to ${init.request} cannot be read: ${why}`,
      'ERR_MALFORMED_RESPONSE',
    );
    this.provider = init.provider;
    this.request = init.request;
    this.status = init.status;
    this.contentType = init.contentType;
    Object.defineProperty(this, 'body', { value: init.body.slice(0, MAX_BODY), enumerable: false });
  }
}

const MAX_BODY = 64 * 1024;

const CLASSES: Readonly<Record<ProviderErrorKind, new (message: string, init: ProviderErrorInit) => ProviderError>> = {
  credentials: InvalidCredentialsError,
  'not-found': NotFoundError,
  conflict: ConflictError,
  'rate-limit': RateLimitError,
  unavailable: ServiceUnavailableError,
  other: ProviderError,
};

/** The error for a provider's answer: by `kind` if the driver told one, else by status. */
export function makeProviderError(details: ProviderErrorDetails, init: ProviderErrorInit): ProviderError {
  return new CLASSES[details.kind ?? kindOf(init.status)](details.message, init);
}

function kindOf(status: number): ProviderErrorKind {
  switch (status) {
    case 401:
      return 'credentials';
    case 404:
      return 'not-found';
    case 409:
    case 412:
      return 'conflict';
    case 429:
      return 'rate-limit';
    case 502:
    case 503:
    case 504:
      return 'unavailable';
    default:
      return 'other';
  }
}
