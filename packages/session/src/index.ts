export { VERSION } from '@cloudlane/transport';
export { get, head, imap, map, options, patch, post, prepare, put, remove as delete, request } from './api.ts';
export { type Auth, AuthBase, HTTPBasicAuth, HTTPProxyAuth } from './auth.ts';
export type { SessionAxiosOptions } from './axios-options.ts';
export { type BearerTokens, HTTPBearerAuth } from './bearer-auth.ts';
export type { Carry } from './call-settings.ts';
export type { ManyRequest, MapOptions, RequestSource, RequestSpec } from './concurrency.ts';
export type { CookieFileFormat } from './cookie-file.ts';
export { CookieJar } from './cookie-jar.ts';
export type { CookieInfo, SameSite, SetCookieOptions } from './cookie-rules.ts';
export { toCurl } from './curl.ts';
export { HTTPDigestAuth } from './digest-auth.ts';
export { type HarOptions, HarRecorder } from './har.ts';
export type { HeaderValues } from './header-bag.ts';
export type { Hook, HookContext, HookList, Hooks, RequestArgs } from './hooks.ts';
export { HttpResponse } from './http-response.ts';
export { JsonDecodeError } from './json.ts';
export type { LinesOptions } from './lines.ts';
export { withParams } from './merge.ts';
export type { FileContent, FileOnDisk, FilePart, FileTuple, FileWithContent } from './multipart.ts';
export { NetrcAuth, type NetrcOptions } from './netrc-auth.ts';
export { PreparedRequest, type SendOptions } from './prepared-request.ts';
export { Session } from './session.ts';
export { httpResponseOf } from './session-answer.ts';
export {
  BodyReplayError,
  HttpStatusError,
  RedirectError,
  SessionClosedError,
  StreamConsumedError,
  TooManyRedirectsError,
} from './session-errors.ts';
export type {
  Behaviour,
  ClientCertificate,
  Cookies,
  CurlOptions,
  DownloadProgress,
  FormFields,
  QueryParams,
  RequestData,
  RequestOptions,
  SessionOptions,
} from './session-options.ts';
export type { VerboseOptions } from './verbose.ts';
export type { WireObserver, WireRequest } from './wire-observer.ts';
