import { EventEmitter, once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { RequestBody, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { closeAfterTest } from '../support/resources.ts';
import { failureOf, newTransport, proxy, socks } from './lab.ts';
import { openWay, WAYS } from './ways.ts';

const BEYOND_ASCII = '/caf\u00e9/\u6771\u4eac?\u{1f600}';

/** A server that takes bytes beyond ASCII, as Node's do not. */
async function startRaw(): Promise<{ readonly url: string; head(until: string): Promise<string> }> {
  let seen = Buffer.alloc(0);
  const watch = new EventEmitter();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.on('data', (bytes) => {
      seen = Buffer.concat([seen, bytes]);
      watch.emit('data');
    });
  });
  closeAfterTest({
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`,
    head: async (until) => {
      while (!seen.includes(until)) await once(watch, 'data');
      return seen.toString('utf8');
    },
  };
}

const TARGETS = ['/a/../b//c?d=%zz&e=|{}"', '/%7euser/%2E%2e/', '/?'];

describe.each(WAYS)('a target to an %s origin, %s', (scheme, via) => {
  test.each(TARGETS)('goes out as it was written: %s', async (target) => {
    const { server, through, request } = await openWay(scheme, via);
    const transport = newTransport();
    const response = await transport.send({ ...request, url: `${request.url}/of/the/url?x`, target });
    await text(response.body);
    expect(server.requests.map((seen) => seen.target)).toEqual([target]);
    const forwarded = through?.hops.flatMap((hop) => ('kind' in hop && hop.kind === 'forward' ? [hop.target] : []));
    const isForwarded = scheme === 'http' && (via === 'http' || via === 'https');
    expect(forwarded ?? []).toEqual(isForwarded ? [`${server.url}${target}`] : []);
  });

  test('can be the whole server', async () => {
    const { server, through, request } = await openWay(scheme, via);
    const response = await newTransport().send({ ...request, method: 'options', target: '*' });
    await text(response.body);
    const isForwarded = scheme === 'http' && (via === 'http' || via === 'https');
    // RFC 9112 §3.2.4: the absolute form of an asterisk is an empty path.
    if (isForwarded) expect(through?.hops).toMatchObject([{ target: server.url }]);
    else expect(server.requests).toMatchObject([{ target: '*' }]);
  });
});

describe.each(['direct', 'forward', 'tunnel', 'socks'])('text beyond ASCII goes out as UTF-8, %s', (way) => {
  test.each<[string, () => RequestBody]>([
    ['a string', () => '\u00e9'],
    ['bytes', () => Buffer.from('\u00e9')],
    ['a stream', () => Readable.from(['\u00e9'])],
  ])('before %s', async (_, body) => {
    const server = await startRaw();
    const through = way === 'tunnel' ? await proxy() : way === 'socks' ? await socks() : null;
    const http_proxy = way === 'forward' ? server.url : (through?.url ?? null);
    const url = way === 'forward' ? 'http://origin.example/x' : `${server.url}/x`;
    const transport = newTransport({ tunnelHttp: way === 'tunnel' });
    const caller = new AbortController();
    const sent = transport.send({
      ...{ method: 'PUT', url, http_proxy, target: BEYOND_ASCII, signal: caller.signal },
      body: body(),
      headers: { 'Content-Length': 2 },
    });
    sent.catch(() => {});
    const [head, after] = (await server.head('\r\n\r\n\u00e9')).split('\r\n\r\n');
    const target = `${way === 'forward' ? 'http://origin.example' : ''}${BEYOND_ASCII}`;
    expect([head?.split('\r\n')[0], after]).toEqual([`PUT ${target} HTTP/1.1`, '\u00e9']);
    caller.abort();
    await expect(sent).rejects.toBe(caller.signal.reason);
  });
});

test.each<[string, unknown, string]>([
  ['an empty one', '', 'GET'],
  ['a whole URL', 'http://other.example/', 'GET'],
  ['an authority', 'other.example:80', 'CONNECT'],
  ['a path without its slash', 'a/b', 'GET'],
  ['the whole server, but for GET', '*', 'GET'],
  ['more than the whole server', '*/a', 'OPTIONS'],
  ['a blank', '/a b', 'GET'],
  ['a tab', '/a\tb', 'GET'],
  ['a line end', '/a\r\nX-Evil: 1', 'GET'],
  ['a null', '/a\0', 'GET'],
  ['a control character beyond ASCII', '/a\u0085', 'GET'],
  ['half a character', '/a\ud83d', 'GET'],
  ['a fragment', '/a#b', 'GET'],
  ['no text', 5, 'GET'],
])('%s is refused as a target', async (_, target, method) => {
  const { server, request } = await openWay('http', 'direct');
  const sent = newTransport().send({ ...request, method, target } as TransportRequest);
  expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ option: 'target' });
  expect(server.connectionCount).toBe(0);
});
