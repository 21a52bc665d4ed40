import type { Timings } from '@cloudlane/transport';
import type { HarTimings } from './har-format.ts';

/** Timings in the archive's terms, and their sum. */
export interface HarTimes {
  readonly time: number;
  readonly timings: HarTimings;
}

/**
 * Sorts our phases into those of the archive, which knows one hop only: what is done to reach the proxy and the origin
 * is added up. What belongs to no phase (a first try on a connection that turned out to be closed) counts as `blocked`.
 *
 * @param timings null if nothing was measured
 * @param elapsed milliseconds in all, where nothing was
 */
export function toHarTimes(timings: Timings | null, elapsed = 0): HarTimes {
  if (timings === null) return { time: round(elapsed), timings: { ...NOTHING, blocked: round(elapsed) } };
  const { queue, proxyDns, proxyConnect, proxyTls, proxyHandshake, originDns, originConnect, originTls } = timings;
  const dns = add(proxyDns, originDns);
  const connect = add(proxyConnect, proxyTls, proxyHandshake, originConnect, originTls);
  const [send, wait, receive] = [add(timings.request), add(timings.firstByte), add(timings.body)].map(orZero);
  const known = [dns, connect, send, wait, receive].reduce<number>((sum, each) => sum + orZero(each), 0);
  const blocked = timings.total === null ? add(queue) : Math.max(orZero(queue), timings.total - known);
  const phases = {
    blocked: round(blocked),
    dns,
    connect,
    send: orZero(send),
    wait: orZero(wait),
    receive: orZero(receive),
  };
  const details = { queue, proxyDns, proxyConnect, proxyTls, proxyHandshake, originConnect, originTls };
  return {
    time: round(Object.values(phases).reduce((sum, each) => sum + orZero(each), 0)),
    timings: { ...phases, ssl: add(proxyTls, originTls), ...extensions(details) },
  };
}

const NOTHING: HarTimings = { blocked: -1, dns: -1, connect: -1, ssl: -1, send: 0, wait: 0, receive: 0 };

/** The sum of what happened; -1 if nothing did. */
function add(...phases: readonly (number | null)[]): number {
  const happened = phases.filter((phase) => phase !== null);
  return happened.length === 0 ? -1 : round(happened.reduce((sum, phase) => sum + phase, 0));
}

function orZero(milliseconds: number | null | undefined): number {
  return Math.max(0, milliseconds ?? 0);
}

// To the microsecond; the clock knows no more.
function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

function extensions(details: Readonly<Record<string, number | null>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(details).flatMap(([name, value]) => (value === null ? [] : [[`_${name}`, round(value)]])),
  );
}
