import { explainRoute, type RouteExplanation } from '@cloudlane/proxy';
import { maskUrl } from '@cloudlane/transport';
import { Command } from 'commander';
import { formatRoute, type RouteFlags, toRouteSettings, withRouteFlags } from './route-options.ts';
import { formatTable, type Terminal } from './terminal.ts';

/** `cloudlane route <url…>`: which way a request would take, and why. Sends nothing. */
export function routeCommand(terminal: Terminal): Command {
  return withRouteFlags(new Command('route'))
    .description('show the route that requests to these URLs take, and why; sends nothing')
    .argument('<url...>', 'http, https, ws or wss URLs')
    .action((urls: readonly string[], flags: RouteFlags) => {
      const explanations = urls.map((url) => {
        const explanation = explainRoute(url, { env: terminal.env, ...toRouteSettings(flags), source: '--http-proxy' });
        return { url: maskUrl(new URL(url)), ...explanation };
      });
      terminal.out(flags.json ? JSON.stringify(explanations, null, 2) : formatExplanations(explanations));
      if (flags.json) return;
      for (const { url, warnings } of explanations)
        for (const warning of warnings) terminal.err(`warning (${url}): ${warning}`);
    });
}

function formatExplanations(explanations: readonly (RouteExplanation & { readonly url: string })[]): string {
  return formatTable(
    ['URL', 'ROUTE', 'DECIDED BY', 'BECAUSE', 'PASSED OVER'],
    explanations.map(({ url, route, source, rule, considered }) => [
      url,
      formatRoute(route),
      source,
      rule,
      considered.map((setting) => `${setting.source} ${setting.reason}`).join('\n'),
    ]),
  );
}
