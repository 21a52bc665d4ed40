import {
  type CallContext,
  type ConnectionOptions,
  type ProviderErrorDetails,
  type ProviderErrorKind,
  type ResponseFormat,
  UserAndKeyConnection,
} from '@cloudlane/connection';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { HttpResponse, PreparedRequest } from '@cloudlane/session';
import { maskUrl } from '@cloudlane/transport';
import { checkBucket, fitsHost, type S3Addressing } from './s3-address.ts';
import { isWrongRegion, kindOfCode, WrongRegionError } from './s3-errors.ts';
import { type S3Credentials, S3Signer } from './s3-signer.ts';
import { readError } from './s3-xml.ts';

/** Options of a connection to S3, or to a service that speaks like it. */
export interface S3ConnectionOptions extends S3Credentials, Omit<ConnectionOptions, 'auth'> {
  /** What requests are signed for, and where buckets are made. @defaultValue 'us-east-1' */
  readonly region?: string | undefined;
  /** URL of an S3-compatible service; the same as `baseUrl`. @defaultValue `https://s3.{region}.amazonaws.com` */
  readonly endpoint?: string | URL | undefined;
  /**
   * Where the bucket's name stands. A bucket that cannot stand in the host name (capitals, or a dot with TLS) stands in
   * the path all the same. @defaultValue 'virtual' at Amazon's own endpoint, 'path' at any other
   */
  readonly addressing?: S3Addressing | undefined;
}

/**
 * A connection to S3. Signs every request, whatever asks for it.
 *
 * Any call of the API can be made with `request()`: name the bucket in `context.container` and the key, encoded, as the
 * action; without a bucket the action is the path.
 */
export class S3Connection extends UserAndKeyConnection {
  readonly region: string;
  readonly addressing: S3Addressing;
  readonly #signer: S3Signer;
  readonly #isCustom: boolean;

  /**
   * @throws InvalidOptionError if an option is missing, malformed or contradicts another
   * @throws InvalidProxyUrlError if `http_proxy` cannot be used
   */
  constructor(options: S3ConnectionOptions) {
    const { accessKeyId, secretAccessKey, sessionToken, region = 'us-east-1', endpoint, ...rest } = options;
    const { addressing, ...connectionOptions } = rest;
    checkOptions(options, region);
    super(accessKeyId, secretAccessKey, withEndpoint(connectionOptions, endpoint), amazonUrl(region));
    const { baseUrl, host } = connectionOptions;
    this.#isCustom = (endpoint ?? baseUrl ?? host) !== undefined;
    this.region = region;
    this.addressing = addressing ?? (this.#isCustom ? 'path' : 'virtual');
    checkBaseUrl(this.baseUrl, this.addressing);
    this.#signer = new S3Signer(region, { accessKeyId, secretAccessKey, sessionToken });
  }

  override get provider(): string {
    return 's3';
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), region: this.region, addressing: this.addressing };
  }

  protected override get format(): ResponseFormat {
    return 'xml';
  }

  protected override morphAction(action: string, { container }: CallContext): string {
    if (container === undefined) return action;
    const bucket = checkBucket(container);
    return this.#inHost(bucket) ? `/${action}` : `${bucket}${action === '' ? '' : '/'}${action}`;
  }

  /** Signs. An override must come back here last. */
  protected override async preConnect(request: PreparedRequest, { container }: CallContext): Promise<void> {
    if (typeof container === 'string' && this.#inHost(container)) {
      request.url = new URL(request.url);
      request.url.hostname = `${container}.${request.url.hostname}`;
    }
    await this.#signer.sign(request);
  }

  /** @throws WrongRegionError if the answer sends to another region */
  protected override async parseError(response: HttpResponse): Promise<ProviderErrorDetails> {
    const text = await response.text();
    const said = readError(text);
    const providerCode = said.code;
    const requestId = said.requestId ?? headerOf(response, 'x-amz-request-id');
    this.#checkRegion(response, said, requestId);
    const message = said.message ?? (text.trim().slice(0, 200) || response.statusText || 'no reason given');
    const kind: ProviderErrorKind | undefined = kindOfCode(providerCode);
    return { message, providerCode, requestId, ...(kind && { kind }) };
  }

  #checkRegion(response: HttpResponse, said: ReturnType<typeof readError>, requestId: string | null): void {
    if (!isWrongRegion(response.status, said.code)) return;
    const told = headerOf(response, 'x-amz-bucket-region') ?? said.region;
    const region = told === this.region ? null : told;
    if (region === null && response.status >= 400) return;
    const where = { region, signedFor: this.region, endpoint: said.endpoint, hasEndpoint: this.#isCustom };
    throw new WrongRegionError(where, {
      provider: this.provider,
      request: `${response.request.method} ${maskUrl(response.url)}`,
      status: response.status,
      providerCode: said.code,
      requestId,
      retryAfter: null,
    });
  }

  #inHost(bucket: string): boolean {
    return this.addressing === 'virtual' && fitsHost(bucket, this.baseUrl.protocol === 'https:');
  }
}

function amazonUrl(region: string): string {
  return `https://s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}

function withEndpoint(options: ConnectionOptions, endpoint: string | URL | undefined): ConnectionOptions {
  if (endpoint === undefined) return options;
  if (options.baseUrl !== undefined) throw new InvalidOptionError('endpoint', 'contradicts baseUrl; give one of them');
  return { ...options, baseUrl: endpoint };
}

function checkOptions(options: S3ConnectionOptions, region: string): void {
  for (const name of ['accessKeyId', 'secretAccessKey'] as const) {
    if (typeof options[name] !== 'string' || options[name].trim() === '')
      throw new InvalidOptionError(name, 'is empty');
  }
  // Each would end up in a header, and fail there less clearly.
  for (const name of ['accessKeyId', 'sessionToken'] as const) {
    if (!/^[\x21-\x7e]*$/.test(options[name] ?? ''))
      throw new InvalidOptionError(name, 'contains a blank, a line break or another character that no key has');
  }
  if (!/^[\w-]+$/.test(region)) throw new InvalidOptionError('region', 'must be letters, digits and hyphens');
  if (!['path', 'virtual', undefined].includes(options.addressing))
    throw new InvalidOptionError('addressing', "must be 'path' or 'virtual'");
  if ('auth' in options && options.auth !== undefined)
    throw new InvalidOptionError('auth', 'has no effect, as requests are signed with the access key');
}

function checkBaseUrl(url: URL, addressing: S3Addressing): void {
  if (url.username !== '' || url.search !== '' || url.hash !== '')
    throw new InvalidOptionError('endpoint', 'must be scheme, host, port and path alone');
  if (addressing === 'virtual' && /^(\[.*\]|[\d.]+)$/.test(url.hostname))
    throw new InvalidOptionError('addressing', "cannot be 'virtual', as the endpoint is an address; write 'path'");
}

function headerOf(response: HttpResponse, name: string): string | null {
  return [response.headers[name]].flat()[0] ?? null;
}
