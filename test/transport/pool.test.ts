import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { HttpProxy } from '@cloudlane/proxy';
import { closedPort, createCa, type OriginHandler } from '@cloudlane/testing';
import {
  ClosedError,
  ProxyConnectError,
  ProxyTunnelError,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectWarning } from '../support/hygiene.ts';
import { PROCESS_TIMEOUT, runScript } from './child-process.ts';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, proxy, trusting, until } from './lab.ts';

async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  const response = await transport.send(request);
  return text(response.body);
}

/** Sends them one after the other. */
async function inTurn(transport: Transport, requests: readonly TransportRequest[]): Promise<TransportResponse[]> {
  const responses: TransportResponse[] = [];
  for (const request of requests) {
    const response = await transport.send(request);
    await text(response.body);
    responses.push(response);
  }
  return responses;
}

/** Answers each request only when told to. */
function gate(): { handler: OriginHandler; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { handler: async (_, response) => void opened.then(() => response.end('open')), open };
}

const ROUTES = [
  ['http', null],
  ['https', null],
  ['http', 'http'],
  ['http', 'https'],
  ['https', 'http'],
  ['https', 'https'],
] as const;

describe.each(ROUTES)('an %s origin through %s proxy', (scheme, via) => {
  test('gets sequential requests on one connection', async () => {
    const server = await origin(scheme);
    const through = via && (await proxy(via, { auth: AUTH }));
    const transport = newTransport();
    const request = { url: server.url, http_proxy: through?.urlWithCredentials ?? null };
    const responses = await inTurn(transport, Array(5).fill(request));
    expect(responses.map(({ reusedConnection }) => reusedConnection)).toEqual([false, true, true, true, true]);
    expect(responses.map(({ connection }) => connection?.requestCount)).toEqual([1, 2, 3, 4, 5]);
    expect((through ?? server).connectionCount).toBe(1);
    expect(through?.hops.map(({ kind }) => kind) ?? []).toEqual(
      via === null ? [] : scheme === 'https' ? ['connect'] : Array(5).fill('forward'),
    );
    expect(transport.connections).toHaveLength(1);
  });

  test('with keepAlive: false gets a connection a request, which says so', async () => {
    const server = await origin(scheme);
    const through = via && (await proxy(via));
    const transport = newTransport({ keepAlive: false });
    await inTurn(transport, Array(3).fill({ url: server.url, http_proxy: through?.url ?? null }));
    await expectNothingLeft(transport, through ?? server);
    expect((through ?? server).connectionCount).toBe(3);
    const heads = through && scheme === 'http' ? through.hops : server.requests;
    expect(heads.map(({ headers }) => headers.connection)).toEqual(['close', 'close', 'close']);
  });

  test('keeps TLS sessions for the next connection', async () => {
    const server = await origin(scheme);
    const through = via && (await proxy(via));
    const transport = newTransport({ keepAlive: false });
    await inTurn(transport, Array(2).fill({ url: server.url, http_proxy: through?.url ?? null }));
    expect(server.requests.map(({ resumed }) => resumed)).toEqual([false, scheme === 'https']);
    if (through) expect(through.hops.map(({ resumed }) => resumed)).toEqual([false, via === 'https']);
  });

  test('closes everything at once', async () => {
    const hold = gate();
    const server = await origin(scheme, { handler: hold.handler });
    const through = via && (await proxy(via));
    const transport = newTransport();
    const pending = transport.send({ url: server.url, http_proxy: through?.url ?? null });
    await Promise.all([failureOf(pending, ClosedError), server.waitForRequests(1).then(() => transport.close())]);
    await expectNothingLeft(transport, server, ...(through ? [through] : []));
  });
});

