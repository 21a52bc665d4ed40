import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { types } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { PreparedRequest } from '@cloudlane/session';
import { SignatureV4 } from '@smithy/signature-v4';
import { encodeRfc3986 } from './s3-address.ts';

/** What signs requests. `sessionToken` goes with temporary keys. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/**
 * Signs requests with AWS Signature Version 4, in their headers.
 *
 * Signed are `Host`, `Content-Type`, `Content-MD5` and every `x-amz-…` header: what the service demands. A proxy between
 * may change any other header of a forwarded request, and must not break the signature by it.
 *
 * The payload is signed by its SHA-256 if it is in memory. A stream is sent as `UNSIGNED-PAYLOAD`, since its hash would
 * have to be known before its first byte is sent: on https TLS protects it, on http the answer's ETag tells of a change.
 */
export class S3Signer {
  // Its own fields are readable by anybody who holds it, and lead to the secret.
  readonly #signature: SignatureV4;

  constructor(region: string, { accessKeyId, secretAccessKey, sessionToken }: S3Credentials) {
    this.#signature = new SignatureV4({
      service: 's3',
      region,
      credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
      sha256: Sha256,
      // Of all services S3 alone wants the path as it is sent.
      uriEscapePath: false,
      applyChecksum: true,
    });
  }

  /**
   * Signs a request in place, as the last thing that changes it. Its path and query are rewritten to the one spelling
   * that is signed, so that signature and wire cannot differ.
   * @throws InvalidOptionError if a header or the query cannot be signed
   */
  async sign(request: PreparedRequest, signingDate: Date = new Date()): Promise<void> {
    request.url = canonicalUrl(request.url);
    if (request.header('Host') === undefined) request.setHeader('Host', request.url.host);
    if (request.header(PAYLOAD_HASH) === undefined) request.setHeader(PAYLOAD_HASH, payloadHash(request.body));
    const { protocol, hostname, pathname } = request.url;
    const query = queryOf(request.url);
    const headers = signableHeaders(request.headers);
    const toSign = { method: request.method, protocol, hostname, path: pathname, query, headers };
    const signed = await this.#signature.sign(toSign, { signingDate });
    for (const [name, value] of Object.entries(signed.headers)) request.setHeader(name, value);
  }
}

const PAYLOAD_HASH = 'x-amz-content-sha256';
const SIGNED = /^(host|content-type|content-md5|x-amz-.*)$/;

function signableHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const signable = Object.entries(headers)
    .map(([name, value]): [string, string] => [name.toLowerCase(), value])
    .filter(([name]) => SIGNED.test(name));
  for (const [name, value] of signable) {
    // Node would send it as Latin-1, the signature is over UTF-8.
    if (!/^[\t\x20-\x7e]*$/.test(value))
      throw new InvalidOptionError(`headers.${name}`, 'has characters other than printable ASCII; encode them');
  }
  return Object.fromEntries(signable);
}

function payloadHash(body: PreparedRequest['body']): string {
  if (body !== null && typeof body !== 'string' && !types.isUint8Array(body)) return 'UNSIGNED-PAYLOAD';
  return createHash('sha256')
    .update(body ?? '')
    .digest('hex');
}

function canonicalUrl(url: URL): URL {
  const canonical = new URL(url);
  canonical.hash = '';
  canonical.pathname = url.pathname
    .split('/')
    .map((segment) => encodeRfc3986(decode(segment)))
    .join('/');
  canonical.search = Object.entries(queryOf(url))
    .flatMap(([name, values]) => values.map((value) => `${encodeRfc3986(name)}=${encodeRfc3986(value)}`))
    .join('&');
  return canonical;
}

function queryOf(url: URL): Record<string, string[]> {
  const query: Record<string, string[]> = {};
  for (const pair of url.search.slice(1).split('&')) {
    if (pair === '') continue;
    const [name = '', ...value] = pair.split('=');
    query[decode(name)] = [...(query[decode(name)] ?? []), decode(value.join('='))];
  }
  return query;
}

// RFC 3986, not HTML forms: a plus is a plus.
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new InvalidOptionError('action', 'has a percent sign that encodes no UTF-8; write %25 for the sign itself');
  }
}

type HashInput = string | ArrayBuffer | ArrayBufferView;

/** SHA-256, or with a secret HMAC-SHA-256, in the shape the signature library asks for. */
class Sha256 {
  #hash: Hash | Hmac;
  readonly #create: () => Hash | Hmac;

  constructor(secret?: HashInput) {
    this.#create = () => (secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret)));
    this.#hash = this.#create();
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    this.#hash = this.#create();
  }
}

function bytesOf(input: HashInput): Uint8Array {
  if (typeof input === 'string') return Buffer.from(input);
  return ArrayBuffer.isView(input)
    ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
    : new Uint8Array(input);
}
