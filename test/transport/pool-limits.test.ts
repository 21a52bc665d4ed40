import { text } from 'node:stream/consumers';
import type { LabOrigin, LabProxy, LabSocks, Misbehaviour, OriginHandler, SocksMisbehaviour } from '@cloudlane/testing';
import { type Transport, TransportError, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { PROCESS_TIMEOUT, runScript } from './child-process.ts';
import { expectNothingLeft, newTransport, origin, proxy, type Scheme, socks, until } from './lab.ts';
import { openWay, PROXIED, WAYS } from './ways.ts';

async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  const response = await transport.send(request);
  return text(response.body);
}

/** The highest of the counts: `look` takes one, and so does whatever reaches this server, be it connection or request. */
function watchPeak(first: LabOrigin | LabProxy | LabSocks, count: () => number): { peak: number; look(): void } {
  const watch = {
    peak: 0,
    look(): void {
      watch.peak = Math.max(watch.peak, count());
    },
  };
  // They resolve within the event itself; those that never come are forgotten with the server.
  for (let n = 1; n <= 500; n += 1) {
    if ('waitForHops' in first) {
      void first.waitForHops(n).then(watch.look);
      void first.waitForConnections(n).then(watch.look);
    } else void first.waitForRequests(n).then(watch.look);
  }
  return watch;
}

describe.each(WAYS)('maxSockets: 2 for an %s origin by %s', (scheme, via) => {
  test.each(['GET', 'POST'])('bounds 200 requests with %s', async (method) => {
    const { server, first, request } = await openWay(scheme, via);
    const sockets = watchPeak(first, () => first.openSockets);
    const transport = newTransport({ maxSockets: 2 });
    const body = method === 'POST' ? 'some' : null;
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        getText(transport, { ...request, url: `${server.url}/${index}`, method, body }),
      ),
    );
    const targets = answers.map((answer) => JSON.parse(answer).target);
    expect(targets).toEqual(Array.from({ length: 200 }, (_, index) => `/${index}`));
    expect(server.requests).toHaveLength(200);
    expect(sockets.peak).toBe(2);
    expect(first.connectionCount).toBe(2);
  });
});

interface Fault {
  readonly name: string;
  readonly http: Misbehaviour;
  readonly socks: SocksMisbehaviour;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'refuse the credentials',
    http: { kind: 'reply', status: 407, headers: { 'Proxy-Authenticate': 'Basic realm="lab"' } },
    socks: { kind: 'method', method: 0xff },
  },
  { name: 'do not reach the origin', http: { kind: 'refuse-origin' }, socks: { kind: 'reply', code: 4 } },
  { name: 'reset the connection', http: { kind: 'reset' }, socks: { kind: 'reset', in: 'request' } },
  {
    name: 'are gone',
    http: { kind: 'refuse', how: 'close-listener' },
    socks: { kind: 'refuse', how: 'close-listener' },
  },
];

describe.each(PROXIED.filter(([scheme, via]) => scheme === 'https' || via === 'http'))(
  '100 failures for an %s origin by %s',
  (scheme, via) => {
    describe.each(FAULTS)('because proxies $name', ({ http, socks: fault }) => {
      test.each([1, 2])('leave room for a good request where maxSockets is %i', async (maxSockets) => {
        const { server, first, request, misbehave } = await faultyWay(scheme, via);
        const transport = newTransport({ maxSockets });
        // The proxy may hear of the end of one after the start of the next.
        const connections = watchPeak(first, () => transport.connections.length);
        misbehave(via === 'socks5h' ? fault : http);
        const failed = await Promise.all(
          Array.from({ length: 100 }, () =>
            transport
              .send(request)
              .catch((error: unknown) => error)
              .finally(connections.look),
          ),
        );
        expect(failed.filter((result) => !(result instanceof TransportError))).toEqual([]);
        misbehave(null);
        expect(JSON.parse(await getText(transport, request)).target).toBe('/');
        expect(server.requests).toHaveLength(1);
        expect(connections.peak).toBe(maxSockets);
        await until(() => transport.connections.every(({ state }) => state === 'IDLE'));
        expect(transport.connections.length).toBeLessThanOrEqual(maxSockets);
      });
    });
  },
);

