import { isUtf8 } from 'node:buffer';
import { isSecretHeader, maskUrl } from '@cloudlane/transport';
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

/** Whether an answer names another place for what was asked (RFC 9110 §15.4). */
export function isRedirect(response: HttpResponse): boolean {
  // An empty one would lead to itself.
  return REDIRECTS.has(response.status) && (response.headers.location ?? '') !== '';
}

// 300 leaves the choice to a human, 304 is no redirect, 305 and 306 are history.
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

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
  let url: URL;
  try {
    url = new URL(decodeLocation(response.headers.location ?? ''), response.url);
  } catch {
    throw new RedirectError(response, 'redirects to something that is no URL');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new RedirectError(response, `redirects to ${url.protocol}, which is neither http nor https`);
  // RFC 9110 §10.2.2: a fragment is inherited.
  if (url.hash === '') url.hash = response.url.hash;
  // Credentials of a URL are for its origin; a relative Location inherits them anyway.
  if (url.origin === response.url.origin && url.username + url.password === '') {
    url.username = response.url.username;
    url.password = response.url.password;
  }
  return url;
}

// Node reads headers as latin1. What servers send beyond ASCII is UTF-8; other bytes go back to them as they came.
function decodeLocation(location: string): string {
  const bytes = Buffer.from(location, 'latin1');
  if (isUtf8(bytes)) return bytes.toString('utf8');
  return location.replaceAll(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
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
    if (lower === 'host') return isSameOrigin;
    if (isOfBody(lower)) return keepsBody;
    // Whether the proxy is still the same is for the caller to say.
    return isSameOrigin || lower === 'proxy-authorization' || !isSecretHeader(lower);
  });
  return Object.fromEntries(kept);
}

/** Whether a header, its name in lower case, tells of the body (RFC 9110 §15.4). */
export function isOfBody(name: string): boolean {
  return name.startsWith('content-') || OF_BODY.has(name);
}

const OF_BODY: ReadonlySet<string> = new Set(['transfer-encoding', 'trailer', 'digest', 'repr-digest', 'expect']);
