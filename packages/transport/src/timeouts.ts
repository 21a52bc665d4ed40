import { InvalidOptionError } from '@cloudlane/proxy';

/**
 * Deadlines in milliseconds. `0` switches one off. Each covers its part of every hop, the proxy's included, and none
 * leaves a socket behind. Where a bare number is taken instead, it is `total`.
 */
export interface Timeouts {
  /** Name look-up and TCP connect to the first hop. @defaultValue 10_000 */
  readonly connect?: number;
  /** From the TCP connection to a usable one: proxy TLS, CONNECT, TLS with the origin. @defaultValue 15_000 */
  readonly handshake?: number;
  /** From the last byte of the request to the first of the answer; a body that waits (`Expect`) is not sent yet. @defaultValue 60_000 */
  readonly firstByte?: number;
  /** The longest silence while a body is sent or received; a slow reader of ours does not count. @defaultValue 60_000 */
  readonly idle?: number;
  /** From the call to the last byte of the answer's body, waiting for a free connection included. @defaultValue 0 */
  readonly total?: number;
}

export type ResolvedTimeouts = Required<Timeouts>;

export const DEFAULT_TIMEOUTS: ResolvedTimeouts = {
  connect: 10_000,
  handshake: 15_000,
  firstByte: 60_000,
  idle: 60_000,
  total: 0,
};

/** Milliseconds; setTimeout fires at once beyond this (2^31 - 1). */
export const LONGEST: number = 2_147_483_647;

/**
 * Lays deadlines over others; what is not given stays.
 * @throws InvalidOptionError if one is not a number of milliseconds from 0 to 2147483647
 */
export function resolveTimeouts(timeout: number | Timeouts | undefined, base: ResolvedTimeouts): ResolvedTimeouts {
  if (timeout === undefined) return base;
  if (typeof timeout !== 'number' && (typeof timeout !== 'object' || timeout === null))
    throw new InvalidOptionError('timeout', 'must be milliseconds, or an object of them');
  const given: Timeouts = typeof timeout === 'number' ? { total: timeout } : timeout;
  const resolved = { ...base };
  for (const [name, value] of Object.entries(given)) {
    if (!(name in DEFAULT_TIMEOUTS)) {
      throw new InvalidOptionError('timeout', `knows no "${name}"; write ${Object.keys(DEFAULT_TIMEOUTS).join(', ')}`);
    }
    if (value === undefined) continue;
    resolved[name as keyof Timeouts] = checkMilliseconds(`timeout.${name}`, value);
  }
  return resolved;
}

/** @throws InvalidOptionError naming the option that is no number of milliseconds a timer can wait; 0 is taken */
export function checkMilliseconds(option: string, value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= LONGEST) return value;
  throw new InvalidOptionError(option, `must be milliseconds from 0 (off) to ${LONGEST}`);
}

/** Calls `expire` once after `milliseconds`, unless the returned function is called first. 0: never. */
export function startDeadline(milliseconds: number, expire: () => void): () => void {
  if (milliseconds === 0) return nothing;
  let turn: NodeJS.Immediate | undefined;
  // While this process was busy itself, what it waits for may have come: that is read before the deadline counts.
  const timer = setTimeout(() => {
    turn = setImmediate(expire);
  }, milliseconds);
  return () => {
    clearTimeout(timer);
    clearImmediate(turn);
  };
}

function nothing(): void {}
