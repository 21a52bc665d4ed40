// The certificates, servers and transports of this folder's tests. What a test opens is closed after it.

import { once } from 'node:events';
import net, { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import {
  createCa,
  type LabOrigin,
  type LabProxy,
  type LabProxyOptions,
  type LabSocks,
  type LabSocksOptions,
  type OriginOptions,
  type SocksScheme,
  startOrigin,
  startProxy,
  startSocks,
} from '@cloudlane/testing';
import { Transport, type TransportError, type TransportOptions, type TransportRequest } from '@cloudlane/transport';
import { expect } from '@jest/globals';
import { AxiosError } from 'axios';
import { closeAfterTest, use } from '../support/resources.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';

export { use };
export type Scheme = 'http' | 'https';
export const SOCKS_SCHEMES = ['socks4', 'socks4a', 'socks5', 'socks5h'] as const satisfies SocksScheme[];

export const ca = await createCa();
export const certificate = await ca.issue({
  names: ['127.0.0.1', '::1', 'localhost', 'origin.example', 'proxy.example', 'other.example'],
});
export const AUTH = { username: 'user', password: SECRETS.proxyPassword } as const;

/** A transport that trusts the lab's authority on both hops and does not look at the environment's proxies. */
export function newTransport(options: TransportOptions = {}): Transport {
  const transport = new Transport({ ...trusting, ...options });
  closeAfterTest(transport);
  return transport;
}

/** TLS options for both hops. */
export const trusting = { tls: { ca: ca.certificate }, proxyTls: { ca: ca.certificate } } as const;

export function origin(scheme: Scheme = 'http', options: OriginOptions = {}): Promise<LabOrigin> {
  return use(startOrigin({ ...(scheme === 'https' && { tls: certificate }), ...options }));
}

export function proxy(scheme: Scheme = 'http', options: LabProxyOptions = {}): Promise<LabProxy> {
  return use(startProxy({ ...(scheme === 'https' && { tls: certificate }), ...options }));
}

export function socks(options: LabSocksOptions = {}): Promise<LabSocks> {
  return use(startSocks(options));
}

export function isSocks(scheme: string): scheme is SocksScheme {
  return scheme.startsWith('socks');
}

/** Whether names are looked up on this side, not by the proxy. */
export function looksUp(scheme: string): boolean {
  return scheme === 'socks4' || scheme === 'socks5';
}

/** One port for two origins: who starts TLS gets to one, anybody else to the other. */
export async function inFrontOf(plain: LabOrigin, secure: LabOrigin): Promise<number> {
  const server = createServer((client) => {
    client
      .on('error', () => {})
      .once('data', (first) => {
        const onwards = net.connect(first[0] === 0x16 ? secure.port : plain.port, '127.0.0.1');
        onwards.on('error', () => {}).write(first);
        client.pipe(onwards).pipe(client);
      });
  });
  await use({ [Symbol.asyncDispose]: async () => void server.close() });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

/** The body of the answer. */
export async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  return text((await transport.send(request)).body);
}

/** The proxy's URL with credentials in it. */
export function withCredentials(url: string, { username, password }: { username: string; password: string }): string {
  return url.replace('://', `://${encodeURIComponent(username)}:${encodeURIComponent(password)}@`);
}

/** What a real nginx says at `/echo` that it saw. */
export interface Echo {
  readonly method: string;
  readonly from: string;
  readonly via: string;
  readonly sni: string;
  /** Number of the connection, and how many requests have come on it. */
  readonly connection: number;
  readonly requests: number;
  readonly proxyAuthorization: string;
}

export async function echoOf(transport: Transport, request: TransportRequest): Promise<Echo> {
  const response = await transport.send(request);
  expect(response.status).toBe(200);
  return JSON.parse(await text(response.body));
}

/** The error of this class that a promise must reject with. */
export async function failureOf<E>(promise: Promise<unknown>, Class: abstract new (...args: never[]) => E): Promise<E> {
  const error = await promise.then(
    () => new Error('the promise was fulfilled'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Class)) throw error;
  return error;
}

/** Nothing that the error can be made to print is a secret. */
export function expectNoSecrets(error: TransportError): void {
  const shown = [error, error.cause, error.route, error.explanation];
  const inspected = shown.map((each) => inspect(each, { depth: Number.POSITIVE_INFINITY, showHidden: true }));
  expect(secretsIn([JSON.stringify(shown), error.stack, String(error), ...inspected].join('\n'))).toEqual([]);
}

/** The error of this class that an AxiosError, which a promise must reject with, has as its cause. */
export async function causeOf<E>(promise: Promise<unknown>, Class: abstract new (...args: never[]) => E): Promise<E> {
  const { cause } = await failureOf(promise, AxiosError);
  return failureOf(Promise.reject(cause), Class);
}

/** Neither the transport nor the servers have a connection left. */
export async function expectNothingLeft(
  transport: Transport,
  ...servers: readonly Pick<LabProxy, 'waitUntilIdle'>[]
): Promise<void> {
  await Promise.all(servers.map((server) => server.waitUntilIdle()));
  // A server may hear of it first.
  for (let turn = 0; turn < 1000 && transport.connections.length > 0; turn += 1) await nextTurn();
  expect(transport.connections).toEqual([]);
}

/** For what nobody tells: looks again at each turn of the event loop. */
export async function until(reached: () => boolean): Promise<void> {
  while (!reached()) await nextTurn();
}
