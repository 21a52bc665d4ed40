// What Node's ClientRequest does for agents, but its published types do not tell.
import type { ClientRequest, IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Attempt } from './attempt.ts';

/**
 * Fails a request that got no connection, for the reason its attempt was stopped. A request of ours hears the reason
 * from its attempt; a request of others (see `Transport.agents`) has to be given it.
 */
export function failRequest(request: ClientRequest, attempt: Attempt): void {
  const reason = attempt.isForeign && !request.destroyed ? attempt.translate(undefined) : undefined;
  refuseRequest(request, reason);
}

/** Fails a request that has no connection yet. */
export function refuseRequest(request: ClientRequest, reason: unknown): void {
  // As its own error first: Node 22 and later swallow one that comes with the socket if its code is ERR_PROXY_TUNNEL.
  if (reason instanceof Error) request.destroy(reason);
  // Node's onSocket takes an error as its second argument; the published types know only the first.
  const { onSocket } = request as { onSocket(socket: Socket | null, error: Error): void };
  onSocket.call(request, null, new Error('no connection could be opened'));
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
export function responseOf(request: ClientRequest): { readonly headers: IncomingHttpHeaders } | undefined {
  return Reflect.get(request, 'res');
}
