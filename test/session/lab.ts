// The ways that this folder's tests go, and what every call must have left behind on each of them.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HttpProxy } from '@cloudlane/proxy';
import { type HttpResponse, Session, type SessionOptions } from '@cloudlane/session';
import type { LabOrigin, LabProxy, LabSocks, OriginHandler, OriginOptions } from '@cloudlane/testing';
import { afterEach, describe, expect } from '@jest/globals';
import { closeAfterTest } from '../support/resources.ts';
import { AUTH, newTransport, origin, proxy, type Scheme, socks, trusting } from '../transport/lab.ts';

export { type Gate, newGate } from '../support/gate.ts';

export type RouteKind = 'direct' | 'forward' | 'tunnel' | 'socks';

const WAYS: readonly (readonly [kind: RouteKind, scheme: Scheme])[] = [
  ['direct', 'http'],
  ['direct', 'https'],
  ['forward', 'http'],
  ['tunnel', 'https'],
  ['socks', 'http'],
  ['socks', 'https'],
];

/** The address that the lab's proxies go out from: an origin tells by it how a call came. */
const PROXY_ADDRESS = '127.0.0.7';

/** One route to origins of one scheme. What a test opens on it is closed after the test. */
export class RouteLab {
  readonly kind: RouteKind;
  readonly scheme: Scheme;
  #origins: LabOrigin[] = [];
  #proxy: LabProxy | LabSocks | null = null;
  #decoy: LabProxy | null = null;

  constructor(kind: RouteKind, scheme: Scheme) {
    this.kind = kind;
    this.scheme = scheme;
  }

  /** Whether a proxy is on the way. */
  get isProxied(): boolean {
    return this.kind !== 'direct';
  }

