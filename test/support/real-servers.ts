// Real servers from Debian packages: everything that a test needs of them, in one place. They are told apart by what
// they are: HTTP proxies, SOCKS servers, origins.
export type { Logging } from './real-log.ts';
export { describeReal, needs, type Requirement } from './real-needs.ts';
export { type ClientCertificate, type RealNginx, type RealSwift, startNginx, startSwift } from './real-origins.ts';
export {
  type Credentials,
  type RealProxy,
  type RealSquid,
  type SquidEntry,
  startSquid,
  startTinyproxy,
} from './real-proxies.ts';
export { type RealServer, running } from './real-serve.ts';
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