async function faultyWay(scheme: Scheme, via: 'http' | 'https' | 'socks5h') {
  const server = await origin(scheme);
  if (via === 'socks5h') {
    const first = await socks();
    const misbehave = (fault: Misbehaviour | SocksMisbehaviour | null): void => first.misbehave(fault as never);
    return { server, first, misbehave, request: { url: server.url, http_proxy: first.url } };
  }
  const first = await proxy(via);
  const misbehave = (fault: Misbehaviour | SocksMisbehaviour | null): void => first.misbehave(fault as never);
  return { server, first, misbehave, request: { url: server.url, http_proxy: first.url } };
}

describe.each(WAYS)('the queue for an %s origin by %s', (scheme, via) => {
  test('is served in the order of the calls, without those that were aborted in it', async () => {
    const answers: (() => void)[] = [];
    const handler: OriginHandler = ({ url }, response) => void answers.push(() => response.end(url));
    const { server, first, request } = await openWay(scheme, via, { origin: { handler } });
    const transport = newTransport({ maxSockets: 1 });
    const aborts = [2, 5, 6].map((index) => ({ index, controller: new AbortController() }));
    const sent = Array.from({ length: 8 }, (_, index) => {
      const signal = aborts.find((abort) => abort.index === index)?.controller.signal;
      return getText(transport, { ...request, url: `${server.url}/${index}`, signal });
    });
    const settled = Promise.allSettled(sent);
    await server.waitForRequests(1);
    for (const { index, controller } of aborts) controller.abort(`not ${index}`);
    for (let turn = 0; turn < 5; turn += 1) {
      await until(() => answers.length > turn);
      answers[turn]?.();
    }
    expect((await settled).map((result) => (result.status === 'fulfilled' ? result.value : result.reason))).toEqual([
      '/0',
      '/1',
      'not 2',
      '/3',
      '/4',
      'not 5',
      'not 6',
      '/7',
    ]);
    expect(server.requests.map(({ target }) => target)).toEqual(['/0', '/1', '/3', '/4', '/7']);
    expect(first.connectionCount).toBe(1);
  });
});

describe('a request that is sent again because its connection was given up', () => {
  /** Answers the first request of each connection, and hangs up on the second instead. */
  const hangUpOnSecond = (how: 'FIN' | 'RST'): OriginHandler => {
    const seen = new WeakSet<object>();
    return ({ socket }, response) => {
      if (!seen.has(socket)) response.end('answer');
      else if (how === 'FIN') socket.end();
      else socket.resetAndDestroy();
      seen.add(socket);
    };
  };

  test.each(['FIN', 'RST'] as const)('by %s waits its turn for a fresh one, and gets it', async (how) => {
    const { request, server } = await openWay('http', 'direct', { origin: { handler: hangUpOnSecond(how) } });
    const transport = newTransport({ maxSockets: 1 });
    await getText(transport, request);
    await until(() => transport.connections[0]?.state === 'IDLE');
    const answers = Array.from({ length: 4 }, () => getText(transport, request));
    expect(await Promise.all(answers)).toEqual(Array(4).fill('answer'));
    expect(server.openSockets).toBeLessThanOrEqual(1);
  });

  test.each(['FIN', 'RST'] as const)('by %s leaves no connection that close() overlooks', async (how) => {
    const { request, server } = await openWay('http', 'direct', { origin: { handler: hangUpOnSecond(how) } });
    const transport = newTransport();
    await getText(transport, request);
    await until(() => transport.connections[0]?.state === 'IDLE');
    expect(await getText(transport, request)).toBe('answer');
    expect(transport.connections).toHaveLength(1);
    await transport.close();
    await expectNothingLeft(transport, server);
  });
});

