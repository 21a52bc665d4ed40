import dns from 'node:dns/promises';
import net, { type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ProxyServer } from '@cloudlane/proxy';
import type { Attempt } from './attempt.ts';
import { outliveBrokenPipe } from './broken-pipe.ts';
import { openTunnel } from './connect-tunnel.ts';
import type { TlsFacts } from './connection-info.ts';
import { ProxyTlsError, TlsError } from './errors.ts';
import { warnInsecure } from './insecure-warning.ts';
import type { Origin } from './origin.ts';
import { negotiateSocks } from './socks-handshake.ts';
import { startDeadline } from './timeouts.ts';
import type { TlsProfile } from './tls.ts';

/** A connection ready for requests, and the TLS of its hops. */
export interface Dialled {
  readonly socket: Socket;
  readonly tls: TlsFacts | null;
  readonly proxyTls: TlsFacts | null;
}

/** Opens the connection that one route needs, and says through `attempt.phase` how far it has got. */
export type Dial = (attempt: Attempt, signal: AbortSignal) => Promise<Dialled>;

/** Straight to the origin. */
export function dialDirect(origin: Origin, tls: TlsProfile | null): Dial {
  return (attempt, signal) =>
    guarded(attempt, signal, async (own) => {
      const socket = await connect(origin.host, origin.port, attempt, 'origin', own);
      return await reachOrigin({ socket, tls: null, proxyTls: null }, tls, origin, attempt, own);
    });
}

/** To the proxy, for requests in absolute form. */
export function dialProxy(proxy: ProxyServer, proxyTls: TlsProfile | null): Dial {
  return (attempt, signal) => guarded(attempt, signal, (own) => reachProxy(proxy, proxyTls, attempt, own));
}

/** Through the proxy to the origin by CONNECT (RFC 9110 §9.3.6). */
export function dialTunnel(
  proxy: ProxyServer,
  proxyTls: TlsProfile | null,
  proxyHeaders: Readonly<Record<string, string>>,
  origin: Origin,
  tls: TlsProfile | null,
): Dial {
  return (attempt, signal) =>
    guarded(attempt, signal, async (own) => {
      const hop = await reachProxy(proxy, proxyTls, attempt, own);
      await openTunnel(hop.socket, origin, proxyHeaders, attempt);
      return await reachOrigin(hop, tls, origin, attempt, own);
    });
}

/** How a SOCKS proxy is spoken to. */
export interface SocksDialect {
  readonly version: 4 | 5;
  /** Whether names are looked up here, not by the proxy. */
  readonly looksUp: boolean;
}

/** Through a SOCKS proxy to the origin. */
export function dialSocks(proxy: ProxyServer, dialect: SocksDialect, origin: Origin, tls: TlsProfile | null): Dial {
  return (attempt, signal) =>
    guarded(attempt, signal, async (own, isOver) => {
      const { host: name, port } = origin;
      const host = dialect.looksUp && net.isIP(name) === 0 ? await lookUp(name, dialect, attempt) : name;
      // Look-ups cannot be broken off.
      if (isOver()) throw new Error('given up during the look-up');
      const hop = await reachProxy(proxy, null, attempt, own);
      attempt.phase = 'proxy-handshake';
      const credentials = proxy.credentials ?? null;
      await negotiateSocks(hop.socket, { version: dialect.version, host, port, credentials }, attempt);
      return await reachOrigin(hop, tls, origin, attempt, own);
    });
}

// IPv4 first: it is what most SOCKS proxies can reach, and all that SOCKS4 can name.
async function lookUp(name: string, { version }: SocksDialect, attempt: Attempt): Promise<string> {
  attempt.phase = 'origin-dns';
  const { address } = await dns.lookup(name, version === 4 ? { family: 4 } : { order: 'ipv4first' });
  return address;
}

async function reachOrigin(
  hop: Dialled,
  tls: TlsProfile | null,
  origin: Origin,
  attempt: Attempt,
  own: Own,
): Promise<Dialled> {
  if (tls === null) return hop;
  const socket = await startTls(hop.socket, tls, origin.host, origin.href, attempt, 'origin', own);
  return { socket, tls: tls.facts(socket), proxyTls: hop.proxyTls };
}

