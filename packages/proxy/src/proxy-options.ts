import { BoundedCache } from './bounded-cache.ts';
import { createCredentials, findCredentialsFault } from './credentials.ts';
import { InvalidOptionError } from './errors.ts';
import { createProxyHeaders } from './proxy-headers.ts';
import type { ProxyCredentials, ProxyServer } from './proxy-server.ts';
import { readProxyUrl } from './proxy-url.ts';
import type { ProxyOptions } from './settings.ts';

const KEYS: readonly string[] = ['url', 'auth', 'headers', 'noProxy'];

/** Servers by content, so that equal options give the identical object. */
const cache: BoundedCache<ProxyServer> = new BoundedCache();

/**
 * The server that an options object names.
 *
 * @throws InvalidProxyUrlError for its `url`
 * @throws InvalidOptionError if parts contradict each other or cannot be sent
 */
export function readProxyOptions(options: ProxyOptions, source: string): ProxyServer {
  const unknown = Object.keys(options).find((key) => !KEYS.includes(key));
  if (unknown !== undefined)
    throw new InvalidOptionError('http_proxy', `besides url it has a key which is not ${KEYS.slice(1).join(', ')}`);
  const server = readProxyUrl(options.url, source);
  const credentials = readAuth(options.auth, server);
  const headers = readHeaders(options.headers, server, credentials);
  if (credentials === server.credentials && !headers) return server;
  const { scheme, host, port } = server;
  const content = [scheme, host, port, credentials?.username, credentials?.password, Object.entries(headers ?? {})];
  return cache.getOrMake(JSON.stringify(content), () =>
    Object.freeze({ scheme, host, port, ...(credentials && { credentials }), ...(headers && { headers }) }),
  );
}

function readAuth(auth: unknown, server: ProxyServer): ProxyCredentials | undefined {
  if (auth === undefined) return server.credentials;
  if (typeof auth !== 'object' || auth === null || !('username' in auth) || !('password' in auth)) {
    return refuse('auth', 'it is not an object with username and password');
  }
  const { username, password } = auth;
  if (typeof username !== 'string' || typeof password !== 'string')
    return refuse('auth', 'username or password is not a string');
  if (server.credentials) return refuse('auth', 'the url has credentials already; leave one of them out');
  if (username === '' && password === '') return refuse('auth', 'username and password are empty; leave auth out');
  const credentials = createCredentials(username, password);
  const fault = findCredentialsFault(server.scheme, credentials);
  return fault ? refuse('auth', fault) : credentials;
}

function readHeaders(
  headers: unknown,
  { scheme }: ProxyServer,
  credentials: ProxyCredentials | undefined,
): Readonly<Record<string, string>> | undefined {
  if (headers === undefined) return undefined;
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    return refuse('headers', 'it is not an object of header names and values');
  }
  const checked = createProxyHeaders(Object.fromEntries(Object.entries(headers)));
  const names = Object.keys(checked);
  if (names.length === 0) return undefined;
  if (scheme.startsWith('socks')) return refuse('headers', 'a SOCKS proxy takes no headers');
  if (credentials && names.some((name) => name.toLowerCase() === 'proxy-authorization')) {
    return refuse('headers', 'Proxy-Authorization contradicts the credentials; leave one of them out');
  }
  return checked;
}

function refuse(part: 'auth' | 'headers', reason: string): never {
  throw new InvalidOptionError(`http_proxy.${part}`, reason);
}
