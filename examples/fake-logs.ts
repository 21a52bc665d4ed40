import { type OriginOptions, startOrigin } from '@cloudlane/testing';
import { type WebSocket, WebSocketServer } from 'ws';

/** A provider of logs in this process, with the faults of one: it hangs up in the middle, and then is overloaded. */
export interface FakeLogs extends AsyncDisposable {
  /** For `baseUrl`. */
  readonly url: string;
  /** What each handshake asked for, in their order: the number of the last entry that the client had. */
  readonly asked: readonly number[];
}

/**
 * @param total entries of the log
 * @param cuts it hangs up after each of these entries, without the closing handshake; the next client after that gets a 503
 * @param tls makes it an https origin
 */
export async function startFakeLogs(
  token: string,
  total: number,
  cuts: readonly number[],
  tls?: OriginOptions['tls'],
): Promise<FakeLogs> {
  const sockets = new WebSocketServer({ noServer: true });
  const asked: number[] = [];
  const due = new Set(cuts);
  let isOverloaded = false;
  const send = (client: WebSocket, from: number): void => {
    for (let sequence = from + 1; sequence <= total; sequence += 1) {
      const entry = JSON.stringify({ sequence, text: `line ${sequence}` });
      if (due.delete(sequence)) {
        isOverloaded = true;
        client.send(entry, () => client.terminate());
        return;
      }
      client.send(entry);
    }
    client.close(1000);
  };
  const origin = await startOrigin({
    ...(tls && { tls }),
    upgrade: (request, socket, head) => {
      if (request.headers.authorization !== `Bearer ${token}`)
        return void socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
      if (isOverloaded) {
        isOverloaded = false;
        return void socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n');
      }
      const since = Number(new URL(request.url ?? '/', 'http://logs').searchParams.get('since'));
      asked.push(since);
      sockets.handleUpgrade(request, socket, head, (client) => send(client, since));
    },
  });
  return { url: `${origin.url}/v1`, asked, [Symbol.asyncDispose]: () => origin.close() };
}
