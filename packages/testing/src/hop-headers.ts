import type { IncomingMessage } from 'node:http';

// RFC 9110 §7.6.1, and what older clients send.
const HOP_BY_HOP = /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*)$/;
const VIA = '1.1 cloudlane-lab';

/** The headers of a message that belong to the next hop too, with this proxy in `Via`. */
export function endToEnd(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  const named = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() !== 'connection') continue;
    for (const token of rawHeaders[index + 1]?.split(',') ?? []) named.add(token.trim().toLowerCase());
  }
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (HOP_BY_HOP.test(name.toLowerCase()) || named.has(name.toLowerCase())) continue;
    kept.push(name, rawHeaders[index + 1] ?? '');
  }
  return [...kept, 'Via', VIA];
}

/** The headers of a forwarded request, framed as the client framed it. */
export function upstreamHeaders(request: IncomingMessage, authority: string): string[] {
  const kept = endToEnd(request.rawHeaders);
  const headers: string[] = [];
  for (let index = 0; index < kept.length; index += 2) {
    if (kept[index]?.toLowerCase() !== 'host') headers.push(kept[index] ?? '', kept[index + 1] ?? '');
  }
  // RFC 9112 §3.2.2: the target's authority replaces whatever Host the client sent.
  const framing = request.headers['transfer-encoding'] !== undefined ? ['Transfer-Encoding', 'chunked'] : [];
  const bodiless = framing.length === 0 && request.headers['content-length'] === undefined;
  // node:http would frame such a request as chunked.
  if (bodiless && request.method !== 'GET' && request.method !== 'HEAD') framing.push('Content-Length', '0');
  return ['Host', authority, ...headers, ...framing, 'Connection', 'keep-alive'];
}

/** RFC 9112 §6.3: a request has a body if it says so. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
