import { statSync } from 'node:fs';
import type { Route } from '@cloudlane/proxy';
import { MASK, type TlsOptions, type TransportRequest } from '@cloudlane/transport';
import type { SecretFilter } from './secret-filter.ts';
import { quoteForShell } from './shell-quote.ts';

/** TLS options of a request for curl. */
export interface CurlTls {
  readonly words: readonly string[];
  /** What curl cannot do. */
  readonly notes: readonly string[];
}

/** TLS with the origin and with the proxy, as far as the request meets them. */
export function curlTls(
  { tls = {}, proxyTls = {} }: TransportRequest,
  url: URL,
  route: Route,
  filter: SecretFilter,
): CurlTls {
  const hops: CurlTls[] = [];
  if (url.protocol === 'https:') hops.push({ words: ['--http1.1'], notes: [] }, hopTls(tls, '', filter));
  if (route.kind !== 'direct' && route.proxy.scheme === 'https') hops.push(hopTls(proxyTls, 'proxy-', filter));
  return { words: hops.flatMap(({ words }) => words), notes: hops.flatMap(({ notes }) => notes) };
}

function hopTls(options: TlsOptions, prefix: '' | 'proxy-', filter: SecretFilter): CurlTls {
  const { verify = true, ca, cert, key, passphrase, minVersion, maxVersion } = options;
  const words: string[] = [];
  const add = (name: string, value: string): void => void words.push(`--${prefix}${name} ${value}`);
  if (verify === false) words.push(`--${prefix}insecure`);
  if (typeof verify === 'string') add('cacert', pathOf(verify));
  if (ca !== undefined) add('cacert', asFile([ca].flat().join('\n')));
  if (cert !== undefined) add('cert', asFile(cert));
  if (key !== undefined) add('key', filter.shows('key') ? asFile(key) : quoteForShell(MASK));
  if (passphrase !== undefined) add('pass', quoteForShell(filter.shows('passphrase') ? passphrase : MASK));
  if (minVersion !== undefined) words.push(...leastVersion(minVersion, prefix));
  if (maxVersion !== undefined && prefix === '') add('tls-max', versionOf(maxVersion));
  return { words, notes: notesOn(options, prefix) };
}

function notesOn({ servername, fingerprint256, minVersion, maxVersion }: TlsOptions, prefix: string): string[] {
  const source = prefix === '' ? 'tls' : 'proxyTls';
  const unknown = Object.entries({ servername, fingerprint256, ...(prefix !== '' && { minVersion, maxVersion }) });
  return unknown.flatMap(([name, value]) => (value === undefined ? [] : [`curl has no option for ${source}.${name}`]));
}

/** Process substitution: the content of a file that is nowhere on the disk. */
function asFile(content: string | Buffer): string {
  return `<(printf %s ${quoteForShell(content.toString())})`;
}

// Of proxies curl can be told TLSv1 alone.
function leastVersion(version: string, prefix: string): string[] {
  return prefix === '' ? [`--tlsv${versionOf(version)}`] : [];
}

function versionOf(version: string): string {
  return version.replace(/^TLSv1$/, '1.0').replace(/^TLSv/, '');
}

// What curl itself takes for a directory of authorities needs links named after hashes.
function pathOf(verify: string): string {
  const isDirectory = statSync(verify, { throwIfNoEntry: false })?.isDirectory() === true;
  return isDirectory ? `<(cat ${quoteForShell(verify)}/*)` : quoteForShell(verify);
}
