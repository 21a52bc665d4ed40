import { isIP, isIPv4 } from 'node:net';

const AUTHORITY = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/;

/** Host (IPv6 without brackets) and port of `host:port` or `host`; `undefined` if it is neither. */
export function parseAuthority(authority: string): { host: string; port?: number } | undefined {
  const [, v6, name, port] = AUTHORITY.exec(authority) ?? [];
  const host = v6 ?? name;
  if (host === undefined || (v6 !== undefined && isIP(v6) !== 6)) return undefined;
  return { host, ...(port !== undefined && { port: Number(port) }) };
}

/** What a TLS client asks for at this authority: addresses are no server names (RFC 6066 §3). */
export function servernameOf(authority: string): string {
  const host = parseAuthority(authority)?.host ?? authority;
  return isIP(host) ? '' : host;
}

export function isLoopback(host: string): boolean {
  return (isIPv4(host) && host.startsWith('127.')) || host === '::1';
}
