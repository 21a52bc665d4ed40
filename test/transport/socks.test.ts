// What a SOCKS client must get right on the wire, row by row; the whole matrix of payloads is in routes.test.ts.
import { once } from 'node:events';
import net from 'node:net';
import { createCa, type LabSocksOptions, type SocksHop } from '@cloudlane/testing';
import { TlsError } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AUTH, expectNothingLeft, failureOf, getText, newTransport, origin, SOCKS_SCHEMES, socks, use } from './lab.ts';

const BOTH = ['http', 'https'] as const;
const PRIVATE = 'origin.example';
const hosts = { [PRIVATE]: '127.0.0.1' };

describe('what is asked for', () => {
  const rows: [string, string, string, Partial<SocksHop>][] = [
    ['socks4', 'localhost', '127.0.0.1', { version: 4, addressType: 'ipv4', userId: '', methods: [] }],
    ['socks4a', PRIVATE, PRIVATE, { version: 4, addressType: 'name', userId: '', methods: [] }],
    ['socks4a', '127.0.0.1', '127.0.0.1', { version: 4, addressType: 'ipv4' }],
    ['socks5', 'localhost', '127.0.0.1', { version: 5, addressType: 'ipv4', userId: null, methods: [0] }],
    ['socks5h', PRIVATE, PRIVATE, { version: 5, addressType: 'name', userId: null, methods: [0] }],
    // As it is for socks5h that a name says nothing about who looks it up.
    ['socks', PRIVATE, PRIVATE, { version: 5, addressType: 'name' }],
    ['socks5h', '127.0.0.1', '127.0.0.1', { version: 5, addressType: 'ipv4' }],
  ];
  test.each(rows)('%s: %s is asked for as %s', async (scheme, host, asked, hop) => {
    const [server, through] = [await origin(), await socks({ hosts })];
    const http_proxy = through.url.replace('socks5h:', `${scheme}:`);
    await getText(newTransport(), { url: `http://${host}:${server.port}`, http_proxy });
    expect(through.hops).toMatchObject([{ target: `${asked}:${server.port}`, ...hop }]);
  });

  test.each(['socks5', 'socks5h'] as const)('%s: an IPv6 address goes as the address it is', async (scheme) => {
    const [server, through] = [await origin('http', { host: '::1' }), await socks()];
    await getText(newTransport(), { url: server.url, http_proxy: through.urlFor(scheme) });
    expect(through.hops).toMatchObject([{ target: `[::1]:${server.port}`, addressType: 'ipv6' }]);
    expect(server.requests).toMatchObject([{ headers: { host: `[::1]:${server.port}` } }]);
  });

  const spellings = [
    ['[2001:db8:0:0:1:0:0:1]', '2001:db8::1:0:0:1'],
    ['[::ffff:192.0.2.7]', '::ffff:c000:207'],
    ['[2001:DB8::]', '2001:db8::'],
    ['[::]', '::'],
  ];
  test.each(spellings)('IPv6 addresses keep their bytes: %s', async (host, address) => {
    const through = await socks();
    const sent = newTransport().send({ url: `http://${host}:80`, http_proxy: through.urlFor('socks5') });
    await expect(sent).rejects.toMatchObject({ code: 'ERR_SOCKS' });
    const [target = ''] = through.hops.map((hop) => hop.target);
    expect(new URL(`http://${target}`).hostname).toBe(`[${address}]`);
  });
});

