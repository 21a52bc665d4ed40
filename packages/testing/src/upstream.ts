import { Agent, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps, Agent as TlsAgent } from 'node:https';
import { connect, isIP, isIPv4, type Socket } from 'node:net';
import { errorPage, type Reply } from './reply.ts';

/** Where a proxy of the lab may go, and from where. */
export interface UpstreamOptions {
  /** Names that only the proxy can resolve: name to loopback address, which may bring its own port (`127.0.0.1:8443`, `[::1]:8443`). */
  readonly hosts?: Readonly<Record<string, string>>;
  /** Address that the proxy connects from, such as 127.0.0.2. IPv4 only. @defaultValue the system's choice */
  readonly localAddress?: string;
  /** PEM of the authority that the proxy trusts when it is asked to forward (not tunnel) to an https origin. */
  readonly ca?: string;
}

/** Why the origin was not reached: what was asked for is no address, or nobody knows it, or nobody listens there, or else. */
export type UpstreamFault = 'malformed' | 'unknown' | 'refused' | 'failed';

// As squid: 503 if nobody listens, 502 for the rest.
const STATUS: Readonly<Record<UpstreamFault, number>> = { malformed: 400, unknown: 502, refused: 503, failed: 502 };

/** Why the origin was not reached. */
export class UpstreamError extends Error {
  readonly fault: UpstreamFault;

  constructor(fault: UpstreamFault, detail: string) {
    super(detail);
    this.name = 'UpstreamError';
    this.fault = fault;
  }

  /** The reply of an HTTP proxy that says so. */
  get reply(): Reply {
    return errorPage(STATUS[this.fault], this.message);
  }
}

interface Place {
  readonly host: string;
  readonly port: number;
}

const AUTHORITY = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/;
// RFC 9110 §7.6.1, and what older clients send.
const HOP_BY_HOP = /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*)$/;
const VIA = '1.1 cloudlane-lab';

/** The origin side of a proxy. */
export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #hosts = new Map<string, string>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
    for (const [name, address] of Object.entries(options.hosts ?? {})) {
      const place = parseAuthority(address) ?? parseAuthority(`[${address}]`);
      if (!place || !isLoopback(place.host)) throw new TypeError(`hosts: ${address} is not a loopback address`);
      this.#hosts.set(name.toLowerCase(), address);
    }
  }

  /** A raw connection to `host:port`, given up when the client goes. Rejects with {@link UpstreamError}. */
  async dial(target: string, client: Socket): Promise<Socket> {
    const place = this.#place(target, undefined);
    const socket = connect({ ...place, ...this.#from(place), allowHalfOpen: true, noDelay: true });
    const giveUp = () => socket.destroy();
    client.once('close', giveUp);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.on('error', (error) => reject(unreachable(target, error)));
    });
    client.off('close', giveUp);
    return socket;
  }

  /** Sends a request in absolute form on to its origin. Rejects with {@link UpstreamError}. */
  async forward(request: IncomingMessage): Promise<IncomingMessage> {
    const { scheme, authority, path } = parseAbsolute(request);
    const secure = scheme === 'https';
    const place = this.#place(authority, secure ? 443 : 80);
    const { ca } = this.#options;
    const outgoing = (secure ? requestHttps : requestHttp)({
      ...place,
      ...this.#from(place),
      // A name may stand for another address here; the certificate must be for the name.
      ...(secure && { servername: isIP(hostOf(authority)) ? '' : hostOf(authority) }),
      agent: secure ? new TlsAgent(ca === undefined ? {} : { ca }) : new Agent(),
      ...(request.method !== undefined && { method: request.method }),
      path,
      setHost: false,
      headers: upstreamHeaders(request, authority),
    });
    request.pipe(outgoing);
    request.once('close', () => {
      if (!request.complete) outgoing.destroy();
    });
    // One client connection carries many requests: each takes its listener away again.
    const { socket } = request;
    const giveUp = (): void => void outgoing.destroy();
    socket.once('close', giveUp);
    outgoing.once('close', () => socket.off('close', giveUp));
    return new Promise((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.on('error', (error) => reject(unreachable(authority, error)));
    });
  }

  #place(authority: string, defaultPort: number | undefined): Place {
    const named = parseAuthority(authority);
    const port = named?.port ?? defaultPort;
    if (!named || port === undefined) throw new UpstreamError('malformed', `Not an authority: ${printable(authority)}`);
    const mapped = this.#hosts.get(named.host.toLowerCase());
    if (mapped !== undefined) {
      const place = isIP(mapped) ? { host: mapped } : parseAuthority(mapped);
      return { host: place?.host ?? named.host, port: place && 'port' in place ? (place.port ?? port) : port };
    }
    if (named.host !== 'localhost' && !isLoopback(named.host)) {
      throw new UpstreamError('unknown', `Unknown host: ${printable(named.host)}`);
    }
    return { host: named.host, port };
  }

  #from({ host }: Place): { localAddress?: string; family?: number } {
    const { localAddress } = this.#options;
    if (localAddress === undefined || !(isIPv4(host) || host === 'localhost')) return {};
    return { localAddress, family: 4 };
  }
}

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

function upstreamHeaders(request: IncomingMessage, authority: string): string[] {
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
  return ['Host', authority, ...headers, ...framing, 'Connection', 'close'];
}

/** Splits the target by hand: the URL parser would tidy up a path that must arrive as it was sent. */
function parseAbsolute({ url = '', method }: IncomingMessage): { scheme: string; authority: string; path: string } {
  const [, scheme, authority, rest] = /^(https?):\/\/(?:[^/?#]*@)?([^/?#]+)(.*)$/i.exec(url) ?? [];
  if (scheme === undefined || authority === undefined || rest === undefined) {
    throw new UpstreamError('malformed', 'A proxy needs the absolute form.');
  }
  // RFC 9112 §3.2.4: OPTIONS without a path is about the whole server.
  const path = rest === '' && method === 'OPTIONS' ? '*' : rest.startsWith('/') ? rest : `/${rest}`;
  return { scheme: scheme.toLowerCase(), authority, path };
}

function parseAuthority(authority: string): { host: string; port?: number } | undefined {
  const [, v6, name, port] = AUTHORITY.exec(authority) ?? [];
  const host = v6 ?? name;
  if (host === undefined || (v6 !== undefined && isIP(v6) !== 6)) return undefined;
  return { host, ...(port !== undefined && { port: Number(port) }) };
}

function hostOf(authority: string): string {
  return parseAuthority(authority)?.host ?? authority;
}

function isLoopback(host: string): boolean {
  return (isIPv4(host) && host.startsWith('127.')) || host === '::1';
}

function unreachable(target: string, error: Error): UpstreamError {
  const code = 'code' in error ? String(error.code) : error.message;
  return new UpstreamError(
    code === 'ECONNREFUSED' ? 'refused' : 'failed',
    `Cannot reach ${printable(target)}: ${printable(code)}`,
  );
}

function printable(text: string): string {
  return text.replace(/[<>&]/g, (character) => `&#${character.charCodeAt(0)};`);
}
