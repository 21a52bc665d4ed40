// Proxies that stand in front of something: TLS in front of a proxy, a proxy in front of a proxy, and one in front of
// everything that looks into TLS.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Logging, logging } from './real-log.ts';
import type { Credentials } from './real-proxies.ts';
import { type RealServer, serve } from './real-serve.ts';
import { SECRETS } from './secrets.ts';

export interface RealStunnel extends RealServer {
  /** An `https:` URL: what is behind it is said by whoever started it. */
  readonly url: string;
  /** Signed its certificate. */
  readonly ca: string;
}

export interface StunnelOptions {
  readonly targetPort: number;
  /** PEM. A client without a certificate of this authority gets a TLS alert. */
  readonly clientCa?: string;
}

export interface PrivoxyEntry {
  readonly method: string;
  /** Of a tunnel, host:port. */
  readonly url: string;
}

export interface RealPrivoxy extends RealServer, Logging<PrivoxyEntry> {
  readonly openUrl: string;
}

export interface PrivoxyOptions {
  /** URL of the proxy that it passes everything on to, without credentials: `http:`, `socks4:`, `socks4a:`, `socks5:`. */
  readonly forward?: string;
}

/** A tunnel that was asked for, or an exchange, inside a tunnel or not. */
export interface MitmproxyEntry {
  /** Who logged in, where that is wanted. */
  readonly user: string | null;
  readonly method: string;
  /** Of a tunnel, host:port. */
  readonly url: string;
  /** Null for a tunnel that is granted, and where nobody answered. */
  readonly status: number | null;
  readonly error: string | null;
}

export interface RealMitmproxy extends RealServer, Logging<MitmproxyEntry> {
  /** An `http:` URL; it wants {@link RealMitmproxy.credentials} where it was started with a password. */
  readonly url: string;
  readonly credentials: Credentials;
  readonly outgoingAddress: string;
  /** Signs what its clients see as the certificate of each origin. */
  readonly ca: string;
}

export interface MitmproxyOptions {
  /** Whether it wants {@link RealMitmproxy.credentials}. @defaultValue false */
  readonly withPassword?: boolean;
  /** PEM of the only authority that it believes about origins. @defaultValue it believes every origin */
  readonly upstreamCa?: string;
}

/** TLS in front of a plain server, such as an HTTP proxy; it connects from 127.0.0.1. */
export async function startStunnel({ targetPort, clientCa }: StunnelOptions): Promise<RealStunnel> {
  const { dir, ports, stop } = await serve('stunnel.sh', {
    ports: 1,
    args: [String(targetPort)],
    env: clientCa === undefined ? {} : { CLIENT_CA: clientCa },
  });
  return { url: `https://127.0.0.1:${ports[0]}`, ca: await readFile(join(dir, 'tls/ca.pem'), 'utf8'), stop };
}

/** An HTTP proxy that can lead to a second one; it connects from 127.0.0.1. */
export async function startPrivoxy({ forward }: PrivoxyOptions = {}): Promise<RealPrivoxy> {
  const { dir, ports, stop } = await serve('privoxy.sh', { ports: 1, args: forward ? [forwardRule(forward)] : [] });
  return {
    openUrl: `http://127.0.0.1:${ports[0]}`,
    ...logging({ path: join(dir, 'privoxy.log'), parse: parsePrivoxyLine }),
    stop,
  };
}

/** A proxy that looks into TLS. */
export async function startMitmproxy({ withPassword, upstreamCa }: MitmproxyOptions = {}): Promise<RealMitmproxy> {
  // It takes no password with a colon.
  const credentials = { username: 'alice', password: SECRETS.plainPassword };
  const { dir, ports, stop } = await serve('mitmproxy.sh', {
    ports: 1,
    args: withPassword ? [credentials.username, credentials.password] : [],
    env: upstreamCa === undefined ? {} : { UPSTREAM_CA: upstreamCa },
  });
  return {
    url: `http://127.0.0.1:${ports[0]}`,
    credentials,
    outgoingAddress: '127.0.0.6',
    ca: await readFile(join(dir, 'tls/ca.pem'), 'utf8'),
    ...logging({ path: join(dir, 'flows.jsonl'), parse: (line): MitmproxyEntry => JSON.parse(line) }),
    stop,
  };
}

/** In Privoxy's words, where a dot stands for "no HTTP proxy behind that". */
function forwardRule(proxyUrl: string): string {
  const { protocol, host } = new URL(proxyUrl);
  switch (protocol) {
    case 'http:':
      return `forward / ${host}`;
    case 'socks4:':
    case 'socks4a:':
    case 'socks5:':
      return `forward-${protocol.slice(0, -1)} / ${host} .`;
    default:
      throw new Error(`Privoxy passes nothing on to ${protocol}`);
  }
}

/** The common log format: `127.0.0.1 - - [20/Nov/2026:18:53:33 +0000] "CONNECT origin.example:443 HTTP/1.1" 200 520` */
function parsePrivoxyLine(line: string): PrivoxyEntry | undefined {
  const [, method, url] = /\] "(\S+) (\S+) HTTP\/[\d.]+" \d+ \d+$/.exec(line) ?? [];
  return method === undefined || url === undefined ? undefined : { method, url };
}