/** Notes a socket as this dial's own, to be destroyed if the dial does not succeed. */
type Own = <S extends Socket>(socket: S) => S;

// One frame around every dial: its two deadlines, the abort, the translation of errors, and no socket left behind.
async function guarded(
  attempt: Attempt,
  signal: AbortSignal,
  run: (own: Own, isOver: () => boolean) => Promise<Dialled>,
): Promise<Dialled> {
  const sockets: Socket[] = [];
  let isOver = false;
  let stop: (error: unknown) => void = () => {};
  const stopped = new Promise<never>((_resolve, reject) => {
    stop = reject;
  });
  const own: Own = (socket) => {
    // Errors after the dial are the pool's; during it they reach us through the step that waits.
    socket.on('error', ignore);
    sockets.push(socket);
    return outliveBrokenPipe(socket);
  };
  const isOverNow = (): boolean => isOver;
  const abort = (): void => {
    attempt.stop(signal.reason);
    stop(signal.reason);
  };
  let stopHandshake = (): void => {};
  const stopConnect = startDeadline(attempt.timeouts.connect, () => stop(attempt.timedOut('connect')));
  const connected = (): void => {
    stopConnect();
    stopHandshake = startDeadline(attempt.timeouts.handshake, () => stop(attempt.timedOut('handshake')));
  };
  try {
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    const running = run((socket) => {
      if (sockets.length === 0) socket.once('connect', connected);
      return own(socket);
    }, isOverNow);
    running.catch(() => {});
    return await Promise.race([running, stopped]);
  } catch (error) {
    isOver = true;
    const reason = attempt.translate(error);
    // The outermost first: a TCP socket destroyed under its TLS while that handles an event crashes Node.
    await Promise.all(sockets.reverse().map(close));
    throw reason;
  } finally {
    signal.removeEventListener('abort', abort);
    stopConnect();
    stopHandshake();
  }
}

// Not a closure: it lives as long as the connection, and so would the request that it was dialled for.
function ignore(): void {}

function close(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) return resolve();
    socket.once('close', () => resolve());
    socket.destroy();
  });
}

async function reachProxy(
  proxy: ProxyServer,
  proxyTls: TlsProfile | null,
  attempt: Attempt,
  own: Own,
): Promise<Dialled> {
  const socket = await connect(proxy.host, proxy.port, attempt, 'proxy', own);
  if (proxyTls === null) {
    attempt.hasConnectedToProxy = true;
    return { socket, tls: null, proxyTls: null };
  }
  const secured = await startTls(socket, proxyTls, proxy.host, `${proxy.host}:${proxy.port}`, attempt, 'proxy', own);
  attempt.hasConnectedToProxy = true;
  return { socket: secured, tls: null, proxyTls: proxyTls.facts(secured) };
}

function connect(host: string, port: number, attempt: Attempt, hop: 'proxy' | 'origin', own: Own): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // An address needs no look-up, and Node then emits no 'lookup'.
    attempt.phase = net.isIP(host) === 0 ? `${hop}-dns` : `${hop}-connect`;
    const socket = own(net.connect({ host, port, noDelay: true, keepAlive: true }));
    const onLookup = (error: Error | null): void => {
      if (!error) attempt.phase = `${hop}-connect`;
    };
    socket.once('lookup', onLookup);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('lookup', onLookup).off('error', reject);
      resolve(socket);
    });
  });
}

function startTls(
  socket: Socket,
  profile: TlsProfile,
  host: string,
  peer: string,
  attempt: Attempt,
  hop: 'proxy' | 'origin',
  own: Own,
): Promise<TLSSocket> {
  attempt.phase = `${hop}-tls`;
  return new Promise((resolve, reject) => {
    const secured = own(profile.start(socket, host, peer));
    const onError = (error: Error): void => {
      profile.forget(peer);
      reject(error);
    };
    secured.once('error', onError);
    secured.once('secureConnect', () => {
      secured.off('error', onError);
      const fault = profile.fingerprintFault(secured);
      if (fault === null) {
        if (profile.isBlind) warnInsecure(hop, peer);
        return resolve(secured);
      }
      const Failure = hop === 'proxy' ? ProxyTlsError : TlsError;
      reject(new Failure(`${attempt}: ${fault}`, attempt.facts()));
    });
  });
}
