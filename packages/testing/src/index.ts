export {
  type AnyMisbehaviour,
  type AnyScheme,
  type LabAnyProxy,
  type LabAnyProxyOptions,
  startAnyProxy,
} from './any-proxy.ts';
export { type CertificateRequest, createCa, type IssuedCertificate, type LabCa } from './ca.ts';
export { type BlackHole, blackHole, closedPort } from './dead-ends.ts';
export type { ProxyHop } from './exchange.ts';
export { type CredentialLeak, credentialLeaks, forgetCredentialLeaks } from './ledger.ts';
export type { LabHeaders, LabHost, Peer } from './listener.ts';
export type { Misbehaviour } from './misbehaviour.ts';
export { type LabOrigin, type OriginHandler, type OriginOptions, type OriginRequest, startOrigin } from './origin.ts';
export { type LabProxy, type LabProxyOptions, startProxy } from './proxy.ts';
export { type LabSocks, type LabSocksOptions, type SocksScheme, startSocks, type UrlForOptions } from './socks.ts';
export type { SocksHop } from './socks-exchange.ts';
export type { SocksMisbehaviour, SocksPhase } from './socks-misbehaviour.ts';
export type { SocksAddressType } from './socks-wire.ts';
export type { LabStation } from './station.ts';
export type { LabTls } from './tls-door.ts';
