import type { TransportRequest } from '@cloudlane/transport';
import type { HttpResponse } from './http-response.ts';
import type { PreparedRequest } from './prepared-request.ts';

/** One request as it is handed to the transport: a hop of a call, or another try of one. */
export interface WireRequest {
  readonly request: PreparedRequest;
  /** All that the transport was given: route settings, TLS options and deadlines too. */
  readonly transported: TransportRequest;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

/** Hears of every request that goes out, redirects and second tries included; must not throw, and changes nothing. */
export interface WireObserver {
  sending?(sent: WireRequest): void;
  /** The head of the answer is there. */
  answered?(sent: WireRequest, response: HttpResponse): void;
  failed?(sent: WireRequest, error: unknown): void;
}
