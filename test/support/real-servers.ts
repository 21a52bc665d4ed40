// Real servers from Debian packages: everything that a test needs of them, in one place. They are told apart by what
// they are: HTTP proxies, SOCKS servers, origins.
export type { Logging } from './real-log.ts';
export { describeReal, needs, type Requirement } from './real-needs.ts';
export {
  type ClientRun,
  type NetworkOptions,
  type RealNetwork,
  type RealNetworkWithServers,
  startNetwork,
  startNetworkWithServers,
} from './real-netns.ts';
export {
  type ApacheEntry,
  type ClientCertificate,
  type HaproxyOptions,
  type RealApache,
  type RealHaproxy,
  type RealNginx,
  type RealSwift,
  startApache,
  startHaproxy,
  startNginx,
  startSwift,
} from './real-origins.ts';
export {
  type Credentials,
  type RealProxy,
  type RealSquid,
  type SquidEntry,
  startSquid,
  startTinyproxy,
} from './real-proxies.ts';
export {
  type MitmproxyEntry,
  type MitmproxyOptions,
  type PrivoxyEntry,
  type PrivoxyOptions,
  type RealMitmproxy,
  type RealPrivoxy,
  type RealStunnel,
  type StunnelOptions,
  startMitmproxy,
  startPrivoxy,
  startStunnel,
} from './real-proxy-fronts.ts';
export { type Place, type RealServer, running } from './real-serve.ts';
export {
  type RealDante,
  type RealSocks,
  type RealSocksWithPassword,
  SOCKS_SCHEMES,
  type SocksEntry,
  type SocksScheme,
  startDante,
  startMicrosocks,
  startSshSocks,
} from './real-socks.ts';
