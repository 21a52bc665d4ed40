import { errorMonitor } from 'node:events';
import http, { type ClientRequest } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import { checkHttpProxy, InvalidOptionError, type RouteSettings, resolveRoute } from '@cloudlane/proxy';
import type { AgentRegistry } from './agent-registry.ts';
import { Attempt } from './attempt.ts';
import { publishEnd, publishError, publishStart } from './diagnostics.ts';
import { ForeignTls } from './foreign-tls.ts';
import { dropLateProxyHeaders, headerOf, takeProxyHeaders } from './forward-request.ts';
import { originOf, readUrl, webSocketUrl } from './origin.ts';
import { printAs, serializeAs } from './printing.ts';
import { onHead, refuseRequest, responseOf } from './request-hooks.ts';
import { EXCHANGE } from './route-agents.ts';
import { chooseRoute } from './route-choice.ts';
import { LONGEST, type ResolvedTimeouts, startDeadline } from './timeouts.ts';
import { checkNames, type ResolvedTransportOptions } from './transport-options.ts';

/**
 * Agents for clients that take one for http and one for https. They keep no connections themselves: `destroy()` closes
 * none, `maxSockets` is the transport's to say, `sockets` and `requests` stay empty.
 *
 * Of the transport's deadlines `connect` and `handshake` hold, and `total` until a request has its connection, the wait
 * for a free one included; `firstByte` and `idle` do not. From then on the client's own hold.
 *
 * A forwarded request gets what the proxy says to it (a 407, an error page) as an ordinary answer; only a tunnel that
 * is refused is an error. Sockets that were upgraded (WebSockets) belong to their client: neither `maxSockets` nor
 * `connections` counts them, and `close()` leaves them open.
 *
 * What would lead elsewhere or trust somebody else, and cannot take effect, fails the request with an
 * `InvalidOptionError`: `socketPath`, `localAddress`, `localPort`, `lookup` (got's `dnsCache`), and for https the TLS
 * options that `Transport.agents` does not name. `family` and `hints` are without effect.
 */
export interface ForeignAgents {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

type Scheme = 'http' | 'https';

/** Makes the two agents of `Transport.agents`. */
export function createForeignAgents(
  settings: RouteSettings,
  options: ResolvedTransportOptions,
  registry: AgentRegistry,
): ForeignAgents {
  checkSettings(settings);
  const { keepAlive } = options;
  const carrier = { settings, options, registry, tls: new ForeignTls(options.tls) };
  // Which agent was asked tells the scheme; `options.protocol` is left out by some SDKs.
  return {
    http: carrying(new http.Agent({ keepAlive }), 'http', carrier),
    https: carrying(new https.Agent({ keepAlive }), 'https', carrier),
  };
}

// What cannot be used is refused here, not at somebody else's first request.
function checkSettings(settings: RouteSettings): void {
  checkNames(settings, 'agents');
  checkHttpProxy(settings.http_proxy, settings.source ?? 'option http_proxy');
  resolveRoute('http://cloudlane.invalid', { ...settings, trustEnv: false });
}

interface Carrier {
  readonly settings: RouteSettings;
  readonly options: ResolvedTransportOptions;
  readonly registry: AgentRegistry;
  readonly tls: ForeignTls;
}

/** Has an agent hand its requests over, where it would look for a connection of its own. */
function carrying<A extends http.Agent>(agent: A, scheme: Scheme, carrier: Carrier): A {
  return Object.assign(agent, {
    addRequest(request: ClientRequest, given: RequestOptions): void {
      try {
        carry(request, scheme, given, carrier);
      } catch (error) {
        refuseRequest(request, error);
      }
    },
    // Node's own would go straight to the origin.
    createConnection(): never {
      throw new InvalidOptionError('agent', 'of a transport opens connections for requests only');
    },
  });
}

function carry(request: ClientRequest, scheme: Scheme, given: RequestOptions, carrier: Carrier): void {
  const { settings, options, registry, tls } = carrier;
  refuseDetours(given);
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
  if (registry.isClosed) throw attempt.closed();
  const own = takeProxyHeaders(request);
  if (route.kind !== 'forward') dropLateProxyHeaders(request);
  attempt.isAuthenticating = own !== null || (route.kind !== 'direct' && Boolean(route.proxy.credentials));
  const agent = registry.get(route, origin, {
    tls: origin.secure ? tls.optionsFor(request, given) : undefined,
    proxyAuthorization: route.kind === 'direct' || route.kind === 'socks' ? null : own,
  });
  if (route.kind !== 'direct') hideHead(request, attempt);
  watch(request, attempt, given.timeout);
  // Aborted before it began: no connection is opened for it.
  if (request.destroyed) {
    refuseRequest(request, null);
    return;
  }
  boundWait(request, attempt);
  agent.addRequest(request, { [EXCHANGE]: { origin, attempt } });
}

const DETOURS = ['socketPath', 'localAddress', 'localPort', 'lookup'] as const;

// Somebody counts on them: on a network that nothing leaves, or on addresses that were checked.
function refuseDetours(given: RequestOptions): void {
  const detour = DETOURS.find((name) => given[name]);
  if (detour) throw new InvalidOptionError(detour, 'has no effect on the routes of a transport; leave it out');
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
  request.once('finish', () => {
    if (attempt.phase === 'request') attempt.phase = 'response';
  });
  const ignoreHead = onHead(request, () => {
    attempt.phase = 'body';
  });
  let isFailed = false;
  // Not 'error': an error that the client does not listen to must stay unheard.
  request.once(errorMonitor, (error) => {
    isFailed = true;
    publishError(attempt, error);
  });
  request.once('close', () => {
    ignoreHead();
    attempt.finish();
    const { statusCode = 0, complete = false } = responseOf(request) ?? {};
    if (!isFailed) publishEnd(attempt, statusCode, complete);
  });
}

/** What comes after the connection is between the client and its origin. */
function boundWait(request: ClientRequest, attempt: Attempt): void {
  const stop = startDeadline(attempt.totalLeft, () => {
    const error = attempt.timedOut('total');
    attempt.stop(error);
    request.destroy(error);
  });
  request.once('socket', stop).once('close', stop);
}

function urlOf(scheme: Scheme, { host, hostname, port }: RequestOptions, path: string): URL {
  const name = String(hostname ?? host ?? 'localhost').replace(/^\[|\]$/g, '');
  const authority = `${name.includes(':') ? `[${name}]` : name}${port ? `:${port}` : ''}`;
  const url = readUrl(`${scheme}://${authority}${path.startsWith('/') ? path : '/'}`);
  if (url === null) throw new InvalidOptionError('host', 'and port of the request make no URL');
  return url;
}

// RFC 6455 §4.1: it needs a tunnel; a proxy that forwards takes `Upgrade` for its own (RFC 9110 §7.8).
function isWebSocket(request: ClientRequest): boolean {
  return headerOf(request, 'upgrade')?.toLowerCase() === 'websocket';
}

/** The time that the client gives the whole request is more than enough for its connection. */
function withTimeout(timeouts: ResolvedTimeouts, timeout: number | undefined): ResolvedTimeouts {
  if (!timeout) return timeouts;
  const shorter = (deadline: number): number => Math.min(deadline === 0 ? LONGEST : deadline, timeout);
  return { ...timeouts, connect: shorter(timeouts.connect), handshake: shorter(timeouts.handshake) };
}