describe('forwarded requests', () => {
  test('to different origins share one connection, which shows as one', async () => {
    const [first, second, through] = [await origin(), await origin(), await proxy()];
    const transport = newTransport();
    const responses = await inTurn(
      transport,
      [first, second].map(({ url }) => ({ url, http_proxy: through.url })),
    );
    expect(through.connectionCount).toBe(1);
    expect(through.hops.map(({ target, connection }) => [target, connection])).toEqual([
      [`${first.url}/`, 1],
      [`${second.url}/`, 1],
    ]);
    expect(transport.connections.map(String)).toEqual([
      `<ForwardHTTPConnection ['http://127.0.0.1:${through.port}', HTTP/1.1, IDLE, Request Count: 2]>`,
    ]);
    // A snapshot: it does not change.
    expect(String(responses[0]?.connection)).toContain('ACTIVE, Request Count: 1]>');
  });

  test("with forwardReuse: 'origin' share none", async () => {
    const [first, second, through] = [await origin(), await origin(), await proxy()];
    const transport = newTransport({ forwardReuse: 'origin' });
    await inTurn(
      transport,
      [first, second, first, second].map(({ url }) => ({ url, http_proxy: through.url })),
    );
    expect(through.connectionCount).toBe(2);
    expect(through.hops.map(({ connection }) => connection)).toEqual([1, 2, 1, 2]);
  });

  test('may be answered by a proxy that closes each connection without saying so', async () => {
    const server = await origin();
    const through = await proxy('http', { misbehaviour: { kind: 'close-idle' } });
    const transport = newTransport();
    for (const count of [1, 2, 3]) {
      await inTurn(transport, [{ url: server.url, http_proxy: through.url }]);
      await expectNothingLeft(transport, through);
      expect(through.connectionCount).toBe(count);
    }
  });
});

describe('tunnels', () => {
  test('are kept by origin and listed newest first', async () => {
    const [first, second, through] = [await origin('https'), await origin('https'), await proxy()];
    const transport = newTransport();
    await inTurn(
      transport,
      [first, second, first].map(({ url }) => ({ url, http_proxy: through.url })),
    );
    expect(through.hops.map(({ kind, target }) => [kind, target])).toEqual([
      ['connect', `127.0.0.1:${first.port}`],
      ['connect', `127.0.0.1:${second.port}`],
    ]);
    expect(transport.connections.map(String)).toEqual([
      `<TunnelHTTPConnection ['https://127.0.0.1:${second.port}', HTTP/1.1, IDLE, Request Count: 1]>`,
      `<TunnelHTTPConnection ['https://127.0.0.1:${first.port}', HTTP/1.1, IDLE, Request Count: 2]>`,
    ]);
  });
});

describe.each(ROUTES)('maxSockets for an %s origin through %s proxy', (scheme, via) => {
  test('holds while connections are dialled, and the others wait their turn', async () => {
    const hold = gate();
    const server = await origin(scheme, { handler: hold.handler });
    const through = via && (await proxy(via));
    const transport = newTransport({ maxSockets: 2 });
    const answers = Array.from({ length: 8 }, () =>
      getText(transport, { url: server.url, http_proxy: through?.url ?? null }),
    );
    await server.waitForRequests(2);
    expect(transport.connections).toHaveLength(2);
    hold.open();
    expect(await Promise.all(answers)).toEqual(Array(8).fill('open'));
    expect((through ?? server).connectionCount).toBe(2);
    expect(server.requests).toHaveLength(8);
  });
});

