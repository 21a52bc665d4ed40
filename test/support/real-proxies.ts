// HTTP proxies.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Logging, logging } from './real-log.ts';
import { type Place, type RealServer, serve, stopAll } from './real-serve.ts';
import { SECRETS } from './secrets.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface RealProxy extends RealServer {
  /** Asks for no password. */
  readonly openUrl: string;
  /** Wants {@link RealProxy.credentials}, which are not part of this URL. */
  readonly basicUrl: string;
  readonly credentials: Credentials;
  /** The address this proxy connects from: what an origin that was reached through it sees. */
  readonly outgoingAddress: string;
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

export interface RealSquid extends RealProxy, Logging<SquidEntry> {
  /** The same two ways in, with TLS to the proxy, under a certificate that {@link RealSquid.ca} signed. */
  readonly tlsUrl: string;
  readonly tlsBasicUrl: string;
  readonly ca: string;
  /** 127.0.0.1, or the origin's place, under a name that only this proxy can resolve. */
  readonly privateHost: string;
  /** Its rules allow no connection to this port: status 403. */
  readonly refusedPort: number;
}

export async function startSquid(place?: Place): Promise<RealSquid> {
  const credentials = { username: 'alice', password: SECRETS.proxyPassword };
  const privateHost = 'origin.example';
  const { dir, address, ports, stop } = await serve('squid.sh', {
    ports: 4,
    place,
    env: {
      SQUID_USER: credentials.username,
      SQUID_PASSWORD: credentials.password,
      PRIVATE_HOSTS: privateHost,
    },
  });
  const [open, basic, tls, tlsBasic] = ports;
  return {
    openUrl: `http://${address}:${open}`,
    basicUrl: `http://${address}:${basic}`,
    tlsUrl: `https://${address}:${tls}`,
    tlsBasicUrl: `https://${address}:${tlsBasic}`,
    credentials,
    ca: await readFile(join(dir, 'tls/ca.pem'), 'utf8'),
    outgoingAddress: place?.outgoingAddress ?? '127.0.0.2',
    privateHost,
    refusedPort: 9,
    ...logging({ path: join(dir, 'access.log'), parse: parseSquidLine }),
    stop,
  };
}

/** Two processes, with and without a password; its configuration knows letters and digits only. */
export async function startTinyproxy(): Promise<RealProxy> {
  const credentials = { username: 'alice', password: SECRETS.plainPassword };
  const [open, basic] = await Promise.all([
    serve('tinyproxy.sh', { ports: 1 }),
    serve('tinyproxy.sh', { ports: 1, args: [credentials.username, credentials.password] }),
  ]);
  return {
    openUrl: `http://127.0.0.1:${open.ports[0]}`,
    basicUrl: `http://127.0.0.1:${basic.ports[0]}`,
    credentials,
    outgoingAddress: '127.0.0.3',
    stop: () => stopAll([open, basic]),
  };
}

function parseSquidLine(line: string): SquidEntry | undefined {
  const [user = '-', method = '-', url = '', status, port] = line.split(' ');
  if (method === '-') return undefined; // A connection that ended before it asked for anything.
  const name = user === '-' ? null : decodeURIComponent(user);
  return { user: name, method, url, status: Number(status), port: Number(port) };
}
