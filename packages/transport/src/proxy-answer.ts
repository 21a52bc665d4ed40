import type { Readable } from 'node:stream';
import type { Attempt } from './attempt.ts';
import { parseChallenges } from './challenges.ts';
import { type ProxyAnswer, ProxyAuthenticationError, ProxyResponseError, type TransportErrorInit } from './errors.ts';
import { startDeadline } from './timeouts.ts';

/** How much of a refusing proxy's page an error keeps. */
export const MAX_ANSWER_BODY: number = 64 * 1024;
/** Milliseconds to wait for that page: a refusal is told as such even if its page never comes to an end. */
export const REFUSAL_WAIT = 1_000;

/** The schemes of a `Proxy-Authenticate` field, in order and in lower case, and the first realm. */
export function readChallenges(field: string | readonly string[] | undefined): {
  schemes: string[];
  realm: string | null;
} {
  const challenges = parseChallenges(field);
  const realms = challenges.map(({ params }) => params.get('realm')).filter((realm) => realm !== undefined);
  return { schemes: challenges.map(({ scheme }) => scheme), realm: realms[0] ?? null };
}

/** The error for a 407, be it the answer to CONNECT or to a forwarded request. */
export function proxyAuthentication(
  what: string,
  init: TransportErrorInit & ProxyAnswer,
  attempt: Attempt,
): ProxyAuthenticationError {
  const { schemes, realm } = readChallenges(init.headers['proxy-authenticate']);
  const offers = schemes.length === 0 ? 'no scheme' : schemes.join(', ');
  const hint = attempt.isAuthenticating
    ? 'the credentials were not accepted'
    : 'it wants credentials; write http://user:password@host:port';
  return new ProxyAuthenticationError(`${what} was refused: 407, ${hint} (offered: ${offers})`, {
    ...init,
    schemes,
    realm,
  });
}

/** Whether a proxy, not the origin, made this answer to a forwarded request. */
export function isProxyAnswer(status: number, headers: ProxyAnswer['headers']): boolean {
  if (status === 407) return true;
  // RFC 9209 §2.1.3: `error` says that the proxy made the response itself. Squid marks its own pages.
  return (
    status >= 400 &&
    (headers['x-squid-error'] !== undefined || /;\s*error=/.test(String(headers['proxy-status'] ?? '')))
  );
}

/** The error for an answer that `isProxyAnswer`. */
export function proxyAnswerError(answer: ProxyAnswer, attempt: Attempt): ProxyAuthenticationError | ProxyResponseError {
  const init = { ...attempt.facts(), hop: 'proxy' as const, ...answer };
  if (answer.status === 407) return proxyAuthentication(String(attempt), init, attempt);
  const why = answer.headers['x-squid-error'] ?? answer.headers['proxy-status'];
  return new ProxyResponseError(
    `${attempt}: the proxy answered itself: ${answer.status} ${answer.statusText} (${why})`,
    {
      ...init,
      retryable: answer.status >= 502 && answer.status <= 504,
    },
  );
}

/** Reads at most `MAX_ANSWER_BODY` bytes for at most `REFUSAL_WAIT`. */
export async function readAnswerBody(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const stop = startDeadline(REFUSAL_WAIT, () => body.destroy());
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= MAX_ANSWER_BODY) break;
    }
  } catch {
    // The page broke off; the refusal itself is what counts.
  } finally {
    stop();
  }
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER_BODY);
}
