import { compileBypass } from './bypass.ts';
import type { Bypass, Candidate, Trace } from './candidate.ts';
import { ENVIRON_NAMES, type EnvironName, type EnvironReader } from './environment.ts';
import { readProxyUrl } from './proxy-url.ts';
import type { Target, TargetScheme } from './target.ts';

/** Where the proxy for an URL is looked for, by the URL's scheme. */
const SEARCH_ORDER: Readonly<Record<TargetScheme, readonly EnvironName[]>> = {
  http: ['http', 'all'],
  https: ['https', 'all', 'http'],
  ws: ['ws', 'socks', 'https', 'http', 'all'],
  wss: ['wss', 'socks', 'https', 'all'],
};

/** What the environment's variables say about a target, if anything. */
export function chooseFromEnvironment(
  { scheme }: Target,
  environment: EnvironReader,
  trace?: Trace,
): Candidate | undefined {
  if (trace) warnAboutSpelling(scheme, environment, trace);
  for (const name of SEARCH_ORDER[scheme]) {
    const found = environment.find(name);
    const source = `env:${found?.variable ?? `${name}_proxy`}`;
    if (found && found.value.trim() !== '') {
      return {
        source,
        rule: `the first variable for ${scheme} URLs that has a value`,
        open: () => readProxyUrl(found.value, source, name === 'socks' ? 'socks5h' : 'http'),
        text: found.value.trim(),
      };
    }
    trace?.considered.push({ source, reason: found ? 'is empty' : 'is not set' });
  }
  if (trace) warnAboutOtherSchemes(scheme, environment, trace);
  return undefined;
}

/** The environment's `no_proxy`. */
export function readEnvironBypass(environment: EnvironReader, trace?: Trace): Bypass[] {
  const found = environment.find('no');
  const source = `env:${found?.variable ?? 'no_proxy'}`;
  if (!found) {
    trace?.considered.push({ source, reason: 'is not set' });
    return [];
  }
  const hidden = trace && environment.findHidden('no');
  if (hidden) trace.warnings.push(`env:${hidden} does not count: ${source} exists and is empty`);
  return [{ source, list: compileBypass(found.value) }];
}

function warnAboutSpelling(scheme: TargetScheme, environment: EnvironReader, trace: Trace): void {
  for (const name of SEARCH_ORDER[scheme]) {
    const hidden = environment.findHidden(name);
    if (hidden) trace.warnings.push(`env:${hidden} does not count: env:${name}_proxy exists and is empty`);
  }
  const guarded = SEARCH_ORDER[scheme].includes('http') ? environment.findGuarded() : undefined;
  if (guarded === undefined) return;
  trace.warnings.push(`env:${guarded} is not read: REQUEST_METHOD is set, so it may come from a request header`);
}

function warnAboutOtherSchemes(scheme: TargetScheme, environment: EnvironReader, trace: Trace): void {
  for (const name of ENVIRON_NAMES) {
    if (name === 'no' || SEARCH_ORDER[scheme].includes(name)) continue;
    const variable = environment.findSet(name);
    if (variable !== undefined) trace.warnings.push(`env:${variable} is set, but not for ${scheme} URLs`);
  }
}
