// Listens to what the transport tells of itself.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ConnectionEvent, RequestEndEvent, RequestErrorEvent, RequestPhaseEvent } from '@cloudlane/transport';
import { afterEach } from '@jest/globals';

/** Any of the events; `name` tells which. */
export type Event = Partial<RequestPhaseEvent & RequestEndEvent & RequestErrorEvent & ConnectionEvent>;

export const REQUEST = ['request:start', 'request:phase', 'request:end', 'request:error'] as const;
export const CONNECTION = ['connection:open', 'connection:close'] as const;
const stops: (() => void)[] = [];

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** What the channels tell from now on, each as its name and its event. */
export function listen(...names: readonly string[]): { readonly told: [name: string, event: Event][]; stop(): void } {
  const told: [string, Event][] = [];
  const note = (event: unknown, channel: string | symbol): void =>
    void told.push([String(channel).replace('cloudlane:', ''), event as Event]);
  for (const name of names) subscribe(`cloudlane:${name}`, note);
  const stop = (): void => {
    for (const name of names) unsubscribe(`cloudlane:${name}`, note);
  };
  stops.push(stop);
  return { told, stop };
}

/** The names of events, and the phases in place of theirs. */
export const named = (told: readonly [string, Event][]): string[] =>
  told.map(([name, { phase }]) => (phase === undefined ? name : phase));
