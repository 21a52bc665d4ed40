import type { ClientRequest } from 'node:http';
import type { RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { TlsOptions } from './tls.ts';

const NODE_NAMES = ['ca', 'cert', 'key', 'passphrase', 'servername', 'minVersion', 'maxVersion'] as const;
// Client certificates, and what narrows whom and what to trust. Options that Node's agents set themselves (`session`),
// or that servers have, do no harm.
const REFUSED = [
  'pfx',
  'checkServerIdentity',
  'secureContext',
  'ciphers',
  'crl',
  'secureProtocol',
  'secureOptions',
  'sigalgs',
  'ecdhCurve',
  'dhparam',
  'minDHSize',
  'ALPNProtocols',
  'clientCertEngine',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'pskCallback',
] as const;

/** Sets of options that are kept: as many as one client may reasonably have. */
const MAX_KNOWN = 20;

/** What one request said, and the options made of it. */
interface Known {
  readonly said: readonly unknown[];
  readonly options: TlsOptions;
}

/**
 * TLS options of requests that somebody else's client has made, over those of the transport. The same values make the
 * same object, so that certificates are read and hashed once, not for each request.
 */
export class ForeignTls {
  readonly #base: TlsOptions;
  /** Those used last are at the end. */
  readonly #known: Known[] = [];

  constructor(base: TlsOptions) {
    this.#base = base;
  }

  /** @throws InvalidOptionError for an option that cannot take effect and must not be ignored */
  optionsFor(request: ClientRequest, given: RequestOptions): TlsOptions {
    refuseOthers(given);
    const options = { ...given, servername: serverName(request, given) };
    const verifiesNothing = given.rejectUnauthorized === false;
    // Copies: a list may get longer.
    const values = NODE_NAMES.map((name) => (isGiven(options[name]) ? copyOf(options[name]) : undefined));
    if (values.every((value) => value === undefined) && !verifiesNothing) return this.#base;
    const said = [verifiesNothing, ...values];
    const index = this.#known.findIndex((known) => isSame(known.said, said));
    const [known = { said, options: this.#merge(values, verifiesNothing) }] =
      index === -1 ? [] : this.#known.splice(index, 1);
    this.#known.push(known);
    if (this.#known.length > MAX_KNOWN) this.#known.shift();
    return known.options;
  }

  #merge(values: readonly unknown[], verifiesNothing: boolean): TlsOptions {
    const own = Object.fromEntries(
      NODE_NAMES.map((name, index) => [name, values[index]] as const).filter(([, value]) => value !== undefined),
    );
    const merged: Record<string, unknown> = { ...this.#base, ...own };
    // Whose certificates to trust is said once: the request's word replaces the transport's.
    if ('ca' in own) delete merged.verify;
    if (verifiesNothing) delete merged.ca;
    return (verifiesNothing ? { ...merged, verify: false } : merged) as TlsOptions;
  }
}

function refuseOthers(given: RequestOptions): void {
  for (const name of REFUSED) {
    const value: unknown = Reflect.get(given, name);
    if (isGiven(value) && !isUsual(value))
      throw new InvalidOptionError(
        name,
        `has no effect with the agents of a transport; they know rejectUnauthorized, ${NODE_NAMES.join(', ')}`,
      );
  }
}

/** Some clients write out what is done anyway: got Node's own check of the name, others the only protocol. */
function isUsual(value: unknown): boolean {
  return value === checkServerIdentity || (Array.isArray(value) && value.length === 1 && value[0] === 'http/1.1');
}

function copyOf(value: unknown): unknown {
  return Array.isArray(value) ? [...value] : value;
}

function isSame(one: unknown, other: unknown): boolean {
  if (!Array.isArray(one) || !Array.isArray(other)) return one === other;
  return one.length === other.length && one.every((each, index) => isSame(each, other[index]));
}

/** As Node's agent finds it: `servername`, else the name in the Host header. Undefined if it is the host's anyway. */
function serverName(request: ClientRequest, given: RequestOptions): string | undefined {
  const host = String(given.hostname ?? given.host ?? '');
  const [, named = ''] = /^([^:[]*)(?::\d+)?$/.exec(String(request.getHeader('host') ?? '')) ?? [];
  const name = given.servername || (isIP(named) === 0 ? named : '');
  return name === '' || name.toLowerCase() === host.toLowerCase() ? undefined : name;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}
