import { errorPage, type Reply } from './reply.ts';

/** Why the origin was not reached: what was asked for is no address, or nobody knows it, or nobody listens there, or else. */
export type UpstreamFault = 'malformed' | 'unknown' | 'refused' | 'failed';

// As squid: 503 if nobody listens, 502 for the rest.
const STATUS: Readonly<Record<UpstreamFault, number>> = { malformed: 400, unknown: 502, refused: 503, failed: 502 };

/** Why the origin was not reached. */
export class UpstreamError extends Error {
  readonly fault: UpstreamFault;

  /** `detail` is for people, and may hold what a client sent. */
  constructor(fault: UpstreamFault, detail: string) {
    super(printable(detail));
    this.name = 'UpstreamError';
    this.fault = fault;
  }

  /** The reply of an HTTP proxy that says so. */
  get reply(): Reply {
    return errorPage(STATUS[this.fault], this.message);
  }
}

/** What a failed connection to `target` comes to. */
export function unreachable(target: string, error: Error): UpstreamError {
  if (error instanceof UpstreamError) return error;
  const code = 'code' in error ? String(error.code) : error.message;
  return new UpstreamError(code === 'ECONNREFUSED' ? 'refused' : 'failed', `Cannot reach ${target}: ${code}`);
}

function printable(text: string): string {
  return text.replace(/[<>&]/g, (character) => `&#${character.charCodeAt(0)};`);
}
