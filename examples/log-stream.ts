// #region log-stream
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
      for await (const message of socket) {
        const entry: LogEntry = JSON.parse(String(message));
        last = entry.sequence;
        yield entry;
      }
      if (socket.closeCode === 1000) return;
    }
  }
}
// #endregion
