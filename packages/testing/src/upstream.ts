import { type IncomingMessage, request as requestHttp } from 'node:http';
import { connect, isIP, isIPv4, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type AbsoluteForm, parseAbsolute } from './absolute-form.ts';
import { isLoopback, parseAuthority, servernameOf } from './authority.ts';
import { hasBody, upstreamHeaders } from './hop-headers.ts';
import { Line } from './line.ts';
import { askForTunnel, type NextProxy, parseNextProxy, proxyAuthorization } from './next-proxy.ts';
import { UpstreamError, unreachable } from './upstream-error.ts';

/** Where a proxy of the lab may go, and from where. */
export interface UpstreamOptions {
  /** Names that only the proxy can resolve: name to loopback address, which may bring its own port (`127.0.0.1:8443`, `[::1]:8443`). */
  readonly hosts?: Readonly<Record<string, string>>;
  /** Address that the proxy connects from, such as 127.0.0.2. IPv4 only. @defaultValue the system's choice */
  readonly localAddress?: string;
  /** PEM of the authority that the proxy trusts when it is asked to forward (not tunnel) to an https origin, and for an https `upstreamProxy`. */
  readonly ca?: string;
  /**
   * URL of the next proxy of a chain (http, https, socks5 or socks5h, with its credentials), on loopback or in `hosts`.
   * Everything goes through it: tunnels by CONNECT or SOCKS5, forwarded requests in absolute form if it speaks HTTP and
   * through a tunnel if not. Names of origins are passed on to it as they are. @defaultValue reaches origins itself
   */
  readonly upstreamProxy?: string;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

/** The origin side of a proxy. */
export class Upstream {
  /** Called whenever a connection to an origin has closed. */
  changed: () => void = () => undefined;
  readonly #options: UpstreamOptions;
  readonly #hosts = new Map<string, string>();
  readonly #next: NextProxy | null;
  readonly #open = new Set<Socket>();
  readonly #lines = new WeakMap<Socket, Map<string, Line>>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
    for (const [name, address] of Object.entries(options.hosts ?? {})) {
      const place = parseAuthority(address) ?? parseAuthority(`[${address}]`);
      if (!place || !isLoopback(place.host)) throw new TypeError(`hosts: ${address} is not a loopback address`);
      this.#hosts.set(regularName(name), address);
    }
    this.#next = options.upstreamProxy === undefined ? null : parseNextProxy(options.upstreamProxy);
    if (this.#next) this.#place(this.#next.authority, undefined);
  }

  /** Connections to origins, or to the next proxy, that are open now. */
  get openSockets(): number {
    return this.#open.size;
  }