/** Sends requests, each with other credentials for the proxy, and counts the agents in this process before and after. */
const COUNT_AGENTS = `
  import { Agent } from 'node:http';
  import { queryObjects } from 'node:v8';
  import { startOrigin, startProxy } from '@cloudlane/testing';
  import { Transport } from '@cloudlane/transport';
  const { requests, ...options } = JSON.parse(process.env.OPTIONS);
  const [server, proxy] = [await startOrigin(), await startProxy()];
  // Through tunnels: for what it forwards the proxy itself makes agents.
  const transport = new Transport({ tunnelHttp: true, ...options });
  const before = queryObjects(Agent, { format: 'count' });
  for (let index = 0; index < requests; index += 1) {
    const http_proxy = { url: proxy.url, auth: { username: 'user-' + index, password: process.env.PASSWORD } };
    const aborted = AbortSignal.abort();
    await transport.send({ url: server.url, http_proxy, signal: aborted }).catch((reason) => reason === aborted.reason);
    const { body } = await transport.send({ url: server.url, http_proxy });
    for await (const chunk of body);
  }
  if (options.keepAlive === false) await proxy.waitUntilIdle();
  const agents = queryObjects(Agent, { format: 'count' }) - before;
  console.log(JSON.stringify({ hops: proxy.hops.length, open: transport.connections.length, agents }));
  for (const each of [transport, proxy, server]) await each.close();`;

describe('pools without connections are forgotten, together with their agents', () => {
  test.each([
    [1000, { keepAlive: false }, { hops: 1000, open: 0, agents: 0 }],
    [50, {}, { hops: 50, open: 50, agents: 50 }],
  ])(
    'after %i requests by different credentials, with %j',
    async (requests, options, left) => {
      const env = { OPTIONS: JSON.stringify({ ...options, requests }), PASSWORD: SECRETS.proxyPassword };
      const { output, errors } = await runScript(COUNT_AGENTS, env);
      expect(errors).toBe('');
      const { agents, ...counted } = JSON.parse(output);
      expect(counted).toEqual({ hops: left.hops, open: left.open });
      // The last request's is still in the registers of the function that waits for its end, or it is not.
      expect([left.agents, left.agents + 1]).toContain(agents);
    },
    PROCESS_TIMEOUT,
  );
});

/** Sends uploads over connections that are kept, and counts the requests in this process that are not garbage. */
const COUNT_REQUESTS = `
  import { ClientRequest } from 'node:http';
  import { queryObjects } from 'node:v8';
  import { createCa, startOrigin, startProxy } from '@cloudlane/testing';
  import { Transport } from '@cloudlane/transport';
  const ca = await createCa();
  const server = await startOrigin({ tls: await ca.issue({ names: ['127.0.0.1'] }) });
  const proxy = await startProxy();
  const transport = new Transport({ tls: { ca: ca.certificate } });
  for (const http_proxy of [null, proxy.url]) {
    const request = { url: server.url, http_proxy, method: 'PUT', body: 'x'.repeat(1000) };
    for (const _ of [1, 2]) for await (const _ of (await transport.send(request)).body);
  }
  await new Promise(setImmediate);
  console.log(JSON.stringify(transport.connections.map(String)), queryObjects(ClientRequest, { format: 'count' }));
  for (const each of [transport, proxy, server]) await each.close();`;

test(
  'an idle connection keeps nothing of the requests that it has carried',
  async () => {
    const { output, errors } = await runScript(COUNT_REQUESTS);
    expect(errors).toBe('');
    expect(output).toMatch(/^\["<Tunnel.*IDLE, Request Count: 2\]>","<HTTP.*IDLE, Request Count: 2\]>"\] 0\n$/);
  },
  PROCESS_TIMEOUT,
);
