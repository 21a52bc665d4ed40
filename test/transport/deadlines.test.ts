import { getEventListeners, once } from 'node:events';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { InvalidOptionError } from '@cloudlane/proxy';
import { blackHole, type LabProxy, type Misbehaviour, type OriginHandler } from '@cloudlane/testing';
import { TimeoutError, type Timeouts, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, failureOf, newTransport, origin, proxy, type Scheme, until, use } from './lab.ts';

/** Long enough for a handshake on a busy machine, short enough to wait for. */
const SHORT = 120;
/** For what starts once the connection is there. */
const SHORTER = 60;
const silent: OriginHandler = () => {};
const halfAnAnswer: OriginHandler = (_, response) =>
  void response.writeHead(200, { 'Content-Length': 100 }).write('half');

async function* dripping(bytes: number, milliseconds: number): AsyncGenerator<string> {
  for (let index = 0; index < bytes; index += 1) {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    yield 'x';
  }
}

describe('the connect deadline', () => {
  test.each([
    ['a proxy', 'proxy', 'proxy-connect', 'connecting to the proxy'],
    ['an origin', 'origin', 'origin-connect', 'connecting to the origin'],
  ] as const)('bounds connecting to %s that does not answer', async (_, hop, phase, what) => {
    const hole = await use(blackHole());
    const transport = newTransport({ timeout: { connect: SHORT } });
    const address = `http://${hole.host}:${hole.port}`;
    const request =
      hop === 'proxy' ? { url: 'https://x.example', http_proxy: address } : { url: address, http_proxy: null };
    const error = await failureOf(transport.send(request), TimeoutError);
    expect(error).toMatchObject({
      code: 'ERR_TIMEOUT',
      deadline: 'connect',
      milliseconds: SHORT,
      phase,
      hop,
      retryable: true,
    });
    expect(error.message).toContain(`${what} took longer than ${SHORT} ms (timeout.connect)`);
    expect(transport.connections).toEqual([]);
  });
});

describe('the handshake deadline', () => {
  test.each<[string, Misbehaviour, Scheme, string, string]>([
    ['a proxy that never answers CONNECT', { kind: 'hang' }, 'http', 'proxy-handshake', 'proxy'],
    ['a proxy that answers CONNECT byte by byte', { kind: 'drip', interval: 10 }, 'http', 'proxy-handshake', 'proxy'],
    ['a tunnel that is silent', { kind: 'silent-tunnel' }, 'http', 'origin-tls', 'origin'],
    ['a proxy that does not start TLS', { kind: 'mute' }, 'https', 'proxy-tls', 'proxy'],
    ['a tunnel inside TLS that is silent', { kind: 'silent-tunnel' }, 'https', 'origin-tls', 'origin'],
  ])('bounds %s', async (_, misbehaviour, scheme, phase, hop) => {
    const server = await origin('https');
    const through = await proxy(scheme, { misbehaviour });
    const transport = newTransport({ timeout: { handshake: SHORT } });
    const error = await failureOf(transport.send({ url: server.url, http_proxy: through.url }), TimeoutError);
    expect(error).toMatchObject({ deadline: 'handshake', milliseconds: SHORT, phase, hop, retryable: true });
    expect(error.hasConnectedToProxy).toBe(phase !== 'proxy-tls');
    await expectNothingLeft(transport, through);
    expect(server.connectionCount).toBe(0);
  });

  test('does not turn a refusal whose page never ends into a timeout', async () => {
    const through = await proxy('http', {
      misbehaviour: { kind: 'reply', status: 403, headers: { 'Content-Length': '1000' }, body: 'half', keepOpen: true },
    });
    const transport = newTransport({ timeout: { handshake: SHORT } });
    const sent = transport.send({ url: 'https://x.example', http_proxy: through.url });
    await expect(sent).rejects.toMatchObject({ code: 'ERR_PROXY_TUNNEL', status: 403, body: Buffer.from('half') });
    await expectNothingLeft(transport, through);
  });
});

const ROUTES = [
  ['http', null],
  ['https', null],
  ['http', 'http'],
  ['https', 'http'],
  ['https', 'https'],
] as const;

async function way(scheme: Scheme, via: Scheme | null, handler: OriginHandler, recordBodies = true) {
  const server = await origin(scheme, { handler, recordBodies });
  const through = via && (await proxy(via));
  return { server, through, request: { url: server.url, http_proxy: through?.url ?? null } };
}