describe('the queue', () => {
  test('is drained when a tunnel is refused: 100 failures with one socket, then a good one', async () => {
    const server = await origin('https');
    const through = await proxy('http', { misbehaviour: { kind: 'reply', status: 503, times: 100 } });
    const transport = newTransport({ maxSockets: 1 });
    const request = { url: server.url, http_proxy: through.url };
    const results = await Promise.allSettled(Array.from({ length: 101 }, () => getText(transport, request)));
    expect(
      results.filter((result) => result.status === 'rejected' && result.reason instanceof ProxyTunnelError),
    ).toHaveLength(100);
    expect(results.at(-1)?.status).toBe('fulfilled');
    expect(through.connectionCount).toBe(101);
    expect(transport.connections).toHaveLength(1);
  });

  test('is drained when answers break off: 100 failures with one socket, then a good one', async () => {
    let count = 0;
    const server = await origin('http', {
      handler: (request, response) => {
        count += 1;
        if (count > 100) return void response.end('good');
        response.writeHead(200, { 'Content-Length': 100 });
        return void response.write('half', () => request.socket.destroy());
      },
    });
    const transport = newTransport({ maxSockets: 1 });
    const results = await Promise.allSettled(
      Array.from({ length: 101 }, () => getText(transport, { url: server.url, http_proxy: null })),
    );
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(100);
    expect(results.at(-1)).toEqual({ status: 'fulfilled', value: 'good' });
  });

  test('is drained when nobody listens', async () => {
    const transport = newTransport({ maxSockets: 1 });
    const http_proxy = `http://127.0.0.1:${await closedPort()}`;
    await Promise.all(
      Array.from({ length: 20 }, () =>
        failureOf(transport.send({ url: 'https://x.example', http_proxy }), ProxyConnectError),
      ),
    );
    expect(transport.connections).toEqual([]);
  });
});

interface Change {
  readonly name: string;
  readonly first: Partial<TransportRequest>;
  readonly second: Partial<TransportRequest>;
}

const CHANGES: readonly Change[] = [
  { name: 'no verification before', first: { tls: { verify: false }, proxyTls: { verify: false } }, second: {} },
  { name: 'verification before', first: {}, second: { tls: { verify: false }, proxyTls: { verify: false } } },
  {
    name: 'another server name',
    first: {},
    second: {
      tls: { ...trusting.tls, servername: 'origin.example' },
      proxyTls: { ...trusting.proxyTls, servername: 'proxy.example' },
    },
  },
  {
    name: 'another TLS version',
    first: {},
    second: {
      tls: { ...trusting.tls, maxVersion: 'TLSv1.2' },
      proxyTls: { ...trusting.proxyTls, maxVersion: 'TLSv1.2' },
    },
  },
];

describe('connections are not shared', () => {
  test.each(CHANGES)('with $name', async ({ name, first, second }) => {
    const [server, through] = [await origin('https'), await proxy('https')];
    const transport = newTransport();
    const request = { url: server.url, http_proxy: through.url };
    if (name.includes('verification')) {
      for (const { port } of [server, through]) expectWarning('CLOUDLANE_INSECURE', `127.0.0.1:${port}`);
    }
    await inTurn(transport, [
      { ...request, ...first },
      { ...request, ...second },
      { ...request, ...first },
    ]);
    expect(through.hops.map(({ connection }) => connection)).toEqual([1, 2]);
    expect(through.hops.map(({ resumed }) => resumed)).toEqual([false, false]);
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2, 1]);
    expect(server.requests.map(({ resumed }) => resumed)).toEqual([false, false, false]);
  });

  test.each(['http', 'https'] as const)(
    'on the way to an %s origin with other TLS for the proxy alone',
    async (scheme) => {
      const [server, through] = [await origin(scheme), await proxy('https')];
      const request = { url: server.url, http_proxy: through.url };
      expectWarning('CLOUDLANE_INSECURE', `the proxy 127.0.0.1:${through.port}`);
      await inTurn(newTransport(), [{ ...request, proxyTls: { verify: false } }, request]);
      expect(server.requests).toHaveLength(2);
      expect(through.hops.map(({ connection }) => connection)).toEqual([1, 2]);
    },
  );

  test('by who verifies with who does not, though they meet in the pool', async () => {
    const strangers = await createCa();
    const server = await origin('https', { tls: await strangers.issue({ names: ['127.0.0.1'] }) });
    const transport = newTransport();
    const request = { url: server.url, http_proxy: null };
    // Once, also for another connection.
    expectWarning('CLOUDLANE_INSECURE', server.url);
    await inTurn(transport, [{ ...request, tls: { verify: false } }]);
    await expect(transport.send(request)).rejects.toMatchObject({ code: 'ERR_TLS' });
    await inTurn(transport, [{ ...request, tls: { verify: false } }]);
    expect(server.requests).toHaveLength(2);
  });

  test.each(['http', 'https'] as const)(
    'by requests to %s origins with other credentials or headers for the proxy',
    async (scheme) => {
      const [server, through] = [await origin(scheme), await proxy()];
      const transport = newTransport();
      const url = through.url.replace('://', '://user:one@');
      const settings: HttpProxy[] = [
        url,
        url.replace('one', 'two'),
        { url, headers: { 'X-Tenant': 'a' } },
        { url, headers: { 'X-Tenant': 'b' } },
        through.url,
        url,
      ];
      await inTurn(
        transport,
        settings.map((http_proxy) => ({ url: server.url, http_proxy })),
      );
      await inTurn(transport, [
        { url: server.url, http_proxy: through.url, headers: { 'Proxy-Authorization': 'Bearer mine' } },
      ]);
      expect(through.connectionCount).toBe(6);
      expect(server.requests).toHaveLength(7);
    },
  );

  test('by a proxy and its neighbour', async () => {
    const [server, first, second] = [await origin(), await proxy(), await proxy()];
    await inTurn(
      newTransport(),
      [first, second, first].map(({ url }) => ({ url: server.url, http_proxy: url })),
    );
    expect([first.hops.length, second.hops.length]).toEqual([2, 1]);
    expect([first.connectionCount, second.connectionCount]).toEqual([1, 1]);
  });
});

