import type { Writable } from 'node:stream';
import { formatProxy, InvalidOptionError, resolveRoute } from '@cloudlane/proxy';
import type { TransportRequest } from '@cloudlane/transport';
import { isWritable, writeLine } from './line-writer.ts';
import { SecretFilter } from './secret-filter.ts';
import { shownUrl } from './shown-url.ts';
import type { WireObserver } from './wire-observer.ts';

/** Where `verbose` writes its lines, and what more they tell. */
export interface VerboseOptions {
  readonly to: Writable;
  /** Whether a fourth column tells the proxy, masked, or `direct`. @defaultValue false */
  readonly showRoute?: boolean | undefined;
}

/**
 * Writes one line for each request that goes out: ISO time, method, URL, with three spaces between them, as Requests
 * 0.11.1 does; without its secrets. With `showRoute` the route follows, as in `tunnel http://user:***@proxy:3128`.
 *
 * @throws InvalidOptionError if there is no stream to write to
 */
export function verboseObserver(options: Writable | VerboseOptions): WireObserver {
  const { to, showRoute = false } = isWritable(options) ? { to: options } : checked(options);
  const filter = new SecretFilter();
  return {
    sending({ transported, startedAt }) {
      writeLine(to, () => {
        const { method = 'GET' } = transported;
        const columns = [new Date(startedAt).toISOString(), method, shownUrl(transported, filter)];
        if (showRoute) columns.push(shownRoute(transported));
        return columns.join('   ');
      });
    },
  };
}

function checked(options: VerboseOptions): VerboseOptions {
  if (typeof options !== 'object' || options === null || !isWritable(options.to))
    throw new InvalidOptionError('verbose', 'must be a writable stream, or an object with one as `to`');
  if (typeof options.showRoute !== 'boolean' && options.showRoute !== undefined)
    throw new InvalidOptionError('verbose.showRoute', 'must be true or false');
  for (const name of Object.keys(options)) {
    if (name !== 'to' && name !== 'showRoute')
      throw new InvalidOptionError(`verbose.${name}`, 'is not an option of it');
  }
  return options;
}

function shownRoute(transported: TransportRequest): string {
  try {
    const route = resolveRoute(transported.url, transported);
    return route.kind === 'direct' ? 'direct' : `${route.kind} ${formatProxy(route.proxy)}`;
  } catch {
    // The request itself tells what is wrong with its settings.
    return 'no route';
  }
}
