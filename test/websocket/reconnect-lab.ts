// What the tests of reconnecting WebSockets share.
import type { LabProxy, LabSocks } from '@cloudlane/testing';
import {
  type OpenConnection,
  type ReconnectFailure,
  type ReconnectOptions,
  type RoutedWebSocket,
  reconnectWebSocket,
  type WebSocketOptions,
} from '@cloudlane/websocket';
import type { WebSocket } from 'ws';
import { closeAfterTest } from '../support/resources.ts';
import { AUTH, newTransport, proxy, socks } from '../transport/lab.ts';
import { startEcho } from './lab.ts';

/** The longest that a timer can wait: whoever sees it end has not waited for it. */
export const FOREVER = 2_147_483_647;

export type Iterator = AsyncGenerator<RoutedWebSocket, void, undefined>;

/** Connections to a URL, by default straight, without pauses, over a transport of their own that trusts the lab. */
export function reconnect(url: string, options: WebSocketOptions & ReconnectOptions = {}): Iterator {
  const { transport = newTransport(), ...rest } = options;
  const route = options.env === undefined && !('http_proxy' in options) ? { http_proxy: null } : {};
  return left(reconnectWebSocket(url, { transport, ...route, initialDelay: 0, ...rest }));
}

/** The same of a function. */
export function reconnectBy(open: OpenConnection, options: ReconnectOptions = {}): Iterator {
  return left(reconnectWebSocket(open, { initialDelay: 0, ...options }));
}

function left(iterator: Iterator): Iterator {
  closeAfterTest({ [Symbol.asyncDispose]: async () => void (await iterator.return()) });
  return iterator;
}

/** The next connection; there must be one. */
export async function nextOf(iterator: Iterator): Promise<RoutedWebSocket> {
  const { value } = await iterator.next();
  if (value === undefined) throw new Error('there was no further connection');
  return value;
}

/** Notes each failure, and what is decided about it: at once again by default, whatever the delay. */
export function noting(decide: (failure: ReconnectFailure) => boolean | number | undefined = again): {
  readonly failures: ReconnectFailure[];
  readonly onFailure: (failure: ReconnectFailure) => boolean | number | undefined;
} {
  const failures: ReconnectFailure[] = [];
  return {
    failures,
    onFailure: (failure) => {
      failures.push(failure);
      return decide(failure);
    },
  };
}

/** No pause, where there shall be another try. */
export function again({ isTransient }: ReconnectFailure): number | false {
  return isTransient ? 0 : false;
}

/** Counts from 1. */
export function counter(): () => number {
  let count = 0;
  return () => {
    count += 1;
    return count;
  };
}

/** Schemes of the proxies that the tests go through; `none`: straight. */
export const WAYS = ['none', 'http', 'https', 'socks5h'] as const;

/** A proxy that wants credentials. */
export const start = async (way: (typeof WAYS)[number]): Promise<LabProxy | LabSocks | null> =>
  way === 'none' ? null : way === 'socks5h' ? socks({ auth: AUTH }) : proxy(way, { auth: AUTH });

/** An origin whose WebSockets send everything back. `told` names what happens to each WebSocket at the origin, in the order in which it does. */
export async function startLog(scheme: 'ws' | 'wss' = 'ws', onSocket: (client: WebSocket) => void = () => {}) {
  const told: string[] = [];
  const number = counter();
  const server = await startEcho(scheme, {
    onSocket: (client) => {
      const name = number();
      told.push(`${name} opened`);
      client
        .on('message', (data, binary) => client.send(data, { binary }))
        .on('close', (code) => told.push(`${name} closed ${code}`));
      onSocket(client);
    },
  });
  return { server, told };
}
