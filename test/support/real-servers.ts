// Real servers from Debian packages, started by the scripts in test/servers, each in its own directory under the
// system's temporary one and on ports that were free.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, type FSWatcher, watch } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe } from '@jest/globals';
import { notRunHere } from './not-run.ts';
import { SECRETS } from './secrets.ts';

export interface Requirement {
  readonly program: string;
  /** The Debian package that has it. */
  readonly package: string;
}

export interface RealServer {
  stop(): Promise<void>;
}

/** One line of Squid's access log. The line of a tunnel is written when the tunnel ends. */
export interface SquidEntry {
  readonly user: string | null;
  readonly method: string;
  readonly url: string;
  readonly status: number;
  /** The port of Squid that the client came to. */
  readonly port: number;
}

export interface RealProxy extends RealServer {
  /** Asks for no password. */
  readonly openUrl: string;
  /** Wants {@link RealProxy.credentials}, which are not part of this URL. */
  readonly basicUrl: string;
  readonly credentials: { readonly username: string; readonly password: string };
  /** The address this proxy connects from: what an origin that was reached through it sees. */
  readonly outgoingAddress: string;
}

export interface RealSquid extends RealProxy {
  /** The same two ways in, with TLS to the proxy, under a certificate that {@link RealSquid.ca} signed. */
  readonly tlsUrl: string;
  readonly tlsBasicUrl: string;
  readonly ca: string;
  /** 127.0.0.1 under a name that only this proxy can resolve. */
  readonly privateHost: string;
  log(): Promise<readonly SquidEntry[]>;
  /** The first log entry with these fields; waits for it. */
  logged(fields: Partial<SquidEntry>): Promise<SquidEntry>;
}

