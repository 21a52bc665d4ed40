import { text } from 'node:stream/consumers';
import type { OriginHandler } from '@cloudlane/testing';
import type { Transport, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, newTransport, until } from './lab.ts';
import { openWay, WAYS } from './ways.ts';

/** Opens one more connection by sending two requests at once; both are over, so that both are idle. */
async function openTwo(transport: Transport, request: TransportRequest): Promise<void> {
  const both = await Promise.all([transport.send(request), transport.send(request)]);
  await Promise.all(both.map(({ body }) => text(body)));
  await until(() => transport.connections.every(({ state }) => state === 'IDLE'));
  expect(transport.connections).toHaveLength(2);
}

/** Answers `/wait` by its first half, and the rest when told to; anything else at once. */
function gate(): { readonly handler: OriginHandler; open(): void } {
  const waiting: (() => void)[] = [];
  const handler: OriginHandler = ({ url }, response) => {
    if (!url?.endsWith('/wait')) return void response.end('ok');
    response.writeHead(200, { 'Content-Length': 4 }).write('la');
    waiting.push(() => response.end('te'));
  };
  return { handler, open: () => waiting.splice(0).forEach((end) => void end()) };
}

describe.each(WAYS)('connections to an %s origin, %s', (scheme, via) => {
  test('are closed while idle: all, at once', async () => {
    const { first, request } = await openWay(scheme, via);
    const transport = newTransport();
    await openTwo(transport, request);
    transport.closeIdle();
    await expectNothingLeft(transport, first);
    await text((await transport.send(request)).body);
    expect(first.connectionCount).toBe(3);
  });

  test('are closed while idle: those that are named', async () => {
    const { first, request } = await openWay(scheme, via);
    const transport = newTransport();
    await openTwo(transport, request);
    const [newest, oldest] = transport.connections;
    transport.closeIdle(new Set([newest?.id ?? 0, 99]));
    await until(() => transport.connections.length < 2);
    expect(transport.connections).toMatchObject([{ id: oldest?.id, state: 'IDLE' }]);
    expect((await transport.send(request)).connection?.id).toBe(oldest?.id);
    expect(first.connectionCount).toBe(2);
  });

  test('stay open while busy, and after it if nobody named them', async () => {
    const { handler, open } = gate();
    const { server, first, request } = await openWay(scheme, via, { origin: { handler } });
    const transport = newTransport();
    const response = await transport.send({ ...request, url: `${server.url}/wait` });
    transport.closeIdle();
    open();
    expect(await text(response.body)).toBe('late');
    await text((await transport.send(request)).body);
    expect([first.connectionCount, transport.connections.length]).toEqual([1, 1]);
  });

  test('are closed after the request that keeps them busy if they were named', async () => {
    const { handler, open } = gate();
    const { server, first, request } = await openWay(scheme, via, { origin: { handler } });
    const transport = newTransport();
    const response = await transport.send({ ...request, url: `${server.url}/wait` });
    transport.closeIdle(new Set([response.connection?.id ?? 0]));
    expect(transport.connections).toMatchObject([{ state: 'ACTIVE' }]);
    open();
    expect(await text(response.body)).toBe('late');
    await expectNothingLeft(transport, first);
  });
});

test('a request sent in the same turn takes none of those that are being closed', async () => {
  const { server, request } = await openWay('http', 'direct');
  const transport = newTransport();
  await openTwo(transport, request);
  transport.closeIdle();
  await text((await transport.send({ ...request, method: 'POST', body: 'once' })).body);
  expect(server.connectionCount).toBe(3);
});

test('a connection that is being opened is closed after its first request if it was named', async () => {
  const { first, request } = await openWay('https', 'http');
  const transport = newTransport();
  const sent = transport.send(request);
  await until(() => transport.connections.length === 1);
  expect(transport.connections).toMatchObject([{ state: 'CONNECTING' }]);
  transport.closeIdle();
  transport.closeIdle(new Set(transport.connections.map(({ id }) => id)));
  expect((await text((await sent).body)).length).toBeGreaterThan(0);
  await expectNothingLeft(transport, first);
});
