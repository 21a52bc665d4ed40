import { once } from 'node:events';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { closedPort, type LabProxy, type Misbehaviour } from '@cloudlane/testing';
import {
  ClosedError,
  CloudlaneError,
  ConnectError,
  ProtocolError,
  ProxyAuthenticationError,
  ProxyConnectError,
  ProxyError,
  ProxyProtocolError,
  ProxyResponseError,
  ProxyTlsError,
  ProxyTunnelError,
  ResetError,
  TimeoutError,
  TlsError,
  TransportError,
  type TransportErrorInit,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { secretsIn } from '../support/secrets.ts';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, proxy, type Scheme, use } from './lab.ts';

const QUERY = '?page=1&X-Amz-Signature=tok3n-n3ver-to-be-printed';
const MASKED_QUERY = '?page=1&X-Amz-Signature=***';

type ErrorClass = abstract new (...args: never[]) => TransportError;

/** Everything about an error that may be printed. */
function expectNoSecrets(error: TransportError): void {
  expect(secretsIn(JSON.stringify(error))).toEqual([]);
  expect(secretsIn(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true }))).toEqual([]);
  expect(secretsIn(`${error} ${error.stack} ${inspect(error.cause, { depth: null, showHidden: true })}`)).toEqual([]);
}

function masked(server: Pick<LabProxy, 'url'>): string {
  return server.url.replace('://', '://user:***@');
}

interface Row {
  readonly name: string;
  readonly misbehaviour: Misbehaviour;
  readonly expected: ErrorClass;
  readonly facts: Partial<TransportErrorInit> & Record<string, unknown>;
  /** What the message says behind the request and the proxy. */
  readonly says: string | RegExp;
  readonly body?: string;
}

