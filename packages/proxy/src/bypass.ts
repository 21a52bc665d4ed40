import { BoundedCache } from './bounded-cache.ts';
import { InvalidOptionError } from './errors.ts';
import { toAsciiHost } from './host-name.ts';
import { type IpAddress, type IpNetwork, isInNetwork, parseIpAddress, parseIpNetwork } from './ip-address.ts';
import { maskEntry } from './mask.ts';
import { parseTarget, type Target } from './target.ts';

/** One entry of a `no_proxy` list, ready to be compared. */
export type BypassRule = { readonly entry: string; readonly port: number | undefined } & (
  | { readonly kind: 'all' }
  | { readonly kind: 'network'; readonly network: IpNetwork }
  | { readonly kind: 'domain' | 'subdomains'; readonly domain: string }
);

/** An entry that can never match. Both fields are fit to be printed. */
export interface UnusableEntry {
  readonly entry: string;
  readonly reason: string;
}

/** A whole `no_proxy` list. */
export interface BypassList {
  readonly rules: readonly BypassRule[];
  readonly unusable: readonly UnusableEntry[];
}

/** What an entry may look like. */
export const BYPASS_FORMS = 'host, .host, *.host, address or address/bits, each with an optional :port, or *';

/**
 * Whether a list in the syntax of `no_proxy` keeps an URL away from every proxy.
 *
 * Entries are divided by commas or white space. `*` matches everything; `example.com` and `.example.com` both match that
 * host and its subdomains; `*.example.com` the subdomains only; an IP address every spelling of itself, brackets
 * optional; `10.0.0.0/8` and `fd00::/8` the addresses inside (RFC 4632). With `:port` (IPv6: `[addr]:port`) an entry
 * matches that port only, the URL's default port included. Names never match IP addresses, nothing is looked up in
 * the DNS, and `localhost` is not implied. Entries of another form never match.
 *
 * @throws InvalidOptionError if the URL's scheme is not http, https, ws or wss, or the list is neither text nor a list of texts
 */
export function shouldBypass(url: string | URL, noProxy: string | readonly string[]): boolean {
  return findBypass(parseTarget(url), compileBypass(toBypassText(noProxy, 'noProxy'))) !== undefined;
}

/** The first rule that matches. */
export function findBypass(target: Target, list: BypassList): BypassRule | undefined {
  return list.rules.find((rule) => matchesPort(rule, target) && matchesHost(rule, target));
}

/** Entries that miss a target by little, and how. */
export function findNearMisses(target: Target, list: BypassList): UnusableEntry[] {
  return list.rules.flatMap((rule) => {
    const entry = maskEntry(rule.entry);
    if (matchesHost(rule, target))
      return [{ entry, reason: `names port ${rule.port}, the request goes to ${target.port}` }];
    const isApex = rule.kind === 'subdomains' && rule.domain === target.host;
    return isApex ? [{ entry, reason: `matches subdomains only; write ${rule.domain} for the host as well` }] : [];
  });
}

/** One text from what `noProxy` accepts. */
export function toBypassText(noProxy: unknown, option: string): string {
  if (typeof noProxy === 'string') return noProxy;
  if (!Array.isArray(noProxy)) throw new InvalidOptionError(option, 'it is neither a string nor a list of strings');
  if (!noProxy.every((entry) => typeof entry === 'string'))
    throw new InvalidOptionError(option, 'an entry is not a string');
  return noProxy.join(',');
}

/** Reads a list. */
export function compileBypass(text: string): BypassList {
  return cache.getOrMake(text, () => {
    const rules: BypassRule[] = [];
    const unusable: UnusableEntry[] = [];
    for (const entry of text.split(/[\s,]+/)) {
      if (entry === '') continue;
      const rule = compileEntry(entry);
      if (typeof rule === 'string') unusable.push({ entry: maskEntry(entry), reason: rule });
      else rules.push(rule);
    }
    return { rules, unusable };
  });
}

