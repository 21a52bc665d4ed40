import type { ClientRequest } from 'node:http';
import type { Origin } from './origin.ts';

// A client that hands its headers over as a list has them written at once, into this field.
const WRITTEN_HEAD = '_header';

/** RFC 9112 §3.2.2: a proxy needs the absolute form of the request's target. */
export function toAbsoluteForm(request: ClientRequest, origin: Origin): void {
  const scheme = origin.secure ? 'https' : 'http';
  const path = request.path;
  request.path = `${scheme}://${origin.hostHeader}${path}`;
  rewriteHead(request, (head) => head.replace(` ${path} `, () => ` ${request.path} `));
}

/** Adds what is for the proxy alone. What the request itself says wins. */
export function addProxyHeaders(request: ClientRequest, headers: Readonly<Record<string, string>>): void {
  const missing = Object.entries(headers).filter(([name]) => !hasHeader(request, name));
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

function isWritten(request: ClientRequest): boolean {
  return typeof Reflect.get(request, WRITTEN_HEAD) === 'string';
}

function hasHeader(request: ClientRequest, name: string): boolean {
  if (request.hasHeader(name)) return true;
  const head: unknown = Reflect.get(request, WRITTEN_HEAD);
  return typeof head === 'string' && head.toLowerCase().includes(`\r\n${name.toLowerCase()}:`);
}

function rewriteHead(request: ClientRequest, rewrite: (head: string) => string): void {
  const head: unknown = Reflect.get(request, WRITTEN_HEAD);
  if (typeof head === 'string') Reflect.set(request, WRITTEN_HEAD, rewrite(head));
}