const duringConnect = { phase: 'proxy-handshake', hop: 'proxy', hasConnectedToProxy: true } as const;
const REFUSALS: readonly Row[] = [
  {
    name: 'a reset during CONNECT',
    misbehaviour: { kind: 'reset' },
    expected: ProxyError,
    facts: { ...duringConnect, code: 'ERR_PROXY_RESET', retryable: true },
    says: 'the proxy ended the connection during CONNECT: read ECONNRESET',
  },
  {
    name: 'an end during CONNECT',
    misbehaviour: { kind: 'end' },
    expected: ProxyError,
    facts: { ...duringConnect, code: 'ERR_PROXY_RESET', retryable: true },
    says: 'the proxy ended the connection during CONNECT: it hung up',
  },
  {
    name: 'half a header',
    misbehaviour: { kind: 'half-header' },
    expected: ProxyProtocolError,
    facts: { ...duringConnect, code: 'ERR_PROXY_PROTOCOL' },
    says: 'the connection ended before it was complete',
  },
  {
    name: 'garbage',
    misbehaviour: { kind: 'garbage' },
    expected: ProxyProtocolError,
    facts: { ...duringConnect, code: 'ERR_PROXY_PROTOCOL', retryable: false },
    says: 'it does not start with HTTP/',
  },
  {
    name: '403 with a page',
    misbehaviour: { kind: 'reply', status: 403, headers: { 'X-Rule': 'social' }, body: 'not from here' },
    expected: ProxyTunnelError,
    facts: {
      ...duringConnect,
      code: 'ERR_PROXY_TUNNEL',
      status: 403,
      retryable: false,
      headers: expect.objectContaining({ 'x-rule': 'social' }),
    },
    says: 'was refused: 403 Forbidden',
    body: 'not from here',
  },
  {
    name: '403 whose page comes in a later packet on a connection that stays open',
    misbehaviour: { kind: 'reply', status: 403, body: 'not from here', bodyLater: true, keepOpen: true },
    expected: ProxyTunnelError,
    facts: { ...duringConnect, status: 403 },
    says: 'was refused: 403 Forbidden',
    body: 'not from here',
  },
  {
    name: '403 with a chunked page',
    misbehaviour: {
      kind: 'reply',
      status: 403,
      headers: { 'Transfer-Encoding': 'chunked' },
      body: '4\r\nnot \r\n9;ext=1\r\nfrom here\r\n0\r\n\r\n',
      keepOpen: true,
    },
    expected: ProxyTunnelError,
    facts: { ...duringConnect, status: 403 },
    says: 'was refused: 403 Forbidden',
    body: 'not from here',
  },
  {
    name: '403 with a page of unknown length',
    misbehaviour: {
      kind: 'reply',
      status: 403,
      headers: { 'Content-Length': [] },
      body: 'not from here',
      bodyLater: true,
    },
    expected: ProxyTunnelError,
    facts: { ...duringConnect, status: 403 },
    says: 'was refused: 403 Forbidden',
    body: 'not from here',
  },
  ...[429, 502, 503, 504].map(
    (status): Row => ({
      name: `${status}, which may pass`,
      misbehaviour: { kind: 'reply', status, reason: 'Later' },
      expected: ProxyTunnelError,
      facts: { ...duringConnect, status, retryable: true },
      says: `was refused: ${status} Later`,
      body: '',
    }),
  ),
  ...[302, 304, 404, 500].map(
    (status): Row => ({
      name: `${status}, which will not`,
      misbehaviour: { kind: 'reply', status, headers: { Location: 'http://127.0.0.1:9/' }, reason: '' },
      expected: ProxyTunnelError,
      facts: { ...duringConnect, status, retryable: false },
      says: `was refused: ${status}`,
      body: '',
    }),
  ),
  {
    name: 'the same as squid',
    misbehaviour: { kind: 'refuse-origin', status: 503 },
    expected: ProxyTunnelError,
    facts: { ...duringConnect, status: 503, retryable: true },
    says: 'was refused: 503 Service Unavailable',
  },
  {
    name: 'an end of the tunnel before TLS',
    misbehaviour: { kind: 'close-after-tunnel' },
    expected: ResetError,
    facts: { phase: 'origin-tls', hop: 'origin', code: 'ERR_RESET', retryable: true, hasConnectedToProxy: true },
    says: 'the connection broke during TLS with the origin',
  },
  {
    name: 'a reset of the tunnel before TLS',
    misbehaviour: { kind: 'close-after-tunnel', how: 'reset' },
    expected: ResetError,
    facts: { phase: 'origin-tls', hop: 'origin', code: 'ERR_RESET', retryable: true, hasConnectedToProxy: true },
    says: 'the connection broke during TLS with the origin',
  },
];

describe.each(['http', 'https'] as const)('a tunnel through an %s proxy', (scheme) => {
  test.each(REFUSALS)('fails with a typed error for $name', async ({ misbehaviour, expected, facts, says, body }) => {
    const server = await origin('https');
    const through = await proxy(scheme, { auth: AUTH, misbehaviour });
    const transport = newTransport();
    const error = await failureOf(
      transport.send({ url: `${server.url}/list${QUERY}`, http_proxy: through.urlWithCredentials }),
      expected,
    );
    expect(error.constructor).toBe(expected);
    expect(error.name).toBe(expected.name);
    expect(error).toMatchObject({ ...facts, proxy: masked(through), url: `${server.url}/list${MASKED_QUERY}` });
    expect(error.message).toContain(says);
    expect(error.message).toContain(`through ${masked(through)}`);
    if (body !== undefined) expect(String(Reflect.get(error, 'body'))).toBe(body);
    expectNoSecrets(error);
    await expectNothingLeft(transport, through);
    expect(server.connectionCount).toBe(0);
    expect(through.hops).toHaveLength(1);
  });
});

