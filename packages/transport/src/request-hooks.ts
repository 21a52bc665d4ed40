// What Node's ClientRequest does for agents, but its published types do not tell.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Attempt } from './attempt.ts';
import { isError } from './foreign-error.ts';

/**
 * Fails a request that got no connection, for the reason its attempt was stopped. A request of ours hears the reason
 * from its attempt; a request of others (see `Transport.agents`) has to be given it.
 */
export function failRequest(request: ClientRequest, attempt: Attempt): void {
  refuseRequest(request, attempt.isForeign ? attempt.translate(undefined) : undefined);
}

/** Fails a request that has no connection yet. One that its client has destroyed hears what Node says to that. */
export function refuseRequest(request: ClientRequest, reason: unknown): void {
  if (isError(reason)) process.nextTick(tell, request, reason);
  else endWithoutSocket(request, new Error('no connection could be opened'));
}

// Not by the agent's usual way, `onSocket(null, reason)`: there Node 22 and later swallow a reason whose code is
// ERR_PROXY_TUNNEL, taking it for that of its own proxy agent.
function tell(request: ClientRequest, reason: Error): void {
  if (request.destroyed) {
    endWithoutSocket(request, null);
    return;
  }
  request.destroy(reason);
  request.emit('error', reason);
  Reflect.set(request, '_closed', true);
  request.emit('close');
}

function endWithoutSocket(request: ClientRequest, error: Error | null): void {
  // Node's onSocket takes an error as its second argument; the published types know only the first.
  const { onSocket } = request as { onSocket(socket: Socket | null, error: Error | null): void };
  onSocket.call(request, null, request.destroyed ? null : error);
}

/**
 * `destroy()` on a request without a socket only notes the error: its events come when the agent answers. So the agent
 * has to see the call.
 */
export function onDestroy(request: ClientRequest, listener: (error: Error | undefined) => void): () => void {
  const unhook = (): void => void Reflect.deleteProperty(request, 'destroy');
  request.destroy = function destroy(error?: Error): ClientRequest {
    unhook();
    request.destroy(error);
    listener(error);
    return request;
  };
  return unhook;
}

/** The answer that a request has got. */
export function responseOf(request: ClientRequest): IncomingMessage | undefined {
  return Reflect.get(request, 'res');
}

/**
 * Tells of the head of the answer. A listener of 'response' would have Node keep a body that nobody reads, which it
 * drops else. Returns how to stop listening.
 */
export function onHead(request: ClientRequest, listener: () => void): () => void {
  if (awaited.size === 0) subscribe(HEAD, tellHead);
  awaited.set(request, listener);
  return () => {
    awaited.delete(request);
    if (awaited.size === 0) unsubscribe(HEAD, tellHead);
  };
}

// Node's channel for all its requests; in spite of its name it comes with the head.
const HEAD = 'http.client.response.finish';
const awaited = new Map<unknown, () => void>();

function tellHead(message: unknown): void {
  const { request } = message as { readonly request?: unknown };
  awaited.get(request)?.();
}
