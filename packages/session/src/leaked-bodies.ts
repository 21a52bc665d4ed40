import type { Readable } from 'node:stream';
import { maskUrl } from '@cloudlane/transport';
import type { PreparedRequest } from './prepared-request.ts';

interface Unread {
  readonly body: Readable;
  readonly method: string;
  readonly url: URL;
}

// A body that nobody can read any more would hold its connection for ever.
const unread = new FinalizationRegistry<Unread>(({ body, method, url }) => {
  if (body.readableEnded || body.destroyed) return;
  body.on('error', () => {}).destroy();
  process.emitWarning(
    `The body of an answer to ${method} ${maskUrl(url)} was neither read nor released; its connection was closed. Read content(), or call release().`,
    { type: 'LeakWarning', code: 'CLOUDLANE_LEAKED_BODY' },
  );
});

// Only as long as nobody has asked for them.
const bodies = new WeakMap<object, Readable>();

/** Tells of the answer by a process warning, and frees its connection, if it is lost with its body unread. */
export function watchBody(answer: object, body: Readable, { method, url }: PreparedRequest): void {
  unread.register(answer, { body, method, url }, answer);
  bodies.set(answer, body);
}

/** The body is somebody's business now. */
export function forgetBody(answer: object): void {
  unread.unregister(answer);
  bodies.delete(answer);
}

/** The body of an answer that nobody has asked for yet, to listen to; null if there is none. */
export function unreadBody(answer: object): Readable | null {
  return bodies.get(answer) ?? null;
}
