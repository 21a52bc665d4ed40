export { type Auth, AuthBase, HTTPBasicAuth } from './auth.ts';
export { HttpResponse, HttpStatusError, StreamConsumedError } from './http-response.ts';
export { withParams } from './merge.ts';
export { PreparedRequest } from './prepared-request.ts';
export { Session } from './session.ts';
export type { QueryParams, RequestOptions, SessionOptions } from './session-options.ts';
export { VERSION } from './version.ts';