describe.each(ROUTES)('for an %s origin through %s proxy', (scheme, via) => {
  const hop = scheme === 'http' && via ? 'proxy' : 'origin';

  test('firstByte bounds the wait for an answer', async () => {
    const { server, through, request } = await way(scheme, via, silent);
    const transport = newTransport({ timeout: { firstByte: SHORTER } });
    const error = await failureOf(transport.send(request), TimeoutError);
    expect(error).toMatchObject({ deadline: 'firstByte', phase: 'response', hop, retryable: false });
    expect(error.message).toContain(`waiting for the answer took longer than ${SHORTER} ms (timeout.firstByte)`);
    await expectNothingLeft(transport, server, ...(through ? [through] : []));
  });

  test('idle bounds the silence within a body', async () => {
    const { server, through, request } = await way(scheme, via, halfAnAnswer);
    const transport = newTransport({ timeout: { idle: SHORTER } });
    const response = await transport.send(request);
    const error = await failureOf(text(response.body), TimeoutError);
    expect(error).toMatchObject({ deadline: 'idle', phase: 'body', hop });
    await expectNothingLeft(transport, server, ...(through ? [through] : []));
  });

  test('total covers the body', async () => {
    const { server, through, request } = await way(scheme, via, (_, response) => {
      response.on('error', () => {});
      return void Readable.from(dripping(1000, 10))
        .on('error', () => {})
        .pipe(response);
    });
    const transport = newTransport();
    const response = await transport.send({ ...request, timeout: 2 * SHORT });
    const error = await failureOf(text(response.body), TimeoutError);
    expect(error).toMatchObject({ deadline: 'total', milliseconds: 2 * SHORT, phase: 'body', hop });
    await expectNothingLeft(transport, server, ...(through ? [through] : []));
  });
});

describe('the idle deadline', () => {
  test('counts a proxy that stalls a forwarded body', async () => {
    const server = await origin('http', { handler: (_, response) => void response.end('x'.repeat(1000)) });
    const through = await proxy('http', { misbehaviour: { kind: 'stall-body' } });
    const transport = newTransport({ timeout: { idle: SHORTER } });
    const response = await transport.send({ url: server.url, http_proxy: through.url });
    await expect(text(response.body)).rejects.toMatchObject({ code: 'ERR_TIMEOUT', deadline: 'idle', hop: 'proxy' });
    await expectNothingLeft(transport, through);
  });

  test('counts a server that stops reading an upload', async () => {
    const server = await origin('http', { handler: (request) => void request.pause(), recordBodies: false });
    const transport = newTransport({ timeout: { idle: SHORTER } });
    const body = Readable.from(endless());
    const error = await failureOf(
      transport.send({ url: server.url, http_proxy: null, method: 'PUT', body }),
      TimeoutError,
    );
    expect(error).toMatchObject({ deadline: 'idle', phase: 'request' });
    await until(() => body.destroyed);
  });

  test('does not count a slow reader of ours', async () => {
    const server = await origin('http', { handler: (_, response) => void response.end(Buffer.alloc(3_000_000)) });
    const transport = newTransport({ timeout: { idle: 60 } });
    const response = await transport.send({ url: server.url, http_proxy: null });
    const chunks = response.body[Symbol.asyncIterator]();
    const first = await chunks.next();
    await new Promise((resolve) => setTimeout(resolve, 250));
    let bytes = first.value.length;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) bytes += next.value.length;
    expect(bytes).toBe(3_000_000);
  });

  test('does not count an answer that has come whole and waits to be read', async () => {
    const server = await origin();
    const { body } = await newTransport({ timeout: { idle: 100 } }).send({
      method: 'HEAD',
      url: server.url,
      http_proxy: null,
    });
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(await text(body)).toBe('');
  });

  test('does not count a slow source of ours', async () => {
    const server = await origin('http');
    const transport = newTransport({ timeout: { idle: 60, firstByte: 60 } });
    const response = await transport.send({ url: server.url, http_proxy: null, method: 'PUT', body: dripping(2, 150) });
    expect(response.status).toBe(200);
    expect(String(server.requests[0]?.body)).toBe('xx');
    response.body.resume();
  });
});

