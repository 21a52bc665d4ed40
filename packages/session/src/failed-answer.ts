import { Readable } from 'node:stream';
import { explainRoute, resolveRoute } from '@cloudlane/proxy';
import { type CloudlaneError, NO_TIMINGS, TransportError } from '@cloudlane/transport';
import type { WireSettings } from './call-settings.ts';
import { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';

/** What stands for the answer to a request that did not get through, in `safeMode`: no status, and the error. */
export function failedAnswer(
  request: PreparedRequest,
  error: CloudlaneError,
  settings: WireSettings,
  history: readonly HttpResponse[],
  elapsed: number,
): HttpResponse {
  const { url } = request;
  const carried = {
    status: 0,
    statusText: '',
    headers: {},
    body: Readable.from([]),
    url,
    route: resolveRoute(url, settings),
    connection: null,
    explain: () => explainRoute(url, settings),
    timings: (error instanceof TransportError ? error.timings : null) ?? NO_TIMINGS,
    reusedConnection: error instanceof TransportError && error.reusedConnection,
    isBodyUnsent: false,
  };
  return new HttpResponse({ request, carried, history, elapsed, error });
}
