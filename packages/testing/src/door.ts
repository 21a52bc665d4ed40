import type { Socket } from 'node:net';
import { type LabHost, Listener } from './listener.ts';
import type { ConnectionMisbehaviour } from './misbehaviour.ts';
import type { LabTls } from './tls-door.ts';
import { hold } from './wait.ts';

/** Where a proxy listens. */
export interface DoorOptions {
  readonly host?: LabHost | undefined;
  readonly tls?: LabTls | undefined;
  /** TLS only for clients that begin with it. */
  readonly tlsIfAsked?: boolean | undefined;
}

/** The part of a plan that is about connections. */
export interface DoorPlan {
  readonly closesListener: boolean;
  takeForConnection(): ConnectionMisbehaviour | null;
}

/** Opens the port of a proxy, where every plan may refuse or hold a connection. */
export function openDoor(
  { host, tls, tlsIfAsked = false }: DoorOptions,
  ...plans: readonly DoorPlan[]
): Promise<Listener> {
  const admitted = (socket: Socket) => admit(socket, plans);
  return Listener.open({ admit: admitted, tlsIfAsked, ...(host && { host }), ...(tls && { tls }) });
}

/** Closes the port or opens it again, as the plans now say. */
export function turnDoor(listener: Listener, ...plans: readonly DoorPlan[]): void {
  if (plans.some((plan) => plan.closesListener)) listener.stopListening();
  else listener.listenAgain();
}

/** A connection that is refused or held never gets as far as TLS. */
function admit(socket: Socket, plans: readonly DoorPlan[]): boolean {
  for (const plan of plans) {
    const behaviour = plan.takeForConnection();
    if (!behaviour) continue;
    turnAway(socket, behaviour);
    return false;
  }
  return true;
}

function turnAway(socket: Socket, { kind }: ConnectionMisbehaviour): void {
  if (kind === 'tls-garbage') socket.once('data', () => socket.end('this is not TLS\r\n'));
  if (kind === 'refuse') socket.resetAndDestroy();
  else hold(socket);
}

/** The part of a URL before the host, with its `@`: empty without credentials. */
export function userinfo(auth: { readonly username: string; readonly password: string } | undefined): string {
  return auth ? `${encodeURIComponent(auth.username)}:${encodeURIComponent(auth.password)}@` : '';
}