const cache: BoundedCache<BypassList> = new BoundedCache();

function matchesPort(rule: BypassRule, target: Target): boolean {
  return rule.port === undefined || rule.port === target.port;
}

function matchesHost(rule: BypassRule, { host, address }: Target): boolean {
  switch (rule.kind) {
    case 'all':
      return true;
    case 'network':
      return address !== undefined && isInNetwork(address, rule.network);
    case 'domain':
      return address === undefined && (host === rule.domain || host.endsWith(`.${rule.domain}`));
    case 'subdomains':
      return address === undefined && host.endsWith(`.${rule.domain}`);
  }
}

/** The rule, or why there is none. */
function compileEntry(entry: string): BypassRule | string {
  if (entry === '*') return { kind: 'all', entry, port: undefined };
  if (entry.includes('://')) return 'it has a scheme';
  if (entry.includes('@')) return 'it has a user name';
  const bare = parseIpAddress(entry);
  if (bare) return { kind: 'network', entry, port: undefined, network: toNetwork(bare) };
  const { host, bits, port } = splitEntry(entry);
  if (port === null) return 'its port is not a number from 1 to 65535';
  if (bits !== undefined) return compileNetwork(entry, host, bits, port);
  const address = parseIpAddress(host);
  if (address) return { kind: 'network', entry, port, network: toNetwork(address) };
  return compileDomain(entry, host, port);
}

/** An address as the block that holds nothing else. */
function toNetwork(address: IpAddress): IpNetwork {
  return { address, prefix: address.length * 8 };
}

interface EntryParts {
  readonly host: string;
  readonly bits: string | undefined;
  /** `null` if there is one that cannot be. */
  readonly port: number | null | undefined;
}

/** Takes `host`, `host:port`, `addr/bits` and `addr/bits:port` apart, IPv6 addresses with a port being in brackets. */
function splitEntry(entry: string): EntryParts {
  const slash = entry.indexOf('/');
  const close = entry.startsWith('[') ? entry.indexOf(']') : -1;
  const colon = entry.indexOf(':', Math.max(slash, close, 0));
  const isBareIpv6 = close === -1 && slash !== -1 && entry.slice(0, slash).includes(':');
  const end = colon === -1 || isBareIpv6 ? entry.length : colon;
  const hostEnd = slash === -1 ? end : slash;
  return {
    host: close !== -1 && close === hostEnd - 1 ? entry.slice(1, close) : entry.slice(0, hostEnd),
    bits: slash === -1 ? undefined : entry.slice(slash + 1, end),
    port: end === entry.length ? undefined : readPort(entry.slice(end + 1)),
  };
}

function readPort(text: string): number | null {
  const port = /^\d+$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : null;
}

function compileNetwork(entry: string, address: string, bits: string, port: number | undefined): BypassRule | string {
  if (!parseIpAddress(address)) return 'it has a path, or a number of bits without an IP address';
  const network = /^\d{1,3}$/.test(bits) ? parseIpNetwork(address, Number(bits)) : undefined;
  return network ? { kind: 'network', entry, port, network } : 'its number of bits does not fit the address';
}

function compileDomain(entry: string, host: string, port: number | undefined): BypassRule | string {
  const kind = host.startsWith('*.') ? 'subdomains' : 'domain';
  const name = host.replace(/^\*?\./, '');
  if (name.includes('*')) return 'it has a wildcard elsewhere than in front, as in *.example.com';
  const domain = toAsciiHost(name)?.replace(/\.$/, '');
  // `1.5` and `192.168.` are meant as parts of addresses; read as host names they would be other addresses.
  if (/(?:^|\.)[0-9]+\.?$/.test(name) || (domain !== undefined && parseIpAddress(domain))) {
    return 'it is part of an IP address or an odd spelling of one; write it like 192.168.0.0/16';
  }
  if (entry.startsWith('[') || domain === undefined || domain.split('.').includes(''))
    return 'it is not a host name or an IP address';
  return { kind, entry, port, domain };
}
