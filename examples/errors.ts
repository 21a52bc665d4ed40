import { NotFoundError } from '@cloudlane/connection';
import type { S3Storage } from '@cloudlane/driver-aws';
import { ProxyAuthenticationError, ProxyError, TransportError } from '@cloudlane/transport';

/** Says in words why a call failed. */
export async function whyItFailed(storage: S3Storage): Promise<string> {
  // #region errors
  try {
    await storage.headObject('backups', '2026-11-20.tar');
  } catch (error) {
    if (error instanceof ProxyAuthenticationError) return `the proxy wants ${error.schemes.join(' or ')} credentials`;
    if (error instanceof ProxyError) return `the proxy ${error.proxy} failed in ${error.phase}`;
    if (error instanceof TransportError) return `the ${error.hop} failed in ${error.phase} (${error.code})`;
    if (error instanceof NotFoundError) return `no such object (request ${error.requestId})`;
    throw error;
  }
  // #endregion
  return 'it did not fail';
}
