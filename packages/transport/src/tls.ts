import { createHash } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import tls, { type SecureContext, type SecureVersion, type TLSSocket } from 'node:tls';
import { InvalidOptionError } from '@cloudlane/proxy';
import { readCertificates } from './certificate-files.ts';
import type { TlsFacts } from './connection-info.ts';
import { messageOf } from './foreign-error.ts';

/** TLS of one hop. The defaults verify the certificate and the name against Node's certificate authorities. */
export interface TlsOptions {
  /**
   * false: take any certificate. A path: trust the authorities in that PEM file, or in the files of that directory,
   * instead of the default ones; read once for each object of options. @defaultValue true
   */
  readonly verify?: boolean | string;
  /** Authorities in PEM form to trust instead of the default ones. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[];
  /** Client certificate chain in PEM form, with `key`. */
  readonly cert?: string | Buffer;
  /** Private key of `cert` in PEM form. */
  readonly key?: string | Buffer;
  /** Passphrase of `key`. */
  readonly passphrase?: string;
  /** Name to ask for (SNI) and to verify, instead of the URL's host. */
  readonly servername?: string;
  /** @defaultValue 'TLSv1.2' */
  readonly minVersion?: SecureVersion;
  /** @defaultValue 'TLSv1.3' */
  readonly maxVersion?: SecureVersion;
  /**
   * SHA-256 fingerprint that the certificate must have, besides being valid (alone, with `verify: false`): 64 hexadecimal
   * digits, with or without colons.
   */
  readonly fingerprint256?: string;
}

const KNOWN_OPTIONS: ReadonlySet<string> = new Set([
  'verify',
  'ca',
  'cert',
  'key',
  'passphrase',
  'servername',
  'minVersion',
  'maxVersion',
  'fingerprint256',
] satisfies (keyof TlsOptions)[]);

/** TLS options made ready once: parsing certificates costs far more than a handshake's share of them. */
export class TlsProfile {
  /** Tells apart profiles that must not share a connection. Holds digests, no key material. */
  readonly key: string;
  readonly verify: boolean;
  readonly servername: string | undefined;
  readonly fingerprint256: string | undefined;
  readonly secureContext: SecureContext;
  readonly #sessions = new Map<string, Buffer>();

  constructor(key: string, options: TlsOptions, ca: TlsOptions['ca']) {
    this.key = key;
    this.verify = options.verify !== false;
    this.servername = options.servername;
    this.fingerprint256 = options.fingerprint256 && regularFingerprint(options.fingerprint256);
    this.secureContext = tls.createSecureContext({
      ...(ca === undefined ? {} : { ca: typeof ca === 'string' || Buffer.isBuffer(ca) ? ca : [...ca] }),
      ...(options.cert === undefined ? {} : { cert: options.cert }),
      ...(options.key === undefined ? {} : { key: options.key }),
      ...(options.passphrase === undefined ? {} : { passphrase: options.passphrase }),
      ...(options.minVersion === undefined ? {} : { minVersion: options.minVersion }),
      ...(options.maxVersion === undefined ? {} : { maxVersion: options.maxVersion }),
    });
  }

  /** Whether any certificate will do. */
  get isBlind(): boolean {
    return !this.verify && this.fingerprint256 === undefined;
  }

  /** Starts TLS on a connected socket; the promise of the handshake is the caller's to bound. */
  start(socket: Socket, host: string, peer: string): TLSSocket {
    // RFC 6066 §3: no final dot, though the name may have been looked up with one.
    const name = (this.servername ?? host).replace(/\.$/, '');
    // A resumed session (TLS 1.3) shows no certificate that could be compared.
    const session = this.fingerprint256 === undefined ? this.#sessions.get(peer) : undefined;
    const secured = tls.connect({
      socket,
      secureContext: this.secureContext,
      rejectUnauthorized: this.verify,
      ALPNProtocols: ['http/1.1'],
      // RFC 6066 §3: an IP address is no server name. `host` is what the certificate is checked against then.
      ...(isIP(name) === 0 ? { servername: name } : { host: name, servername: '' }),
      ...(session === undefined ? {} : { session }),
    });
    secured.on('session', (ticket) => this.#remember(peer, ticket));
    return secured;
  }

  /** @returns what is wrong with the certificate in the eyes of `fingerprint256`, or null */
  fingerprintFault(socket: TLSSocket): string | null {
    if (this.fingerprint256 === undefined) return null;
    const seen = fingerprintOf(socket) ?? 'none';
    return seen === this.fingerprint256
      ? null
      : `the certificate's SHA-256 fingerprint is ${seen}, not ${this.fingerprint256}`;
  }

  /** What a finished handshake came to; `fingerprintFault` has found nothing. */
  facts(socket: TLSSocket): TlsFacts {
    const { servername } = socket as { servername?: unknown };
    return {
      protocol: socket.getProtocol(),
      cipher: socket.getCipher().standardName ?? socket.getCipher().name,
      isVerified: socket.authorized || this.fingerprint256 !== undefined,
      isResumed: socket.isSessionReused(),
      servername: typeof servername === 'string' && servername !== '' ? servername : null,
      fingerprint256: fingerprintOf(socket),
    };
  }

  /** After a failed handshake the next one must not try to resume. */
  forget(peer: string): void {
    this.#sessions.delete(peer);
  }

  #remember(peer: string, ticket: Buffer): void {
    this.#sessions.delete(peer);
    this.#sessions.set(peer, ticket);
    if (this.#sessions.size <= MAX_SESSIONS) return;
    const [oldest] = this.#sessions.keys();
    if (oldest !== undefined) this.#sessions.delete(oldest);
  }
}

// As many as Node's https.Agent keeps.
const MAX_SESSIONS = 100;

const FINGERPRINT = /^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$/;

/** As Node writes it. */
function regularFingerprint(fingerprint: string): string {
  return fingerprint
    .replaceAll(':', '')
    .toUpperCase()
    .replaceAll(/(..)(?!$)/g, '$1:');
}

function fingerprintOf(socket: TLSSocket): string | null {
  // A resumed session shows an empty object.
  return socket.getPeerCertificate()?.fingerprint256 ?? null;
}

/** Makes each set of TLS options ready once, and keeps those used last. */
export class TlsProfiles {
  readonly #byOptions = new WeakMap<TlsOptions, TlsProfile>();
  readonly #byKey = new Map<string, TlsProfile>();