const forwarded = { phase: 'response', hop: 'proxy', hasConnectedToProxy: true } as const;
const FORWARD_FAILURES: readonly Row[] = [
  {
    name: 'a reset',
    misbehaviour: { kind: 'reset' },
    expected: ResetError,
    facts: { ...forwarded, code: 'ERR_RESET', retryable: false },
    says: 'the connection broke while waiting for the answer: read ECONNRESET',
  },
  {
    name: 'an end',
    misbehaviour: { kind: 'end' },
    expected: ResetError,
    facts: { ...forwarded, code: 'ERR_RESET' },
    says: 'the connection broke while waiting for the answer: socket hang up',
  },
  {
    name: 'half a header',
    misbehaviour: { kind: 'half-header', text: 'HTTP/1.1 200 OK\r\nConte' },
    expected: ResetError,
    facts: { ...forwarded, code: 'ERR_RESET' },
    says: 'the connection broke while waiting for the answer',
  },
  {
    name: 'garbage',
    misbehaviour: { kind: 'garbage' },
    expected: ProtocolError,
    facts: { ...forwarded, code: 'ERR_PROTOCOL' },
    says: 'the answer is not valid HTTP',
  },
  {
    name: 'a page of squid',
    misbehaviour: { kind: 'refuse-origin' },
    expected: ProxyResponseError,
    facts: { ...forwarded, code: 'ERR_PROXY_RESPONSE', status: 502, retryable: true },
    says: 'the proxy answered itself: 502 Bad Gateway (ERR_CANNOT_FORWARD 0)',
  },
  {
    name: 'an error of RFC 9209',
    misbehaviour: {
      kind: 'reply',
      status: 403,
      headers: { 'Proxy-Status': 'gate.example; error=http_request_denied' },
      body: 'no',
    },
    expected: ProxyResponseError,
    facts: { ...forwarded, status: 403, retryable: false },
    says: 'the proxy answered itself: 403 Forbidden (gate.example; error=http_request_denied)',
    body: 'no',
  },
];

describe.each(['http', 'https'] as const)('a request forwarded by an %s proxy', (scheme) => {
  test.each(FORWARD_FAILURES)(
    'fails with a typed error for $name',
    async ({ misbehaviour, expected, facts, says, body }) => {
      const server = await origin();
      const through = await proxy(scheme, { auth: AUTH, misbehaviour });
      const transport = newTransport();
      const error = await failureOf(
        transport.send({ url: `${server.url}/list${QUERY}`, http_proxy: through.urlWithCredentials }),
        expected,
      );
      expect(error.constructor).toBe(expected);
      expect(error).toMatchObject({ ...facts, proxy: masked(through), url: `${server.url}/list${MASKED_QUERY}` });
      expect(error.message).toContain(`GET ${server.url}/list${MASKED_QUERY} through ${masked(through)}: `);
      expect(error.message).toContain(says);
      if (body !== undefined) expect(String(Reflect.get(error, 'body'))).toBe(body);
      expectNoSecrets(error);
      await transport.close();
      await expectNothingLeft(transport, through);
      expect(server.connectionCount).toBe(0);
    },
  );

  test.each([
    ['the origin', { status: 403, headers: { 'X-Cache': 'MISS' } }],
    [
      'the origin behind a proxy that says only that it passed it on',
      { status: 503, headers: { 'Proxy-Status': 'gate.example; received-status=503' } },
    ],
  ])('hands over the errors of %s', async (_, reply) => {
    const server = await origin();
    const through = await proxy(scheme, { misbehaviour: { kind: 'reply', ...reply, body: 'mine' } });
    const response = await newTransport().send({ url: server.url, http_proxy: through.url });
    expect(response.status).toBe(reply.status);
    expect(await text(response.body)).toBe('mine');
  });
});

