import { formatProxy, type HttpProxy, type Route } from '@cloudlane/proxy';
import { type Command, Option } from 'commander';

/** What every command takes to choose a route. */
export interface RouteFlags {
  readonly httpProxy?: string;
  readonly direct?: boolean;
  readonly bypass?: string;
  readonly json?: boolean;
}

/** Adds the route flags to a command. */
export function withRouteFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--http-proxy <url>', 'proxy for every request, instead of the environment').conflicts('direct'),
    )
    .option('--direct', 'no proxy, whatever the environment says')
    .option('--bypass <hosts>', 'hosts that go direct, in the syntax of no_proxy')
    .option('--json', 'print JSON');
}

/** The flags as the options of a session or connection. */
export function toRouteSettings(flags: RouteFlags): { http_proxy?: HttpProxy; noProxy?: string } {
  return {
    ...(flags.direct ? { http_proxy: null } : flags.httpProxy === undefined ? {} : { http_proxy: flags.httpProxy }),
    ...(flags.bypass === undefined ? {} : { noProxy: flags.bypass }),
  };
}

/** `direct`, or `tunnel http://user:***@proxy:3128`. */
export function formatRoute(route: Route): string {
  return route.kind === 'direct' ? 'direct' : `${route.kind} ${formatProxy(route.proxy)}`;
}
