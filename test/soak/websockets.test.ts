// As many WebSockets through one https:// proxy, TLS within TLS, as somebody may have open at once.
// CLOUDLANE_SOAK=10 makes it ten times the messages.
import { expect, test } from '@jest/globals';
import { WebSocketServer } from 'ws';
import { runScript } from '../transport/child-process.ts';
import { AUTH, ca, origin, proxy } from '../transport/lab.ts';
import type { WebSocketsOrder, WebSocketsReport } from './websockets-client.ts';
import { Ear, say } from './websockets-messages.ts';

const SOCKETS = 500;
/** On each socket, each way. */
const MESSAGES = 100 * Math.max(1, Number(process.env.CLOUDLANE_SOAK ?? 1));
/** What the server says on each socket at once: more than a socket keeps that nobody listens to, on some of them. */
const AT_ONCE = 5;
/** What a transport opens at once, of itself. */
const MAX_SOCKETS = 128;

test(
  `${SOCKETS} sockets at once through an https proxy: ${count(SOCKETS * MESSAGES)} messages each way, all in order`,
  async () => {
    const gate = await proxy('https', { auth: AUTH });
    const server = await startServer();
    const report = await runClient({
      url: server.url,
      proxy: gate.urlWithCredentials,
      ca: ca.certificate,
      sockets: SOCKETS,
      messages: MESSAGES,
    });
    const [opening, saying] = report.took.map((each) => count(Math.round(each)));
    console.log(
      `${SOCKETS} sockets open in ${opening} ms, ${count(2 * SOCKETS * MESSAGES)} messages in ${saying} ms; peak RSS ${count(report.peakRss >> 10)} KiB`,
    );
    expect(report.states).toEqual([{ UPGRADED: SOCKETS }, { UPGRADED: SOCKETS }, {}]);
    expect(report.mostOpening).toBe(MAX_SOCKETS);
    expect({ heard: report.heard, faults: report.faults }).toEqual({ heard: SOCKETS * MESSAGES, faults: [] });
    expect(await server.heard()).toEqual({ heard: SOCKETS * MESSAGES, faults: [], mostOpen: SOCKETS });
    expect(report.closed).toEqual({ 1000: SOCKETS });
    await gate.waitUntilIdle();
    await server.waitUntilIdle();
    // Each of them a tunnel of its own, shown the password, TLS to the proxy and TLS to the origin.
    expect(gate.connectionCount).toBe(SOCKETS);
    const way = { kind: 'connect', authorized: true, username: AUTH.username, status: 200, isSecure: true };
    const hops = gate.hops.map(({ kind, authorized, username, status, tlsVersion }) => {
      return { kind, authorized, username, status, isSecure: tlsVersion !== null };
    });
    expect(hops).toEqual(Array.from({ length: SOCKETS }, () => way));
    expect(server.secureRequests()).toBe(SOCKETS);
  },
  60_000 + 2 * SOCKETS * MESSAGES,
);

async function runClient(order: WebSocketsOrder): Promise<WebSocketsReport> {
  const env = { CLOUDLANE_WEBSOCKETS: JSON.stringify(order) };
  const { output, errors } = await runScript("import './test/soak/websockets-client.ts';", env);
  expect(errors).toBe('');
  return JSON.parse(output);
}

interface Server {
  readonly url: string;
  /** Once all sockets are closed. */
  heard(): Promise<{ readonly heard: number; readonly faults: readonly unknown[]; readonly mostOpen: number }>;
  waitUntilIdle(): Promise<void>;
  /** Requests that came by TLS. */
  secureRequests(): number;
}

/** Begins on each socket at once, and goes on once all are open. */
async function startServer(): Promise<Server> {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });
  const ears: Ear[] = [];
  const faults: unknown[] = [];
  let mostOpen = 0;
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  sockets.on('connection', (socket, { url = '' }) => {
    const number = Number(url.slice(1));
    const ear = new Ear({ side: 'client', number, length: MESSAGES });
    ears.push(ear);
    socket.on('message', ear.hear).on('error', (error) => faults.push(error));
    mostOpen = Math.max(mostOpen, sockets.clients.size);
    if (sockets.clients.size === SOCKETS) begin();
    const stream = { side: 'server', number, length: MESSAGES } as const;
    const said = say(socket, stream, 0, AT_ONCE).then(() => begun);
    said.then(() => say(socket, stream, AT_ONCE)).catch((error: unknown) => faults.push(error));
  });
  const behind = await origin('https', {
    upgrade: (request, socket, head) =>
      sockets.handleUpgrade(request, socket, head, (opened) => void sockets.emit('connection', opened, request)),
  });
  return {
    url: behind.url.replace('https:', 'wss:'),
    heard: async () => {
      await Promise.all(ears.map(({ ended }) => ended));
      const own = ears.flatMap(({ fault }) => fault ?? []);
      return { heard: ears.reduce((sum, { heard }) => sum + heard, 0), faults: [...own, ...faults], mostOpen };
    },
    waitUntilIdle: () => behind.waitUntilIdle(),
    secureRequests: () => behind.requests.filter(({ tlsVersion }) => tlsVersion !== null).length,
  };
}

function count(number: number): string {
  return number.toLocaleString('en');
}