  /** Closes every connection to an origin. */
  close(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** A raw connection to `host:port`, given up when the client goes. Rejects with {@link UpstreamError}. */
  async dial(target: string, client: Socket): Promise<Socket> {
    if (!this.#next) return this.#connect(target, this.#place(target, undefined), client);
    const socket = await this.#reach(this.#next, client);
    await givingUpWith(client, socket, askForTunnel(socket, target, this.#next));
    return socket;
  }

  /**
   * Sends a request in absolute form on to its origin, on a connection that is kept for the client's next request and
   * closes with the client. `onContinue` is called if the origin asks for the body. Rejects with {@link UpstreamError}.
   */
  async forward(request: IncomingMessage, onContinue: () => void): Promise<IncomingMessage> {
    const form = parseAbsolute(request);
    const next = this.#next && this.#next.scheme !== 'socks' ? this.#next : null;
    const outgoing = requestHttp({
      agent: this.#lineFor(form, next, request.socket),
      ...(request.method !== undefined && { method: request.method }),
      path: next ? (request.url ?? '') : form.path,
      setHost: false,
      headers: [...upstreamHeaders(request, form.authority), ...(next ? proxyAuthorization(next) : [])],
    });
    // What comes from a tunnel is paused until now.
    outgoing.once('socket', (socket) => socket.resume());
    outgoing.on('continue', onContinue);
    request.pipe(outgoing);
    return new Promise((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.on('error', (error) => {
        // The origin has closed a kept connection at the very moment it was used: RFC 9112 §9.3.1 has it asked again.
        const again = outgoing.reusedSocket && isSafe(request) && !request.socket.destroyed;
        if (again) this.forward(request, onContinue).then(resolve, reject);
        else reject(unreachable(form.authority, error));
      });
    });
  }

  #lineFor(form: AbsoluteForm, next: NextProxy | null, client: Socket): Line {
    const lines = this.#lines.get(client) ?? this.#newLines(client);
    const key = next ? 'next' : `${form.secure ? 'https' : 'http'}://${form.authority}`;
    const open = () => (next ? this.#reach(next, client) : this.#openTo(form, client));
    const line = lines.get(key) ?? new Line(open);
    lines.set(key, line);
    return line;
  }

  #newLines(client: Socket): Map<string, Line> {
    const lines = new Map<string, Line>();
    this.#lines.set(client, lines);
    client.once('close', () => {
      for (const line of lines.values()) line.destroy();
    });
    return lines;
  }

  /** A connection that takes requests in origin form. */
  async #openTo({ authority, secure }: AbsoluteForm, client: Socket): Promise<Socket> {
    const place = this.#next ? null : this.#place(authority, secure ? 443 : 80);
    const target = parseAuthority(authority)?.port === undefined ? `${authority}:${secure ? 443 : 80}` : authority;
    const socket = await (place ? this.#connect(authority, place, client) : this.dial(target, client));
    return secure ? this.#secure(socket, authority, client) : socket;
  }

  /** A connection to the next proxy. */
  async #reach({ scheme, authority }: NextProxy, client: Socket): Promise<Socket> {
    const socket = await this.#connect(authority, this.#place(authority, undefined), client);
    return scheme === 'https' ? this.#secure(socket, authority, client) : socket;
  }

  async #connect(target: string, place: Place, client: Socket): Promise<Socket> {
    const socket = connect({ ...place, ...this.#from(place), allowHalfOpen: true, noDelay: true });
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.changed();
    });
    await givingUpWith(client, socket, settled(socket, 'connect', target));
    return socket;
  }

  async #secure(raw: Socket, authority: string, client: Socket): Promise<Socket> {
    const { ca } = this.#options;
    // A name may stand for another address here; the certificate must be for the name.
    const servername = servernameOf(authority);
    const host = parseAuthority(authority)?.host ?? authority;
    const secure = connectTls({ socket: raw, host, servername, ...(ca !== undefined && { ca }) });
    await givingUpWith(client, secure, settled(secure, 'secureConnect', authority));
    return secure;
  }

  #place(authority: string, defaultPort: number | undefined): Place {
    const named = parseAuthority(authority);
    const port = named?.port ?? defaultPort;
    if (!named || port === undefined) throw new UpstreamError('malformed', `Not an authority: ${authority}`);
    const mapped = this.#hosts.get(regularName(named.host));
    if (mapped !== undefined) {
      const place = isIP(mapped) ? { host: mapped } : parseAuthority(mapped);
      return { host: place?.host ?? named.host, port: place && 'port' in place ? (place.port ?? port) : port };
    }
    if (named.host !== 'localhost' && !isLoopback(named.host)) {
      throw new UpstreamError('unknown', `Unknown host: ${named.host}`);
    }
    return { host: named.host, port };
  }

  #from({ host }: Place): { localAddress?: string; family?: number } {
    const { localAddress } = this.#options;
    if (localAddress === undefined || !(isIPv4(host) || host === 'localhost')) return {};
    return { localAddress, family: 4 };
  }
}

/** RFC 9110 §9.2.2: what may be sent twice, if no body has been sent. */
function isSafe(request: IncomingMessage): boolean {
  return (request.method === 'GET' || request.method === 'HEAD') && !hasBody(request);
}

/** Resolves with the event; a failure before it rejects, one after it is for others to see. */
/** A full name is the same with its final dot and without. */
function regularName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

function settled(socket: Socket, event: string, target: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.on('error', (error) => reject(unreachable(target, error)));
    socket.once('close', () => reject(new UpstreamError('failed', `Cannot reach ${target}: given up`)));
  });
}

/** Closes a connection that is being made when it fails, or when the client goes before it is ready. */
async function givingUpWith(client: Socket, socket: Socket, ready: Promise<void>): Promise<void> {
  const giveUp = () => void socket.destroy();
  client.once('close', giveUp);
  if (client.destroyed) giveUp();
  try {
    await ready;
  } catch (error) {
    giveUp();
    throw error;
  } finally {
    client.off('close', giveUp);
  }
}
