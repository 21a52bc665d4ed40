import { explainRoute, InvalidOptionError, type Route, type RouteSettings, resolveRoute } from '@cloudlane/proxy';
import type { ConnectionWay } from './http-connection-way.ts';
import { originOf, readUrl } from './origin.ts';

/** Options of `HttpConnection.setTunnel`. */
export interface TunnelOptions {
  /** From 1 to 65535. @defaultValue 443, or 80 with `secure: false` */
  readonly port?: number;
  /** For the proxy alone, with CONNECT. `Host` and what frames a message are not the caller's to say. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether to speak TLS with the origin inside the tunnel. @defaultValue true */
  readonly secure?: boolean;
}

/**
 * The way through a server to an origin by CONNECT, by the caller's word instead of a setting's.
 *
 * @param proxyUrl without a path; its credentials are for the proxy
 * @throws InvalidOptionError if host, port or a header cannot be sent; nothing of their values is shown
 */
export function parseTunnel(proxyUrl: URL, host: string, options: TunnelOptions): ConnectionWay {
  const { port, headers = {}, secure = true } = options;
  const url = originUrl(host, port, secure);
  const settings = { http_proxy: { url: proxyUrl, headers: { ...headers } }, trustEnv: false, source: 'setTunnel' };
  const usual = resolve(url, settings);
  if (usual.kind === 'direct') throw new InvalidOptionError('setTunnel', 'leads through no proxy');
  const route = { kind: 'tunnel', proxy: usual.proxy } as const;
  const explain = () => ({ ...explainRoute(url, settings), route });
  return { url, route, explain, origin: originOf(url), forwarder: null };
}

function originUrl(host: string, port: number | undefined, secure: boolean): URL {
  const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const text = `${secure ? 'https' : 'http'}://${name}${port === undefined ? '' : `:${port}`}/`;
  // The URL parser would take some of these out, and others for the start of another part.
  const url = readUrl(text);
  if (port === 0 || /[\s/?#@\\]|\p{Cc}/u.test(host) || url === null)
    throw new InvalidOptionError('setTunnel', 'needs a host name or address, and a port from 1 to 65535');
  return url;
}

function resolve(url: URL, settings: RouteSettings): Route {
  try {
    return resolveRoute(url, settings);
  } catch (error) {
    // The caller has called them something else.
    if (error instanceof InvalidOptionError && error.option === 'http_proxy.headers')
      throw new InvalidOptionError('setTunnel.headers', error.reason);
    throw error;
  }
}
