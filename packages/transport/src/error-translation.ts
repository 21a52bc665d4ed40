import type { Attempt } from './attempt.ts';
import {
  CloudlaneError,
  ConnectError,
  ProtocolError,
  ProxyConnectError,
  ProxyError,
  ProxyTlsError,
  ResetError,
  TlsError,
  type TransportError,
} from './errors.ts';
import { isError, messageOf } from './foreign-error.ts';

/** The one place where errors of Node become ours: by the phase that the try is in, and by their code. */
export function translateError(error: unknown, attempt: Attempt): unknown {
  if (error instanceof CloudlaneError || !isError(error)) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const facts = attempt.facts(error);
  const why = messageOf(error);
  if (code.startsWith('ERR_SSL_') && !attempt.phase.endsWith('-tls')) return lateTlsFault(error, code, attempt);
  switch (attempt.phase) {
    case 'proxy-dns':
    case 'proxy-connect':
      return new ProxyConnectError(`${attempt}: could not reach the proxy: ${why}`, { ...facts, retryable: true });
    case 'origin-dns':
    case 'origin-connect':
      return new ConnectError(`${attempt}: could not reach the origin: ${why}`, { ...facts, retryable: true });
    case 'proxy-tls':
      return new ProxyTlsError(`${attempt}: TLS with the proxy failed: ${why}${tlsHint(code, 'proxyTls')}`, {
        ...facts,
        retryable: BROKEN.has(code),
      });
    case 'proxy-handshake':
      return new ProxyError(`${attempt}: the proxy ended the connection during ${attempt.handshake}: ${why}`, {
        ...facts,
        code: 'ERR_PROXY_RESET',
        retryable: true,
      });
    case 'origin-tls':
      return BROKEN.has(code)
        ? new ResetError(`${attempt}: the connection broke during TLS with the origin: ${why}`, {
            ...facts,
            retryable: true,
          })
        : new TlsError(`${attempt}: TLS with the origin failed: ${why}${tlsHint(code, 'tls')}`, facts);
    default:
      return code.startsWith('HPE_')
        ? new ProtocolError(`${attempt}: the answer is not valid HTTP: ${why}`, facts)
        : new ResetError(`${attempt}: the connection broke while ${attempt.doing}: ${why}`, facts);
  }
}

// In TLS 1.3 the client's part of the handshake is over before the server has judged the client's certificate.
function lateTlsFault(error: Error, code: string, attempt: Attempt): TransportError {
  const isProxys = attempt.phase === 'proxy-handshake' || attempt.route.kind === 'forward';
  const [Failure, peer, option] = isProxys
    ? ([ProxyTlsError, 'proxy', 'proxyTls'] as const)
    : ([TlsError, 'origin', 'tls'] as const);
  return new Failure(
    `${attempt}: the ${peer} ended TLS while ${attempt.doing}: ${messageOf(error)}${tlsHint(code, option)}`,
    attempt.facts(error),
  );
}

// OpenSSL's words for a chain that ends at nobody we trust.
const UNKNOWN_AUTHORITY = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  // An authority of that name is trusted, with another key: the old one of a company, say.
  'CERT_SIGNATURE_FAILURE',
]);

/** Which option to change, where the fault tells. */
function tlsHint(code: string, option: 'tls' | 'proxyTls'): string {
  if (code === 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')
    return `; it wants a client certificate: give ${option}.cert and ${option}.key`;
  if (UNKNOWN_AUTHORITY.has(code)) return `; if you trust its authority, give that in ${option}.ca`;
  if (code !== 'ERR_SSL_WRONG_VERSION_NUMBER' && code !== 'ERR_SSL_PACKET_LENGTH_TOO_LONG') return '';
  return `; it does not seem to speak TLS${option === 'proxyTls' ? ': write http:// for the proxy' : ''}`;
}

// "aborted" and "socket hang up" come as ECONNRESET; TLS over a dying tunnel as ECONNRESET or EPIPE.
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED']);
