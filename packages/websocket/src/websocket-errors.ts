import {
  hide,
  maskUrl,
  readAnswerBody,
  readRetryAfter,
  shownProxy,
  TransportError,
  type TransportErrorInit,
  type TransportResponse,
} from '@cloudlane/transport';

/** What a server said instead of switching protocols. `body` holds at most the first 64 KiB. */
export interface UpgradeAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: TransportResponse['headers'];
  readonly body: Buffer;
}

/**
 * The origin answered the handshake with something else than 101 (RFC 6455 §4.1): it wants other credentials, or knows no
 * WebSocket there. `headers` and `body` can be read, but are not printed.
 */
export class WebSocketUpgradeError extends TransportError {
  readonly status: number;
  readonly statusText: string;
  /** Milliseconds that the origin asked to wait (`Retry-After`), or null. */
  readonly retryAfter: number | null;
  /** Names in lower case. */
  declare readonly headers: TransportResponse['headers'];
  declare readonly body: Buffer;

  constructor(message: string, init: TransportErrorInit & UpgradeAnswer) {
    super(message, { code: 'ERR_WEBSOCKET_UPGRADE', ...init });
    this.status = init.status;
    this.statusText = init.statusText;
    this.retryAfter = readRetryAfter(init.headers['retry-after']);
    // May hold cookies, and pages.
    hide(this, 'headers', init.headers);
    hide(this, 'body', init.body);
  }
}

/** The origin redirected the handshake to where it cannot, or must not, be followed. */
export class WebSocketRedirectError extends WebSocketUpgradeError {
  constructor(message: string, init: TransportErrorInit & UpgradeAnswer) {
    super(message, { code: 'ERR_WEBSOCKET_REDIRECT', ...init });
  }
}

/** The error for an answer that is not 101; its body is read as far as the error keeps it. */
export async function refusalOf(response: TransportResponse): Promise<WebSocketUpgradeError> {
  const answer = await answerOf(response);
  const what = `${describeHandshake(response)}: the origin did not open a WebSocket: ${answer.status} ${answer.statusText}`;
  return new WebSocketUpgradeError(what.trim(), {
    ...factsOf(response),
    ...answer,
    retryable: answer.status >= 502 && answer.status <= 504,
  });
}

/** The error for a redirect that is not followed. */
export async function redirectRefusalOf(response: TransportResponse, why: string): Promise<WebSocketRedirectError> {
  const what = `${describeHandshake(response)}: the redirect (${response.status}) is not followed: ${why}`;
  return new WebSocketRedirectError(what, { ...factsOf(response), ...(await answerOf(response)) });
}

/** What every error after the head of an answer carries. */
export function factsOf(response: TransportResponse): TransportErrorInit {
  const { route, url, timings, explain } = response;
  return {
    phase: 'response',
    hop: 'origin',
    proxy: shownProxy(route),
    url: maskUrl(url),
    hasConnectedToProxy: route.kind !== 'direct',
    route,
    timings,
    explain,
  };
}

/** `GET wss://api.example/console through http://user:***@proxy:3128`, for messages. */
export function describeHandshake(response: TransportResponse): string {
  const proxy = shownProxy(response.route);
  return `GET ${maskUrl(response.url)}${proxy === null ? '' : ` through ${proxy}`}`;
}

async function answerOf({ status, statusText, headers, body }: TransportResponse): Promise<UpgradeAnswer> {
  return { status, statusText, headers, body: await readAnswerBody(body) };
}
