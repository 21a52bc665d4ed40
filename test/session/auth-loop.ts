// Requests with auth, through a session of their own.
import { type Auth, type PreparedRequest, type RequestOptions, Session } from '@cloudlane/session';
import type { Transport } from '@cloudlane/transport';
import { newTransport } from '../transport/lab.ts';

export interface Sending extends RequestOptions {
  readonly method?: string;
  /** @defaultValue a new one */
  readonly transport?: Transport;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Prepares a request that goes directly, if nothing else is said. */
export function prepare(url: string, { method = 'GET', transport, ...options }: Sending = {}): PreparedRequest {
  return new Session({ transport: transport ?? newTransport() }).prepare(method, url, { http_proxy: null, ...options });
}

export function send(auth: Auth, url: string, sending: Sending = {}): Promise<Answer> {
  return sendPrepared(prepare(url, { ...sending, auth }));
}

/** Sends it, again if it was sent before. */
export async function sendPrepared(request: PreparedRequest): Promise<Answer> {
  const response = await request.send({ again: true });
  return { status: response.status, text: await response.text() };
}