/** OpenStack Swift behind its S3 API, which checks every signature. */
export interface RealSwift extends RealServer {
  readonly s3Url: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/** An origin with the paths listed in test/servers/nginx.sh. */
export interface RealNginx extends RealServer {
  readonly httpUrl: string;
  readonly httpsUrl: string;
  /** Signed the certificate of {@link RealNginx.httpsUrl}. */
  readonly ca: string;
}

const openssl = { program: 'openssl', package: 'openssl' };

/** What each of the servers here needs: for {@link describeReal}. */
export const needs = {
  squid: [{ program: 'squid', package: 'squid-openssl' }, openssl],
  swift: [
    { program: 'swift-proxy-server', package: 'swift-proxy' },
    { program: 'swift-account-server', package: 'swift-account' },
    { program: 'swift-container-server', package: 'swift-container' },
    { program: 'swift-object-server', package: 'swift-object' },
    { program: 'memcached', package: 'memcached' },
  ],
  nginx: [{ program: 'nginx', package: 'nginx-light' }, openssl],
  tinyproxy: [{ program: 'tinyproxy', package: 'tinyproxy-bin' }],
} as const satisfies Record<string, readonly Requirement[]>;

/**
 * A `describe` that runs where its programs are found. Where one is missing, one skipped test says which package to
 * install; on the CI that test fails.
 */
export function describeReal(name: string, requirements: readonly Requirement[], body: () => void): void {
  const missing = requirements.filter(({ program }) => !isInstalled(program));
  if (missing.length === 0) describe(name, body);
  else notRunHere(name, missing.map((requirement) => requirement.package).join(' '));
}

/** Starts a server before the tests of the enclosing block and stops it after them; returns the way to it. */
export function running<T extends RealServer>(start: () => Promise<T>): () => T {
  let server: T | undefined;
  beforeAll(async () => {
    server = await start();
  }, 90_000);
  afterAll(async () => {
    await server?.stop();
  }, 30_000);
  return () => {
    if (!server) throw new Error('The server runs only during the tests');
    return server;
  };
}

export async function startSquid(): Promise<RealSquid> {
  const credentials = { username: 'alice', password: SECRETS.proxyPassword };
  const privateHost = 'origin.example';
  const { dir, ports, stop } = await serve('squid.sh', 4, [], {
    SQUID_USER: credentials.username,
    SQUID_PASSWORD: credentials.password,
    PRIVATE_HOSTS: privateHost,
  });
  const [open, basic, tls, tlsBasic] = ports;
  const log = async () => parseSquidLog(await readFile(join(dir, 'access.log'), 'utf8'));
  return {
    openUrl: `http://127.0.0.1:${open}`,
    basicUrl: `http://127.0.0.1:${basic}`,
    tlsUrl: `https://127.0.0.1:${tls}`,
    tlsBasicUrl: `https://127.0.0.1:${tlsBasic}`,
    credentials,
    ca: await readFile(join(dir, 'tls/ca.pem'), 'utf8'),
    outgoingAddress: '127.0.0.2',
    privateHost,
    log,
    logged: (fields) => logged(watch(join(dir, 'access.log')), log, fields),
    stop,
  };
}

export async function startSwift(): Promise<RealSwift> {
  const { ports, stop } = await serve('swift.sh', 5);
  return {
    s3Url: `http://127.0.0.1:${ports[0]}`,
    accessKey: 'test:tester',
    secretKey: 'testing',
    region: 'us-east-1',
    stop,
  };
}

export async function startNginx(): Promise<RealNginx> {
  const { dir, ports, stop } = await serve('nginx.sh', 2, [], { PRIVATE_HOSTS: 'origin.example' });
  return {
    httpUrl: `http://127.0.0.1:${ports[0]}`,
    httpsUrl: `https://127.0.0.1:${ports[1]}`,
    ca: await readFile(join(dir, 'tls/ca.pem'), 'utf8'),
    stop,
  };
}

/** Two processes, with and without a password; its configuration knows letters and digits only. */
export async function startTinyproxy(): Promise<RealProxy> {
  const credentials = { username: 'alice', password: SECRETS.plainPassword };
  const [open, basic] = await Promise.all([
    serve('tinyproxy.sh', 1),
    serve('tinyproxy.sh', 1, [credentials.username, credentials.password]),
  ]);
  return {
    openUrl: `http://127.0.0.1:${open.ports[0]}`,
    basicUrl: `http://127.0.0.1:${basic.ports[0]}`,
    credentials,
    outgoingAddress: '127.0.0.3',
    stop: async () => {
      await Promise.all([open.stop(), basic.stop()]);
    },
  };
}

function isInstalled(program: string): boolean {
  if (process.platform !== 'linux') return false;
  // Servers live in sbin, which the search path of an ordinary user leaves out.
  return [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'].some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

interface Served extends RealServer {
  readonly dir: string;
  readonly ports: readonly number[];
}

async function serve(
  script: string,
  portCount: number,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const attempt = () => serveOnce(script, portCount, args, env);
  // Somebody else may take a port between the choice and the start.
  return attempt().catch(attempt);
}

async function serveOnce(
  script: string,
  portCount: number,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Served> {
  const ports = await freePorts(portCount);
  const dir = await mkdtemp(join(tmpdir(), 'cloudlane-'));
  await chmod(dir, 0o755); // Squid's own user must get in.
  const path = join(import.meta.dirname, '../servers', script);
  const child = spawn('bash', [path, dir, ...ports.map(String), ...args], { env: { ...process.env, ...env } });
  const complaints = text(child.stderr);
  const exited = once(child, 'exit');
  const stop = async () => {
    child.stdin.end();
    await exited;
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  const ready = once(child.stdout, 'data').then(() => true);
  if (await Promise.race([ready, exited.then(() => false)])) return { dir, ports, stop };
  await stop();
  throw new Error(`${script} did not start:\n${await complaints}`);
}

/** Ports below the range that the system hands out to outgoing connections, so that none of those takes one. */
async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

function parseSquidLog(log: string): SquidEntry[] {
  // What follows the last line end is a line still being written.
  const lines = log.split('\n').slice(0, -1);
  return lines.flatMap((line) => {
    const [user = '-', method = '-', url = '', status, port] = line.split(' ');
    if (method === '-') return []; // A connection that ended before it asked for anything.
    const name = user === '-' ? null : decodeURIComponent(user);
    return { user: name, method, url, status: Number(status), port: Number(port) };
  });
}

async function logged(
  watcher: FSWatcher,
  log: () => Promise<readonly SquidEntry[]>,
  fields: Partial<SquidEntry>,
): Promise<SquidEntry> {
  const signal = AbortSignal.timeout(4_000); // Before jest's own five seconds, which would hide the log.
  const wanted = Object.entries(fields);
  try {
    for (;;) {
      // Listens before it reads, so that no line falls between the two.
      const change = once(watcher, 'change', { signal }).then(
        () => true,
        () => false,
      );
      const entries = await log();
      const found = entries.find((entry) => wanted.every(([name, value]) => Reflect.get(entry, name) === value));
      if (found) return found;
      if (!(await change)) {
        throw new Error(`Squid logged no ${JSON.stringify(fields)}, but:\n${JSON.stringify(entries, null, 2)}`);
      }
    }
  } finally {
    watcher.close();
  }
}
