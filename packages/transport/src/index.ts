import type { RouteSettings } from '@cloudlane/proxy';
import type { TlsOptions } from './tls.ts';

export type { AxiosInstance, AxiosResponse, InternalAxiosRequestConfig } from 'axios';
export { createAxios } from './axios-adapter.ts';
export { answerOf, type CarriedAnswer, type Carrier } from './axios-carrier.ts';
export { hasInterceptors, type PassedRequest, passInterceptors, writtenByAxios } from './axios-passage.ts';
export { readCertificates } from './certificate-files.ts';
export { type Challenge, parseChallenges } from './challenges.ts';
export { ConnectionInfo, type ConnectionKind, type ConnectionState, type TlsFacts } from './connection-info.ts';
export { ACCEPTED_ENCODINGS, decodeBody, isDecodingFault, readAll, TooManyCodingsError } from './content-encoding.ts';
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
  hide,
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
export type { BeginRequest } from './exchange.ts';
export type { ForeignAgents } from './foreign-agents.ts';
export { HttpConnection, type HttpConnectionRequest, type TunnelOptions } from './http-connection.ts';
export { HttpConnectionResponse } from './http-connection-response.ts';
export { isRedirect, resolveLocation, survivesRedirect } from './location.ts';
export { hasUrls, MASK, maskForm, maskHeaders, maskUrl, maskUrlsIn } from './masking.ts';
export { onAbort, untilAborted } from './on-abort.ts';
export { handshakeUrl, parseUrl, readUrl, webSocketUrl } from './origin.ts';
export { printAs, serializeAs } from './printing.ts';
export { readAnswerBody } from './proxy-answer.ts';
export { checkBody, closeBody, isBuffered, type RequestBody, type UploadProgress } from './request-body.ts';
export { basicCredentials } from './request-headers.ts';
export { readRetryAfter } from './retry-after.ts';
export { haveSameProxy, shownProxy } from './route-choice.ts';
export { isSecretField, isSecretHeader } from './secret-names.ts';
export { type LoadPackage, readSystemProxies } from './system-proxies.ts';
export { checkMilliseconds, type Timeouts } from './timeouts.ts';
export { NO_TIMINGS, type Timings } from './timings.ts';
export { type TlsOptions, withoutIdentity } from './tls.ts';
export { sharedTransport, Transport } from './transport.ts';
export type {
  OpenOptions,
  RequestHeaders,
  TransportOptions,
  TransportRequest,
  UpgradeRequest,
} from './transport-options.ts';
export { checkCall, checkOptionNames, checkProxyTls, refuseOption } from './transport-options.ts';
export { TransportResponse } from './transport-response.ts';
export { VERSION } from './version.ts';

// axios' configs are written to: `axios.defaults.http_proxy = …`.
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * What an axios of ours takes in a call's config besides axios' own options (whose `env` is no environment). Declared
 * here, and not re-exported: carriers add theirs with `declare module '@cloudlane/transport'`.
 */
export interface AxiosCallOptions extends Writable<Omit<RouteSettings, 'env'>> {
  tls?: TlsOptions;
  proxyTls?: TlsOptions;
}
