import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { ignore } from './listener.ts';

/** A port of 127.0.0.1 that refuses connections. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new TypeError('not a port');
  return address.port;
}

/** An address where connecting neither succeeds nor fails. */
export interface BlackHole extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** May be called again. */
  close(): Promise<void>;
}

/** Listens and then never turns its event loop again, so that nobody accepts what comes. */
const LISTEN_AND_STOP = `
const { parentPort } = require('node:worker_threads');
const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

/**
 * A port whose queue of connections is full: Linux drops further SYNs, as a firewall does, so connecting hangs
 * until the client gives up. Other systems may accept or refuse instead.
 */
export async function blackHole(): Promise<BlackHole> {
  const worker = new Worker(LISTEN_AND_STOP, { eval: true });
  const [port]: number[] = await once(worker, 'message');
  if (port === undefined) throw new TypeError('not a port');
  const fillers: Socket[] = [];
  // Linux queues one connection more than the backlog says.
  for (let index = 0; index < 2; index++) {
    const filler = connect(port, '127.0.0.1');
    await once(filler, 'connect');
    fillers.push(filler.on('error', ignore));
  }
  let closing: Promise<void> | undefined;
  async function end(): Promise<void> {
    for (const filler of fillers) filler.destroy();
    await worker.terminate();
  }
  const close = (): Promise<void> => {
    closing ??= end();
    return closing;
  };
  return { host: '127.0.0.1', port, close, [Symbol.asyncDispose]: close };
}
