// PreparedRequest.send({ carry }): the session's part of a call, while another than Transport.send sends what goes out.
import { once } from 'node:events';
import http from 'node:http';
import { type Duplex, Readable } from 'node:stream';
import { type Carry, HTTPDigestAuth, type RequestArgs, Session, type SessionOptions } from '@cloudlane/session';
import { closedPort } from '@cloudlane/testing';
import { ConnectError, type Transport, type TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { failureOf, newTransport, origin } from '../transport/lab.ts';
import { digestOrigin, USER } from './digest-lab.ts';
import { overRoutes, redirecting, seenBy } from './lab.ts';

interface Carrier {
  readonly carry: Carry;
  /** What it was given. */
  readonly asked: readonly TransportRequest[];
}

/** Sends by this transport, and marks what it sends. */
function carrier(transport: Transport = newTransport()): Carrier {
  const asked: TransportRequest[] = [];
  const carry: Carry = (request) => {
    // The headers are written to when it is sent again.
    asked.push({ ...request, headers: { ...request.headers } });
    return transport.send({ ...request, headers: { ...request.headers, 'X-Carried': String(asked.length) } });
  };
  return { carry, asked };
}

function newSession(options: SessionOptions = {}): Session {
  return new Session({ transport: newTransport(), http_proxy: null, prefetch: true, ...options });
}

const paths = (asked: readonly TransportRequest[]): string[] => asked.map(({ url }) => new URL(url).pathname);

/** Throws at once. */
function never(reason: Error): Carry {
  return () => {
    throw reason;
  };
}

function count(carry: Carry): Carry & { calls: number } {
  const counting = Object.assign(
    (request: TransportRequest) => {
      counting.calls += 1;
      return carry(request);
    },
    { calls: 0 },
  );
  return counting;
}

describe('carry is given what would go over the wire', () => {
  overRoutes((route) => {
    test('each hop, with the settings of the call, its cookies, its auth and its body', async () => {
      const target = await route.origin((request, response) => {
        if (request.url === '/1') response.setHeader('Set-Cookie', 'step=one');
        return redirecting({ '/1': [307, '/2'] })(request, response);
      });
      const session = await route.session({ headers: { 'X-Own': 'session' } });
      const { carry, asked } = carrier(session.transport);
      const { signal } = new AbortController();
      const auth = ['user', SECRETS.originPassword] as const;
      const request = session.prepare('PUT', `${target.url}/1`, { auth, cookies: { own: 'x' }, data: 'body', signal });
      const response = await request.send({ carry });
      const { originPassword } = SECRETS;
      const authorization = `Basic ${Buffer.from(`user:${originPassword}`).toString('base64')}`;
      expect(asked).toHaveLength(2);
      for (const { method, headers, body, http_proxy } of asked) {
        expect([method, body, http_proxy]).toEqual(['PUT', 'body', await route.setting()]);
        expect(headers).toMatchObject({ 'X-Own': 'session' });
        expect(headers?.Authorization === authorization).toBe(true);
      }
      expect(paths(asked)).toEqual(['/1', '/2']);
      expect(asked.map(({ headers }) => headers?.Cookie)).toEqual(['own=x', expect.stringContaining('step=one')]);
      expect(asked[1]?.startedAt).toBe(asked[0]?.startedAt);
      expect(target.requests.map(({ headers }) => headers['x-carried'])).toEqual(['1', '2']);
      expect(await seenBy(response)).toMatchObject({ target: '/2', body: 'body' });
      expect([response.history.length, session.cookies.get('step')]).toEqual([1, 'one']);
    });
  });
});

describe('carry is asked again', () => {
  test.each([false, true])('after a challenge; with interceptors: %s', async (isIntercepted) => {
    const target = await digestOrigin({ redirects: { '/1': '/2' } });
    const session = newSession({ auth: new HTTPDigestAuth(USER.username, USER.password) });
    if (isIntercepted) session.axios.interceptors.request.use((config) => config);
    const { carry, asked } = carrier();
    const response = await session.prepare('POST', `${target.url}/1`, { data: 'body' }).send({ carry });
    expect([response.status, target.answers]).toEqual([200, [401, 302, 200]]);
    expect(paths(asked)).toEqual(['/1', '/1', '/2']);
    expect(asked.map(({ headers }) => String(headers?.Authorization).split(' ')[0])).toEqual([
      'undefined',
      'Digest',
      'Digest',
    ]);
    expect(target.origin.requests.map(({ headers }) => headers['x-carried'])).toEqual(['1', '2', '3']);
  });

  test.each([
    [0, 1],
    [1, 2],
    [9, 3],
  ])('with maxRetries: %d, while nothing has reached the origin: %d times', async (maxRetries, tries) => {
    const [target, closed, session] = [await origin(), await closedPort(), newSession({ maxRetries })];
    const { carry, asked } = carrier();
    const late: Carry = (request) =>
      carry(asked.length < 2 ? { ...request, url: `http://127.0.0.1:${closed}` } : request);
    const sent = session.prepare('PUT', target.url, { data: () => Readable.from(['body']) }).send({ carry: late });
    if (tries < 3) await failureOf(sent, ConnectError);
    else expect((await seenBy(await sent)).body).toBe('body');
    expect(asked).toHaveLength(tries);
    // A body that can be made anew is.
    expect(new Set(asked.map(({ body }) => body)).size).toBe(tries);
  });

  test('not after another failure, which is the call’s', async () => {
    const target = await origin();
    const [session, reason] = [newSession({ maxRetries: 9, safeMode: true }), new RangeError('cannot carry')];
    for (const fail of [() => Promise.reject(reason), never(reason)]) {
      const carry = count(fail);
      await expect(session.prepare('GET', target.url).send({ carry })).rejects.toBe(reason);
      expect(carry.calls).toBe(1);
    }
    expect(target.requests).toEqual([]);
  });
});

describe('its failure', () => {
  test.each([false, true])('is that of the call; with interceptors: %s', async (isIntercepted) => {
    const session = newSession();
    if (isIntercepted) session.axios.interceptors.request.use((config) => config);
    const url = `http://127.0.0.1:${await closedPort()}`;
    const { carry } = carrier();
    const failures: unknown[] = [];
    const noting: Carry = (request) =>
      carry(request).catch((error: unknown) => {
        failures.push(error);
        throw error;
      });
    const failure = await failureOf(session.prepare('GET', url).send({ carry: noting }), ConnectError);
    expect([failures.length, failures[0] === failure]).toEqual([1, true]);
    const safe = await session.prepare('GET', url, { safeMode: true }).send({ carry });
    expect(safe).toMatchObject({ status: 0, error: { code: 'ERR_CONNECT' } });
  });
});

describe('the interceptors of session.axios', () => {
  test('see what is carried, and may change it', async () => {
    const target = await origin();
    const session = newSession();
    session.axios.interceptors.request.use((config) => {
      config.headers.set('X-Changed', 'yes');
      return { ...config, url: `${target.url}/changed` };
    });
    const { carry, asked } = carrier();
    await (await session.prepare('GET', `${target.url}/given`).send({ carry })).content();
    expect(asked).toMatchObject([{ url: new URL(`${target.url}/changed`), headers: { 'X-Changed': 'yes' } }]);
    expect(target.requests).toMatchObject([{ target: '/changed', headers: { 'x-carried': '1' } }]);
  });

  // Its settings are made anew then.
  test.each<readonly [what: string, options: object, expected: object]>([
    ['timeout', { timeout: 4321 }, { timeout: 4321 }],
    ['http_proxy', { http_proxy: null }, { http_proxy: null }],
    ['cookies', { cookies: { a: 'b' } }, { headers: { Cookie: 'a=b' } }],
  ])('may change the option %s', async (_, options, expected) => {
    const target = await origin();
    const session = newSession({ http_proxy: undefined, trustEnv: false });
    session.axios.interceptors.request.use((config) => ({ ...config, ...options }));
    const { carry, asked } = carrier();
    await (await session.prepare('GET', target.url).send({ carry })).content();
    expect(asked).toMatchObject([expected]);
    expect(target.requests).toMatchObject([{ headers: { 'x-carried': '1' } }]);
  });

  test('may send it once more, which is carried too', async () => {
    const target = await origin('http', {
      handler: ({ headers }, response) => void response.writeHead(headers['x-token'] ? 200 : 401).end(),
    });
    const session = newSession();
    session.axios.interceptors.response.use((response) => {
      if (response.status !== 401) return response;
      response.config.headers.set('X-Token', 'new');
      return session.axios(response.config);
    });
    const { carry, asked } = carrier();
    const response = await session.prepare('GET', target.url).send({ carry });
    expect([response.status, asked.length]).toEqual([200, 2]);
    expect(target.requests.map(({ headers }) => headers['x-carried'])).toEqual(['1', '2']);
  });
});

test('the hook args changes what is carried, and all hooks run once', async () => {
  const target = await origin('http', { handler: redirecting({ '/1': [302, '/2'] }) });
  const log: string[] = [];
  const session = newSession({
    hooks: {
      args: (args: RequestArgs) => {
        log.push('args');
        args.headers = { ...args.headers, 'X-Hooked': 'yes' };
      },
      preRequest: () => void log.push('preRequest'),
      response: () => void log.push('response'),
      postRequest: () => void log.push('postRequest'),
    },
  });
  const { carry, asked } = carrier();
  const carried: Carry = (request) => {
    log.push('carry');
    return carry(request);
  };
  const response = await session.prepare('GET', `${target.url}/1`).send({ carry: carried });
  expect(log).toEqual(['args', 'preRequest', 'carry', 'carry', 'response', 'postRequest']);
  expect(asked.map(({ headers }) => headers?.['X-Hooked'])).toEqual(['yes', 'yes']);
  expect((await seenBy(response)).headers['x-carried']).toBe('2');
});

test('without carry nothing changes: it is for one sending alone', async () => {
  const target = await origin();
  const session = newSession();
  const prepared = session.prepare('GET', target.url);
  const { carry, asked } = carrier();
  const first = prepared.send({ carry });
  // Sent once: the same answer.
  expect(prepared.send()).toBe(first);
  await (await first).content();
  for (const sent of [prepared.send({ again: true }), prepared.send({ again: true, carry: undefined })])
    await (await sent).content();
  await (await session.get(target.url)).content();
  expect(asked).toHaveLength(1);
  expect(target.requests.map(({ headers }) => headers['x-carried'])).toEqual(['1', undefined, undefined, undefined]);
});

test('a request that switches protocols is a call like any other: redirects, cookies, 101', async () => {
  const target = await origin('http', {
    upgrade: ({ url }, socket) => {
      socket.on('error', () => {});
      if (url === '/1') {
        socket.end('HTTP/1.1 302 Found\r\nLocation: /2\r\nSet-Cookie: a=1\r\nContent-Length: 4\r\n\r\nthen');
      } else {
        socket.write('HTTP/1.1 101 Now tcp\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nSet-Cookie: b=2\r\n\r\n');
        socket.pipe(socket);
      }
    },
  });
  const session = newSession();
  const sockets: Duplex[] = [];
  const carry: Carry = ({ url, headers, signal }) =>
    session.transport.upgrade({ url, headers, signal, http_proxy: null }, (options) =>
      http
        .request({ ...options, headers: { ...options.headers, Connection: 'Upgrade', Upgrade: 'tcp' } })
        .once('upgrade', (_, socket: Duplex) => sockets.push(socket)),
    );
  const response = await session.prepare('GET', `${target.url}/1`).send({ carry });
  expect([response.status, response.history.map(({ status }) => status)]).toEqual([101, [302]]);
  expect(target.requests).toMatchObject([{ target: '/1' }, { target: '/2', headers: { cookie: 'a=1' } }]);
  expect([session.cookies.get('a'), session.cookies.get('b')]).toEqual(['1', '2']);
  const [socket] = sockets;
  if (socket === undefined) throw new TypeError('no socket');
  socket.write('tcp');
  expect(String((await once(socket, 'data'))[0])).toBe('tcp');
});
