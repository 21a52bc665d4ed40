// WebSockets of connections to the lab's origins. What a test opens is closed after it.
import type { Connection, ConnectionOptions, WebSocketCallOptions } from '@cloudlane/connection';
import type { LabOrigin, LabProxy, LabSocks } from '@cloudlane/testing';
import type { RoutedWebSocket } from '@cloudlane/websocket';
import { closeAfterTest } from '../support/resources.ts';
import { AUTH, origin, proxy, socks } from '../transport/lab.ts';
import type { EchoOrigin, SocketScheme } from '../websocket/lab.ts';
import { connectTo } from './lab.ts';

export const WAYS = ['none', 'http', 'https', 'socks5h'] as const;
export type Way = (typeof WAYS)[number];

/** The address that the stations of these tests go out from. */
export const STATION_ADDRESS = '127.0.0.7';

/** What is on the way, and wants a password; null: nothing. */
export async function station(way: Way): Promise<LabProxy | LabSocks | null> {
  const options = { auth: AUTH, localAddress: STATION_ADDRESS };
  if (way === 'none') return null;
  return way === 'socks5h' ? await socks(options) : await proxy(way, options);
}

/** `http_proxy` for it. */
export function settingOf(through: Pick<LabProxy, 'urlWithCredentials'> | null): string | null {
  return through?.urlWithCredentials ?? null;
}

/** An origin that takes a handshake and does not answer it. */
export async function muteOrigin(scheme: SocketScheme): Promise<{ readonly origin: LabOrigin }> {
  const opened = await origin(scheme === 'ws' ? 'http' : 'https', {
    upgrade: (_, socket) =>
      void socket
        .on('error', () => {})
        .on('end', () => socket.destroy())
        .resume(),
  });
  return { origin: opened };
}

/** A connection to this origin, with a transport of its own and without a proxy. */
export function connectionTo({ origin }: Pick<EchoOrigin, 'origin'>, options: ConnectionOptions = {}): Connection {
  return connectTo(origin, { http_proxy: null, ...options });
}

/** Opens a WebSocket. */
export async function open(
  connection: Connection,
  action: string = '/console',
  options: WebSocketCallOptions = {},
): Promise<RoutedWebSocket> {
  const socket = await connection.openWebSocket(action, options);
  closeAfterTest({ [Symbol.asyncDispose]: async () => socket.terminate() });
  return socket;
}
