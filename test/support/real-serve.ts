// Runs the start scripts in test/servers, each in its own directory under the system's temporary one and on ports
// that were free.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll } from '@jest/globals';

export interface RealServer {
  stop(): Promise<void>;
}

/** Starts a server before the tests of the enclosing block and stops it after them; returns the way to it. */
export function running<T extends RealServer>(start: () => Promise<T>): () => T {
  let server: T | undefined;
  beforeAll(async () => {
    server = await start();
  }, 90_000);
  afterAll(async () => {
    await server?.stop();
  }, 90_000);
  return () => {
    if (!server) throw new Error('The server runs only during the tests');
    return server;
  };
}

/** Where a server runs, when that is not on this machine's loopback interface. See real-netns.ts. */
export interface Place {
  /** The command that runs another one there. */
  readonly enter: readonly string[];
  /** The address to listen on. */
  readonly address: string;
  /** The address to connect onwards from. */
  readonly outgoingAddress: string;
  /** What a proxy there knows its private host as. */
  readonly privateAddress: string;
}

export interface Serving {
  /** How many ports the script takes, after the directory. */
  readonly ports: number;
  /** What comes after the ports. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly place?: Place | undefined;
}

export interface Served extends RealServer {
  readonly dir: string;
  /** Where it listens. */
  readonly address: string;
  readonly ports: readonly number[];
}

/** Runs a script of test/servers until it is stopped; resolves when it is ready. */
export async function serve(script: string, serving: Serving): Promise<Served> {
  // Somebody else may take a port between the choice and the start.
  return serveOnce(script, serving).catch(() => serveOnce(script, serving));
}

/** Stops all of them, at the same time. */
export async function stopAll(servers: readonly RealServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
}

async function serveOnce(script: string, { ports: portCount, args = [], env, place }: Serving): Promise<Served> {
  const ports = await freePorts(portCount);
  const dir = await mkdtemp(join(tmpdir(), 'cloudlane-'));
  await chmod(dir, 0o755); // Squid's own user must get in.
  const path = join(import.meta.dirname, '../servers', script);
  const [program = 'bash', ...rest] = [...(place?.enter ?? []), 'bash', path, dir, ...ports.map(String), ...args];
  const child = spawn(program, rest, {
    env: { ...process.env, ...env, ...placeVariables(place), THROW_AWAY: 'yes' },
    detached: true, // Who kills the whole group of the test run must not kill those that clean up after it.
  });
  const complaints = text(child.stderr);
  const exited = once(child, 'exit');
  const stop = async () => {
    child.stdin.end();
    await exited;
  };
  const ready = once(child.stdout, 'data').then(() => true);
  if (await Promise.race([ready, exited.then(() => false)]))
    return { dir, address: place?.address ?? '127.0.0.1', ports, stop };
  await stop();
  throw new Error(`${script} did not start:\n${await complaints}`);
}

/** As serve.sh reads them. */
function placeVariables(place: Place | undefined): Record<string, string> {
  if (!place) return {};
  return { LISTEN: place.address, OUTGOING: place.outgoingAddress, PRIVATE_ADDRESS: place.privateAddress };
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
