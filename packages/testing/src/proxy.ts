import { inspect } from 'node:util';
import { openDoor, turnDoor, userinfo } from './door.ts';
import type { ProxyHop } from './exchange.ts';
import { HttpService, type HttpServiceOptions } from './http-service.ts';
import type { LabHost, Listener } from './listener.ts';
import type { HopMisbehaviour, Misbehaviour } from './misbehaviour.ts';
import { Plan } from './plan.ts';
import { type LabStation, Station, type StationParts } from './station.ts';
import type { LabTls } from './tls-door.ts';
import { Upstream, type UpstreamOptions } from './upstream.ts';

/** Options of {@link startProxy}. */
export interface LabProxyOptions extends UpstreamOptions, HttpServiceOptions {
  /** Makes an https:// proxy. @defaultValue http */
  readonly tls?: LabTls;
  /** @defaultValue '127.0.0.1' */
  readonly host?: LabHost;
  /** How it misbehaves from the start. @defaultValue not at all */
  readonly misbehaviour?: Misbehaviour;
}

/** A real HTTP proxy on loopback (forward and CONNECT) that remembers what it saw and misbehaves on request. */
export interface LabProxy extends LabStation<ProxyHop, Misbehaviour> {}

/**
 * Starts a proxy on a free port of loopback. It reaches loopback only: other names are unknown hosts to it unless
 * `hosts` has them. It never closes an idle connection by itself.
 */
export async function startProxy(options: LabProxyOptions = {}): Promise<LabProxy> {
  const upstream = new Upstream(options);
  const plan = new Plan<HopMisbehaviour>();
  const listener = await openDoor(options, plan);
  const proxy = new RunningProxy({ listener, upstream }, plan, options);
  const service = new HttpService({ desk: proxy, upstream, plan, options });
  listener.serve = (socket) => service.serve(socket);
  proxy.misbehave(options.misbehaviour ?? null);
  return proxy;
}

class RunningProxy extends Station<ProxyHop> implements LabProxy {
  readonly url: string;
  readonly #listener: Listener;
  readonly #plan: Plan<HopMisbehaviour>;
  readonly #options: LabProxyOptions;

  constructor({ listener, upstream }: StationParts, plan: Plan<HopMisbehaviour>, options: LabProxyOptions) {
    super({ listener, upstream });
    this.#listener = listener;
    this.#plan = plan;
    this.#options = options;
    this.url = `${options.tls ? 'https' : 'http'}://${listener.authority}`;
  }

  get urlWithCredentials(): string {
    return this.url.replace('://', `://${userinfo(this.#options.auth)}`);
  }

  misbehave(behaviour: Misbehaviour | null): void {
    this.#plan.set(behaviour);
    turnDoor(this.#listener, this.#plan);
  }

  [inspect.custom](): string {
    return this.summary('LabProxy');
  }
}