  /** @throws InvalidOptionError naming `${source}.<option>` if an option is unknown, contradicts another or cannot be used */
  get(options: TlsOptions, source: string): TlsProfile {
    if (typeof options !== 'object' || options === null) throw new InvalidOptionError(source, 'must be an object');
    const known = this.#byOptions.get(options);
    if (known) return known;
    const ca = readAuthorities(options, source);
    const key = profileKey(options, ca);
    const profile = this.#byKey.get(key) ?? makeProfile(key, options, ca, source);
    this.#byKey.delete(key);
    this.#byKey.set(key, profile);
    this.#byOptions.set(options, profile);
    const [oldest] = this.#byKey.keys();
    if (this.#byKey.size > MAX_PROFILES && oldest !== undefined) this.#byKey.delete(oldest);
    return profile;
  }
}

// A program that gives every call options of its own must not collect them.
const MAX_PROFILES = 100;

function makeProfile(key: string, options: TlsOptions, ca: TlsOptions['ca'], source: string): TlsProfile {
  try {
    return new TlsProfile(key, options, ca);
  } catch (error) {
    throw new InvalidOptionError(source, `cannot be used for TLS: ${messageOf(error)}`);
  }
}

function readAuthorities(options: TlsOptions, source: string): TlsOptions['ca'] {
  const { verify = true } = options;
  for (const name of Object.keys(options)) {
    if (!KNOWN_OPTIONS.has(name))
      throw new InvalidOptionError(`${source}.${name}`, `is unknown; write ${[...KNOWN_OPTIONS].join(', ')}`);
  }
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw new InvalidOptionError(`${source}.cert`, 'and key belong together; give both or none');
  }
  if (options.passphrase !== undefined && options.key === undefined)
    throw new InvalidOptionError(`${source}.passphrase`, 'belongs to a key, which is not given');
  if (options.fingerprint256 !== undefined && !FINGERPRINT.test(regularFingerprint(options.fingerprint256)))
    throw new InvalidOptionError(`${source}.fingerprint256`, 'must be 64 hexadecimal digits, with or without colons');
  if (verify === false && options.ca !== undefined)
    throw new InvalidOptionError(`${source}.ca`, 'is without effect beside verify: false; give one of them');
  if (typeof verify === 'boolean') return options.ca;
  if (typeof verify !== 'string') throw new InvalidOptionError(`${source}.verify`, `must be ${WHAT_TO_VERIFY}`);
  if (options.ca !== undefined)
    throw new InvalidOptionError(`${source}.verify`, 'as a path contradicts ca; give one of them');
  const authorities = readCertificates(verify);
  if (authorities === null)
    throw new InvalidOptionError(`${source}.verify`, `names ${verify}, which cannot be read; write ${WHAT_TO_VERIFY}`);
  if (authorities.length === 0)
    throw new InvalidOptionError(
      `${source}.verify`,
      `names ${verify}, which holds no PEM certificate; write ${WHAT_TO_VERIFY}`,
    );
  return authorities;
}

const WHAT_TO_VERIFY = 'true, false, or the path of a PEM file or of a directory of them';

function profileKey(options: TlsOptions, ca: TlsOptions['ca']): string {
  const digest = createHash('sha256');
  for (const part of [ca, options.cert, options.key, options.passphrase].flat()) {
    digest.update(part === undefined ? '-' : createHash('sha256').update(part).digest());
  }
  const { servername, minVersion, maxVersion } = options;
  const fingerprint256 = options.fingerprint256 && regularFingerprint(options.fingerprint256);
  return JSON.stringify([
    options.verify !== false,
    servername,
    minVersion,
    maxVersion,
    fingerprint256,
    digest.digest('base64'),
  ]);
}

/** TLS options for another origin: a client certificate is a credential, name and fingerprint are of one host. */
export function withoutIdentity(tls: TlsOptions | undefined): TlsOptions | undefined {
  if (tls === undefined) return undefined;
  const known = anonymous.get(tls);
  if (known !== undefined) return known;
  const { cert, key, passphrase, servername, fingerprint256, ...rest } = tls;
  anonymous.set(tls, rest);
  return rest;
}

// The same options each time, so that connections are shared.
const anonymous = new WeakMap<TlsOptions, TlsOptions>();
