import { join } from 'node:path';
import { type Logging, logging } from './real-log.ts';
import type { Credentials } from './real-proxies.ts';
import { type Place, type RealServer, type Served, serve, stopAll } from './real-serve.ts';
import { SECRETS } from './secrets.ts';

export type SocksScheme = 'socks4' | 'socks4a' | 'socks5' | 'socks5h';

/** What each server speaks without a password. With one, it is SOCKS5 alone: `socks5` and `socks5h`. */
export const SOCKS_SCHEMES = {
  dante: ['socks4', 'socks5', 'socks5h'],
  microsocks: ['socks5', 'socks5h'],
  ssh: ['socks4', 'socks4a', 'socks5', 'socks5h'],
} as const satisfies Record<string, readonly SocksScheme[]>;

/** A connection that the server made for a client. */
export interface SocksEntry {
  /** Who logged in, where somebody did. */
  readonly user: string | null;
  /** As host:port. Dante writes the address it resolved, the others the client's words. */
  readonly target: string;
}

export interface RealSocks extends RealServer, Logging<SocksEntry> {
  /** Asks for no password. Any scheme, also one that the server does not speak: see {@link SOCKS_SCHEMES}. */
  openUrlFor(scheme: SocksScheme): string;
  /** The address this proxy connects from: what an origin that was reached through it sees. */
  readonly outgoingAddress: string;
  /** 127.0.0.1, or the origin's place, under a name that only this proxy can resolve. */
  readonly privateHost: string;
}

export interface RealSocksWithPassword extends RealSocks {
  /** Wants {@link RealSocksWithPassword.credentials}, which are not part of this URL. */
  basicUrlFor(scheme: SocksScheme): string;
  readonly credentials: Credentials;
}

export interface RealDante extends RealSocksWithPassword {
  /** Its rules allow no connection to this port: SOCKS5 reply 2, SOCKS4 reply 91. */
  readonly refusedPort: number;
}

const PRIVATE_HOST = 'origin.example';
const CREDENTIALS: Credentials = { username: 'alice', password: SECRETS.proxyPassword };

/** Two process trees, with and without a password. */
export async function startDante(place?: Place): Promise<RealDante> {
  const [open, basic] = await startBoth('dante.sh', place);
  const log = (served: Served) => ({ path: join(served.dir, 'dante.log'), parse: parseDanteLine });
  return {
    ...waysInto(open, basic),
    outgoingAddress: place?.outgoingAddress ?? '127.0.0.4',
    refusedPort: 9,
    ...logging(log(open), log(basic)),
  };
}

/** Two processes, with and without a password. */
export async function startMicrosocks(place?: Place): Promise<RealSocksWithPassword> {
  const [open, basic] = await startBoth('microsocks.sh', place);
  const log = (served: Served, user: string | null) => ({
    path: join(served.dir, 'microsocks.log'),
    parse: (line: string) => microsocksEntry(line, user),
  });
  return {
    ...waysInto(open, basic),
    outgoingAddress: place?.outgoingAddress ?? '127.0.0.5',
    // Its log does not name the user, but it has only one.
    ...logging(log(open, null), log(basic, CREDENTIALS.username)),
  };
}

/**
 * OpenSSH's dynamic forwarding: the server in Debian that speaks SOCKS4a. It connects from 127.0.0.1, so its log alone
 * tells who came through it.
 */
export async function startSshSocks(): Promise<RealSocks> {
  const { dir, ports, stop } = await serve('ssh-socks.sh', { ports: 2, env: { PRIVATE_HOSTS: PRIVATE_HOST } });
  return {
    openUrlFor: (scheme) => `${scheme}://127.0.0.1:${ports[0]}`,
    outgoingAddress: '127.0.0.1',
    privateHost: PRIVATE_HOST,
    ...logging({ path: join(dir, 'ssh.log'), parse: parseSshLine }),
    stop,
  };
}

function startBoth(script: string, place: Place | undefined): Promise<[open: Served, basic: Served]> {
  const serving = { ports: 1, env: { PRIVATE_HOSTS: PRIVATE_HOST }, place };
  return Promise.all([
    serve(script, serving),
    serve(script, { ...serving, args: [CREDENTIALS.username, CREDENTIALS.password] }),
  ]);
}

function waysInto(open: Served, basic: Served) {
  return {
    openUrlFor: (scheme: SocksScheme) => `${scheme}://${open.address}:${open.ports[0]}`,
    basicUrlFor: (scheme: SocksScheme) => `${scheme}://${basic.address}:${basic.ports[0]}`,
    credentials: CREDENTIALS,
    privateHost: PRIVATE_HOST,
    stop: () => stopAll([open, basic]),
  };
}

/** `… pass(2): tcp/connect [: username%alice@127.0.0.1.5000 127.0.0.1.1080 -> 127.0.0.4.5001 127.0.0.1.443` */
function parseDanteLine(line: string): SocksEntry | undefined {
  const [, user = null, host, port] = / \[: (?:username%(.+)@)?\S+ \S+ -> \S+ (\S+)\.(\d+)$/.exec(line) ?? [];
  return host === undefined ? undefined : { user, target: `${host}:${port}` };
}

/** `client[4] 127.0.0.1: connected to origin.example:443` */
function microsocksEntry(line: string, user: string | null): SocksEntry | undefined {
  const [, target] = /: connected to (\S+)$/.exec(line) ?? [];
  return target === undefined ? undefined : { user, target };
}

/** `debug2: channel 1: dynamic request: socks5 host origin.example port 443 command 1` */
function parseSshLine(line: string): SocksEntry | undefined {
  const [, host, port] = / dynamic request: socks\S+ host (\S+) port (\d+) /.exec(line) ?? [];
  return host === undefined ? undefined : { user: null, target: `${host}:${port}` };
}
