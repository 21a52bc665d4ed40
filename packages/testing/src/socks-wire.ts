import { isIPv4, isIPv6 } from 'node:net';
import { addressBytes } from './address.ts';

/** How the target of a SOCKS request is written. */
export type SocksAddressType = 'ipv4' | 'ipv6' | 'name';

/** SOCKS5, RFC 1928: the values of its one-byte fields. */
export const SOCKS5 = {
  methods: { none: 0, password: 2, unacceptable: 0xff },
  commands: { connect: 1 },
  addresses: { ipv4: 1, name: 3, ipv6: 4 },
  replies: {
    granted: 0,
    failed: 1,
    notAllowed: 2,
    unknownHost: 4,
    refused: 5,
    commandUnknown: 7,
    addressTypeUnknown: 8,
  },
} as const;

/** SOCKS4: the values of its one-byte fields. */
export const SOCKS4 = {
  commands: { connect: 1 },
  replies: { granted: 90, rejected: 91, wrongUserId: 93 },
} as const;

/** Host and port of an end of a tunnel. */
export interface SocksAddress {
  /** An address, or a name; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What stands in a reply that grants nothing. */
export const NOWHERE: SocksAddress = { host: '0.0.0.0', port: 0 };

/** RFC 1928 §6: version, reply, reserved, and the address that the proxy connected from. */
export function formatReply5(code: number, bound: SocksAddress): Buffer {
  return Buffer.concat([Buffer.of(5, code, 0), formatAddress(bound)]);
}

/** SOCKS4: a null byte, the reply, and the address that the proxy connected from, if it is one of IPv4. */
export function formatReply4(code: number, { host, port }: SocksAddress): Buffer {
  return Buffer.concat([Buffer.of(0, code), formatPort(port), isIPv4(host) ? addressBytes(host) : Buffer.alloc(4)]);
}

/** RFC 1928 §5: address type, address, port. */
export function formatAddress({ host, port }: SocksAddress): Buffer {
  return Buffer.concat([formatHost(host), formatPort(port)]);
}

/** `host:port`, with the brackets of IPv6. */
export function formatTarget({ host, port }: SocksAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

function formatHost(host: string): Buffer {
  const { ipv4, ipv6, name } = SOCKS5.addresses;
  if (isIPv4(host)) return Buffer.concat([Buffer.of(ipv4), addressBytes(host)]);
  if (isIPv6(host)) return Buffer.concat([Buffer.of(ipv6), addressBytes(host)]);
  const bytes = Buffer.from(host);
  return Buffer.concat([Buffer.of(name, bytes.length), bytes]);
}

function formatPort(port: number): Buffer {
  return Buffer.of(port >> 8, port & 0xff);
}
