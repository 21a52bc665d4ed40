import { readFileSync, statSync } from 'node:fs';
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
 * @throws InvalidOptionError naming the option or variable whose file cannot be used
 */
export function resolveVerification(settings: VerificationSettings): Verification {
  const { tls, proxyTls, verify = true } = settings;
  if (typeof verify !== 'boolean' && typeof verify !== 'string')
    throw new InvalidOptionError('verify', 'must be true, false, or the path of a PEM file or of a directory of them');
  const cert = settings.cert ?? null;
  const bundle = readEnvironment(settings);
  const isBlind = settings.verify === true && tls?.verify === false;
  if (verify === true && cert === null && bundle === NO_BUNDLE && !isBlind) return settings;
  const stamps = [bundle.path, bundle.extra, ...[cert ?? []].flat(), typeof verify === 'string' ? verify : null].map(
    stampOf,
  );
  const key = JSON.stringify([verify, cert, bundle, numberOf(tls), numberOf(proxyTls), stamps]);
  const known = resolved.get(key);
  if (known) return known;
  // The transport would name an option of its own.
  if (typeof verify === 'string') readAuthorities(verify, 'verify');
  const authorities = readBundle(bundle);
  const made: Verification = {
    tls: {
      ...withAuthorities(isBlind ? { ...tls, verify: true } : tls, verify, authorities),
      ...readClientCertificate(cert),
    },
    proxyTls: withAuthorities(proxyTls, true, authorities),
  };
  // A program that gives every call a certificate of its own must not collect them.
  if (resolved.size >= MOST) resolved.clear();
  resolved.set(key, made);
  return made;
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

function stampOf(path: string | null): string | null {
  const stat = path === null ? undefined : statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
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
  authorities: TlsOptions,
): TlsOptions | undefined {
  if (verify !== true) {
    const { ca: _, ...rest } = options ?? {};
    return { ...rest, verify };
  }
  const isSettled = options !== undefined && (options.ca !== undefined || (options.verify ?? true) !== true);
  return isSettled ? options : { ...options, ...authorities };
}

function readClientCertificate(cert: ClientCertificate | null): TlsOptions {
  if (cert === null) return {};
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
