import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Logging, logging } from './real-log.ts';
import type { Credentials } from './real-proxies.ts';
import { type Place, type RealServer, serve } from './real-serve.ts';
import { SECRETS } from './secrets.ts';

/** A client's certificate with its key, in PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** An origin with the paths listed in test/servers/nginx.sh. */
export interface RealNginx extends RealServer {
  readonly httpUrl: string;
  readonly httpsUrl: string;
  /** Answers 400 to who does not show a certificate of {@link RealNginx.ca}, such as {@link RealNginx.client}. */
  readonly mtlsUrl: string;
  /** WebSockets are under `/ws/`, where it was started in front of a server of them. */
  readonly wsUrl: string;
  readonly wssUrl: string;
  /** Signed the certificate of {@link RealNginx.httpsUrl} and {@link RealNginx.mtlsUrl}. */
  readonly ca: string;
  readonly client: ClientCertificate;
}

/** One request, as Apache saw it. What is not there is `-`. */
export interface ApacheEntry {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  /** Who was let in. */
  readonly user: string;
  readonly authorization: string;
  readonly proxyAuthorization: string;
  /** Its own `WWW-Authenticate`. */
  readonly challenge: string;
}

/** An origin with Digest authentication, and the paths listed in test/servers/apache.sh. */
export interface RealApache extends RealServer, Logging<ApacheEntry> {
  readonly url: string;
  readonly realm: string;
  readonly credentials: Credentials;
}

/** OpenStack Swift behind its S3 API, which checks every signature. */
export interface RealSwift extends RealServer {
  readonly s3Url: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/** A balancer with the faults listed in test/servers/haproxy.sh. */
export interface RealHaproxy extends RealServer {
  /** Lead to the plain origin. */
  readonly httpUrl: string;
  readonly httpsUrl: string;
  /** Leads to the plain proxy, where one was given. */
  readonly tlsProxyUrl: string;
  /** Signed the certificate of both TLS ports. */
  readonly ca: string;
}

export interface HaproxyOptions {
  /** An origin's port for plain HTTP. */
  readonly originPort: number;
  /** A plain HTTP proxy's port. */
  readonly proxyPort?: number;
}

/**
 * Its certificate is also good for the private host of every proxy here.
 *
 * @param webSocketPort of a WebSocket server on 127.0.0.1, which learns in `X-Seen` what nginx saw
 */
export async function startNginx(place?: Place, webSocketPort?: number): Promise<RealNginx> {
  const env = {
    PRIVATE_HOSTS: 'origin.example',
    ...(webSocketPort !== undefined && { WS_PORT: String(webSocketPort) }),
  };
  const { dir, address, ports, stop } = await serve('nginx.sh', { ports: 3, env, place });
  const [http, https, mtls] = ports;
  return {
    httpUrl: `http://${address}:${http}`,
    httpsUrl: `https://${address}:${https}`,
    mtlsUrl: `https://${address}:${mtls}`,
    wsUrl: `ws://${address}:${http}`,
    wssUrl: `wss://${address}:${https}`,
    ca: await readFile(join(dir, 'tls/ca.pem'), 'utf8'),
    client: {
      cert: await readFile(join(dir, 'tls/client.pem'), 'utf8'),
      key: await readFile(join(dir, 'tls/client.key'), 'utf8'),
    },
    stop,
  };
}

export async function startApache(): Promise<RealApache> {
  const credentials = { username: 'bob', password: SECRETS.originPassword };
  const realm = 'staff, and friends';
  const env = { DIGEST_USER: credentials.username, DIGEST_PASSWORD: credentials.password };
  const { dir, address, ports, stop } = await serve('apache.sh', { ports: 1, args: [realm], env });
  return {
    url: `http://${address}:${ports[0]}`,
    realm,
    credentials,
    ...logging({ path: join(dir, 'access.log'), parse: (line): ApacheEntry => JSON.parse(line) }),
    stop,
  };
}

export async function startSwift(): Promise<RealSwift> {
  const { ports, stop } = await serve('swift.sh', { ports: 5 });
  return {
    s3Url: `http://127.0.0.1:${ports[0]}`,
    accessKey: 'test:tester',
    secretKey: 'testing',
    region: 'us-east-1',
    stop,
  };
}

/** HAProxy in front of an origin and, with TLS, of a proxy. */
export async function startHaproxy({ originPort, proxyPort }: HaproxyOptions): Promise<RealHaproxy> {
  const targets = proxyPort === undefined ? [originPort] : [originPort, proxyPort];
  const { dir, ports, stop } = await serve('haproxy.sh', { ports: 3, args: targets.map(String) });
  const [http, https, tlsProxy] = ports;
  return {
    httpUrl: `http://127.0.0.1:${http}`,
    httpsUrl: `https://127.0.0.1:${https}`,
    tlsProxyUrl: `https://127.0.0.1:${tlsProxy}`,
    ca: await readFile(join(dir, 'tls/ca.pem'), 'utf8'),
    stop,
  };
}
