// What a session does with auth, for a single request: see AuthBase.
import type { RequestBody, Transport, TransportRequest } from '@cloudlane/transport';
import type { AuthBase } from '../../packages/session/src/auth.ts';
import { HttpResponse } from '../../packages/session/src/http-response.ts';
import { PreparedRequest } from '../../packages/session/src/prepared-request.ts';
import { newTransport } from '../transport/lab.ts';

export interface Sending extends Omit<TransportRequest, 'url' | 'headers' | 'body'> {
  readonly headers?: Record<string, string>;
  readonly body?: RequestBody | null;
  /** Makes each body after the first. */
  readonly renew?: () => RequestBody;
  readonly transport?: Transport;
  readonly maxSends?: number;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export async function send(auth: AuthBase, url: string, sending: Sending = {}): Promise<Answer> {
  return sendPrepared(auth, prepare(url, sending), sending);
}

export function prepare(
  url: string,
  { method = 'GET', headers = {}, body = null, renew }: Sending = {},
): PreparedRequest {
  const content = { body, headers: {}, renew: renew ?? null };
  return new PreparedRequest({ method, url: new URL(url), target: null, headers: { ...headers }, content }, () => {
    throw new Error('is sent by nobody');
  });
}

export async function sendPrepared(auth: AuthBase, request: PreparedRequest, sending: Sending = {}): Promise<Answer> {
  const { transport = newTransport(), maxSends = 3, renew: _, headers: __, body: ___, ...rest } = sending;
  for (let sends = 1; ; sends += 1) {
    await auth.apply(request);
    const { method, url, headers, body } = request;
    const carried = await transport.send({ http_proxy: null, ...rest, method, url, headers, body });
    const response = new HttpResponse({ request, carried, elapsed: 0 });
    const isRepeated = carried.status === 401 && sends < maxSends && (await auth.answerChallenge?.(response));
    if (!isRepeated) return { status: response.status, text: await response.text() };
    await response.content();
    request.renewBody();
  }
}
