// What the process that runs the lab and the process that runs the client tell each other.
import type { Timeouts } from '@cloudlane/transport';

/** One way to one origin of the lab. */
export interface Way {
  /** `https over socks5h: half of the answer to request`. */
  readonly name: string;
  /** Of the origin, without a path. */
  readonly url: string;
  readonly http_proxy: string | null;
  /** Whether requests get through; if not, nothing is said about how they fail. */
  readonly works: boolean;
  /** What ends a request on a way that falls silent. */
  readonly timeout: Timeouts;
}

/** What the origins of the lab do with a request: its header `x-act`. */
export type Act = 'echo' | 'echo and close' | 'refuse' | 'destroy' | 'break off' | 'stall' | 'hang';

export interface SoakPlan {
  readonly seed: number;
  readonly requests: number;
  /** Requests after which every cache is full and all code is loaded, so that the heap has no reason left to grow. */
  readonly settledAfter: number;
  readonly concurrency: number;
  readonly ca: string;
  /** Those without a fault, and the others. */
  readonly sound: readonly Way[];
  readonly faulty: readonly Way[];
  /** Answers as soon as no server of the lab has a connection left. */
  readonly gate: string;
}

/** What the client's process holds at rest, after its garbage was collected. */
export interface Rest {
  /** Bytes. */
  readonly heap: number;
  /** Objects that are alive, by class. */
  readonly alive: Readonly<Record<string, number>>;
  readonly sockets: number;
  readonly timers: number;
}

export interface SoakReport {
  /** Before the first request. */
  readonly start: Rest;
  /** Bytes of heap after `settledAfter` requests. */
  readonly settledHeap: number;
  /** When the transport is closed. */
  readonly end: Rest;
  /** Requests by how they ended. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** What must not happen, in words. */
  readonly faults: readonly string[];
}
