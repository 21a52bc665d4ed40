import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { RequestEndEvent, RequestErrorEvent } from '@cloudlane/transport';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { makeNode } from './agents-clients.ts';
import { reasonOf } from './agents-faults.ts';
import { store } from './agents-lab.ts';
import { expectNothingLeft, newTransport, origin, proxy } from './lab.ts';

const CHANNELS = ['start', 'end', 'error'].map((name) => `cloudlane:request:${name}`);
const told: [string, RequestEndEvent | RequestErrorEvent][] = [];
const note = (event: unknown, name: string | symbol): void =>
  void told.push([String(name), event as RequestEndEvent | RequestErrorEvent]);

beforeEach(() => {
  told.length = 0;
  for (const name of CHANNELS) diagnostics.subscribe(name, note);
});

afterEach(() => {
  for (const name of CHANNELS) diagnostics.unsubscribe(name, note);
});

const names = () => told.map(([name]) => name.replace('cloudlane:request:', ''));

test('requests of other clients are told from start to end, with their connection', async () => {
  const [server, through] = [await store('https'), await proxy()];
  const transport = newTransport();
  const client = makeNode(transport.agents({ http_proxy: through.url }), server.url);
  for (let call = 0; call < 2; call += 1) await client.get('/bucket/wait');
  await transport.close();
  expect(names()).toEqual(['start', 'end', 'start', 'end']);
  expect(told.map(([, { id }]) => id - (told[0]?.[1].id ?? 0))).toEqual([0, 0, 1, 1]);
  const common = { method: 'GET', url: `${server.url}/bucket/wait`, status: 200, isComplete: true };
  expect(told[1]?.[1]).toMatchObject({ ...common, route: { kind: 'tunnel' }, reusedConnection: false });
  expect(told[3]?.[1]).toMatchObject({ ...common, connection: { requestCount: 2 }, reusedConnection: true });
});

test('so are their failures, once, with our error', async () => {
  const [server, through] = [
    await origin('https'),
    await proxy('http', { misbehaviour: { kind: 'reply', status: 403 } }),
  ];
  const client = makeNode(newTransport().agents({ http_proxy: through.url }), server.url);
  const error = await reasonOf(client.get('/'));
  expect(names()).toEqual(['start', 'error']);
  expect(told[1]?.[1]).toMatchObject({
    error: { code: 'ERR_PROXY_TUNNEL' },
    explanation: { route: { kind: 'tunnel' } },
  });
  expect(Reflect.get(told[1]?.[1] ?? {}, 'error')).toBe(error);
});

test('an answer that its client gives up ends incomplete', async () => {
  const server = await origin('https', { handler: (_, response) => void response.writeHead(200).write('half') });
  const transport = newTransport();
  const request = https.get(server.url, { agent: transport.agents({ http_proxy: null }).https });
  const [response] = await once(request, 'response');
  response.on('error', () => {}).destroy();
  await once(request, 'close');
  await expectNothingLeft(transport, server);
  expect(names()).toEqual(['start', 'end']);
  expect(told[1]?.[1]).toMatchObject({ status: 200, isComplete: false });
});

test('it is told where the time went, up to the end of the body', async () => {
  const server = await origin('http', {
    handler: (_, response) =>
      void setTimeout(() => {
        response.write('first');
        setTimeout(() => response.end('last'), 60);
      }, 60),
  });
  const client = makeNode(newTransport().agents({ http_proxy: null }), server.url);
  await Promise.all([client.get('/'), client.get('/')]);
  expect(names()).toEqual(['start', 'start', 'end', 'end']);
  for (const [, { timings }] of told.slice(2)) {
    // Timers may come a millisecond early.
    expect(timings.firstByte).toBeGreaterThan(55);
    expect(timings.body).toBeGreaterThan(55);
    expect(timings.total ?? 0).toBeGreaterThanOrEqual((timings.request ?? 0) + 110);
    expect(timings.request).toBeGreaterThanOrEqual(0);
  }
});

test('a failure while the answer is awaited is timed as that', async () => {
  const server = await origin('http', {
    handler: (_, response) => void setTimeout(() => response.destroy(), 60),
  });
  const client = makeNode(newTransport().agents({ http_proxy: null }), server.url);
  expect(await reasonOf(client.get('/'))).toMatchObject({ code: 'ECONNRESET' });
  expect(names()).toEqual(['start', 'error']);
  expect(told[1]?.[1].timings).toMatchObject({ firstByte: expect.any(Number), body: null });
});

// Node keeps a body for whoever listens to 'response', until it is read.
test('an answer that nobody listens to is dropped, so that its connection is free again', async () => {
  const server = await origin('http');
  const agents = newTransport({ maxSockets: 1 }).agents({ http_proxy: null });
  for (const _ of [1, 2]) await once(http.get(server.url, { agent: agents.http }), 'close');
  expect(server.connectionCount).toBe(1);
  expect(names()).toEqual(['start', 'end', 'start', 'end']);
});
