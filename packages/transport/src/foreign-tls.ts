import type { ClientRequest } from 'node:http';
import type { RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { TlsOptions } from './tls.ts';

const NODE_NAMES = ['ca', 'cert', 'key', 'passphrase', 'servername', 'minVersion', 'maxVersion'] as const;
// Client certificates and checks that somebody counts on.
const REFUSED = ['pfx', 'checkServerIdentity', 'secureContext', 'ciphers', 'crl'] as const;

/**
 * The TLS options of a request that somebody else's client has made, over those of the transport.
 * @throws InvalidOptionError for one that cannot take effect and must not be ignored
 */
export function foreignTls(request: ClientRequest, given: RequestOptions, base: TlsOptions): TlsOptions {
  for (const name of REFUSED) {
    // Some clients (got) write Node's own check out.
    const value: unknown = Reflect.get(given, name);
    if (isGiven(value) && value !== checkServerIdentity)
      throw new InvalidOptionError(
        name,
        `cannot be used with the agents of a transport; it knows ${NODE_NAMES.join(', ')}`,
      );
  }
  const servername = serverName(request, given);
  const options = { ...given, servername };
  const own = Object.fromEntries(
    NODE_NAMES.filter((name) => isGiven(options[name])).map((name) => [name, options[name]]),
  );
  const verifiesNothing = given.rejectUnauthorized === false;
  if (Object.keys(own).length === 0 && !verifiesNothing) return base;
  const merged: Record<string, unknown> = { ...base, ...own };
  // Whose certificates to trust is said once: the request's word replaces the transport's.
  if ('ca' in own) delete merged.verify;
  if (verifiesNothing) delete merged.ca;
  return (verifiesNothing ? { ...merged, verify: false } : merged) as TlsOptions;
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
