import { findBypass, findNearMisses } from './bypass.ts';
import type { Bypass, Candidate, Trace } from './candidate.ts';
import { chooseExplicit, readExplicitBypasses } from './choose-explicit.ts';
import { chooseFromEnvironment, readEnvironBypass } from './choose-from-environment.ts';
import { chooseFromSystem, readSystemBypass } from './choose-from-system.ts';
import { EnvironReader } from './environment.ts';
import { InvalidOptionError } from './errors.ts';
import { maskEntry } from './mask.ts';
import type { ProxyServer } from './proxy-server.ts';
import { hasScheme } from './proxy-url.ts';
import type { Route, RouteExplanation } from './route.ts';
import type { RouteSettings } from './settings.ts';
import { parseTarget, type Target } from './target.ts';

const DIRECT: Route = Object.freeze({ kind: 'direct' });

/** The decision behind both `resolveRoute` and `explainRoute`, so that they cannot disagree. */
export function decideRoute(
  url: string | URL,
  settings: RouteSettings,
  trace?: Trace,
): Pick<RouteExplanation, 'route' | 'source' | 'rule'> {
  checkSettings(settings);
  const target = parseTarget(url);
  const { candidate, bypasses } = choose(target, settings, trace);
  if (!candidate) return { route: DIRECT, source: 'none', rule: `no proxy is set for ${target.scheme} URLs` };
  const { source, rule, open } = candidate;
  if (!open) return { route: DIRECT, source, rule };
  // Before the proxy is read: a request that bypasses it does not need it to be usable.
  for (const bypass of bypasses) {
    const match = findBypass(target, bypass.list);
    if (match)
      return { route: DIRECT, source: bypass.source, rule: `entry '${maskEntry(match.entry)}' matches ${target.host}` };
    if (trace) noteBypass(target, bypass, trace);
  }
  const proxy = open();
  if (trace) warnAboutProxy(candidate, proxy, trace);
  return { route: toRoute(target, proxy), source, rule };
}

interface Choice {
  readonly candidate: Candidate | undefined;
  readonly bypasses: readonly Bypass[];
}

function choose(target: Target, settings: RouteSettings, trace: Trace | undefined): Choice {
  const label = settings.source ?? 'option http_proxy';
  const explicit = readExplicitBypasses(settings);
  const given = chooseExplicit(target, settings, label, trace);
  if (given) {
    trace?.considered.push({ source: 'environment', reason: `is not read: ${label} wins` });
    return { candidate: given, bypasses: explicit };
  }
  const environment = settings.trustEnv === false ? undefined : new EnvironReader(settings.env);
  const fromEnvironment = environment && chooseFromEnvironment(target, environment, trace);
  if (!environment) trace?.considered.push({ source: 'environment', reason: 'is not read: trustEnv is false' });
  const { system } = settings;
  const fromSystem = system && !fromEnvironment ? chooseFromSystem(target, system, trace) : undefined;
  const candidate = fromEnvironment ?? fromSystem;
  if (!candidate || explicit.length > 0) return { candidate, bypasses: explicit };
  const bypasses = environment ? readEnvironBypass(environment, trace) : [];
  return { candidate, bypasses: system && fromSystem ? [...bypasses, ...readSystemBypass(system)] : bypasses };
}

function toRoute({ scheme }: Target, proxy: ProxyServer): Route {
  if (proxy.scheme.startsWith('socks')) return Object.freeze({ kind: 'socks', proxy });
  // RFC 6455 §4.1: a WebSocket asks an HTTP proxy for a tunnel, also without TLS.
  return Object.freeze({ kind: scheme === 'http' ? 'forward' : 'tunnel', proxy });
}

function noteBypass(target: Target, { source, list }: Bypass, trace: Trace): void {
  trace.considered.push({ source, reason: `has no entry that matches ${target.host}` });
  for (const { entry, reason } of list.unusable)
    trace.warnings.push(`${source}: '${entry}' never matches, because ${reason}`);
  for (const { entry, reason } of findNearMisses(target, list)) trace.warnings.push(`${source}: '${entry}' ${reason}`);
}

function warnAboutProxy({ source, text }: Candidate, { scheme, credentials }: ProxyServer, trace: Trace): void {
  if (text !== undefined && !hasScheme(text))
    trace.warnings.push(`${source} has no scheme and is taken for ${scheme}://`);
  if (scheme.startsWith('socks4') && credentials && credentials.password !== '') {
    trace.warnings.push(`${source} has a password, but SOCKS 4 sends the user name only`);
  }
}

function checkSettings(settings: RouteSettings): void {
  const given: unknown = settings;
  if (typeof given !== 'object' || given === null) throw new InvalidOptionError('settings', 'it is not an object');
  const { trustEnv, system, source }: { readonly [Key in keyof RouteSettings]: unknown } = settings;
  if (trustEnv !== undefined && typeof trustEnv !== 'boolean')
    throw new InvalidOptionError('trustEnv', 'it is not a boolean');
  if (system !== undefined && (typeof system !== 'object' || system === null)) {
    throw new InvalidOptionError('system', 'it is not an object');
  }
  if (system && 'source' in system && system.source !== undefined && typeof system.source !== 'string') {
    throw new InvalidOptionError('system.source', 'it is not a string');
  }
  if (source !== undefined && typeof source !== 'string') throw new InvalidOptionError('source', 'it is not a string');
}
