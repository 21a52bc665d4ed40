import { request as requestHttp } from 'node:http';
import type { Socket } from 'node:net';
import { parseAuthority } from './authority.ts';
import { askSocks5 } from './socks-client.ts';
import { UpstreamError, unreachable } from './upstream-error.ts';

/** The proxy through which another one reaches its origins. */
export interface NextProxy {
  readonly scheme: 'http' | 'https' | 'socks';
  readonly authority: string;
  readonly credentials: { readonly username: string; readonly password: string } | null;
}

const SCHEMES: Readonly<Record<string, NextProxy['scheme']>> = {
  'http:': 'http',
  'https:': 'https',
  'socks5:': 'socks',
  'socks5h:': 'socks',
};

/** Reads the URL of a next proxy. Throws a `TypeError` that does not show it. */
export function parseNextProxy(url: string): NextProxy {
  const { protocol, host, port, username, password } = new URL(url);
  const scheme = SCHEMES[protocol];
  if (!scheme || port === '') throw new TypeError('upstreamProxy: http, https, socks5 or socks5h, with a port');
  const credentials = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  return { scheme, authority: host, credentials: username === '' ? null : credentials };
}

/** Asks a next proxy for a tunnel on a connection to it. Rejects with {@link UpstreamError}. */
export async function askForTunnel(socket: Socket, target: string, next: NextProxy): Promise<void> {
  if (next.scheme !== 'socks') return askByConnect(socket, target, next);
  const place = parseAuthority(target);
  if (place?.port === undefined) throw new UpstreamError('malformed', `Not an authority: ${target}`);
  return askSocks5(socket, { host: place.host, port: place.port }, next.credentials);
}

/** The header that shows a next proxy its credentials: name and value, or nothing. */
export function proxyAuthorization({ credentials }: NextProxy): string[] {
  if (!credentials) return [];
  const userinfo = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
  return ['Proxy-Authorization', `Basic ${userinfo}`];
}

async function askByConnect(socket: Socket, target: string, next: NextProxy): Promise<void> {
  const request = requestHttp({
    method: 'CONNECT',
    path: target,
    setHost: false,
    headers: ['Host', target, ...proxyAuthorization(next)],
    createConnection: () => socket,
  });
  await new Promise<void>((resolve, reject) => {
    request.once('connect', ({ statusCode = 0 }, _, head: Buffer) => {
      if (head.length > 0) socket.unshift(head);
      if (statusCode >= 200 && statusCode < 300) resolve();
      else reject(new UpstreamError('failed', `The next proxy refused ${target}: ${statusCode}`));
    });
    request.once('error', (error) => reject(unreachable(target, error)));
    request.end();
  });
}
