// #region log-stream
import { on } from 'node:events';
import { type ReconnectOptions, reconnectWebSocket } from '@cloudlane/websocket';
import { ExampleConnection } from './own-driver.ts';

/** One line of a service's log. `sequence` counts from 1. */
export interface LogEntry {
  readonly sequence: number;
  readonly text: string;
}

/** Logs of a provider of your own, as they are written. */
export class ExampleLogs extends ExampleConnection {
  /** Every entry after `since`, each once, however often the connection breaks; until the provider says that it is over. */
  async *follow(service: string, since = 0, options: ReconnectOptions = {}): AsyncGenerator<LogEntry> {
    let last = since;
    const open = (signal?: AbortSignal) => this.openWebSocket('/logs', { params: { service, since: last }, signal });
    for await (const socket of reconnectWebSocket(open, options)) {
      let isOver = false;
      socket.once('close', (code) => {
        isOver = code === 1000;
      });
      for await (const [data] of on(socket, 'message', { close: ['close'] })) {
        const entry: LogEntry = JSON.parse(String(data));
        last = entry.sequence;
        yield entry;
      }
      if (isOver) return;
    }
  }
}
// #endregion