describe('a body that breaks off', () => {
  test.each(['http', 'https'] as const)('behind an %s proxy fails its stream', async (scheme) => {
    const server = await origin('http', { handler: (_, response) => void response.end('0123456789'.repeat(100)) });
    const through = await proxy(scheme, { misbehaviour: { kind: 'truncate-body' } });
    const transport = newTransport();
    const response = await transport.send({ url: server.url, http_proxy: through.url });
    const error = await failureOf(text(response.body), ResetError);
    expect(error).toMatchObject({ code: 'ERR_RESET', phase: 'body', hop: 'proxy', retryable: false });
    expect(error.message).toContain("the connection broke while receiving the answer's body");
    await expectNothingLeft(transport, through);
  });

  test.each(['http', 'https'] as const)('of an %s origin fails its stream', async (scheme) => {
    const server = await origin(scheme, {
      handler: (request, response) => {
        response.writeHead(200, { 'Content-Length': 1000 });
        response.write('half', () => request.socket.destroy());
      },
    });
    const transport = newTransport();
    const response = await transport.send({ url: server.url, http_proxy: null });
    const error = await failureOf(text(response.body), ResetError);
    expect(error).toMatchObject({ phase: 'body', hop: 'origin', proxy: null, hasConnectedToProxy: false });
    await expectNothingLeft(transport, server);
  });
});

describe('a proxy that cannot be reached', () => {
  test.each<[string, Scheme, () => Promise<string>, string]>([
    ['refuses', 'http', async () => `127.0.0.1:${await closedPort()}`, 'proxy-connect'],
    ['refuses', 'https', async () => `127.0.0.1:${await closedPort()}`, 'proxy-connect'],
    ['has no address', 'http', async () => 'nx.invalid:3128', 'proxy-dns'],
    ['has no address', 'https', async () => 'nx.invalid:3128', 'proxy-dns'],
  ])('as it %s is blamed, for %s origins', async (_, scheme, address, phase) => {
    const server = await origin(scheme);
    const transport = newTransport();
    const host = await address();
    const error = await failureOf(
      transport.send({ url: server.url, http_proxy: { url: `http://${host}`, auth: AUTH } }),
      ProxyConnectError,
    );
    expect(error).toMatchObject({
      code: 'ERR_PROXY_CONNECT',
      phase,
      hop: 'proxy',
      proxy: `http://user:***@${host}`,
      hasConnectedToProxy: false,
      retryable: true,
    });
    expect(error.message).toMatch(
      /could not reach the proxy: (connect ECONNREFUSED|getaddrinfo (ENOTFOUND|EAI_AGAIN))/,
    );
    expect(error.cause).toHaveProperty('code');
    expectNoSecrets(error);
    expect(transport.connections).toEqual([]);
    expect(server.connectionCount).toBe(0);
  });

  test.each(['http', 'https'] as const)('as it resets every connection is blamed, for %s origins', async (scheme) => {
    const server = await origin(scheme);
    const through = await proxy('https', { misbehaviour: { kind: 'refuse' } });
    const error = await failureOf(newTransport().send({ url: server.url, http_proxy: through.url }), ProxyError);
    expect(error).toMatchObject({ hop: 'proxy', hasConnectedToProxy: false });
    expect(server.connectionCount).toBe(0);
  });
});

describe('an origin that cannot be reached', () => {
  test.each<[string, () => Promise<string>, string]>([
    ['refuses', async () => `127.0.0.1:${await closedPort()}`, 'origin-connect'],
    ['has no address', async () => 'nx.invalid', 'origin-dns'],
  ])('as it %s is blamed', async (_, address, phase) => {
    const transport = newTransport();
    const url = `https://${await address()}/${QUERY}`;
    const error = await failureOf(transport.send({ url, http_proxy: null }), ConnectError);
    expect(error).toMatchObject({
      code: 'ERR_CONNECT',
      phase,
      hop: 'origin',
      proxy: null,
      hasConnectedToProxy: false,
      retryable: true,
    });
    expect(error.message).toMatch(/^GET https:.*=\*\*\*: could not reach the origin: /);
    expectNoSecrets(error);
    expect(transport.connections).toEqual([]);
  });

  test('through a proxy is the proxy’s 503', async () => {
    const through = await proxy();
    const error = await failureOf(
      newTransport().send({ url: `https://127.0.0.1:${await closedPort()}`, http_proxy: through.url }),
      ProxyTunnelError,
    );
    expect(error).toMatchObject({ status: 503, retryable: true });
    expect(String(error.body)).toContain('Cannot reach 127.0.0.1');
  });
});

