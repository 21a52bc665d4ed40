import type { ConnectionMisbehaviour, Times } from './misbehaviour.ts';

/** The misbehaviour in force, and how often it is still due. */
export class Plan<Hop extends Times & { readonly kind: string }> {
  #connection: ConnectionMisbehaviour | null = null;
  #hop: Hop | null = null;
  #left = 0;

  set(behaviour: ConnectionMisbehaviour | Hop | null): void {
    this.#connection = behaviour && isOfConnection(behaviour) ? behaviour : null;
    this.#hop = behaviour && !isOfConnection(behaviour) ? behaviour : null;
    this.#left = behaviour?.times ?? Number.POSITIVE_INFINITY;
  }

  get closesListener(): boolean {
    return this.#connection?.kind === 'refuse' && this.#connection.how === 'close-listener';
  }

  /** What to do with a new connection. */
  takeForConnection(): ConnectionMisbehaviour | null {
    if (this.closesListener) return null;
    return this.#connection && this.#due() ? this.#connection : null;
  }

  /** What to do with a new hop, if the misbehaviour is meant for it. */
  takeForHop(isMeant: (behaviour: Hop) => boolean): Hop | null {
    return this.#hop && isMeant(this.#hop) && this.#due() ? this.#hop : null;
  }

  #due(): boolean {
    return this.#left-- > 0;
  }
}

function isOfConnection(behaviour: { readonly kind: string }): behaviour is ConnectionMisbehaviour {
  return behaviour.kind === 'refuse' || behaviour.kind === 'mute' || behaviour.kind === 'tls-garbage';
}
