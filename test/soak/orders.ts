// What each of the requests is like: drawn from its number, so that a run can be repeated.

import type { Timeouts } from '@cloudlane/transport';
import { Dice } from './dice.ts';
import type { Act, Way } from './plan.ts';

/** What is sent. 'stuck' and 'failing' are streams that come to no good end. */
export type Upload = 'nothing' | 'bytes' | 'stream' | 'declared stream' | 'stuck stream' | 'failing stream';
/** What is done with the body of the answer. */
export type Reading = 'whole' | 'late' | 'half' | 'none';
export type Abort =
  | { readonly when: 'never' | 'never, with a signal that others share' | 'before' | 'at once' | 'at the head' }
  | { readonly when: 'after turns'; readonly turns: number }
  | { readonly when: 'after milliseconds'; readonly milliseconds: number };

/** One request, and what happens to it. */
export interface Order {
  readonly id: number;
  readonly way: Way;
  readonly method: string;
  readonly act: Act;
  /** Bytes that are asked for. */
  readonly size: number;
  readonly upload: Upload;
  /** Bytes that are sent. */
  readonly uploadSize: number;
  readonly reading: Reading;
  readonly abort: Abort;
  readonly timeout: Timeouts;
  /** Whether there is nothing that may keep it from a complete answer. */
  readonly mustSucceed: boolean;
}

const ACTS: Readonly<Record<Act, number>> = {
  echo: 86,
  'echo and close': 3,
  refuse: 3,
  destroy: 2,
  'break off': 2,
  stall: 2,
  hang: 2,
};
const UPLOADS = { bytes: 50, stream: 20, 'declared stream': 20, 'stuck stream': 3, 'failing stream': 7 } as const;
const READINGS: Readonly<Record<Reading, number>> = { whole: 80, late: 10, half: 5, none: 5 };
const ABORTS = {
  never: 43,
  'never, with a signal that others share': 43,
  before: 1,
  'at once': 2,
  'after turns': 5,
  'after milliseconds': 4,
  'at the head': 2,
} as const;

/** Milliseconds for what is silent by itself. */
const SILENCE = 40;

export function drawOrder(seed: number, id: number, sound: readonly Way[], faulty: readonly Way[]): Order {
  const dice = new Dice(seed, id);
  const way = dice.pick(dice.isBelow(0.8) ? sound : faulty);
  const method = dice.weigh({ GET: 60, POST: 20, PUT: 20 });
  const act = dice.weigh(ACTS);
  const upload = method === 'GET' ? 'nothing' : dice.weigh(UPLOADS);
  const when = dice.weigh(ABORTS);
  const total = dice.isBelow(0.05) ? { total: dice.between(1, 30) } : {};
  return {
    id,
    way,
    method,
    act,
    size: dice.isBelow(0.05) ? 200_000 : dice.between(20, 2_000),
    upload,
    uploadSize: upload === 'nothing' ? 0 : dice.isBelow(0.1) ? 100_000 : dice.between(0, 2_000),
    reading: dice.weigh(READINGS),
    abort: abortOf(when, dice),
    timeout: { ...way.timeout, ...silenceOf(act, upload), ...total },
    mustSucceed:
      way.works &&
      (act === 'echo' || act === 'echo and close') &&
      !('total' in total) &&
      when.startsWith('never') &&
      upload !== 'stuck stream' &&
      upload !== 'failing stream',
  };
}

function abortOf(when: keyof typeof ABORTS, dice: Dice): Abort {
  if (when === 'after turns') return { when, turns: dice.between(1, 30) };
  if (when === 'after milliseconds') return { when, milliseconds: dice.between(1, 20) };
  return { when };
}

/** The deadline of a request that nothing else would end. */
function silenceOf(act: Act, upload: Upload): Timeouts {
  if (upload === 'stuck stream') return { total: SILENCE };
  // Some proxies of the lab wait for the whole answer, so that its head does not come either.
  return act === 'hang' || act === 'stall' ? { firstByte: SILENCE, idle: SILENCE } : {};
}