describe('an idle connection', () => {
  test('is closed after idleTimeout', async () => {
    const server = await origin();
    const transport = newTransport({ idleTimeout: 50 });
    await inTurn(transport, [{ url: server.url, http_proxy: null }]);
    expect(transport.connections.map(({ state }) => state)).toEqual(['IDLE']);
    await expectNothingLeft(transport, server);
  });

  test('is not kept beyond maxIdleSockets', async () => {
    const hold = gate();
    const server = await origin('http', { handler: hold.handler });
    const transport = newTransport({ maxIdleSockets: 1 });
    const answers = [1, 2, 3].map(() => getText(transport, { url: server.url, http_proxy: null }));
    await server.waitForRequests(3);
    hold.open();
    await Promise.all(answers);
    await until(() => transport.connections.length === 1);
    expect(transport.connections.map(({ state }) => state)).toEqual(['IDLE']);
  });

  test.each([
    ['timeout=1', 'closed'],
    ['max=5, timeout=1', 'closed'],
    ['timeout=60', 'kept'],
  ])('whose server said Keep-Alive: %s is %s', async (hint, fate) => {
    const server = await origin('http', {
      handler: (_, response) => void response.writeHead(200, { 'Keep-Alive': hint, 'Content-Length': 0 }).end(),
    });
    const transport = newTransport();
    await inTurn(transport, [{ url: server.url, http_proxy: null }]);
    if (fate === 'closed') await expectNothingLeft(transport, server);
    else expect(transport.connections.map(({ state }) => state)).toEqual(['IDLE']);
  });

  test('that the server closes is not used again', async () => {
    const server = await origin('http', {
      handler: (request, response) => void response.end('bye', () => request.socket.end()),
    });
    const transport = newTransport();
    for (let count = 1; count <= 3; count += 1) {
      await inTurn(transport, [{ url: server.url, http_proxy: null }]);
      await expectNothingLeft(transport, server);
      expect(server.connectionCount).toBe(count);
    }
  });

  test('on which the server says something unasked is not used again', async () => {
    const sockets: Socket[] = [];
    const server = await origin('http', {
      handler: ({ socket }, response) => void response.end('ok', () => sockets.push(socket)),
    });
    const transport = newTransport();
    const request = { url: server.url, http_proxy: null };
    await inTurn(transport, [request]);
    await until(() => transport.connections[0]?.state === 'IDLE');
    await new Promise<unknown>((resolve) => sockets[0]?.write('HTTP/1.1 408 Request Timeout\r\n\r\n', resolve));
    await expectNothingLeft(transport, server);
  });
});

