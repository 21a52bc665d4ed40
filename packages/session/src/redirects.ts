import { maskUrl, resolveLocation, survivesRedirect } from '@cloudlane/transport';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';
import { RedirectError } from './session-errors.ts';

/** Where a redirect leads, and as what. */
export interface Redirection {
  readonly method: string;
  readonly url: URL;
  readonly headers: Record<string, string>;
  /** Whether the body goes there too. */
  readonly keepsBody: boolean;
  /** Whether it stays with the origin it came from: only then credentials and cookies of the caller go along. */
  readonly isSameOrigin: boolean;
}

/** What decides how redirects are followed. */
export interface RedirectRules {
  readonly allowInsecureRedirects: boolean;
  readonly strictMode: boolean;
}

/**
 * What to ask for next.
 * @throws RedirectError if the place cannot be asked, or not safely
 */
export function readRedirection(
  response: HttpResponse,
  request: PreparedRequest,
  { allowInsecureRedirects, strictMode }: RedirectRules,
): Redirection {
  const url = readLocation(response);
  if (url.protocol === 'http:' && request.url.protocol === 'https:' && !allowInsecureRedirects) {
    throw new RedirectError(
      response,
      `leads from https to ${maskUrl(url)}; write allowInsecureRedirects: true if it may`,
      'ERR_REDIRECT_INSECURE',
    );
  }
  const method = strictMode && response.status !== 303 ? request.method : nextMethod(response.status, request.method);
  const keepsBody = response.status !== 303 && method === request.method && request.body !== null;
  const isSameOrigin = url.origin === request.url.origin;
  return { method, url, headers: nextHeaders(request.headers, keepsBody, isSameOrigin), keepsBody, isSameOrigin };
}

function readLocation(response: HttpResponse): URL {
  const url = resolveLocation(response.headers.location ?? '', response.url);
  if (url === null) throw new RedirectError(response, 'redirects to something that is no URL');
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new RedirectError(response, `redirects to ${url.protocol}, which is neither http nor https`);
  return url;
}

// RFC 9110 §15.4.2–4: what every client does with POST, and what 303 means for all but HEAD.
function nextMethod(status: number, method: string): string {
  if (status === 303) return method === 'HEAD' ? 'HEAD' : 'GET';
  return (status === 301 || status === 302) && method === 'POST' ? 'GET' : method;
}

function nextHeaders(
  headers: Readonly<Record<string, string>>,
  keepsBody: boolean,
  isSameOrigin: boolean,
): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => {
    const lower = name.toLowerCase();
    return isOfBody(lower) ? keepsBody : survivesRedirect(lower, isSameOrigin);
  });
  return Object.fromEntries(kept);
}

/** Whether a header, its name in lower case, tells of the body (RFC 9110 §15.4). */
export function isOfBody(name: string): boolean {
  return name.startsWith('content-') || OF_BODY.has(name);
}

const OF_BODY: ReadonlySet<string> = new Set(['transfer-encoding', 'trailer', 'digest', 'repr-digest', 'expect']);
