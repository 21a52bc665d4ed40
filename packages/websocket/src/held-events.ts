/** Whose events they are. */
export interface EventHost {
  listenerCount(event: string | symbol): number;
  /** Tells an event to those who listen. */
  tell(event: string | symbol, args: unknown[]): void;
  /** Whether its user has paused it, and wants no messages. */
  isPausedByUser(): boolean;
  isOpen(): boolean;
  /** Has the connection read no more, or again. */
  holdBack(isHeldBack: boolean): void;
}

type HeldEvent = readonly [event: string | symbol, args: unknown[]];

/** Bytes of messages that wait before the connection is held back. */
const MOST_HELD = 64 * 1024;

/** What waits until somebody listens. */
const HELD: ReadonlySet<string | symbol> = new Set(['message', 'error', 'close']);

/**
 * What a WebSocket has to tell while nobody listens. It is told, in its order, to whoever listens later; what still has no
 * listener then goes on waiting.
 */
export class HeldEvents {
  readonly #host: EventHost;
  #events: HeldEvent[] = [];
  #weight = 0;
  #isFlushing = false;
  #isHeldBack = false;
  /** Whether anybody has ever wanted messages. */
  #hasReader = false;

  constructor(host: EventHost) {
    this.#host = host;
  }

  /** Whether there is nothing that a reader of messages would have to be told. */
  get isEmpty(): boolean {
    return this.#events.every(([event]) => event === 'close');
  }

  /** @returns whether the event waits; else it is to be told now */
  keep(event: string | symbol, args: unknown[]): boolean {
    if (!HELD.has(event)) return false;
    if (!this.#isFlushing && this.#isHeard([event, args])) return false;
    this.#events.push([event, args]);
    if (event === 'message') {
      this.#weight += weightOf(args[0]);
      if (this.#weight >= MOST_HELD) this.#overflow();
    }
    return true;
  }

  /** Somebody listens from now on. */
  heard(event: string | symbol): void {
    if (event === 'message') this.#hasReader = true;
    if (this.#events.length > 0 && HELD.has(event)) this.flushSoon();
  }

  /** The message that waits longest. */
  takeMessage(): unknown[] | undefined {
    this.#hasReader = true;
    return this.#take(isMessage)?.[1];
  }

  /** Tells in a later step what waits, so that all listeners that are added together get it. */
  flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(() => this.#flush());
  }

  /** Nobody will listen any more; what is left of the connection is to be read. */
  release(): void {
    if (!this.#isHeldBack) return;
    this.#isHeldBack = false;
    this.#host.holdBack(false);
  }

  #flush(): void {
    try {
      for (let next = this.#takeHeard(); next !== undefined; next = this.#takeHeard()) this.#host.tell(...next);
    } finally {
      this.#isFlushing = false;
      // A listener has thrown.
      if (this.#events.some((held) => this.#isHeard(held))) this.flushSoon();
    }
    if (this.#weight >= MOST_HELD) this.#overflow();
  }

  #isHeard([event]: HeldEvent): boolean {
    if (event === 'message' && this.#host.isPausedByUser()) return false;
    return this.#host.listenerCount(event) > 0;
  }

  #takeHeard(): HeldEvent | undefined {
    return this.#take((held) => this.#isHeard(held));
  }

  #take(isWanted: (held: HeldEvent) => boolean): HeldEvent | undefined {
    const index = this.#events.findIndex(isWanted);
    if (index === -1) return undefined;
    const [taken] = this.#events.splice(index, 1);
    if (taken !== undefined && isMessage(taken)) {
      this.#weight -= weightOf(taken[1][0]);
      if (this.#weight < MOST_HELD) this.release();
    }
    return taken;
  }

  #overflow(): void {
    // Of one that is being closed the rest is read, up to the other end's part of it.
    if (!this.#host.isOpen()) return;
    // Who waits for the end alone must get it: it stands behind what would not be read.
    if (!this.#hasReader && this.#host.listenerCount('close') > 0) this.#drop();
    else if (!this.#isHeldBack) {
      this.#isHeldBack = true;
      this.#host.holdBack(true);
    }
  }

  #drop(): void {
    this.#events = this.#events.filter((held) => !isMessage(held));
    this.#weight = 0;
    this.release();
    if (hasWarned) return;
    hasWarned = true;
    process.emitWarning(
      "A WebSocket whose user listens to 'close', but not to 'message', drops what comes. Listen to 'message' if it matters.",
      { code: 'CLOUDLANE_UNREAD_MESSAGES' },
    );
  }
}

let hasWarned = false;

function isMessage([event]: HeldEvent): boolean {
  return event === 'message';
}

/** What a message that waits costs, in bytes. */
function weightOf(data: unknown): number {
  if (Array.isArray(data)) return data.reduce((sum: number, part: unknown) => sum + weightOf(part), 0);
  if (data instanceof Blob) return HELD_MESSAGE + data.size;
  return HELD_MESSAGE + (Buffer.isBuffer(data) || data instanceof ArrayBuffer ? data.byteLength : 0);
}

/** Bytes that a message takes besides its content, about. */
const HELD_MESSAGE = 128;
