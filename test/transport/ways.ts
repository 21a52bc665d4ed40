import type { LabOrigin, LabProxy, LabProxyOptions, LabSocks, OriginOptions } from '@cloudlane/testing';
import { origin, proxy, type Scheme, socks } from './lab.ts';

/** How a request leaves: straight, or by a proxy of this scheme. */
export type Via = 'direct' | 'http' | 'https' | 'socks5h';

/** Every pair of origin and proxy whose connections are of another making. */
export const WAYS: readonly (readonly [scheme: Scheme, via: Via])[] = [
  ['http', 'direct'],
  ['https', 'direct'],
  ['http', 'http'],
  ['http', 'https'],
  ['https', 'http'],
  ['https', 'https'],
  ['http', 'socks5h'],
  ['https', 'socks5h'],
];

/** Those that begin at a proxy. */
export const PROXIED: readonly (readonly [scheme: Scheme, via: Exclude<Via, 'direct'>])[] = WAYS.flatMap(
  ([scheme, via]) => (via === 'direct' ? [] : [[scheme, via]]),
);

/** An origin, and what stands before it. */
export interface Way {
  readonly server: LabOrigin;
  readonly through: LabProxy | LabSocks | null;
  /** Where the client's connections end. */
  readonly first: LabOrigin | LabProxy | LabSocks;
  readonly request: { readonly url: string; readonly http_proxy: string | null };
}

export async function openWay(
  scheme: Scheme,
  via: Via,
  options: { readonly origin?: OriginOptions; readonly proxy?: Omit<LabProxyOptions, 'misbehaviour' | 'ca'> } = {},
): Promise<Way> {
  const server = await origin(scheme, options.origin);
  const through = await openProxy(via, options.proxy);
  const request = { url: server.url, http_proxy: through?.urlWithCredentials ?? null };
  return { server, through, first: through ?? server, request };
}

async function openProxy(
  via: Via,
  options: Omit<LabProxyOptions, 'misbehaviour' | 'ca'> = {},
): Promise<LabProxy | LabSocks | null> {
  if (via === 'direct') return null;
  return via === 'socks5h' ? socks(options) : proxy(via, options);
}
