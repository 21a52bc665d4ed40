import type { Ref } from '@cloudlane/driver';
import { InvalidOptionError } from '@cloudlane/proxy';
import { idIn } from './reference.ts';

/** The domain in a reference: lower case, without the dot that may end it. @throws InvalidOptionError if it is none */
export function domainIn(zone: Ref): string {
  const name = withoutDot(idIn(zone, 'zone')).toLowerCase();
  // An empty segment or dots alone would make another path of the API.
  if (/^\.*$/.test(name)) throw new InvalidOptionError('zone', 'must be the name of a domain');
  return name;
}

/**
 * A name as DigitalOcean keeps it: relative to the domain, `@` for the domain itself. A name with a dot at its end is
 * absolute.
 * @throws InvalidOptionError if it is empty, outside the domain, or has the domain at its end without that dot
 */
export function relativeName(name: string, domain: string): string {
  if (typeof name !== 'string' || name.trim() === '')
    throw new InvalidOptionError('name', 'is empty; @ is the zone itself');
  const lower = name.toLowerCase();
  if (lower === `${domain}.`) return '@';
  if (lower.endsWith(`.${domain}.`)) return lower.slice(0, -domain.length - 2);
  if (lower.endsWith('.')) throw new InvalidOptionError('name', `is not in ${domain}`);
  if (lower === domain || lower.endsWith(`.${domain}`)) {
    throw new InvalidOptionError('name', `is relative to ${domain}; take that off its end, or end it with a dot`);
  }
  return lower;
}

/** A target as DigitalOcean wants it: absolute, with the dot; `@` is the domain. */
export function toTarget(name: string, option: string): string {
  if (typeof name !== 'string' || name.trim() === '')
    throw new InvalidOptionError(option, 'is empty; write a host name');
  return name === '@' || name.endsWith('.') ? name : `${name}.`;
}

/** A target as it is read: absolute, without the dot. A lone dot stays: it says that there is none. */
export function fromTarget(target: string, domain: string): string {
  return target === '@' ? domain : withoutDot(target) || target;
}

function withoutDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}
