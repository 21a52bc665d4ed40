import type { ProxyServer, Route } from '@cloudlane/proxy';
import { MASK, type TransportRequest } from '@cloudlane/transport';
import { headerWord, listHeaders } from './curl-headers.ts';
import type { SecretFilter } from './secret-filter.ts';
import { quoteForShell } from './shell-quote.ts';

/** The route of a request as options of curl. They leave nothing to the variables of the shell that it is run in. */
export function curlProxy(transported: TransportRequest, route: Route, filter: SecretFilter): string[] {
  if (route.kind === 'direct') return ["--noproxy '*'"];
  const { proxy, kind } = route;
  const words = ["--noproxy ''", `--proxy ${quoteForShell(addressOf(proxy))}`];
  if (proxy.credentials) words.push(`--proxy-user ${quoteForShell(userOf(proxy.credentials, filter))}`);
  if (kind === 'socks') return words;
  return [...words, ...proxyHeaders(transported, route, filter)];
}

function addressOf({ scheme, host, port }: ProxyServer): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

// curl decodes both parts (CURLOPT_PROXYUSERPWD), other than those of --user.
function userOf({ username, password }: { username: string; password: string }, filter: SecretFilter): string {
  if (filter.shows('proxy')) return `${encodeURIComponent(username)}:${encodeURIComponent(password)}`;
  // A user name without a password is usually an access token.
  return password === '' ? `${MASK}:` : `${encodeURIComponent(username)}:${MASK}`;
}

function proxyHeaders(
  transported: TransportRequest,
  { kind, proxy }: Exclude<Route, { kind: 'direct' }>,
  filter: SecretFilter,
): string[] {
  const own = [...listHeaders(transported)].filter(([name]) => name.toLowerCase() === 'proxy-authorization');
  const sent = [...Object.entries(proxy.headers ?? {}), ...own];
  const names = new Set(sent.map(([name]) => name.toLowerCase()));
  // What curl would tell a proxy of its own accord. Forwarded requests have the User-Agent of the request.
  const unwanted = kind === 'tunnel' ? ['Proxy-Connection', 'User-Agent'] : ['Proxy-Connection'];
  return [
    ...sent.map(([name, value]) => headerWord('--proxy-header', name, shownValue(name, value, filter))),
    ...unwanted.filter((name) => !names.has(name.toLowerCase())).map((name) => `--proxy-header ${name}:`),
  ];
}

// Most headers for a proxy are there to prove who is asking.
function shownValue(name: string, value: string, filter: SecretFilter): string {
  return filter.shows('proxy') || filter.shows(name) ? value : MASK;
}
