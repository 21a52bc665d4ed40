const SHOWN_HOST = /^(?:\[[0-9a-f:.]{2,45}\]|[\p{L}\p{N}._-]{1,253})$/iu;

/**
 * The parts of a proxy setting that are safe to show, also when it cannot be parsed: scheme, host, and a port that is
 * one. Everything before the last `@` is taken for credentials, and whatever cannot be told from a password is left out.
 */
export function maskProxyText(text: string): string {
  const separator = text.indexOf('://');
  const scheme = separator > 0 && separator <= 16 ? text.slice(0, separator) : '';
  const prefix = /^[a-z][a-z0-9+.-]*$/i.test(scheme) ? `${scheme}://` : '';
  const rest = text.slice(prefix.length);
  const at = rest.lastIndexOf('@');
  const authority = /^[^/?#\\]*/.exec(rest.slice(at + 1))?.[0] ?? '';
  const colon = authority.lastIndexOf(':');
  const port = colon > authority.lastIndexOf(']') ? authority.slice(colon + 1) : '';
  const host = port === '' ? authority : authority.slice(0, colon);
  const shownPort = /^\d{1,5}$/.test(port) && Number(port) <= 65_535 ? `:${port}` : '';
  return `${prefix}${at === -1 ? '' : '***@'}${SHOWN_HOST.test(host) ? host + shownPort : '…'}`;
}

/** A `no_proxy` entry or a map key for a message: short, on one line, and without credentials somebody left in it. */
export function maskEntry(text: string): string {
  if (text.includes('@') || text.includes('://')) return maskProxyText(text);
  const line = text.replace(/\p{C}/gu, '\ufffd');
  return line.length > 80 ? `${line.slice(0, 80)}…` : line;
}
