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

/** Tells of the answer by a process warning, and frees its connection, if it is lost with its body unread. */
export function watchBody(answer: object, body: Readable, { method, url }: PreparedRequest): void {
  unread.register(answer, { body, method, url }, answer);
}

/** The body is somebody's business now. */
export function forgetBody(answer: object): void {
  unread.unregister(answer);
}
