// What a demanding caller does to a session: callbacks that fail or hang, bodies that are given up, credentials abroad.
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { HTTPDigestAuth, NetrcAuth, Session, type SessionOptions, StreamConsumedError } from '@cloudlane/session';
import { TimeoutError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { ca, certificate, failureOf, newTransport, origin, until } from '../transport/lab.ts';
import { writeFiles } from './lab.ts';

function newSession(options: SessionOptions = {}): Session {
  return new Session({ transport: newTransport(), ...options });
}

const never = (): Promise<never> => new Promise(() => {});

describe('a progress callback that throws', () => {
  const fail = (): never => {
    throw new Error('from the callback');
  };

  test('fails the download', async () => {
    const session = newSession();
    const response = await session.get((await origin()).url, { onDownloadProgress: fail });
    await expect(response.content()).rejects.toThrow('from the callback');
    await until(() => session.transport.connections.every(({ state }) => state !== 'ACTIVE'));
  });

  test('is heard of each byte once, however often the stream is asked for', async () => {
    const target = await origin('http', { handler: (_, response) => void response.end('x'.repeat(1_000_000)) });
    const counts: number[] = [];
    const response = await newSession().get(target.url, { onDownloadProgress: (bytes) => void counts.push(bytes) });
    expect(response.body).toBe(response.body);
    response.body.on('data', () => {});
    await once(response.body, 'end');
    expect(counts.at(-1)).toBe(1_000_000);
    expect(counts).toEqual([...new Set(counts)].sort((one, other) => one - other));
  });
});

describe('what never comes back', () => {
  const hanging: Record<string, SessionOptions> = {
    auth: { auth: never },
    'the hook args': { hooks: { args: never } },
    'the hook preRequest': { hooks: { preRequest: never } },
    'the hook response': { hooks: { response: never } },
    'the hook postRequest': { hooks: { postRequest: never } },
  };

  test.each(Object.keys(hanging))('%s: the call ends with its signal', async (name) => {
    const target = await origin();
    const session = newSession(hanging[name]);
    const controller = new AbortController();
    const reason = new Error('enough');
    const sending = session.get(target.url, { signal: controller.signal });
    setImmediate(() => controller.abort(reason));
    await expect(sending).rejects.toBe(reason);
    await until(() => session.transport.connections.every(({ state }) => state !== 'ACTIVE'));
  });

  test.each(Object.keys(hanging))('%s: the call ends with its deadline', async (name) => {
    const target = await origin();
    const error = await failureOf(newSession(hanging[name]).get(target.url, { timeout: 500 }), TimeoutError);
    expect(error).toMatchObject({ deadline: 'total', milliseconds: 500, message: expect.stringContaining(name) });
  });

  test('a challenge: the call ends, and its connection is free', async () => {
    const target = await origin('http', { handler: (_, response) => void response.writeHead(401).end('no') });
    const session = newSession({ auth: { apply: () => {}, answerChallenge: never } });
    await failureOf(session.get(target.url, { timeout: 50 }), TimeoutError);
    await until(() => session.transport.connections.every(({ state }) => state === 'IDLE'));
  });

  test('map ends with its signal', async () => {
    const target = await origin();
    const controller = new AbortController();
    const mapping = newSession({ auth: never }).map([target.url, target.url], { signal: controller.signal });
    setImmediate(() => controller.abort(new Error('enough')));
    await expect(mapping).rejects.toThrow('enough');
  });
});

describe('a body that was given up', () => {
  const long = 'x'.repeat(1_000_000);

  test('cannot be read any more', async () => {
    const response = await newSession().get((await origin()).url);
    response.release();
    for (const read of [() => response.content(), () => response.text(), () => response.json()])
      expect((await failureOf(read(), StreamConsumedError)).message).toMatch(/release/);
    await expect(response.iterContent()[Symbol.asyncIterator]().next()).rejects.toThrow(/release/);
    expect(() => response.body).toThrow(/release/);
  });

  test.each<[name: string, headers: Record<string, string>, body: string | Buffer]>([
    ['plain', {}, long],
    ['packed', { 'Content-Encoding': 'gzip' }, gzipSync(long)],
  ])('while it is read fails its reader: %s', async (_name, headers, body) => {
    const target = await origin('http', {
      handler: (_, response) => {
        response.writeHead(200, headers).write(body.slice(0, body.length - 1));
      },
    });
    const session = newSession();
    const response = await session.get(target.url);
    const reading = (async () => {
      for await (const _ of response.iterContent()) response.release();
    })();
    await failureOf(reading, StreamConsumedError);
    const whole = await session.get(target.url);
    const content = whole.content();
    whole.release();
    await failureOf(content, StreamConsumedError);
    await until(() => session.transport.connections.length === 0);
  });

  test('after it was read is still there', async () => {
    const response = await newSession().get((await origin()).url);
    const content = await response.content();
    response.release();
    expect(await response.content()).toBe(content);
    expect(response.reusedConnection).toBe(false);
    expect(response.timings.total).toBeGreaterThan(0);
  });
});

test.each(['imap', 'map'] as const)('%s that ends early leaves no answer open', async (name) => {
  const target = await origin('http', { handler: (_, response) => void response.end('x'.repeat(1_000_000)) });
  const session = newSession();
  const urls = [1, 2, 3].map((each) => `${target.url}/${each}`);
  if (name === 'imap') {
    for await (const response of session.imap(urls, { size: 3, prefetch: false })) {
      await target.waitForRequests(3);
      if (!(response instanceof Error)) response.release();
      break;
    }
  } else {
    const bad = async function* () {
      yield* urls;
      await target.waitForRequests(3);
      throw new Error('no more');
    };
    await expect(session.map(bad(), { prefetch: false, onError: 'throw' })).rejects.toThrow('no more');
  }
  await until(() => session.transport.connections.every(({ state }) => state !== 'ACTIVE'));
});

test('a client certificate is shown to the origin that was asked for, and to no other', async () => {
  const [cert = '', key = ''] = await writeFiles({ 'cert.pem': certificate.cert, 'key.pem': certificate.key });
  const shown: unknown[] = [];
  const wanting = { ...certificate, requestCert: true, rejectUnauthorized: false, ca: ca.certificate };
  const note = (socket: unknown): void => {
    shown.push((socket as TLSSocket).getPeerCertificate().fingerprint256 !== undefined);
  };
  const { createServer } = await import('node:https');
  const listen = async (location: string | null): Promise<{ url: string; close: () => void }> => {
    const server = createServer(wanting, ({ socket }, response) => {
      note(socket);
      response.writeHead(location === null ? 200 : 302, location === null ? {} : { Location: location }).end();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    return { url: `https://127.0.0.1:${port}/`, close: () => void server.close().closeAllConnections() };
  };
  const there = await listen(null);
  const here = await listen(there.url);
  try {
    const response = await newSession({ cert: [cert, key], prefetch: true }).get(here.url);
    expect(response.history).toHaveLength(1);
    expect(shown).toEqual([true, false]);
  } finally {
    here.close();
    there.close();
  }
});

test('what a hook sets for one origin does not go to another', async () => {
  const there = await origin();
  const here = await origin('http', {
    handler: (_, response) => void response.writeHead(302, { Location: there.url }).end(),
  });
  const session = newSession({ prefetch: true, hooks: { preRequest: (request) => request.setHeader('X-Stamp', 's') } });
  await session.get(here.url);
  expect([here, there].map(({ requests }) => requests[0]?.headers['x-stamp'])).toEqual(['s', undefined]);
});

describe('credentials', () => {
  const withUser = (url: string, user: string): string => url.replace('://', `://${user}@`);

  test('of a URL yield to an auth, and are not sent before its challenge', async () => {
    const target = await origin();
    const auth = new HTTPDigestAuth('ada', SECRETS.originPassword);
    await (await newSession({ auth }).get(withUser(target.url, 'u:p'))).content();
    expect(target.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('of a URL are what netrc is asked with', async () => {
    const target = await origin();
    const [path = ''] = await writeFiles({ netrc: 'machine 127.0.0.1 login ada password a1 login bob password b2\n' });
    const { chmod } = await import('node:fs/promises');
    await chmod(path, 0o600);
    const session = newSession({ auth: new NetrcAuth(path), prefetch: true });
    await session.get(withUser(target.url, 'u:p'));
    await session.get(target.url);
    expect(target.requests.map(({ headers }) => String(headers.authorization))).toEqual(
      ['u:p', 'ada:a1'].map((pair) => `Basic ${Buffer.from(pair).toString('base64')}`),
    );
  });

  test.each<[value: string | null, seen: string | undefined]>([
    ['Bearer mine', 'Bearer mine'],
    [null, undefined],
  ])('of a call’s own header, %p, win over the session’s auth', async (value, seen) => {
    const target = await origin();
    const session = newSession({ auth: ['u', 'p'], prefetch: true });
    await session.get(target.url, { headers: { authorization: value } });
    expect(target.requests[0]?.headers.authorization).toBe(seen);
  });

  test('in cookies of a call win over a default header; both in one call are refused', async () => {
    const target = await origin();
    const session = newSession({ headers: { Cookie: 'a=default' }, prefetch: true });
    await session.get(target.url, { cookies: { b: '2' } });
    await session.get(target.url);
    expect(target.requests.map(({ headers }) => headers.cookie)).toEqual(['b=2', 'a=default']);
    const both = session.get(target.url, { cookies: { b: '2' }, headers: { cookie: 'c=3' } });
    await expect(both).rejects.toMatchObject({ option: 'cookies' });
  });
});

test.each<[name: string, makeBody: (closed: () => void) => AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>]>([
  ['a generator', (closed) => neverRead(closed)],
  ['a web stream', (closed) => new ReadableStream({ cancel: closed })],
])('a body that was not wanted is closed: %s', async (_name, makeBody) => {
  const target = await origin('http', {
    expectation: (_, response) => void response.writeHead(413).end(),
  });
  const closed = new Promise<void>((resolve) => {
    const data = makeBody(resolve);
    const session = newSession({ prefetch: true });
    void session.put(target.url, { data, headers: { Expect: '100-continue' } });
  });
  await closed;
});

function neverRead(closed: () => void): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => {}),
      return: async () => {
        closed();
        return { done: true, value: undefined };
      },
    }),
  };
}

test('close() that fails to save what it recorded says so each time', async () => {
  const { HarRecorder } = await import('@cloudlane/session');
  const session = newSession({ har: new HarRecorder({ path: '/nowhere/at/all.har' }) });
  const [one, other] = await Promise.allSettled([session.close(), session.close()]);
  expect([one?.status, other?.status, (await Promise.allSettled([session.close()]))[0]?.status]).toEqual(
    Array(3).fill('rejected'),
  );
});
