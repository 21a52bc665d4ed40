import { CloudlaneError } from '@cloudlane/transport';

/** One of the requests that a change takes. */
export interface Step {
  /** What it does, for the error: `create A 192.0.2.1`. */
  readonly what: string;
  run(): Promise<void>;
}

/**
 * A change of several steps failed in the middle. What was done stays done; the same call again does the rest. `cause`
 * is the error that stopped it.
 */
export class IncompleteChangeError extends CloudlaneError {
  /** What was done. */
  readonly done: readonly string[];
  /** What was not; the first of these failed. */
  readonly left: readonly string[];

  constructor(subject: string, done: readonly string[], left: readonly string[], cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(
      `${subject} was changed in part. Done: ${done.join(', ')}. Not done: ${left.join(', ')}. The reason: ${why}`,
      'ERR_INCOMPLETE_CHANGE',
      cause,
    );
    this.done = done;
    this.left = left;
  }
}

/** Takes one step after the other. @throws IncompleteChangeError if one fails and others were done; else what it threw */
export async function takeSteps(subject: string, steps: readonly Step[]): Promise<void> {
  for (const [index, step] of steps.entries()) {
    try {
      await step.run();
    } catch (error) {
      if (index === 0) throw error;
      const what = steps.map((each) => each.what);
      throw new IncompleteChangeError(subject, what.slice(0, index), what.slice(index), error);
    }
  }
}
