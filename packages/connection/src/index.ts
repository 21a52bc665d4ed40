export { ApiResponse, JsonResponse, RawResponse, type ResponseFormat, XmlResponse } from './api-response.ts';
export { type CallContext, Connection, type MutableHeaders, type MutableParams } from './connection.ts';
export type { ApiRequestOptions, CallOptions, ConnectionOptions, WebSocketCallOptions } from './connection-options.ts';
export { KeyConnection, UserAndKeyConnection } from './key-connection.ts';
export {
  ConflictError,
  InvalidCredentialsError,
  MalformedResponseError,
  NotFoundError,
  ProviderError,
  type ProviderErrorDetails,
  type ProviderErrorInit,
  type ProviderErrorKind,
  RateLimitError,
  ServiceUnavailableError,
} from './provider-errors.ts';
