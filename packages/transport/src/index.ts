export type { AxiosInstance, AxiosResponse, InternalAxiosRequestConfig } from 'axios';
export { createAxios } from './axios-adapter.ts';
export { answerOf, type CarriedAnswer, type Carrier } from './axios-carrier.ts';
export { type Challenge, parseChallenges } from './challenges.ts';
export { ConnectionInfo, type ConnectionKind, type ConnectionState, type TlsFacts } from './connection-info.ts';
export { ACCEPTED_ENCODINGS, decodeBody, isDecodingFault, readAll } from './content-encoding.ts';
export { defaultAuthorities } from './default-authorities.ts';
export type {
  ConnectionEvent,
  RequestEndEvent,
  RequestErrorEvent,
  RequestEvent,
  RequestPhaseEvent,
} from './diagnostics.ts';
export {
  ClosedError,
  CloudlaneError,
  ConnectError,
  type Hop,
  type Phase,
  ProtocolError,
  type ProxyAnswer,
  ProxyAuthenticationError,
  ProxyConnectError,
  ProxyError,
  ProxyProtocolError,
  ProxyResponseError,
  ProxyTlsError,
  ProxyTunnelError,
  ResetError,
  SocksError,
  type SocksStep,
  TimeoutError,
  TlsError,
  TransportError,
  type TransportErrorInit,
} from './errors.ts';
export type { ForeignAgents } from './foreign-agents.ts';
export { HttpConnection, type HttpConnectionRequest, type TunnelOptions } from './http-connection.ts';
export { HttpConnectionResponse } from './http-connection-response.ts';
export { isSecretHeader, MASK, maskHeaders, maskUrl } from './masking.ts';
export { parseUrl } from './origin.ts';
export { printAs, serializeAs } from './printing.ts';
export { checkBody, type RequestBody, type UploadProgress } from './request-body.ts';
export { basicCredentials } from './request-headers.ts';
export { type LoadPackage, readSystemProxies } from './system-proxies.ts';
export type { Timeouts } from './timeouts.ts';
export { NO_TIMINGS, type Timings } from './timings.ts';
export type { TlsOptions } from './tls.ts';
export { sharedTransport, Transport } from './transport.ts';
export type { OpenOptions, RequestHeaders, TransportOptions, TransportRequest } from './transport-options.ts';
export { TransportResponse } from './transport-response.ts';
