import { explainRoute, type Route } from '@cloudlane/proxy';

/** The route of one URL under explicit settings; pure, nothing is sent. */
export function routeOf(url: string): { route: Route; why: string } {
  // #region routes
  const { route, source, rule } = explainRoute(url, {
    http_proxy: { https: 'http://user:password@proxy.example:3128', 'https://internal.example': null },
    env: { http_proxy: 'http://other.example:8080', no_proxy: '10.0.0.0/8' },
  });
  // #endregion
  return { route, why: `${source}: ${rule}` };
}