  /** The proxy on the way; only once there is a session. */
  get proxy(): LabProxy | LabSocks {
    if (this.#proxy === null) throw new TypeError('no session was opened, or the way is direct');
    return this.#proxy;
  }

  /** An origin at the end of the way; `scheme` is for one that redirects lead to. */
  async origin(options: OriginOptions | OriginHandler = {}, scheme: Scheme = this.scheme): Promise<LabOrigin> {
    const opened = await origin(scheme, typeof options === 'function' ? { handler: options } : options);
    this.#origins.push(opened);
    return opened;
  }

  /** A session whose calls take the way, past an environment that names another proxy. */
  async session(options: SessionOptions = {}): Promise<Session> {
    this.#decoy ??= await proxy();
    const env = { http_proxy: this.#decoy.url, https_proxy: this.#decoy.url };
    const own = options.maxSockets !== undefined || options.maxIdleSockets !== undefined;
    const transport = own ? { tls: trusting.tls } : { transport: newTransport() };
    const session = new Session({ ...transport, env, http_proxy: await this.setting(), ...options });
    return own ? closeAfterTest(session) : session;
  }

  /** What `http_proxy` is for this way. */
  async setting(): Promise<Exclude<HttpProxy, undefined>> {
    if (this.kind === 'direct') return null;
    const options = { auth: AUTH, localAddress: PROXY_ADDRESS };
    this.#proxy ??= this.kind === 'socks' ? await socks(options) : await proxy('http', options);
    return this.#proxy.urlWithCredentials;
  }

  /** TCP connections to the first hop of the way, and to this origin. */
  connectionCounts(target: LabOrigin): { readonly near: number; readonly far: number } {
    return { near: this.isProxied ? this.proxy.connectionCount : target.connectionCount, far: target.connectionCount };
  }

  /** Every request came by the way, and none of its secrets went to the wrong hop. */
  expectProxied(): void {
    for (const { url, requests } of this.#origins) {
      for (const { target, remoteAddress, rawHeaders } of requests) {
        const from = this.isProxied ? PROXY_ADDRESS : '127.0.0.1';
        expect({ request: `${url}${target}`, from: remoteAddress }).toEqual({ request: `${url}${target}`, from });
        expectNothingForProxies(rawHeaders);
      }
    }
    expect(this.#decoy?.connectionCount ?? 0).toBe(0);
    if (this.isProxied) this.#expectSeen();
  }

  /** Forgets the test that was. */
  reset(): void {
    this.#origins = [];
    this.#proxy = null;
    this.#decoy = null;
  }

  #expectSeen(): void {
    const hops = this.#proxy?.hops ?? [];
    for (const hop of hops) {
      expect(hop).toMatchObject({ authorized: true, username: AUTH.username });
      expect(hop.kind === 'socks').toBe(this.kind === 'socks');
      // What the origin authorizes by is nobody's business on the way.
      if (hop.kind === 'connect') expect(hop.headers).not.toHaveProperty('authorization');
      if (hop.kind === 'connect') expect(hop.headers).not.toHaveProperty('cookie');
    }
    for (const { url, requests, connectionCount } of this.#origins) {
      const isForwarded = this.kind !== 'socks' && url.startsWith('http:');
      const seen = hops
        .filter(({ kind }) => (kind === 'forward') === isForwarded)
        .map(({ target }) => target.replace('localhost', '127.0.0.1'));
      // One that its caller gave up may have come no further.
      const missing = isForwarded
        ? requests.map(({ target }) => `${url}${target}`).filter((target) => !take(seen, target))
        : Array.from({ length: connectionCount }, () => new URL(url).host).filter((target) => !take(seen, target));
      expect(missing).toEqual([]);
    }
  }

  toString(): string {
    return `${this.kind}, ${this.scheme} origin`;
  }
}

function take(from: string[], value: string): boolean {
  const index = from.indexOf(value);
  return index >= 0 && from.splice(index, 1).length === 1;
}

function expectNothingForProxies(rawHeaders: readonly string[]): void {
  const basic = Buffer.from(`${AUTH.username}:${AUTH.password}`).toString('base64');
  for (const text of rawHeaders) expect([text.startsWith('Proxy-'), text.includes(basic)]).toEqual([false, false]);
}

/**
 * Runs the tests on every route: direct, forward, tunnel and SOCKS, with http and https origins. After each of them every
 * request is held to have come by its way, and no credential to have gone astray.
 */
export function overRoutes(define: (route: RouteLab) => void): void {
  const routes = WAYS.map(([kind, scheme]) => new RouteLab(kind, scheme));
  describe.each(routes)('%s:', (route) => {
    afterEach(() => {
      try {
        route.expectProxied();
      } finally {
        route.reset();
      }
    });
    define(route);
  });
}

/** Answers with this, to everything. */
export function answering(
  body: string | Buffer,
  { status = 200, headers = {} }: { status?: number; headers?: Readonly<Record<string, string | string[]>> } = {},
): OriginHandler {
  return (_, response) => void response.writeHead(status, headers).end(body);
}

/** Redirects by a table of path to [status, location], and answers everything else with an echo. */
export function redirecting(
  table: Readonly<Record<string, readonly [status: number, location: string]>>,
): OriginHandler {
  return async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(Buffer.from(chunk));
    const { method, url = '', headers } = request;
    const entry = table[url];
    if (entry === undefined) {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ method, target: url, headers, body: Buffer.concat(chunks).toString() }));
      return;
    }
    response.writeHead(entry[0], { Location: entry[1] }).end('moved');
  };
}

/** Writes files to a directory that is gone after the test. Returns their paths, in the order of the names. */
export async function writeFiles(files: Readonly<Record<string, string>>): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'cloudlane-session-'));
  closeAfterTest({ [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) });
  const paths = Object.keys(files).map((name) => join(directory, name));
  await Promise.all(Object.values(files).map((content, index) => writeFile(paths[index] ?? '', content)));
  return paths;
}

/** What an origin of the lab saw, by its own account. */
export interface Seen {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The body of an answer that is an echo. */
export function seenBy(response: HttpResponse): Promise<Seen> {
  return response.json<Seen>();
}
