import type { Socket } from 'node:net';
import { inspect } from 'node:util';
import { openDoor, turnDoor, userinfo } from './door.ts';
import type { ProxyHop } from './exchange.ts';
import { HttpService } from './http-service.ts';
import { firstByte } from './intake.ts';
import type { Listener } from './listener.ts';
import type { HopMisbehaviour, Misbehaviour } from './misbehaviour.ts';
import { Plan } from './plan.ts';
import type { LabProxyOptions } from './proxy.ts';
import { type LabSocksOptions, type SocksScheme, socksUrl, type UrlForOptions } from './socks.ts';
import type { SocksHop } from './socks-exchange.ts';
import type { SocksHopMisbehaviour, SocksMisbehaviour } from './socks-misbehaviour.ts';
import { SocksService } from './socks-service.ts';
import { type LabStation, Station, type StationParts } from './station.ts';
import { Upstream } from './upstream.ts';

/** How a proxy fails that speaks everything: by protocol. What needs no request (`refuse`, `mute`, `tls-garbage`) is for all clients, under either. */
export interface AnyMisbehaviour {
  readonly http?: Misbehaviour;
  readonly socks?: SocksMisbehaviour;
}

/** Options of {@link startAnyProxy}: those of both protocols; `auth` is for both. */
export interface LabAnyProxyOptions
  extends Omit<LabProxyOptions, 'misbehaviour'>,
    Omit<LabSocksOptions, 'misbehaviour'> {
  /** How it misbehaves from the start. @defaultValue not at all */
  readonly misbehaviour?: AnyMisbehaviour;
}

/** The ways to write a URL of a proxy that speaks everything. */
export type AnyScheme = 'http' | 'https' | SocksScheme;

/** A real proxy on loopback that speaks HTTP and SOCKS on one port, both also over TLS if it has `tls`. */
export interface LabAnyProxy extends LabStation<ProxyHop | SocksHop, AnyMisbehaviour> {
  /** As `http`. */
  readonly url: string;
  /** The URL of this proxy under a scheme; throws a `TypeError` for `https` without `tls`. */
  urlFor(scheme: AnyScheme, options?: UrlForOptions): string;
}

/**
 * Starts a proxy on a free port of loopback that tells by the first byte what a client speaks: 4 and 5 are SOCKS, 0x16
 * is TLS (with the question asked anew inside), anything else is HTTP.
 */
export async function startAnyProxy(options: LabAnyProxyOptions = {}): Promise<LabAnyProxy> {
  const upstream = new Upstream(options);
  const plans = { http: new Plan<HopMisbehaviour>(), socks: new Plan<SocksHopMisbehaviour>() };
  const { host, tls } = options;
  const listener = await openDoor({ host, tls, tlsIfAsked: true }, plans.http, plans.socks);
  const proxy = new RunningAnyProxy({ listener, upstream }, plans, options);
  const http = new HttpService({ desk: proxy, upstream, plan: plans.http, options });
  const socks = new SocksService({ desk: proxy, upstream, plan: plans.socks, options });
  listener.serve = (socket) => void serveAny(socket, http, socks);
  proxy.misbehave(options.misbehaviour ?? null);
  return proxy;
}

async function serveAny(socket: Socket, http: HttpService, socks: SocksService): Promise<void> {
  const first = await firstByte(socket);
  if (first === null) return void socket.destroy();
  if (first === 4 || first === 5) return socks.serve(socket);
  http.serve(socket);
  return void socket.resume();
}

interface Plans {
  readonly http: Plan<HopMisbehaviour>;
  readonly socks: Plan<SocksHopMisbehaviour>;
}

class RunningAnyProxy extends Station<ProxyHop | SocksHop> implements LabAnyProxy {
  readonly #listener: Listener;
  readonly #plans: Plans;
  readonly #options: LabAnyProxyOptions;

  constructor({ listener, upstream }: StationParts, plans: Plans, options: LabAnyProxyOptions) {
    super({ listener, upstream });
    this.#listener = listener;
    this.#plans = plans;
    this.#options = options;
  }

  get url(): string {
    return this.urlFor('http');
  }

  get urlWithCredentials(): string {
    return this.urlFor('http', { credentials: true });
  }

  urlFor(scheme: AnyScheme, options: UrlForOptions = {}): string {
    const { authority } = this.#listener;
    if (scheme !== 'http' && scheme !== 'https') return socksUrl(scheme, authority, this.#options, options);
    const { auth, tls } = this.#options;
    if (scheme === 'https' && !tls) throw new TypeError('an https proxy needs tls');
    return `${scheme}://${options.credentials ? userinfo(auth) : ''}${authority}`;
  }

  misbehave(behaviour: AnyMisbehaviour | null): void {
    const { http, socks } = this.#plans;
    http.set(behaviour?.http ?? null);
    socks.set(behaviour?.socks ?? null);
    turnDoor(this.#listener, http, socks);
  }

  [inspect.custom](): string {
    return this.summary('LabAnyProxy');
  }
}