describe('an origin that does not speak HTTP', () => {
  test.each<[string, string, ErrorClass, Record<string, unknown>]>([
    ['garbage', 'SSH-2.0-OpenSSH\r\n', ProtocolError, { phase: 'response' }],
    ['an endless header', `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(100_000)}`, ProtocolError, { phase: 'response' }],
    [
      'two lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      ProtocolError,
      { phase: 'response' },
    ],
    ['a bad chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', ProtocolError, { phase: 'body' }],
    [
      'another protocol',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      ResetError,
      { phase: 'response' },
    ],
  ])('but sends %s fails with a typed error', async (_, bytes, expected, facts) => {
    const server = createServer((socket) => void socket.on('error', () => {}).once('data', () => socket.write(bytes)));
    await use({ [Symbol.asyncDispose]: async () => void server.close() });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const transport = newTransport();
    const sent = transport.send({ url: `http://127.0.0.1:${port}`, http_proxy: null });
    const error = await failureOf(
      sent.then((response) => text(response.body)),
      expected,
    );
    expect(error).toMatchObject({ hop: 'origin', ...facts });
    await transport.close();
    expect(transport.connections).toEqual([]);
  });
});

describe('the tree of errors', () => {
  const init: TransportErrorInit = { phase: 'request', hop: 'origin', proxy: null, url: null };
  const answer = { ...init, status: 400, statusText: '', headers: {}, body: Buffer.from('page') };
  test.each<[new (message: string, init: never) => TransportError, ErrorClass, string, object]>([
    [ConnectError, TransportError, 'ERR_CONNECT', init],
    [TlsError, TransportError, 'ERR_TLS', init],
    [TimeoutError, TransportError, 'ERR_TIMEOUT', { ...init, deadline: 'total', milliseconds: 1 }],
    [ResetError, TransportError, 'ERR_RESET', init],
    [ProtocolError, TransportError, 'ERR_PROTOCOL', init],
    [ClosedError, TransportError, 'ERR_CLOSED', init],
    [ProxyError, TransportError, 'ERR_PROXY', init],
    [ProxyConnectError, ProxyError, 'ERR_PROXY_CONNECT', init],
    [ProxyTlsError, ProxyError, 'ERR_PROXY_TLS', init],
    [ProxyAuthenticationError, ProxyError, 'ERR_PROXY_AUTHENTICATION', { ...answer, schemes: [], realm: null }],
    [ProxyTunnelError, ProxyError, 'ERR_PROXY_TUNNEL', answer],
    [ProxyResponseError, ProxyError, 'ERR_PROXY_RESPONSE', answer],
    [ProxyProtocolError, ProxyError, 'ERR_PROXY_PROTOCOL', init],
  ])('has %p under %p', (Class, Parent, code, facts) => {
    const error = new Class('what failed', facts as never);
    expect(Object.getPrototypeOf(Class)).toBe(Parent);
    expect(error).toBeInstanceOf(TransportError);
    expect(error).toBeInstanceOf(CloudlaneError);
    expect(error).toMatchObject({
      name: Class.name,
      code,
      phase: 'request',
      retryable: false,
      hasConnectedToProxy: false,
    });
    expect(error).not.toHaveProperty('cause');
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({
      name: Class.name,
      message: 'what failed',
      code,
      hop: 'origin',
    });
    // A proxy's page is for who asks for it.
    expect(JSON.stringify(error)).not.toContain('body');
    expect(inspect(error)).not.toContain('page');
  });
});