describe('a deadline that passes while this process is busy', () => {
  // Everything is on this side already when the loop goes on: the timers of the turn come before what was received.
  const keepBusy = (): void => {
    for (const end = performance.now() + 3 * SHORT; performance.now() < end; );
  };

  test.each(['firstByte', 'total'] as const)('does not hide the answer that has come: %s', async (deadline) => {
    const server = await origin('http', {
      handler: (_, response) => {
        response.end('here', keepBusy);
      },
    });
    const transport = newTransport({ timeout: { [deadline]: SHORT } });
    const response = await transport.send({ url: server.url, http_proxy: null });
    expect(await text(response.body)).toBe('here');
  });

  test('does not hide the rest of a body that has come: idle', async () => {
    let end = (): void => {};
    const server = await origin('http', {
      handler: (_, response) => {
        response.write('first, ');
        end = () => void response.end('then', keepBusy);
      },
    });
    const transport = newTransport({ timeout: { idle: SHORT } });
    const response = await transport.send({ url: server.url, http_proxy: null });
    const chunks = response.body[Symbol.asyncIterator]();
    expect(String((await chunks.next()).value)).toBe('first, ');
    end();
    expect(String((await chunks.next()).value)).toBe('then');
    expect((await chunks.next()).done).toBe(true);
  });
});

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(64 * 1024);
}

describe('the total deadline', () => {
  test.each<[string, number | Timeouts]>([
    ['a number', SHORT],
    ['named', { total: SHORT }],
  ])('given as %s covers the wait for a free connection', async (_, timeout) => {
    const server = await origin('http', { handler: silent });
    const transport = newTransport({ maxSockets: 1 });
    const first = new AbortController();
    const held = transport.send({ url: server.url, http_proxy: null, signal: first.signal });
    const error = await failureOf(transport.send({ url: server.url, http_proxy: null, timeout }), TimeoutError);
    expect(error).toMatchObject({ deadline: 'total', milliseconds: SHORT, hop: 'origin' });
    expect(error.message).toContain('waiting for a free connection took longer');
    first.abort(new Error('enough'));
    await expect(held).rejects.toThrow('enough');
    expect(server.requests).toHaveLength(1);
    await expectNothingLeft(transport, server);
  });

  test('of the transport holds unless the call has one', async () => {
    const server = await origin('http', { handler: silent });
    const transport = newTransport({ timeout: SHORT });
    await expect(transport.send({ url: server.url, http_proxy: null })).rejects.toMatchObject({ milliseconds: SHORT });
    await expect(transport.send({ url: server.url, http_proxy: null, timeout: 50 })).rejects.toMatchObject({
      milliseconds: 50,
    });
    const off = newTransport({ timeout: { total: 50 } });
    const late = off.send({ url: server.url, http_proxy: null, timeout: { total: 0, firstByte: 2 * SHORT } });
    await expect(late).rejects.toMatchObject({ deadline: 'firstByte' });
  });
});

test.each(['connect', 'handshake', 'firstByte', 'idle', 'total'] as const)('0 switches %s off', async (name) => {
  const server = await origin('https', {
    handler: (_, response) => {
      response.write('slow');
      setTimeout(() => response.end(), 20);
    },
  });
  const through = await proxy('http', { delay: 20 });
  const transport = newTransport({ timeout: { [name]: 0 } });
  const response = await transport.send({ url: server.url, http_proxy: through.url });
  expect(await text(response.body)).toBe('slow');
});

test.each([
  ['timeout.total', -1],
  ['timeout.total', Number.NaN],
  ['timeout.total', Number.POSITIVE_INFINITY],
  ['timeout.total', 2 ** 31],
  ['timeout.connect', { connect: '5' }],
  ['timeout.idle', { idle: null }],
  ['timeout', { conect: 5 }],
  ['timeout', null],
  ['timeout', '5'],
])('refuses %s: %p, of a transport and of a call', async (option, timeout) => {
  expect(() => newTransport({ timeout: timeout as never })).toThrow(expect.objectContaining({ option }));
  const sent = newTransport().send({ url: 'http://x.example', http_proxy: null, timeout: timeout as never });
  expect(await failureOf(sent, InvalidOptionError)).toMatchObject({ code: 'ERR_INVALID_OPTION', option });
});

interface Stage {
  readonly name: string;
  readonly scheme: Scheme;
  readonly misbehaviour?: Misbehaviour;
  readonly handler?: OriginHandler;
  readonly body?: () => TransportRequest['body'];
  /** Resolves when the call has got there. */
  readonly reached: (proxy: LabProxy, server: Awaited<ReturnType<typeof origin>>) => Promise<unknown>;
}

function stuck(): Readable {
  const source = new Readable({ read() {} });
  source.push('some');
  return source;
}

