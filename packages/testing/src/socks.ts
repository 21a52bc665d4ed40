import { inspect } from 'node:util';
import { openDoor, turnDoor, userinfo } from './door.ts';
import type { LabHost, Listener } from './listener.ts';
import { Plan } from './plan.ts';
import type { SocksHop } from './socks-exchange.ts';
import type { SocksHopMisbehaviour, SocksMisbehaviour } from './socks-misbehaviour.ts';
import { SocksService, type SocksServiceOptions } from './socks-service.ts';
import { type LabStation, Station, type StationParts } from './station.ts';
import { Upstream, type UpstreamOptions } from './upstream.ts';

/** Options of {@link startSocks}. */
export interface LabSocksOptions extends UpstreamOptions, SocksServiceOptions {
  /** @defaultValue '127.0.0.1' */
  readonly host?: LabHost;
  /** How it misbehaves from the start. @defaultValue not at all */
  readonly misbehaviour?: SocksMisbehaviour;
}

/** The ways to write a URL of a SOCKS proxy; in those with `a` or `h` the proxy resolves names. */
export type SocksScheme = 'socks4' | 'socks4a' | 'socks5' | 'socks5h';

/** What a URL of a proxy is to say. */
export interface UrlForOptions {
  /** With what the proxy demands, percent-encoded: user and password, or in SOCKS4 the user id. @defaultValue false */
  readonly credentials?: boolean;
}

/** A real SOCKS proxy on loopback (4, 4a and 5 on one port) that remembers what it saw and misbehaves on request. */
export interface LabSocks extends LabStation<SocksHop, SocksMisbehaviour> {
  /** As `socks5h`. */
  readonly url: string;
  /** The URL of this proxy under a scheme. */
  urlFor(scheme: SocksScheme, options?: UrlForOptions): string;
}

/**
 * Starts a SOCKS proxy on a free port of loopback. It reaches loopback only: other names are unknown hosts to it unless
 * `hosts` has them, and port 9 is not allowed. It grants CONNECT only, and never closes an idle tunnel by itself.
 */
export async function startSocks(options: LabSocksOptions = {}): Promise<LabSocks> {
  const upstream = new Upstream(options);
  const plan = new Plan<SocksHopMisbehaviour>();
  const listener = await openDoor(options, plan);
  const proxy = new RunningSocks({ listener, upstream }, plan, options);
  const service = new SocksService({ desk: proxy, upstream, plan, options });
  listener.serve = (socket) => void service.serve(socket);
  proxy.misbehave(options.misbehaviour ?? null);
  return proxy;
}

/** The URL of a SOCKS proxy. */
export function socksUrl(
  scheme: SocksScheme,
  authority: string,
  { auth, userId }: SocksServiceOptions,
  { credentials = false }: UrlForOptions = {},
): string {
  if (!credentials) return `${scheme}://${authority}`;
  if (scheme === 'socks5' || scheme === 'socks5h') return `${scheme}://${userinfo(auth)}${authority}`;
  return `${scheme}://${userId === undefined ? '' : `${encodeURIComponent(userId)}@`}${authority}`;
}

class RunningSocks extends Station<SocksHop> implements LabSocks {
  readonly #listener: Listener;
  readonly #plan: Plan<SocksHopMisbehaviour>;
  readonly #options: LabSocksOptions;

  constructor({ listener, upstream }: StationParts, plan: Plan<SocksHopMisbehaviour>, options: LabSocksOptions) {
    super({ listener, upstream });
    this.#listener = listener;
    this.#plan = plan;
    this.#options = options;
  }

  get url(): string {
    return this.urlFor('socks5h');
  }

  get urlWithCredentials(): string {
    return this.urlFor('socks5h', { credentials: true });
  }

  urlFor(scheme: SocksScheme, options?: UrlForOptions): string {
    return socksUrl(scheme, this.#listener.authority, this.#options, options);
  }

  misbehave(behaviour: SocksMisbehaviour | null): void {
    this.#plan.set(behaviour);
    turnDoor(this.#listener, this.#plan);
  }

  [inspect.custom](): string {
    return this.summary('LabSocks');
  }
}
