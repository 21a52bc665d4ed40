import type { IncomingMessage } from 'node:http';
import { UpstreamError } from './upstream-error.ts';

/** A request target in absolute form, in its parts. */
export interface AbsoluteForm {
  readonly secure: boolean;
  readonly authority: string;
  /** In origin form, or `*`. */
  readonly path: string;
}

/** Splits the target by hand: the URL parser would tidy up a path that must arrive as it was sent. */
export function parseAbsolute({ url = '', method }: IncomingMessage): AbsoluteForm {
  const [, scheme, authority, rest] = /^(https?):\/\/(?:[^/?#]*@)?([^/?#]+)(.*)$/i.exec(url) ?? [];
  if (scheme === undefined || authority === undefined || rest === undefined) {
    throw new UpstreamError('malformed', 'A proxy needs the absolute form.');
  }
  // RFC 9112 §3.2.4: OPTIONS without a path is about the whole server.
  const path = rest === '' && method === 'OPTIONS' ? '*' : rest.startsWith('/') ? rest : `/${rest}`;
  return { secure: scheme.toLowerCase() === 'https', authority, path };
}
