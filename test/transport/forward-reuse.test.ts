import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Transport, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { newTransport, origin, proxy } from './lab.ts';
import { openWay } from './ways.ts';

async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  const response = await transport.send(request);
  return text(response.body);
}

describe('forwarded requests by a proxy that keeps no connection open', () => {
  async function start(options: { readonly maxSockets?: number } = {}) {
    const server = await origin();
    const through = await proxy('http', { misbehaviour: { kind: 'close-idle' } });
    return { server, through, transport: newTransport(options), request: { url: server.url, http_proxy: through.url } };
  }

  test.each([{}, { maxSockets: 1 }])('reach the origin once each: POST right after GET, with %j', async (options) => {
    const { server, transport, request } = await start(options);
    for (let round = 0; round < 5; round += 1) {
      await getText(transport, request);
      await getText(transport, { ...request, method: 'POST', body: 'some' });
    }
    expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(5);
  });

  test.each([{}, { maxSockets: 1 }])('reach the origin once each: 20 POSTs in a row, with %j', async (options) => {
    const { server, through, transport, request } = await start(options);
    for (let index = 0; index < 20; index += 1) {
      await getText(transport, { ...request, url: `${server.url}/${index}`, method: 'POST', body: 'some' });
    }
    expect(server.requests.map(({ target }) => target)).toEqual(Array.from({ length: 20 }, (_, index) => `/${index}`));
    expect(through.connectionCount).toBe(20);
  });

  test.each([{}, { maxSockets: 1 }])('reach the origin once each: streamed PUTs, with %j', async (options) => {
    const { server, transport, request } = await start(options);
    for (let index = 0; index < 10; index += 1) {
      await getText(transport, { ...request, method: 'PUT', body: Readable.from(['so', 'me']) });
    }
    expect(server.requests.map(({ body }) => String(body))).toEqual(Array(10).fill('some'));
  });

  test('reach the origin once each: 20 POSTs at once with two sockets', async () => {
    const { server, transport, request } = await start({ maxSockets: 2 });
    await Promise.all(
      Array.from({ length: 20 }, () => getText(transport, { ...request, method: 'POST', body: 'some' })),
    );
    expect(server.requests).toHaveLength(20);
  });
});

describe('forwarded requests that cannot be sent twice, by a proxy that keeps connections open,', () => {
  test.each(['http', 'https'] as const)('share one connection of maxSockets: 1 by an %s proxy', async (via) => {
    const { server, first, request } = await openWay('http', via);
    const transport = newTransport({ maxSockets: 1 });
    for (let index = 0; index < 10; index += 1) {
      await getText(transport, { ...request, method: 'POST', body: 'some' });
    }
    expect(server.requests).toHaveLength(10);
    expect(first.connectionCount).toBe(1);
  });

  test('take a fresh connection each only until the first has stayed open', async () => {
    const { first, request } = await openWay('http', 'http');
    const transport = newTransport();
    const post = () => getText(transport, { ...request, method: 'POST', body: 'some' });
    await post();
    await post();
    const before = first.connectionCount;
    expect(before).toBe(2);
    // A GET may be risked, and its answer shows it.
    await getText(transport, request);
    for (let index = 0; index < 10; index += 1) await post();
    expect(first.connectionCount).toBe(2);
  });

  test('drain from the queue of one socket beside others', async () => {
    const { server, first, request } = await openWay('http', 'http');
    const transport = newTransport({ maxSockets: 1 });
    const methods = Array.from({ length: 30 }, (_, index) => (index % 3 === 0 ? 'GET' : 'POST'));
    await Promise.all(
      methods.map((method) => getText(transport, { ...request, method, body: method === 'POST' ? 'some' : null })),
    );
    expect(server.requests).toHaveLength(30);
    expect(first.connectionCount).toBe(1);
  });
});
