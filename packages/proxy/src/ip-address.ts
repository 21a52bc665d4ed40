/** The bytes of an address: 4 or 16. */
export type IpAddress = readonly number[];

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
const LONGEST_IPV6 = 45;

/**
 * Reads an IP address without brackets, in every spelling of RFC 4291 §2.2 and RFC 4007 §11 (the zone is dropped), and
 * IPv4 in four plain decimal numbers. IPv4-mapped IPv6 addresses come out as IPv4: they reach the same host.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) return parseIpv4(text);
  const address = parseIpv6(text);
  return address && isMapped(address) ? address.slice(12) : address;
}

/** A block of addresses in CIDR notation (RFC 4632 §3.1); bits beyond the prefix are ignored. */
export interface IpNetwork {
  readonly address: IpAddress;
  /** Bits, 0 to 32 or 128. */
  readonly prefix: number;
}

/** Reads `address` and `prefix`. A block inside `::ffff:0:0/96` comes out as the IPv4 block it stands for. */
export function parseIpNetwork(address: string, prefix: number): IpNetwork | undefined {
  if (!address.includes(':')) {
    const ipv4 = parseIpv4(address);
    return ipv4 && prefix <= 32 ? { address: ipv4, prefix } : undefined;
  }
  const ipv6 = parseIpv6(address);
  if (!ipv6 || prefix > 128) return undefined;
  return isMapped(ipv6) && prefix >= 96 ? { address: ipv6.slice(12), prefix: prefix - 96 } : { address: ipv6, prefix };
}

/** Whether an address of the same family lies inside the block. */
export function isInNetwork(address: IpAddress, network: IpNetwork): boolean {
  if (address.length !== network.address.length) return false;
  return address.every((byte, index) => {
    const bits = Math.min(8, Math.max(0, network.prefix - index * 8));
    const mask = (0xff00 >> bits) & 0xff;
    return (byte & mask) === ((network.address[index] ?? 0) & mask);
  });
}

function parseIpv4(text: string): IpAddress | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  const parts = match.slice(1);
  // A leading zero means octal to some readers and decimal to others.
  const valid = parts.every((part) => Number(part) <= 255 && (part.length === 1 || !part.startsWith('0')));
  return valid ? parts.map(Number) : undefined;
}

function parseIpv6(text: string): IpAddress | undefined {
  const zone = text.indexOf('%');
  const plain = zone === -1 ? text : text.slice(0, zone);
  if (plain.length > LONGEST_IPV6) return undefined;
  const [before = '', after, ...more] = plain.split('::');
  if (more.length > 0) return undefined;
  const head = parseGroups(before, after === undefined);
  const tail = after === undefined ? [] : parseGroups(after, true);
  if (!head || !tail) return undefined;
  const missing = 16 - head.length - tail.length;
  if (after === undefined ? missing !== 0 : missing < 2) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

function parseGroups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    const embedded = atEnd && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (embedded) bytes.push(...embedded);
    else if (/^[0-9a-f]{1,4}$/i.test(group))
      bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff);
    else return undefined;
  }
  return bytes;
}

function isMapped(address: IpAddress): boolean {
  return MAPPED_PREFIX.every((byte, index) => address[index] === byte);
}
