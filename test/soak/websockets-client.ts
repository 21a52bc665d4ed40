// The client of the WebSocket test, in a process of its own. Opens as many sockets as it is told over one transport, says
// its part on all of them at once while it hears the other's, and prints what it saw (JSON).
import { once } from 'node:events';
import { Transport } from '@cloudlane/transport';
import { connectWebSocket, type RoutedWebSocket } from '@cloudlane/websocket';
import { Ear, say } from './websockets-messages.ts';

/** What the client is to do. */
export interface WebSocketsOrder {
  readonly url: string;
  readonly proxy: string;
  readonly ca: string;
  readonly sockets: number;
  /** On each socket, each way. */
  readonly messages: number;
}

/** What the client found. */
export interface WebSocketsReport {
  /** Connections of the transport, by state: when all sockets were open, when all was said, and when all were closed. */
  readonly states: readonly Readonly<Record<string, number>>[];
  /** Most connections that were being opened at once. */
  readonly mostOpening: number;
  readonly heard: number;
  readonly faults: readonly string[];
  /** Sockets by the code they were closed with. */
  readonly closed: Readonly<Record<string, number>>;
  /** Milliseconds: to open all, and to say and hear all. */
  readonly took: readonly [number, number];
  /** Bytes: the most that the process ever had in memory. */
  readonly peakRss: number;
}

const { url, proxy, ca, sockets: size, messages }: WebSocketsOrder = JSON.parse(process.env.CLOUDLANE_WEBSOCKETS ?? '');
const transport = new Transport({ tls: { ca }, proxyTls: { ca } });
let mostOpening = 0;

const began = performance.now();
const sockets = await Promise.all(Array.from({ length: size }, (_, number) => open(number)));
const opened = performance.now();
const states = [countStates()];
// Not before now: what came until here was kept.
const ears = sockets.map((socket, number) => listen(socket, number));
await Promise.all(sockets.map((socket, number) => say(socket, { side: 'client', number, length: messages }, 0)));
await Promise.all(ears.map(({ ended }) => ended));
const said = performance.now();
states.push(countStates());
const codes = await Promise.all(sockets.map(close));
states.push(countStates());

const report: WebSocketsReport = {
  states,
  mostOpening,
  heard: ears.reduce((sum, { heard }) => sum + heard, 0),
  faults: ears.flatMap(({ fault }) => fault ?? []),
  closed: count(codes),
  took: [opened - began, said - opened],
  peakRss: process.resourceUsage().maxRSS * 1024,
};
process.stdout.write(JSON.stringify(report));

async function open(number: number): Promise<RoutedWebSocket> {
  const socket = await connectWebSocket(`${url}/${number}`, {
    transport,
    http_proxy: proxy,
    perMessageDeflate: number % 4 === 0,
    // A busy machine may take its time.
    timeout: { total: 0, handshake: 0 },
  });
  mostOpening = Math.max(mostOpening, transport.connections.filter(({ state }) => state !== 'UPGRADED').length);
  return socket;
}

function listen(socket: RoutedWebSocket, number: number): Ear {
  const ear = new Ear({ side: 'server', number, length: messages });
  socket.on('message', ear.hear);
  return ear;
}

async function close(socket: RoutedWebSocket): Promise<number> {
  socket.close(1000);
  const [code]: number[] = await once(socket, 'close');
  return code ?? 0;
}

function countStates(): Record<string, number> {
  return count(transport.connections.map(({ state }) => state));
}

function count(values: readonly (string | number)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
