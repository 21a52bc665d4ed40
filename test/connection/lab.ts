// Connections to the lab's origins, in this process and in others.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Connection, type ConnectionOptions } from '@cloudlane/connection';
import type { HttpProxy, RouteExplanation } from '@cloudlane/proxy';
import type { LabOrigin } from '@cloudlane/testing';
import { newTransport } from '../transport/lab.ts';

export { type Gate, newGate } from '../support/gate.ts';

/** A connection to an origin, with a transport of its own that trusts the lab. */
export function connectTo(origin: Pick<LabOrigin, 'url'>, options: ConnectionOptions = {}): Connection {
  return new Connection({ baseUrl: origin.url, transport: newTransport(), ...options });
}

/** A call for another process. */
export interface PlannedCall {
  readonly options: Omit<ConnectionOptions, 'transport'>;
  /** What `setHttpProxy` is called with; `{}`: with undefined. Not called if left out. */
  readonly set?: { readonly to?: HttpProxy } | undefined;
  readonly action: string;
  readonly http_proxy?: HttpProxy | undefined;
}

export interface CallOutcome {
  readonly object: { readonly from: string };
  /** Of `explain`, before the call. */
  readonly explanation: RouteExplanation;
  /** Of the answer. */
  readonly followed: RouteExplanation;
  readonly error?: {
    readonly name: string;
    readonly code: string;
    readonly source?: string;
    readonly message: string;
  };
}

/** Runs the calls in a process of their own, with these variables beside those of this process. */
export async function callInOtherProcess(
  env: Readonly<Record<string, string>>,
  calls: readonly PlannedCall[],
): Promise<CallOutcome[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'call.mjs')], { env: { ...process.env, ...env } });
  child.stdin.end(JSON.stringify(calls));
  const [output, complaints] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if (complaints !== '') throw new Error(`The process complained:\n${complaints}`);
  return JSON.parse(output);
}
