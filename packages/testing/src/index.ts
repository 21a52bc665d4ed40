export { type CertificateRequest, createCa, type IssuedCertificate, type LabCa } from './ca.ts';
export { type BlackHole, blackHole, closedPort } from './dead-ends.ts';
export type { ProxyHop } from './exchange.ts';
export { type CredentialLeak, credentialLeaks, forgetCredentialLeaks } from './ledger.ts';
export type { LabHeaders, LabHost, LabTls, Peer } from './listener.ts';
export type { Misbehaviour } from './misbehaviour.ts';
export { type LabOrigin, type OriginHandler, type OriginOptions, type OriginRequest, startOrigin } from './origin.ts';
export { type LabProxy, type LabProxyOptions, startProxy } from './proxy.ts';
