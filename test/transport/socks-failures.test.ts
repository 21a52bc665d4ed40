// What comes of each way in which a SOCKS proxy fails: one typed error, one connection, and never a way around it.
import { closedPort, type SocksMisbehaviour, type SocksPhase } from '@cloudlane/testing';
import {
  ConnectError,
  ProxyConnectError,
  ProxyError,
  ProxyProtocolError,
  SocksError,
  TimeoutError,
  type TransportError,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, expectNoSecrets, expectNothingLeft, failureOf, newTransport, origin, socks } from './lab.ts';

type ErrorClass = abstract new (...args: never[]) => TransportError;

interface Row {
  readonly name: string;
  readonly misbehaviour: SocksMisbehaviour;
  readonly expected: ErrorClass;
  readonly facts: Readonly<Record<string, unknown>>;
  /** What the message says behind the request and the proxy. */
  readonly says: string;
  /** Whether the proxy has connected to the origin before it fails. */
  readonly dials?: boolean;
}

const handshake = { phase: 'proxy-handshake', hop: 'proxy', hasConnectedToProxy: true } as const;
const STEPS = { greeting: 'greeting', auth: 'authentication', request: 'request' } as const;
const CLOSED = {
  greeting: 'instead of choosing how to authenticate',
  auth: 'after the credentials',
  request: 'instead of answering the request',
} as const;

/** What can happen to each answer, whichever it is. */
function rowsOf(phase: SocksPhase, version: 4 | 5): Row[] {
  const closed = {
    expected: SocksError,
    facts: { ...handshake, code: 'ERR_SOCKS', step: STEPS[phase], replyCode: null, retryable: phase !== 'auth' },
    says: `the SOCKS proxy closed the connection ${CLOSED[phase]}; some do so instead of saying no`,
  };
  const silent = {
    expected: TimeoutError,
    facts: { ...handshake, code: 'ERR_TIMEOUT', deadline: 'handshake', retryable: true },
    says: "waiting for the proxy's answer to the SOCKS handshake took longer than",
  };
  const notSocks = {
    expected: ProxyProtocolError,
    facts: { ...handshake, code: 'ERR_PROXY_PROTOCOL', retryable: false },
    says: `what the proxy says is not SOCKS${version}; if it is an HTTP proxy, write http://`,
  };
  const dials = phase === 'request';
  return [
    { name: `an end in the ${phase}`, misbehaviour: { kind: 'end', in: phase }, ...closed },
    { name: `half an answer in the ${phase}`, misbehaviour: { kind: 'half', in: phase }, ...closed, dials },
    { name: `silence in the ${phase}`, misbehaviour: { kind: 'hang', in: phase }, ...silent },
    {
      name: `half an answer, then silence in the ${phase}`,
      misbehaviour: { kind: 'half-stall', in: phase },
      ...silent,
      dials,
    },
    { name: `a slow ${phase}`, misbehaviour: { kind: 'drip', in: phase, interval: 1000 }, ...silent, dials },
    { name: `garbage in the ${phase}`, misbehaviour: { kind: 'garbage', in: phase }, ...notSocks },
    { name: `binary garbage in the ${phase}`, misbehaviour: { kind: 'garbage', in: phase, bytes: ZEROS }, ...notSocks },
    {
      name: `a reset in the ${phase}`,
      misbehaviour: { kind: 'reset', in: phase },
      expected: ProxyError,
      facts: { ...handshake, code: 'ERR_PROXY_RESET', retryable: true },
      says: 'the proxy ended the connection during the SOCKS handshake: read ECONNRESET',
    },
  ];
}

const ZEROS = Buffer.alloc(16, 0xee);

const httpAnswer = (version: 4 | 5): Row => ({
  name: 'an answer in HTTP',
  misbehaviour: { kind: 'http-answer' },
  expected: ProxyProtocolError,
  facts: { ...handshake, code: 'ERR_PROXY_PROTOCOL' },
  says: `what the proxy says is not SOCKS${version}; if it is an HTTP proxy, write http://`,
});

const refusal = (code: number, retryable: boolean, says: string): Row => ({
  name: `the reply ${code}`,
  misbehaviour: { kind: 'reply', code },
  expected: SocksError,
  facts: { ...handshake, code: 'ERR_SOCKS', step: 'request', replyCode: code, retryable },
  says: `was refused by the SOCKS proxy: ${code}, ${says}`,
});

const identity = (code: number, says: string): Row => {
  const row = refusal(code, false, says);
  return { ...row, facts: { ...row.facts, code: 'ERR_SOCKS_AUTHENTICATION' } };
};

const method = (chosen: number, says: string): Row => ({
  name: `the method ${chosen}`,
  misbehaviour: { kind: 'method', method: chosen },
  expected: SocksError,
  facts: { ...handshake, code: 'ERR_SOCKS_AUTHENTICATION', step: 'greeting', replyCode: chosen, retryable: false },
  says: `no acceptable way to authenticate: ${says}`,
});

