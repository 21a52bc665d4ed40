/**
 * How the client speaks to a proxy. `socks5` and `socks4` look the origin's name up here; `socks5h` and `socks4a`
 * leave that to the proxy.
 */
export type ProxyScheme = 'http' | 'https' | 'socks4' | 'socks4a' | 'socks5' | 'socks5h';

/** User name and password for a proxy, both decoded. Those made by this package print as `***`. */
export interface ProxyCredentials {
  readonly username: string;
  readonly password: string;
}

/** One proxy, ready to be dialled. Frozen; equal settings usually give the identical object. */
export interface ProxyServer {
  readonly scheme: ProxyScheme;
  /** Lower case, international names in ASCII, IPv6 addresses without brackets. */
  readonly host: string;
  /** Always set; 80, 443 or 1080 where the setting names none. */
  readonly port: number;
  /** Left out where the setting has none. An empty password is not the same as no credentials. */
  readonly credentials?: ProxyCredentials;
  /** Headers for the proxy alone, never for an origin. HTTP and HTTPS proxies only. Values print as `***`. */
  readonly headers?: Readonly<Record<string, string>>;
}
