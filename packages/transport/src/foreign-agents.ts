import http, { type ClientRequest } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import { InvalidOptionError, type RouteSettings, resolveRoute } from '@cloudlane/proxy';
import type { AgentRegistry } from './agent-registry.ts';
import { Attempt } from './attempt.ts';
import { takeProxyHeaders } from './forward-request.ts';
import { originOf } from './origin.ts';
import { refuseRequest } from './request-hooks.ts';
import { EXCHANGE } from './route-agents.ts';
import { chooseRoute } from './route-choice.ts';
import type { ResolvedTimeouts } from './timeouts.ts';
import type { TlsOptions } from './tls.ts';
import type { ResolvedTransportOptions } from './transport-options.ts';

/** Agents for clients that take one for http and one for https. */
export interface ForeignAgents {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

/** Sends one request that somebody else's client has made on its way. */
type Assign = (request: ClientRequest, options: RequestOptions) => void;

/** Makes the two agents of `Transport.agents`; they keep no connections themselves. */
export function createForeignAgents(
  settings: RouteSettings,
  options: ResolvedTransportOptions,
  registry: AgentRegistry,
): ForeignAgents {
  // Refused here, not at somebody else's first request.
  resolveRoute('http://cloudlane.invalid', { ...settings, trustEnv: false });
  const assign =
    (scheme: 'http' | 'https'): Assign =>
    (request, given) => {
      try {
        carry(request, scheme, given, { settings, options, registry });
      } catch (error) {
        refuseRequest(request, error);
      }
    };
  return { http: new ForeignAgent(assign('http')), https: new ForeignTlsAgent(assign('https')) };
}

class ForeignAgent extends http.Agent {
  readonly #assign: Assign;

  constructor(assign: Assign) {
    super({ keepAlive: true });
    this.#assign = assign;
  }

  addRequest(request: ClientRequest, options: RequestOptions): void {
    this.#assign(request, options);
  }
}

class ForeignTlsAgent extends https.Agent {
  readonly #assign: Assign;

  constructor(assign: Assign) {
    super({ keepAlive: true });
    this.#assign = assign;
  }

  addRequest(request: ClientRequest, options: RequestOptions): void {
    this.#assign(request, options);
  }
}

interface Carrier {
  readonly settings: RouteSettings;
  readonly options: ResolvedTransportOptions;
  readonly registry: AgentRegistry;
}

// Which agent was asked tells the scheme; `options.protocol` is left out by some SDKs.
function carry(
  request: ClientRequest,
  scheme: 'http' | 'https',
  given: RequestOptions,
  { settings, options, registry }: Carrier,
): void {
  const url = urlOf(scheme, given, request.path);
  const origin = originOf(url);
  const { route, explain } = chooseRoute(url, settings, options);
  const attempt = new Attempt({
    method: request.method,
    url,
    route,
    explain,
    timeouts: withTimeout(options.timeouts, given.timeout),
    // Its body is out of our hands.
    isRepeatable: false,
    isForeign: true,
  });
  const own = takeProxyHeaders(request);
  const agent = registry.get(route, origin, {
    tls: tlsOf(given, options.tls),
    proxyAuthorization: route.kind === 'direct' || route.kind === 'socks' ? null : own,
  });
  agent.addRequest(request, { [EXCHANGE]: { origin, attempt } });
}

function urlOf(scheme: string, { host, hostname, port }: RequestOptions, path: string): URL {
  const name = String(hostname ?? host ?? 'localhost').replace(/^\[|\]$/g, '');
  const authority = `${name.includes(':') ? `[${name}]` : name}${port ? `:${port}` : ''}`;
  const url = `${scheme}://${authority}${path.startsWith('/') ? path : '/'}`;
  if (!URL.canParse(url)) throw new InvalidOptionError('host', 'and port of the request make no URL');
  return new URL(url);
}

/** The time that the client gives the whole request is more than enough for its connection. */
function withTimeout(timeouts: ResolvedTimeouts, timeout: number | undefined): ResolvedTimeouts {
  if (!timeout) return timeouts;
  const shorter = (deadline: number): number => (deadline === 0 ? timeout : Math.min(deadline, timeout));
  return { ...timeouts, connect: shorter(timeouts.connect), handshake: shorter(timeouts.handshake) };
}

const NODE_NAMES = ['ca', 'cert', 'key', 'passphrase', 'servername', 'minVersion', 'maxVersion'] as const;

/** The transport's TLS options under those of the request. */
function tlsOf(given: RequestOptions, base: TlsOptions): TlsOptions {
  const own = NODE_NAMES.filter((name) => given[name] !== undefined && given[name] !== null && given[name] !== '');
  // Node and its clients fill in the name themselves.
  const named = own.filter((name) => name !== 'servername' || given.servername !== (given.hostname ?? given.host));
  const verifiesNothing = given.rejectUnauthorized === false;
  if (named.length === 0 && !verifiesNothing) return base;
  const merged: Record<string, unknown> = { ...base, ...Object.fromEntries(named.map((name) => [name, given[name]])) };
  // Whose certificates to trust is said once: the request's word replaces the transport's.
  if (named.includes('ca')) delete merged.verify;
  if (verifiesNothing) delete merged.ca;
  return (verifiesNothing ? { ...merged, verify: false } : merged) as TlsOptions;
}