const ROWS5: readonly Row[] = [
  ...rowsOf('greeting', 5),
  ...rowsOf('auth', 5),
  ...rowsOf('request', 5),
  httpAnswer(5),
  {
    ...httpAnswer(5),
    name: 'a grant with an address of a type that nobody knows',
    misbehaviour: { kind: 'garbage', in: 'request', bytes: Buffer.of(5, 0, 0, 9, 0, 0, 0, 0, 0, 0) },
  },
  method(1, 'it insists on method 1 (GSSAPI), which was not offered'),
  method(0x80, 'it insists on method 128, which was not offered'),
  method(0xff, 'it takes neither no authentication nor a password'),
  refusal(1, true, 'general failure'),
  refusal(2, false, 'not allowed by its rules'),
  refusal(3, true, 'network unreachable'),
  refusal(4, true, 'host unreachable, or its name unknown'),
  refusal(5, true, 'connection refused by the origin'),
  refusal(6, true, 'TTL expired'),
  refusal(7, false, 'command not supported'),
  refusal(8, false, 'address type not supported'),
  refusal(200, false, 'a code without a meaning'),
];
const ROWS4: readonly Row[] = [
  ...rowsOf('request', 4),
  httpAnswer(4),
  refusal(91, false, 'rejected or failed'),
  identity(92, 'rejected: the proxy cannot reach identd on this machine'),
  identity(93, 'rejected: the user id is not the one that identd says'),
  refusal(200, false, 'a code without a meaning'),
];

async function start(scheme: 'http' | 'https', misbehaviour: SocksMisbehaviour, expected: ErrorClass) {
  const server = await origin(scheme);
  const through = await socks({ auth: AUTH, userId: AUTH.username, misbehaviour });
  // Short where that is waited for, and nowhere else: the machine may be busy.
  const transport = newTransport(expected === TimeoutError ? { timeout: { handshake: 120 } } : {});
  return { server, through, transport };
}

const CASES = (['http', 'https'] as const).flatMap((scheme) => [
  [scheme, 'socks4', ROWS4] as const,
  [scheme, 'socks5h', ROWS5] as const,
]);

describe.each(CASES)('for an %s origin, %s', (scheme, by, rows) => {
  test.each(rows)('fails with a typed error for $name', async ({ misbehaviour, expected, facts, says, dials }) => {
    const { server, through, transport } = await start(scheme, misbehaviour, expected);
    const http_proxy = through.urlFor(by, { credentials: true });
    const error = await failureOf(transport.send({ url: server.url, http_proxy }), expected);
    expect(error.constructor).toBe(expected);
    const proxy = http_proxy.replace(/\/\/.*@/, by === 'socks4' ? '//***@' : '//user:***@');
    expect(error).toMatchObject({ ...facts, proxy, url: `${server.url}/` });
    expect(error.message).toContain(`GET ${server.url}/ through ${proxy}`);
    expect(error.message).toContain(says);
    expectNoSecrets(error);
    await expectNothingLeft(transport, through);
    expect([through.connectionCount, server.connectionCount, server.requests]).toEqual([1, dials ? 1 : 0, []]);
  });

  test.each<[string, SocksMisbehaviour, ErrorClass, Record<string, unknown>, number]>([
    [
      'nobody listens',
      { kind: 'refuse', how: 'close-listener' },
      ProxyConnectError,
      { code: 'ERR_PROXY_CONNECT', phase: 'proxy-connect', hasConnectedToProxy: false },
      0,
    ],
    // Which comes first, the connection or its reset, is not ours to say.
    ['every connection is reset', { kind: 'refuse' }, ProxyError, {}, 1],
    ['connections are left alone', { kind: 'mute' }, TimeoutError, { ...handshake, deadline: 'handshake' }, 1],
  ])('fails with a typed error where %s', async (_, misbehaviour, expected, facts, connections) => {
    const { server, through, transport } = await start(scheme, misbehaviour, expected);
    const sent = transport.send({ url: server.url, http_proxy: through.urlFor(by) });
    expect(await failureOf(sent, expected)).toMatchObject({ hop: 'proxy', retryable: true, ...facts });
    await expectNothingLeft(transport, through);
    expect([through.connectionCount, server.connectionCount]).toEqual([connections, 0]);
  });
});

test.each([
  [1, 'it insists on method 1 (GSSAPI)'],
  [2, 'it wants credentials; write socks5h://user:password@host:port'],
  [0xff, 'it wants credentials; write socks5h://user:password@host:port'],
])('without credentials the method %i says what to do', async (chosen, says) => {
  const through = await socks({ misbehaviour: { kind: 'method', method: chosen } });
  const error = await failureOf(
    newTransport().send({ url: 'http://127.0.0.1:9', http_proxy: through.url }),
    SocksError,
  );
  expect(error).toMatchObject({ code: 'ERR_SOCKS_AUTHENTICATION', step: 'greeting', replyCode: chosen });
  expect(error.message).toContain(says);
});

test('an origin that refuses is the proxy’s word, and a look-up that fails here is not', async () => {
  const [through, transport] = [await socks(), newTransport()];
  const url = `http://127.0.0.1:${await closedPort()}`;
  const refused = await failureOf(transport.send({ url, http_proxy: through.url }), SocksError);
  expect(refused).toMatchObject({ replyCode: 5, step: 'request', phase: 'proxy-handshake', hop: 'proxy' });
  const unknown = transport.send({ url: 'http://nx.invalid', http_proxy: through.urlFor('socks5') });
  expect(await failureOf(unknown, ConnectError)).toMatchObject({ phase: 'origin-dns', hop: 'origin' });
  const unknownThere = transport.send({ url: 'http://nx.invalid', http_proxy: through.urlFor('socks5h') });
  expect(await failureOf(unknownThere, SocksError)).toMatchObject({ replyCode: 4, retryable: true });
  expect(through.hops.map(({ target }) => target)).toEqual([new URL(url).host, 'nx.invalid:80']);
});
