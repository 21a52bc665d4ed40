import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Environment, InvalidOptionError } from '@cloudlane/proxy';
import { defaultAuthorities, readCertificates, type TlsOptions } from '@cloudlane/transport';
import type { ClientCertificate } from './session-options.ts';

/** TLS options of a request's two hops. */
export interface Verification {
  readonly tls: TlsOptions | undefined;
  readonly proxyTls: TlsOptions | undefined;
}

/** What decides whom a request trusts, and who it says it is. */
export interface VerificationSettings extends Verification {
  readonly verify: boolean | string | undefined;
  readonly cert: ClientCertificate | null | undefined;
  readonly env?: Environment | undefined;
  readonly trustEnv?: boolean | undefined;
}

/**
 * Turns `verify`, `cert` and the environment into TLS options. The same settings give the same options, so that files
 * are read again only when they have changed, and connections are shared.
 *
 * Authorities are those of `verify`, else of the TLS options, else of the environment (REQUESTS_CA_BUNDLE,
 * SSL_CERT_FILE, CURL_CA_BUNDLE; for https proxies too), else Node's own. NODE_EXTRA_CA_CERTS names more of them.
 *
 * A file that cannot be used is told by the request that needs it: its TLS options then throw InvalidOptionError when
 * they are read. Other requests, to http:// URLs for instance, do without.
 *
 * @throws InvalidOptionError if `verify` or `cert` can never be used
 */
export function resolveVerification(settings: VerificationSettings): Verification {
  const { tls, proxyTls, verify = true } = settings;
  if (typeof verify !== 'boolean' && typeof verify !== 'string')
    throw new InvalidOptionError('verify', 'must be true, false, or the path of a PEM file or of a directory of them');
  if (settings.cert !== undefined) checkCertificate(settings.cert);
  const cert = settings.cert === null && tls?.cert === undefined ? undefined : settings.cert;
  const bundle = readEnvironment(settings);
  const isBlind = settings.verify === true && tls?.verify === false;
  if (verify === true && cert === undefined && bundle === NO_BUNDLE && !isBlind) return settings;
  const files = [bundle.path, bundle.extra, ...[cert ?? []].flat(), typeof verify === 'string' ? verify : null];
  const stamps = files.map((path) => path && stampOf(path));
  const key = JSON.stringify([verify, cert ?? [cert === null], bundle, numberOf(tls), numberOf(proxyTls), stamps]);
  const known = resolved.get(key);
  if (known) return known;
  const base = withCertificate(isBlind ? { ...tls, verify: true } : tls, cert);
  const made = {
    tls: orRefusal(() => ({ ...withAuthorities(base, verify, bundle), ...readClientCertificate(cert) })),
    proxyTls: orRefusal(() => withAuthorities(proxyTls, true, bundle)),
  };
  // What is wrong with a file may be mended without a trace.
  if (made.tls instanceof Refusal || made.proxyTls instanceof Refusal) return made;
  // A program that gives every call a certificate of its own must not collect them.
  if (resolved.size >= MOST) resolved.clear();
  resolved.set(key, made);
  return made;
}

/** TLS options that cannot be had; whoever reads or copies them hears why. Never the default ones in their place. */
class Refusal implements TlsOptions {
  declare readonly verify: never;

  constructor(error: InvalidOptionError) {
    const get = (): never => {
      throw error;
    };
    Object.defineProperty(this, 'verify', { get, enumerable: true });
  }
}

function orRefusal(make: () => TlsOptions | undefined): TlsOptions | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof InvalidOptionError) return new Refusal(error);
    throw error;
  }
}

const resolved = new Map<string, Verification>();
const MOST = 100;

// Options are told apart as the objects that they are: nothing of a key goes into the map's keys.
const numbers = new WeakMap<object, number>();
let lastNumber = 0;

function numberOf(options: TlsOptions | undefined): number {
  if (options === undefined) return 0;
  const known = numbers.get(options);
  if (known !== undefined) return known;
  lastNumber += 1;
  numbers.set(options, lastNumber);
  return lastNumber;
}

/** Another one when the file was written, or one of the directory. */
function stampOf(path: string): string {
  const stat = statOf(path);
  const files = stat?.isDirectory() ? namesIn(path).map((name) => statOf(join(path, name))) : [];
  return [stat, ...files].map((each) => each && `${each.ino} ${each.size} ${each.mtimeMs} ${each.ctimeMs}`).join();
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** What the environment says of authorities. */
interface Bundle {
  /** The variable that names all that are trusted. */
  readonly variable: string | null;
  readonly path: string | null;
  /** File of more of them, where Node has not read it itself. */
  readonly extra: string | null;
}

const NO_BUNDLE: Bundle = { variable: null, path: null, extra: null };
const VARIABLES = ['REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE', 'CURL_CA_BUNDLE'];

function readEnvironment({ env, trustEnv }: VerificationSettings): Bundle {
  if (trustEnv === false) return NO_BUNDLE;
  const variables = env ?? process.env;
  const variable = VARIABLES.find((name) => variables[name]);
  const extra = variables.NODE_EXTRA_CA_CERTS || null;
  if (variable !== undefined) return { variable, path: variables[variable] ?? null, extra };
  // Node itself has read the variable of its own environment when it started.
  return env === undefined || extra === null ? NO_BUNDLE : { ...NO_BUNDLE, extra };
}

function readBundle({ variable, path, extra }: Bundle): TlsOptions {
  const more = extra === null ? [] : readAuthorities(extra, 'env:NODE_EXTRA_CA_CERTS');
  if (variable === null || path === null) return more.length === 0 ? {} : { ca: [...defaultAuthorities(), ...more] };
  return { ca: [...readAuthorities(path, `env:${variable}`), ...more] };
}

function readAuthorities(path: string, source: string): Buffer[] {
  const files = readCertificates(path);
  if (files !== null && files.length > 0) return files;
  throw new InvalidOptionError(
    source,
    `names ${path}, where no certificates can be read; write the path of a PEM file, or of a directory of them`,
  );
}

function withAuthorities(
  options: TlsOptions | undefined,
  verify: boolean | string,
  bundle: Bundle,
): TlsOptions | undefined {
  if (verify !== true) {
    // The transport would name an option of its own.
    if (verify !== false) readAuthorities(verify, 'verify');
    const { ca: _, ...rest } = options ?? {};
    return { ...rest, verify };
  }
  const isSettled = options !== undefined && (options.ca !== undefined || (options.verify ?? true) !== true);
  return isSettled ? options : { ...options, ...readBundle(bundle) };
}

/** Without the certificate of the options, if another is to take its place, or none. */
function withCertificate(
  options: TlsOptions | undefined,
  cert: ClientCertificate | null | undefined,
): TlsOptions | undefined {
  if (cert === undefined) return options;
  const { cert: _, key: __, passphrase: ___, ...rest } = options ?? {};
  return rest;
}

function checkCertificate(cert: unknown): void {
  const paths: readonly unknown[] = [cert].flat();
  const isPair = !Array.isArray(cert) || cert.length === 2;
  if (cert === null || (isPair && paths.every((path) => typeof path === 'string'))) return;
  throw new InvalidOptionError(
    'cert',
    'must be the path of a PEM file, a list of those of certificate and key, or null',
  );
}

function readClientCertificate(cert: ClientCertificate | null | undefined): TlsOptions {
  if (cert === undefined || cert === null) return {};
  const [certificate, key] = typeof cert === 'string' ? [cert, cert] : cert;
  return { cert: readPem(certificate), key: readPem(key) };
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    throw new InvalidOptionError('cert', `names ${path}, which cannot be read; write the path of a PEM file`);
  }
}
