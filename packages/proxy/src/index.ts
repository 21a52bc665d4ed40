export { shouldBypass } from './bypass.ts';
export type { Environment, EnvironName, EnvironProxies, EnvironProxy } from './environment.ts';
export { getEnvironProxies } from './environment.ts';
export { InvalidOptionError, InvalidProxyUrlError } from './errors.ts';
export type { ProxyCredentials, ProxyScheme, ProxyServer } from './proxy-server.ts';
export { formatProxy, parseProxyUrl } from './proxy-url.ts';
export { explainRoute, resolveRoute } from './resolve.ts';
export type { ConsideredSetting, Route, RouteExplanation } from './route.ts';
export type { HttpProxy, ProxyMap, ProxyOptions, RouteSettings, SystemProxies } from './settings.ts';
