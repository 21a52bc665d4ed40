import type { BypassList } from './bypass.ts';
import type { ProxyServer } from './proxy-server.ts';
import type { ConsideredSetting } from './route.ts';

/** A setting that has an answer for an URL, unless the URL is kept away from proxies. */
export interface Candidate {
  /** As in `RouteExplanation.source`. */
  readonly source: string;
  /** As in `RouteExplanation.rule`. */
  readonly rule: string;
  /** Reads the value, which until then may be unusable. `null`: direct. */
  readonly open: (() => ProxyServer) | null;
  /** The value's text, which only explanations look at. */
  readonly text?: string | undefined;
}

/** A list of hosts that go direct, and whose it is. */
export interface Bypass {
  readonly source: string;
  readonly list: BypassList;
}

/** Notes for an explanation. They never influence the decision. */
export interface Trace {
  readonly considered: ConsideredSetting[];
  readonly warnings: string[];
}