describe('credentials', () => {
  const rows: [string, string, LabSocksOptions, Partial<SocksHop>][] = [
    [
      'are percent-decoded',
      'socks5://us%40er:p%3Aw%252F%C3%A9@',
      { auth: { username: 'us@er', password: 'p:w%2Fé' } },
      {},
    ],
    ['may be a user name alone', 'socks5h://user@', { auth: { username: 'user', password: '' } }, { username: 'user' }],
    ['may be a password alone', 'socks5h://:pass@', { auth: { username: '', password: 'pass' } }, { username: '' }],
    ['may have a colon in the user name', 'socks5h://a%3Ab:c@', { auth: { username: 'a:b', password: 'c' } }, {}],
    ['are a user id in SOCKS4', 'socks4://m%C3%A9@', { userId: 'mé' }, { userId: 'mé' }],
    ['are a user id in SOCKS4a', 'socks4a://m%C3%A9@', { userId: 'mé' }, { userId: 'mé' }],
    ['are offered, not forced, in SOCKS5', 'socks5://user:pass@', {}, { methods: [0, 2], username: null }],
  ];
  test.each(rows)('%s', async (_, start, options, hop) => {
    const [server, through] = [await origin(), await socks(options)];
    await getText(newTransport(), { url: server.url, http_proxy: `${start}127.0.0.1:${through.port}` });
    expect(through.hops).toMatchObject([{ authorized: true, ...hop }]);
  });

  test('make pools of their own', async () => {
    const [server, through] = [await origin(), await socks()];
    const transport = newTransport();
    for (const user of ['', 'one@', 'two@', 'one@']) {
      await getText(transport, { url: server.url, http_proxy: through.urlFor('socks4').replace('://', `://${user}`) });
    }
    expect(through.hops.map(({ userId }) => userId)).toEqual(['', 'one', 'two']);
  });

  test('are none for the origin: a Proxy-Authorization of the caller does not reach it', async () => {
    const [server, through] = [await origin(), await socks()];
    const headers = { 'Proxy-Authorization': 'Basic bWluZTptaW5l' };
    await getText(newTransport(), { url: server.url, http_proxy: through.url, headers });
    expect(server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
    expect(through.hops).toMatchObject([{ methods: [0], username: null }]);
  });
});

describe('the answer of the proxy', () => {
  test.each(SOCKS_SCHEMES)('ends where it ends: what follows is the origin’s, by %s', async (scheme) => {
    const early = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly';
    const [server, through] = [await origin('http', { handler: () => {} }), await socks()];
    through.misbehave({ kind: 'early-bytes', bytes: early });
    expect(await getText(newTransport(), { url: server.url, http_proxy: through.urlFor(scheme) })).toBe('early');
  });

  test('may come together with what the origin says first: nothing that TLS can take', async () => {
    const [server, through] = [await origin('https'), await socks()];
    through.misbehave({ kind: 'early-bytes', bytes: 'not TLS at all' });
    const transport = newTransport();
    const error = await failureOf(transport.send({ url: server.url, http_proxy: through.url }), TlsError);
    expect(error).toMatchObject({ code: 'ERR_TLS', phase: 'origin-tls', hop: 'origin', hasConnectedToProxy: true });
    await expectNothingLeft(transport, through);
  });

  const shapes = [
    { kind: 'byte-by-byte' },
    { kind: 'drip', in: 'request', interval: 2 },
    { kind: 'bound-name', name: 'gate.example' },
    { kind: 'bound-name', name: '' },
    { kind: 'bound-name', name: 'n'.repeat(255) },
    { kind: 'bound-ipv6' },
  ] as const;
  const ways = shapes.flatMap((shape) => BOTH.map((scheme) => [shape, scheme] as const));
  test.each(ways)('may take any shape: %j, for an %s origin', async (misbehaviour, scheme) => {
    const [server, through] = [await origin(scheme), await socks({ auth: AUTH, misbehaviour })];
    const transport = newTransport();
    const request = { url: server.url, http_proxy: through.urlWithCredentials };
    for (let call = 0; call < 2; call += 1) expect(await getText(transport, request)).toContain('"method":"GET"');
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1]);
    expect(through.hops).toMatchObject([{ reply: 0 }]);
  });

  // RFC 1929 says 1 in front of the status, and SOCKS4 says 0 in front of the code; some servers repeat their version.
  test.each([
    ['socks5://u:p@', [5, 2], [5, 0], [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]],
    ['socks4://', [], [], [4, 90, 0, 0, 0, 0, 0, 0]],
  ])('may begin with another version number: %s', async (start, greeting, status, reply) => {
    const server = await origin();
    const answers = [greeting, status, reply].filter(({ length }) => length > 0);
    const proxy = net.createServer((client) => {
      client
        .on('error', () => {})
        .on('data', function answer() {
          client.write(Buffer.from(answers.shift() ?? []));
          if (answers.length > 0) return;
          client.off('data', answer);
          client.pipe(net.connect(server.port, '127.0.0.1').on('error', () => {})).pipe(client);
        });
    });
    await use({ [Symbol.asyncDispose]: async () => void proxy.close() });
    await once(proxy.listen(0, '127.0.0.1'), 'listening');
    const address = proxy.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const http_proxy = `${start}127.0.0.1:${port}`;
    expect(await getText(newTransport(), { url: server.url, http_proxy })).toContain('"method":"GET"');
    expect(answers).toEqual([]);
  });
});

test('the authority of the origin is the one in tls.ca, of the transport or of the request', async () => {
  const strangers = await createCa();
  const tls = await strangers.issue({ names: ['127.0.0.1'] });
  const [server, through] = [await origin('https', { tls }), await socks()];
  const request = { url: server.url, http_proxy: through.url };
  const error = await failureOf(newTransport().send(request), TlsError);
  expect(error).toMatchObject({ phase: 'origin-tls', hop: 'origin', hasConnectedToProxy: true, retryable: false });
  expect(error.message).toContain('give that in tls.ca');
  await getText(newTransport({ tls: { ca: strangers.certificate } }), request);
  await getText(newTransport(), { ...request, tls: { ca: strangers.certificate } });
  expect(server.requests).toHaveLength(2);
});

test('a client certificate goes to the origin through SOCKS', async () => {
  const authority = await createCa();
  const names = ['127.0.0.1'];
  const tls = {
    ...(await authority.issue({ names })),
    clientCa: authority.certificate,
    requireClientCertificate: true,
  };
  const mine = await authority.issue({ names: ['client.example'], client: true });
  const [server, through] = [await origin('https', { tls }), await socks()];
  const transport = newTransport({ tls: { ca: authority.certificate, cert: mine.cert, key: mine.key } });
  await getText(transport, { url: server.url, http_proxy: through.url });
  expect(server.requests).toMatchObject([{ clientCertificate: 'client.example' }]);
});