const STAGES: readonly Stage[] = [
  { name: 'the look-up and the connect', scheme: 'https', reached: async () => {} },
  { name: 'CONNECT', scheme: 'https', misbehaviour: { kind: 'hang' }, reached: (through) => through.waitForHops(1) },
  {
    name: 'TLS with the origin',
    scheme: 'https',
    misbehaviour: { kind: 'silent-tunnel' },
    reached: (through) => until(() => through.hops[0]?.status === 200),
  },
  {
    name: 'a forwarded upload',
    scheme: 'http',
    body: () => Readable.from(endless()),
    handler: (request) => void request.resume(),
    reached: (_, server) => server.waitForRequests(1),
  },
  {
    name: 'an upload',
    scheme: 'https',
    body: () => Readable.from(endless()),
    handler: (request) => void request.resume(),
    reached: (_, server) => server.waitForRequests(1),
  },
  {
    name: 'an upload whose source is stuck',
    scheme: 'https',
    body: stuck,
    handler: silent,
    reached: (_, server) => server.waitForRequests(1),
  },
  {
    name: 'the wait for a forwarded answer',
    scheme: 'http',
    handler: silent,
    reached: (_, server) => server.waitForRequests(1),
  },
  {
    name: 'the wait for an answer',
    scheme: 'https',
    handler: silent,
    reached: (_, server) => server.waitForRequests(1),
  },
];

describe.each(['http', 'https'] as const)('through an %s proxy', (via) => {
  test.each(STAGES)(
    'aborting during $name rejects with the reason and leaves no socket',
    async ({ scheme, misbehaviour, handler, body, reached }) => {
      const server = await origin(scheme, { recordBodies: false, ...(handler && { handler }) });
      const through = await proxy(via, misbehaviour && { misbehaviour });
      const transport = newTransport();
      const controller = new AbortController();
      const reason = { said: 'enough' };
      const source = body?.() ?? null;
      const sent = transport.send({
        url: server.url,
        http_proxy: through.url,
        signal: controller.signal,
        ...(source && { method: 'PUT', body: source }),
      });
      sent.catch(() => {});
      await reached(through, server);
      controller.abort(reason);
      await expect(sent).rejects.toBe(reason);
      await expectNothingLeft(transport, through, server);
      if (source instanceof Readable) await until(() => source.destroyed);
    },
  );

  test('aborting in the queue rejects with the reason and leaves the others alone', async () => {
    const answers: (() => void)[] = [];
    const server = await origin('https', { handler: (_, response) => void answers.push(() => response.end('ok')) });
    const through = await proxy(via);
    const transport = newTransport({ maxSockets: 1 });
    const controller = new AbortController();
    const request = { url: server.url, http_proxy: through.url };
    const first = transport.send(request);
    const aborted = transport.send({ ...request, signal: controller.signal });
    const last = transport.send(request);
    await until(() => answers.length === 1);
    controller.abort('enough');
    await expect(aborted).rejects.toBe('enough');
    answers[0]?.();
    expect(await text((await first).body)).toBe('ok');
    await until(() => answers.length === 2);
    answers[1]?.();
    expect(await text((await last).body)).toBe('ok');
    expect(through.connectionCount).toBe(1);
  });

  test.each(['http', 'https'] as const)(
    'aborting during the body of an %s origin fails its stream with the reason',
    async (scheme) => {
      const server = await origin(scheme, { handler: halfAnAnswer });
      const through = await proxy(via);
      const transport = newTransport();
      const controller = new AbortController();
      const response = await transport.send({ url: server.url, http_proxy: through.url, signal: controller.signal });
      await once(response.body, 'readable');
      const body = text(response.body);
      controller.abort();
      await expect(body).rejects.toBe(controller.signal.reason);
      await expectNothingLeft(transport, through, server);
    },
  );
});

test('a signal that is aborted already opens no connection', async () => {
  const server = await origin();
  const transport = newTransport();
  const reason = new Error('never mind');
  const sent = transport.send({ url: server.url, http_proxy: null, signal: AbortSignal.abort(reason) });
  await expect(sent).rejects.toBe(reason);
  expect(transport.connections).toEqual([]);
  expect(server.connectionCount).toBe(0);
});

test('a signal that serves many calls at once has one listener, and ends them all', async () => {
  const server = await origin('http', { handler: () => {} });
  const transport = newTransport();
  const controller = new AbortController();
  const { signal } = controller;
  const sent = Array.from({ length: 20 }, () => transport.send({ url: server.url, http_proxy: null, signal }));
  const outcomes = Promise.allSettled(sent);
  await server.waitForRequests(20);
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  const reason = new Error('enough');
  controller.abort(reason);
  expect(await outcomes).toEqual(new Array(20).fill({ status: 'rejected', reason }));
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  await expectNothingLeft(transport, server);
});

test('a signal that serves many calls collects no listeners', async () => {
  const server = await origin();
  const transport = newTransport();
  const { signal } = new AbortController();
  for (let index = 0; index < 5; index += 1) {
    const response = await transport.send({ url: server.url, http_proxy: null, signal });
    await text(response.body);
  }
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
