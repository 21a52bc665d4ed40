import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, failureOf, newTransport, origin } from './lab.ts';
import { openWay, WAYS } from './ways.ts';

describe.each(WAYS)('a request with keepAlive: false to an %s origin, %s', (scheme, via) => {
  test('takes no connection that is there, says so, and leaves none', async () => {
    const { server, through, first, request } = await openWay(scheme, via);
    const transport = newTransport();
    const send = async (own: Partial<TransportRequest> = {}): Promise<unknown> => {
      const response = await transport.send({ ...request, ...own });
      await text(response.body);
      return response.connection?.id;
    };
    expect([await send(), await send({ keepAlive: false }), await send({ keepAlive: false }), await send()]).toEqual([
      1, 2, 3, 1,
    ]);
    const heads = through !== null && 'hops' in through && via !== 'socks5h' && scheme === 'http' ? through.hops : null;
    const said = (heads ?? server.requests).map((head) => 'headers' in head && head.headers.connection);
    expect(said).toEqual(['keep-alive', 'close', 'close', 'keep-alive']);
    expect(transport.connections).toMatchObject([{ id: 1, requestCount: 2 }]);
    expect(first.connectionCount).toBe(3);
  });
});

test('a server that keeps the connection open all the same is left', async () => {
  const server = await origin('http', {
    handler: (_request, response) => {
      // As servers do that do not read the header.
      response.shouldKeepAlive = true;
      response.socket?.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok');
    },
  });
  const transport = newTransport();
  const { body } = await transport.send({ url: server.url, http_proxy: null, keepAlive: false });
  expect(await text(body)).toBe('ok');
  await expectNothingLeft(transport, server);
});

test('a request that waits for its own connection makes room by closing an idle one', async () => {
  const server = await origin();
  const transport = newTransport({ maxSockets: 1 });
  const request = { url: server.url, http_proxy: null };
  await text((await transport.send(request)).body);
  await text((await transport.send({ ...request, keepAlive: false })).body);
  expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2]);
  await expectNothingLeft(transport, server);
});

test.each<[string, object, string]>([
  ['what is neither true nor false', { keepAlive: 'no' }, 'keepAlive'],
  ['a header that says otherwise', { keepAlive: false, headers: { connection: 'keep-alive' } }, 'headers.connection'],
])('%s is refused', async (_, own, option) => {
  const sent = newTransport().send({ url: 'http://origin.example', http_proxy: null, ...own });
  expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option });
});
