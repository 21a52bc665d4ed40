import { compileBypass, toBypassText } from './bypass.ts';
import type { Bypass, Candidate, Trace } from './candidate.ts';
import { readProxyUrl, toText } from './proxy-url.ts';
import type { SystemProxies } from './settings.ts';
import type { Target, TargetScheme } from './target.ts';

/** The order of websockets and of browsers: a SOCKS proxy for what the others do not cover, and first for WebSockets. */
const SEARCH_ORDER: Readonly<Record<TargetScheme, readonly ('http' | 'https' | 'socks')[]>> = {
  http: ['http', 'socks'],
  https: ['https', 'socks'],
  ws: ['socks', 'https', 'http'],
  wss: ['socks', 'https'],
};

/** What the operating system's settings say about a target, if anything. */
export function chooseFromSystem({ scheme }: Target, system: SystemProxies, trace?: Trace): Candidate | undefined {
  const source = system.source ?? 'system';
  for (const name of SEARCH_ORDER[scheme]) {
    const value: unknown = system[name];
    if (value !== undefined && value !== null && toText(value) !== '') {
      return {
        source,
        rule: `its ${name} proxy`,
        open: () => readProxyUrl(value, source, name === 'socks' ? 'socks5h' : 'http'),
        text: toText(value),
      };
    }
    trace?.considered.push({ source, reason: `has no ${name} proxy` });
  }
  return undefined;
}

/** The operating system's own list of hosts that go direct. */
export function readSystemBypass({ bypass, source = 'system' }: SystemProxies): Bypass[] {
  return bypass === undefined ? [] : [{ source, list: compileBypass(toBypassText(bypass, 'system.bypass')) }];
}
