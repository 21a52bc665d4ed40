import type { OperationState, OperationStatus } from '@cloudlane/driver';

/** Something that DigitalOcean does to a droplet, as far as it is read here. */
export interface Action {
  readonly id: number;
  readonly status: string;
  readonly type?: string | null;
  readonly started_at?: string | null;
  readonly completed_at?: string | null;
}

const STATES: ReadonlyMap<string, OperationState> = new Map([
  ['in-progress', 'running'],
  ['completed', 'done'],
  ['errored', 'failed'],
]);

export function toStatus(action: Action): OperationStatus {
  const state = STATES.get(action.status) ?? 'running';
  return {
    state,
    progress: state === 'done' ? 100 : null,
    raw: action,
    ...(state === 'failed' && { reason: `DigitalOcean gave up the ${action.type ?? 'action'} and does not say why` }),
  };
}
