import { errorMonitor } from 'node:events';
import http, { type ClientRequest } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import { InvalidOptionError, type RouteSettings, resolveRoute } from '@cloudlane/proxy';
import type { AgentRegistry } from './agent-registry.ts';
import { Attempt } from './attempt.ts';
import { publishEnd, publishError, publishStart } from './diagnostics.ts';
import { foreignTls } from './foreign-tls.ts';
import { dropLateProxyHeaders, headerOf, takeProxyHeaders } from './forward-request.ts';
import { originOf } from './origin.ts';
import { printAs, serializeAs } from './printing.ts';
import { refuseRequest, responseOf } from './request-hooks.ts';
import { EXCHANGE } from './route-agents.ts';
import { chooseRoute } from './route-choice.ts';
import { LONGEST, type ResolvedTimeouts } from './timeouts.ts';
import type { ResolvedTransportOptions } from './transport-options.ts';

/**
 * Agents for clients that take one for http and one for https. They keep no connections themselves: `destroy()` closes
 * none, `maxSockets` is the transport's to say, `sockets` and `requests` stay empty. They refuse `socketPath` and TLS
 * options that they would otherwise ignore; `lookup`, `family` and `localAddress` are without effect.
 */
export interface ForeignAgents {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

type Scheme = 'http' | 'https';

/** Sends one request that somebody else's client has made on its way. */
type Assign = (request: ClientRequest, scheme: Scheme, options: RequestOptions) => void;

/** Makes the two agents of `Transport.agents`. */
export function createForeignAgents(
  settings: RouteSettings,
  options: ResolvedTransportOptions,
  registry: AgentRegistry,
): ForeignAgents {
  // Refused here, not at somebody else's first request.
  resolveRoute('http://cloudlane.invalid', { ...settings, trustEnv: false });
  const assign: Assign = (request, scheme, given) => {
    try {
      carry(request, scheme, given, { settings, options, registry });
    } catch (error) {
      refuseRequest(request, error);
    }
  };
  const { keepAlive } = options;
  return { http: new ForeignAgent(assign, keepAlive), https: new ForeignTlsAgent(assign, keepAlive) };
}

class ForeignAgent extends http.Agent {
  readonly #assign: Assign;

  constructor(assign: Assign, keepAlive: boolean) {
    super({ keepAlive });
    this.#assign = assign;
  }

  // Which agent was asked tells the scheme; `options.protocol` is left out by some SDKs.
  addRequest(request: ClientRequest, options: RequestOptions): void {
    this.#assign(request, 'http', options);
  }

  override createConnection(): never {
    return refuseConnection();
  }
}

class ForeignTlsAgent extends https.Agent {
  readonly #assign: Assign;

  constructor(assign: Assign, keepAlive: boolean) {
    super({ keepAlive });
    this.#assign = assign;
  }

  addRequest(request: ClientRequest, options: RequestOptions): void {
    this.#assign(request, 'https', options);
  }

  override createConnection(): never {
    return refuseConnection();
  }
}

// Node's own would go straight to the origin.
function refuseConnection(): never {
  throw new InvalidOptionError('agent', 'of a transport opens connections for requests only');
}

interface Carrier {
  readonly settings: RouteSettings;
  readonly options: ResolvedTransportOptions;
  readonly registry: AgentRegistry;
}

function carry(request: ClientRequest, scheme: Scheme, given: RequestOptions, carrier: Carrier): void {
  const { settings, options, registry } = carrier;
  if (given.socketPath) throw new InvalidOptionError('socketPath', 'leads past every route of a transport');
  const url = urlOf(scheme, given, request.path);
  const origin = originOf(url);
  const { route, explain } = chooseRoute(isWebSocket(request) ? webSocketUrl(url) : url, settings, options);
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
  if (route.kind !== 'forward') dropLateProxyHeaders(request);
  attempt.isAuthenticating = own !== null || (route.kind !== 'direct' && Boolean(route.proxy.credentials));
  const agent = registry.get(route, origin, {
    tls: foreignTls(request, given, options.tls),
    proxyAuthorization: route.kind === 'direct' || route.kind === 'socks' ? null : own,
  });
  if (route.kind !== 'direct') hideHead(request, attempt);
  watch(request, attempt, given.timeout);
  if (registry.isClosed) throw attempt.closed();
  // Aborted before it began: no connection is opened for it.
  if (request.destroyed) refuseRequest(request, null);
  else agent.addRequest(request, { [EXCHANGE]: { origin, attempt } });
}

// Its headers are to hold the credentials of the proxy, and errors and answers of its client lead to it.
function hideHead(request: ClientRequest, attempt: Attempt): void {
  const show = (): string => `<ClientRequest ${attempt}>`;
  printAs(request, show);
  serializeAs(request, show);
}

/** What Node's own agent does for `options.timeout`, and what `Transport.send` tells of its requests. */
function watch(request: ClientRequest, attempt: Attempt, timeout = 0): void {
  publishStart(attempt);
  if (timeout > 0) request.once('socket', (socket) => void socket.setTimeout(timeout));
  let isFailed = false;
  // Not 'error': an error that the client does not listen to must stay unheard.
  request.once(errorMonitor, (error) => {
    isFailed = true;
    publishError(attempt, error);
  });
  request.once('close', () => {
    attempt.finish();
    const { statusCode = 0, complete = false } = responseOf(request) ?? {};
    if (!isFailed) publishEnd(attempt, statusCode, complete);
  });
}

function urlOf(scheme: Scheme, { host, hostname, port }: RequestOptions, path: string): URL {
  const name = String(hostname ?? host ?? 'localhost').replace(/^\[|\]$/g, '');
  const authority = `${name.includes(':') ? `[${name}]` : name}${port ? `:${port}` : ''}`;
  const url = `${scheme}://${authority}${path.startsWith('/') ? path : '/'}`;
  if (!URL.canParse(url)) throw new InvalidOptionError('host', 'and port of the request make no URL');
  return new URL(url);
}

// RFC 6455 §4.1: it needs a tunnel; a proxy that forwards takes `Upgrade` for its own (RFC 9110 §7.8).
function isWebSocket(request: ClientRequest): boolean {
  return headerOf(request, 'upgrade')?.toLowerCase() === 'websocket';
}

function webSocketUrl({ href }: URL): URL {
  return new URL(href.replace(/^http/, 'ws'));
}

/** The time that the client gives the whole request is more than enough for its connection. */
function withTimeout(timeouts: ResolvedTimeouts, timeout: number | undefined): ResolvedTimeouts {
  if (!timeout) return timeouts;
  const shorter = (deadline: number): number => Math.min(deadline === 0 ? LONGEST : deadline, timeout);
  return { ...timeouts, connect: shorter(timeouts.connect), handshake: shorter(timeouts.handshake) };
}
