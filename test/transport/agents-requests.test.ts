import { once } from 'node:events';
import http, { type ClientRequest } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import type { LabOrigin, Misbehaviour } from '@cloudlane/testing';
import { ClosedError, type ForeignAgents, TimeoutError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { makeNode } from './agents-clients.ts';
import { reasonOf } from './agents-faults.ts';
import { store } from './agents-lab.ts';
import { expectNothingLeft, newTransport, origin, proxy, until } from './lab.ts';

/** What a request tells of its end, in order: each error with its code, and `close`. */
function eventsOf(request: ClientRequest): unknown[] {
  const events: unknown[] = [];
  request.on('error', (error) => events.push(Reflect.get(error, 'code')));
  request.on('timeout', () => events.push('timeout')).on('close', () => events.push('close'));
  return events;
}

function getting(agents: ForeignAgents, server: LabOrigin, options: RequestOptions = {}): ClientRequest {
  return https.get({ host: server.host, port: server.port, agent: agents.https, ...options });
}

async function stalled(options: RequestOptions = {}, misbehaviour: Misbehaviour = { kind: 'hang' }) {
  const [server, through] = [await origin('https'), await proxy('http', { misbehaviour })];
  const transport = newTransport({ timeout: { handshake: 5_000 } });
  const request = getting(transport.agents({ http_proxy: through.url }), server, options);
  return { server, through, transport, request, events: eventsOf(request) };
}

async function closed(request: ClientRequest): Promise<void> {
  await new Promise((resolve) => request.once('close', resolve));
}

describe('while a proxy never answers CONNECT', () => {
  test.each<[string, (request: ClientRequest) => void, unknown[]]>([
    ['destroy()', (request) => request.destroy(), ['ECONNRESET', 'close']],
    ['destroy(error)', (request) => request.destroy(Object.assign(new Error(), { code: 'MINE' })), ['MINE', 'close']],
    ['abort()', (request) => request.abort(), ['close']],
  ])("%s ends the request with Node's own events, once each", async (_what, end, expected) => {
    const { through, transport, request, events } = await stalled();
    await through.waitForHops(1);
    end(request);
    await closed(request);
    await expectNothingLeft(transport, through);
    expect(events).toEqual(expected);
  });

  test('options.timeout bounds the handshake', async () => {
    const { through, transport, request, events } = await stalled({ timeout: 100 });
    const failed = reasonOf(once(request, 'response'));
    await closed(request);
    expect(await failed).toBeInstanceOf(TimeoutError);
    expect(await failed).toMatchObject({ deadline: 'handshake', milliseconds: 100, phase: 'proxy-handshake' });
    expect(events).toEqual(['ERR_TIMEOUT', 'close']);
    await expectNothingLeft(transport, through);
  });

  test("the transport's total bounds the wait for a connection", async () => {
    const [server, through] = [await origin('https'), await proxy('http', { misbehaviour: { kind: 'hang' } })];
    const transport = newTransport({ maxSockets: 1, timeout: { total: 100 } });
    const agents = transport.agents({ http_proxy: through.url });
    const requests = [getting(agents, server), getting(agents, server)];
    const events = requests.map(eventsOf);
    const failed = requests.map((request) => reasonOf(once(request, 'response')));
    await Promise.all(requests.map(closed));
    const expected = { deadline: 'total', milliseconds: 100, retryable: true };
    for (const reason of await Promise.all(failed)) expect(reason).toBeInstanceOf(TimeoutError);
    expect(await failed[0]).toMatchObject({ ...expected, phase: 'proxy-handshake' });
    expect(await failed[1]).toMatchObject(expected);
    expect(events).toEqual(Array(2).fill(['ERR_TIMEOUT', 'close']));
    await expectNothingLeft(transport, through);
    expect(server.requests).toEqual([]);
  });

  test('a late answer opens nothing', async () => {
    let answer: () => void = () => {};
    const until = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { server, through, transport, request, events } = await stalled({}, { kind: 'hang-until', until });
    await through.waitForHops(1);
    request.destroy();
    answer();
    await closed(request);
    await expectNothingLeft(transport, through);
    expect(events).toEqual(['ECONNRESET', 'close']);
    expect(server.requests).toEqual([]);
  });

  test('closing the transport is told as such, also to a request that waits for a connection', async () => {
    const [server, through] = [await origin('https'), await proxy('http', { misbehaviour: { kind: 'hang' } })];
    const transport = newTransport({ maxSockets: 1 });
    const agents = transport.agents({ http_proxy: through.url });
    const requests = [getting(agents, server), getting(agents, server)];
    const failed = requests.map((request) => reasonOf(once(request, 'response')));
    await through.waitForHops(1);
    await transport.close();
    for (const reason of await Promise.all(failed)) expect(reason).toBeInstanceOf(ClosedError);
    expect(await reasonOf(once(getting(agents, server), 'response'))).toBeInstanceOf(ClosedError);
    expect(through.hops).toHaveLength(1);
  });
});

test.each<[string, RequestOptions, (request: ClientRequest) => void]>([
  ['options.timeout', { timeout: 60 }, () => {}],
  ['setTimeout()', {}, (request) => request.setTimeout(60)],
])('%s tells of a silent origin by an event, as ever', async (_what, options, set) => {
  const server = await origin('https', { handler: () => {} });
  const transport = newTransport();
  const request = getting(transport.agents({ http_proxy: null }), server, options);
  set(request);
  const events = eventsOf(request);
  await once(request, 'timeout');
  request.destroy();
  await closed(request);
  expect(events).toEqual(['timeout', 'ECONNRESET', 'close']);
  await expectNothingLeft(transport, server);
});

test("the transport's total counts until there is a connection, and no longer", async () => {
  let answer: () => void = () => {};
  const server = await origin('https', {
    handler: (_, response) => {
      answer = () => void response.end();
    },
  });
  const agents = newTransport({ maxSockets: 1, timeout: { total: 200 } }).agents({ http_proxy: null });
  const slow = getting(agents, server);
  await server.waitForRequests(1);
  const waiting = reasonOf(once(getting(agents, server), 'response'));
  expect(await waiting).toBeInstanceOf(TimeoutError);
  expect(await waiting).toMatchObject({
    deadline: 'total',
    milliseconds: 200,
    message: expect.stringContaining('waiting for a free connection'),
  });
  // It is older than the one that was given up.
  const answered = once(slow, 'response');
  answer();
  (await answered)[0].resume();
  expect(server.requests).toHaveLength(1);
});

test("one request's timeout is not the next one's on the same connection", async () => {
  const server = await origin('https', {
    handler: (request, response) =>
      void (request.url === '/slow' ? setTimeout(() => response.end(), 150) : response.end()),
  });
  const agents = newTransport({ maxSockets: 1 }).agents({ http_proxy: null });
  const quick = getting(agents, server, { timeout: 60 });
  const slow = getting(agents, server, { path: '/slow' });
  const told: unknown[] = [];
  slow.on('socket', (socket) => socket.on('timeout', () => told.push('timeout')));
  for (const request of [quick, slow]) (await once(request, 'response'))[0].resume();
  await closed(slow);
  expect([told, server.connectionCount]).toEqual([[], 1]);
});

test('a request that waits for a connection can be given up', async () => {
  const server = await store('https', 2);
  const transport = newTransport({ maxSockets: 1 });
  const agents = transport.agents({ http_proxy: null });
  const first = getting(agents, server, { path: '/bucket/wait' });
  first.on('error', () => {});
  await server.waitForRequests(1);
  const abort = new AbortController();
  const second = getting(agents, server, { signal: abort.signal });
  const failed = reasonOf(once(second, 'response'));
  abort.abort();
  expect(await failed).toMatchObject({ name: 'AbortError' });
  first.destroy();
  await expectNothingLeft(transport, server);
  expect(server.requests).toHaveLength(1);
});

test('one that was aborted before it began opens nothing', async () => {
  const [server, through] = [await origin('https'), await proxy()];
  const agents = newTransport().agents({ http_proxy: through.url });
  const request = getting(agents, server, { signal: AbortSignal.abort() });
  expect(await reasonOf(once(request, 'response'))).toMatchObject({ name: 'AbortError' });
  expect(through.connectionCount).toBe(0);
});

test('a closed transport says so, before it looks at anything else', async () => {
  const server = await origin('https');
  const transport = newTransport();
  const agents = transport.agents({ http_proxy: null });
  await transport.close();
  const request = getting(agents, server, { cert: 'no certificate', key: 'no key' });
  expect(await reasonOf(once(request, 'response'))).toBeInstanceOf(ClosedError);
  expect(server.connectionCount).toBe(0);
});

test('what clients read of an agent is there, and destroy() closes nothing of others', async () => {
  const server = await store('https', 1);
  const transport = newTransport();
  const agents = transport.agents({ http_proxy: null });
  const client = makeNode(agents, server.url);
  await client.get('/bucket/wait');
  for (const agent of [agents.http, agents.https]) {
    const { maxSockets, maxFreeSockets, sockets, freeSockets, requests } = agent;
    expect({
      maxSockets,
      maxFreeSockets,
      sockets: { ...sockets },
      freeSockets: { ...freeSockets },
      requests: { ...requests },
    }).toEqual({
      maxSockets: Number.POSITIVE_INFINITY,
      maxFreeSockets: 256,
      sockets: {},
      freeSockets: {},
      requests: {},
    });
    expect(agent.getName({ host: 'origin.example', port: 443 })).toContain('origin.example:443:');
    agent.destroy();
  }
  await client.get('/bucket/wait');
  expect(server.connectionCount).toBe(1);
  expect(agents.http).toBeInstanceOf(http.Agent);
  expect(agents.https).toBeInstanceOf(https.Agent);
});

test('an agent opens no connection but for a request', async () => {
  const server = await origin();
  const agents = newTransport().agents();
  for (const agent of [agents.http, agents.https]) {
    const open: unknown = Reflect.get(agent, 'createConnection');
    expect(typeof open === 'function' && (() => Reflect.apply(open, agent, [{ port: server.port }]))).toThrow(
      'opens connections for requests only',
    );
  }
});

test('without keepAlive each request says so and has a connection of its own', async () => {
  const server = await store('https', 1);
  const transport = newTransport({ keepAlive: false });
  const client = makeNode(transport.agents({ http_proxy: null }), server.url);
  await client.get('/bucket/wait');
  await client.get('/bucket/wait');
  expect(server.requests.map(({ headers, connection }) => [headers.connection, connection])).toEqual([
    ['close', 1],
    ['close', 2],
  ]);
  await until(() => transport.connections.length === 0);
});