describe('an unread body', () => {
  test.each(['reading', 'destroying'] as const)('holds its connection until %s it', async (how) => {
    const server = await origin('http', { handler: (_, response) => void response.end('x'.repeat(100_000)) });
    const transport = newTransport({ maxSockets: 1 });
    const request = { url: server.url, http_proxy: null };
    const first = await transport.send(request);
    let secondCame = false;
    const second = transport.send(request).then((response) => {
      secondCame = true;
      return response;
    });
    await new Promise(setImmediate);
    expect(secondCame).toBe(false);
    expect(transport.connections.map(({ state }) => state)).toEqual(['ACTIVE']);
    if (how === 'reading') await text(first.body);
    else first.body.destroy();
    expect(await text((await second).body)).toHaveLength(100_000);
    expect(server.connectionCount).toBe(how === 'reading' ? 1 : 2);
  });
});

describe('close()', () => {
  test('fails calls in the queue, being dialled and under way, and every later one', async () => {
    const hold = gate();
    const [server, through] = [await origin('https', { handler: hold.handler }), await proxy('http')];
    const transport = newTransport({ maxSockets: 1 });
    const send = () => transport.send({ url: server.url, http_proxy: through.url });
    const underWay = send();
    const caught = [underWay, send(), send()].map((call) => failureOf(call, ClosedError));
    await server.waitForRequests(1);
    through.misbehave({ kind: 'hang' });
    const dialling = failureOf(transport.send({ url: 'https://localhost', http_proxy: through.url }), ClosedError);
    await through.waitForHops(2);
    await transport.close();
    const errors = await Promise.all([...caught, dialling, failureOf(send(), ClosedError)]);
    expect(errors.map(({ code, phase }) => [code, phase])).toEqual([
      ['ERR_CLOSED', 'response'],
      ['ERR_CLOSED', 'proxy-dns'],
      ['ERR_CLOSED', 'proxy-dns'],
      ['ERR_CLOSED', 'proxy-handshake'],
      ['ERR_CLOSED', 'proxy-dns'],
    ]);
    await expectNothingLeft(transport, through, server);
    await transport.close();
  });

  test('twice at once resolves both calls', async () => {
    const server = await origin('http', { handler: () => {} });
    const transport = newTransport();
    const failure = failureOf(transport.send({ url: server.url, http_proxy: null }), ClosedError);
    await server.waitForRequests(1);
    await Promise.all([transport.close(), transport.close()]);
    await failure;
  });

  test('fails a body that is being read', async () => {
    const server = await origin('http', { handler: (_, response) => void response.writeHead(200).write('half') });
    const transport = newTransport();
    const response = await transport.send({ url: server.url, http_proxy: null });
    const body = failureOf(text(response.body), ClosedError);
    await transport.close();
    expect(await body).toMatchObject({ phase: 'body' });
    await expectNothingLeft(transport, server);
  });

  test('closes idle connections', async () => {
    const [server, through] = [await origin('https'), await proxy('https')];
    const transport = newTransport();
    await inTurn(transport, [{ url: server.url, http_proxy: through.url }]);
    await transport.close();
    await expectNothingLeft(transport, through, server);
  });
});

test(
  'the process can exit while connections are idle',
  async () => {
    const [server, through] = [await origin('http'), await proxy()];
    const { output, errors, code } = await runScript(`
    import { Transport } from '@cloudlane/transport';
    const transport = new Transport({ idleTimeout: 60_000, timeout: 60_000 });
    const response = await transport.send({ url: '${server.url}', http_proxy: '${through.url}' });
    for await (const _ of response.body);
    console.log(response.status);
  `);
    expect([output, errors, code]).toEqual(['200\n', '', 0]);
    await expectNothingLeft(newTransport(), through);
  },
  PROCESS_TIMEOUT,
);
