// What a session raises besides the transport's errors:
//
//   CloudlaneError
//   ├─ HttpStatusError          an answer of 400 or above, if that was to be an error
//   ├─ RedirectError            a redirect that is not followed: response
//   │  └─ TooManyRedirectsError
//   ├─ BodyReplayError          a body that cannot be sent a second time
//   ├─ SessionClosedError       the session was closed
//   ├─ StreamConsumedError      a body that was taken as a stream
//   └─ JsonDecodeError          a body that is not JSON: line, column
import { CloudlaneError, maskUrl } from '@cloudlane/transport';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';

/** An answer with a 4xx or 5xx status, raised by `raiseForStatus()`. */
export class HttpStatusError extends CloudlaneError {
  readonly status: number;
  readonly url: string;

  constructor(response: HttpResponse) {
    super(
      `${response.request.method} ${maskUrl(response.url)} was answered with ${response.status} ${response.statusText}`.trimEnd(),
      'ERR_HTTP_STATUS',
    );
    this.status = response.status;
    this.url = maskUrl(response.url);
  }
}

/** A body that cannot be read: it was taken as a stream before, or given up by `release()`. */
export class StreamConsumedError extends CloudlaneError {
  constructor(response: HttpResponse, why = 'was already taken as a stream; read either the stream or content()') {
    super(`The body of ${maskUrl(response.url)} ${why}`, 'ERR_STREAM_CONSUMED');
  }
}

/** A redirect that is not followed, though redirects are; the call ends here. */
export class RedirectError extends CloudlaneError {
  readonly status: number;
  readonly url: string;
  /** How many redirects had been followed. */
  readonly redirects: number;

  constructor(response: HttpResponse, why: string, code = 'ERR_REDIRECT') {
    super(`${response.request.method} ${maskUrl(response.url)}: ${why}`, code);
    this.status = response.status;
    this.url = maskUrl(response.url);
    this.redirects = response.history.length;
  }
}

/** More redirects than `maxRedirects`. */
export class TooManyRedirectsError extends RedirectError {
  constructor(response: HttpResponse, maxRedirects: number) {
    super(response, `redirected more often than maxRedirects, ${maxRedirects}, allows`, 'ERR_TOO_MANY_REDIRECTS');
  }
}

/** A request must go out again (a redirect, a challenge, a second try), but its body is a stream that has been read. */
export class BodyReplayError extends CloudlaneError {
  readonly url: string;

  constructor(request: PreparedRequest) {
    super(
      `${request.method} ${maskUrl(request.url)} must be sent again, but its body is a stream that has been read; give data as a function that makes a fresh one, or as bytes`,
      'ERR_BODY_REPLAY',
    );
    this.url = maskUrl(request.url);
  }
}

/** The session was closed; make another one. */
export class SessionClosedError extends CloudlaneError {
  constructor() {
    super('The session was closed, and sends nothing any more', 'ERR_SESSION_CLOSED');
  }
}
