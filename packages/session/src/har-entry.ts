import { formatProxy, InvalidOptionError, InvalidProxyUrlError, type Route, resolveRoute } from '@cloudlane/proxy';
import { CloudlaneError, type Timings, TransportError } from '@cloudlane/transport';
import type { HarEntry, HarRequest } from './har-format.ts';
import { toHarRequest } from './har-request.ts';
import { NO_RESPONSE, toHarResponse } from './har-response.ts';
import { toHarTimes } from './har-timings.ts';
import type { HttpResponse } from './http-response.ts';
import type { SecretFilter } from './secret-filter.ts';
import type { WireRequest } from './wire-observer.ts';

/** What of each request and answer is kept. */
export interface HarKeeping {
  readonly filter: SecretFilter;
  /** Bytes up to which bodies are kept. */
  readonly limit: number;
}

/** An answer whose body may not have been read yet. */
export class OpenEntry {
  readonly startedAt: number;
  readonly #request: HarRequest;
  readonly #response: HttpResponse;
  readonly #keeping: HarKeeping;

  constructor(sent: WireRequest, response: HttpResponse, keeping: HarKeeping) {
    this.startedAt = sent.startedAt;
    const request = toHarRequest(sent.transported, keeping.filter, keeping.limit);
    this.#request = response.isBodyUnsent ? { ...request, bodySize: 0 } : request;
    this.#response = response;
    this.#keeping = keeping;
  }

  /** Whether nothing more will be learned of it. */
  get isComplete(): boolean {
    const { timings } = this.#response;
    return timings.total !== null && (this.#keeping.limit === 0 || this.#response.peekContent() !== null);
  }

  /** The entry as far as it is known. */
  get entry(): HarEntry {
    const response = this.#response;
    const { timings, connection, reusedConnection, error } = response;
    return {
      ...common(this.startedAt, this.#request, timings),
      response: toHarResponse(response, this.#keeping.filter, this.#keeping.limit),
      ...(connection && { connection: String(connection.id) }),
      ...(timings.total === null && { comment: 'the body has not been read to its end' }),
      ...routeFacts(response.route),
      _reusedConnection: reusedConnection,
      ...(error && { _error: describe(error) }),
    };
  }
}

/** The entry of a request that was not answered. */
export function failedEntry(sent: WireRequest, error: unknown, { filter, limit }: HarKeeping): HarEntry {
  const timings = error instanceof TransportError ? error.timings : null;
  const request = toHarRequest(sent.transported, filter, limit);
  return {
    ...common(sent.startedAt, request, timings, Math.max(0, Date.now() - sent.startedAt)),
    response: NO_RESPONSE,
    ...routeFacts(routeOf(sent, error)),
    _error: describe(error),
  };
}

function common(
  startedAt: number,
  request: HarRequest,
  timings: Timings | null,
  elapsed?: number,
): Pick<HarEntry, 'startedDateTime' | 'time' | 'request' | 'cache' | 'timings'> {
  return { startedDateTime: new Date(startedAt).toISOString(), request, cache: {}, ...toHarTimes(timings, elapsed) };
}

function routeOf({ transported }: WireRequest, error: unknown): Route | null {
  if (error instanceof TransportError && error.route !== null) return error.route;
  try {
    return resolveRoute(transported.url, transported);
  } catch {
    return null;
  }
}

function routeFacts(route: Route | null): Pick<HarEntry, '_route' | '_proxy'> {
  if (route === null) return {};
  return route.kind === 'direct' ? { _route: 'direct' } : { _route: route.kind, _proxy: formatProxy(route.proxy) };
}

// Our own messages show no secrets; what others write, nobody knows.
function describe(error: unknown): string {
  const isOurs =
    error instanceof CloudlaneError || error instanceof InvalidOptionError || error instanceof InvalidProxyUrlError;
  if (isOurs) return `${error.code}: ${error.message}`;
  const { code, name } = Object(error);
  return String(typeof code === 'string' ? code : (name ?? typeof error));
}
