import type { ClientRequest } from 'node:http';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { Origin } from './origin.ts';

// A client that hands its headers over as a list, or says `Expect`, has them written at once, into this field.
const WRITTEN_HEAD = '_header';
// Node's method that writes the head of all others, when the first bytes of the body come or the end.
const WRITE_HEAD = '_implicitHeader';

/**
 * RFC 9112 §3.2.2: a proxy needs the absolute form of the request's target.
 * @throws InvalidOptionError if it has that form already, from a client that speaks to a proxy of its own
 */
export function toAbsoluteForm(request: ClientRequest, origin: Origin): void {
  const scheme = origin.secure ? 'https' : 'http';
  const path = request.path;
  if (/^https?:/i.test(path))
    throw new InvalidOptionError('path', "is a whole URL, as for a proxy: switch off the client's own proxy setting");
  // RFC 9112 §3.2.4: the absolute form of an asterisk is an empty path.
  // With the final dot of a full name: it is the proxy that looks it up.
  const authority = origin.host.endsWith('.') ? origin.authority : origin.hostHeader;
  request.path = `${scheme}://${authority}${path === '*' ? '' : path}`;
  rewriteHead(request, (head) => head.replace(` ${path} `, () => ` ${request.path} `));
}

/** Adds what is for the proxy alone. What the request itself says wins. */
export function addProxyHeaders(request: ClientRequest, headers: Readonly<Record<string, string>>): void {
  const missing = Object.entries(headers).filter(([name]) => headerOf(request, name) === undefined);
  if (!isWritten(request)) {
    for (const [name, value] of missing) request.setHeader(name, value);
    return;
  }
  const lines = missing.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  rewriteHead(request, (head) => head.replace(/\r\n\r\n$/, () => `\r\n${lines}\r\n`));
}

/** Takes every `Proxy-…` header off a request, which no origin may see; returns its `Proxy-Authorization`. */
export function takeProxyHeaders(request: ClientRequest): string | null {
  let authorization: string | null = null;
  for (const name of isWritten(request) ? [] : request.getHeaderNames()) {
    if (!name.startsWith('proxy-')) continue;
    if (name === 'proxy-authorization') authorization = String(request.getHeader(name));
    request.removeHeader(name);
  }
  rewriteHead(request, (head) =>
    head.replaceAll(/^proxy-([^:\r\n]*):[ \t]*(.*)\r\n/gim, (_line, name: string, value: string) => {
      if (name.toLowerCase() === 'authorization') authorization = value;
      return '';
    }),
  );
  return authorization;
}

/** Drops the `Proxy-…` headers that its client sets on a request which has its route already. */
export function dropLateProxyHeaders(request: ClientRequest): void {
  const write: unknown = Reflect.get(request, WRITE_HEAD);
  if (typeof write !== 'function') throw new TypeError(`this version of Node has no ClientRequest.${WRITE_HEAD}`);
  Reflect.set(request, WRITE_HEAD, () => {
    takeProxyHeaders(request);
    Reflect.apply(write, request, []);
  });
}

/** A header of a request, also of one whose head is written. */
export function headerOf(request: ClientRequest, name: string): string | undefined {
  const head: unknown = Reflect.get(request, WRITTEN_HEAD);
  if (typeof head !== 'string') return request.getHeader(name)?.toString();
  const start = head.toLowerCase().indexOf(`\r\n${name.toLowerCase()}:`);
  return start === -1 ? undefined : head.slice(start + name.length + 3, head.indexOf('\r\n', start + 2)).trim();
}

function isWritten(request: ClientRequest): boolean {
  return typeof Reflect.get(request, WRITTEN_HEAD) === 'string';
}

function rewriteHead(request: ClientRequest, rewrite: (head: string) => string): void {
  const head: unknown = Reflect.get(request, WRITTEN_HEAD);
  if (typeof head !== 'string') return;
  const rewritten = rewrite(head);
  Reflect.set(request, WRITTEN_HEAD, rewritten);
  // `Expect` has it wait for the socket already.
  const waiting: readonly { data: unknown }[] | undefined = Reflect.get(request, 'outputData');
  for (const part of waiting ?? []) {
    if (part.data === head) part.data = rewritten;
  }
}
