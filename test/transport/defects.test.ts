// The defects of the libraries beneath and beside us, by the ids under which they were noted: H for hpagent, A for
// axios' own proxy support. None of them may be ours.
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { InvalidOptionError, InvalidProxyUrlError } from '@cloudlane/proxy';
import { createCa, type LabHost, type Misbehaviour, startSocks } from '@cloudlane/testing';
import {
  ProxyAuthenticationError,
  ProxyError,
  ProxyProtocolError,
  ProxyTlsError,
  ProxyTunnelError,
  TimeoutError,
  TlsError,
  type Transport,
  type TransportRequest,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { AxiosError } from 'axios';
import { scrubProxyVariables } from '../support/environment.ts';
import { expectWarning } from '../support/hygiene.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { PROCESS_TIMEOUT, runScript } from './child-process.ts';
import {
  AUTH,
  ca,
  causeOf,
  certificate,
  expectNothingLeft,
  failureOf,
  newTransport,
  origin,
  proxy,
  trusting,
  until,
  use,
} from './lab.ts';

async function getText(transport: Transport, request: TransportRequest): Promise<string> {
  const response = await transport.send(request);
  return text(response.body);
}

/** What a tunnel through a proxy with this misbehaviour brings. */
async function tunnel(misbehaviour: Misbehaviour): Promise<string> {
  const [server, through] = [await origin('https'), await proxy('http', { misbehaviour })];
  const answer = await getText(newTransport({ timeout: { handshake: 3000 } }), {
    url: server.url,
    http_proxy: through.url,
  });
  expect(server.requests).toHaveLength(1);
  expect(through.hops).toHaveLength(1);
  return answer;
}

describe('of hpagent', () => {
  test('H1 http is forwarded, not tunnelled', async () => {
    const [server, through] = [await origin(), await proxy()];
    await getText(newTransport(), { url: `${server.url}/a?b#c`, http_proxy: through.url });
    expect(through.hops).toMatchObject([{ kind: 'forward', method: 'GET', target: `${server.url}/a?b` }]);
  });

  test('H2 an IPv6 origin is named in brackets', async () => {
    const [server, through] = [await origin('https', { host: '::1' }), await proxy()];
    await getText(newTransport(), { url: server.url, http_proxy: through.url, tls: { verify: false } });
    expectWarning('CLOUDLANE_INSECURE', 'https://[::1]:');
    const authority = `[::1]:${server.port}`;
    expect(through.hops).toMatchObject([{ kind: 'connect', target: authority, headers: { host: authority } }]);
    expect(server.requests).toMatchObject([{ headers: { host: authority }, servername: null }]);
  });

  // Node 22.23.3 alone refuses a certificate that is valid for ::1, also without a proxy.
  (process.version === 'v22.23.3' ? test.skip : test)('H2 and its certificate is verified', async () => {
    const [server, through] = [await origin('https', { host: '::1' }), await proxy()];
    await getText(newTransport(), { url: server.url, http_proxy: through.url });
    expect(server.requests).toHaveLength(1);
  });

  test.each(['http', 'https'] as const)('H3 a proxy at an IPv6 address is reached, for %s', async (scheme) => {
    const [server, through] = [await origin(scheme), await proxy('http', { host: '::1' })];
    await getText(newTransport(), { url: server.url, http_proxy: through.url });
    expect(through.url).toContain('[::1]');
    expect(through.hops).toHaveLength(1);
  });

  test(
    'H4 an https proxy at an IP address gets no server name, and Node has nothing to warn of',
    async () => {
      const [server, through] = [await origin('https'), await proxy('https')];
      const { output, errors } = await runScript(`
      import { Transport } from '@cloudlane/transport';
      const tls = { ca: ${JSON.stringify(ca.certificate)} };
      const transport = new Transport({ tls, proxyTls: tls });
      const response = await transport.send({ url: '${server.url}', http_proxy: '${through.url}' });
      console.log(response.status);
      await transport.close();
    `);
      expect([output, errors]).toEqual(['200\n', '']);
      expect(through.hops[0]?.servername).toBeNull();
      expect(server.requests[0]?.servername).toBeNull();
    },
    PROCESS_TIMEOUT,
  );

  test('H5 each hop is asked for the server name of its own options', async () => {
    const only = (name: string) => ca.issue({ names: [name] });
    const server = await origin('https', { tls: await only('origin.example') });
    const through = await proxy('https', { tls: await only('proxy.example') });
    const request = { url: server.url, http_proxy: through.url };
    await getText(newTransport(), {
      ...request,
      tls: { ...trusting.tls, servername: 'origin.example' },
      proxyTls: { ...trusting.proxyTls, servername: 'proxy.example' },
    });
    expect(through.hops[0]?.servername).toBe('proxy.example');
    expect(server.requests[0]?.servername).toBe('origin.example');
    // And the names are what the certificates are checked against.
    await failureOf(newTransport().send(request), ProxyTlsError);
    const proxyTls = { ...trusting.proxyTls, servername: 'proxy.example' };
    await failureOf(newTransport().send({ ...request, proxyTls }), TlsError);
  });

  test('H6 a bare % in a password rejects with a typed error that does not tell it', async () => {
    const error = await failureOf(
      newTransport().send({ url: 'https://x.example', http_proxy: 'http://user:100%Secret@127.0.0.1:1' }),
      InvalidProxyUrlError,
    );
    expect(`${error.message}${inspect(error)}`).not.toContain('Secret');
  });

  test('H7 a 407 has its code, status, headers and body', async () => {
    const through = await proxy('http', { auth: AUTH });
    const error = await failureOf(
      newTransport().send({ url: 'https://x.example', http_proxy: through.url }),
      ProxyAuthenticationError,
    );
    expect(error).toMatchObject({ code: 'ERR_PROXY_AUTHENTICATION', status: 407, schemes: ['basic'], realm: 'lab' });
    expect(error.headers['proxy-authenticate']).toBe('Basic realm="lab"');
    expect(String(error.body)).toContain('This proxy needs credentials.');
  });

  test.each([[[103]], [[100, 102, 103]]])('H8 interim answers %j to CONNECT are skipped', async (statuses) => {
    expect(await tunnel({ kind: 'interim', statuses })).toContain('"method":"GET"');
  });

  test.each([201, 204, 299])('H9 %i to CONNECT opens the tunnel, whatever length it claims', async (status) => {
    expect(await tunnel({ kind: 'status', status, headers: { 'Content-Length': '5' } })).toContain('"method":"GET"');
  });

  test('H10 an abort during CONNECT rejects at once and closes the socket', async () => {
    const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
    const [transport, controller] = [newTransport(), new AbortController()];
    const sent = transport.send({ url: 'https://x.example', http_proxy: through.url, signal: controller.signal });
    sent.catch(() => {});
    await through.waitForHops(1);
    controller.abort();
    await expect(sent).rejects.toBe(controller.signal.reason);
    await expectNothingLeft(transport, through);
  });

  test('H11 a tunnel that opens after the abort is not kept', async () => {
    let answer = (): void => {};
    const until = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const [server, through] = [
      await origin('https'),
      await proxy('http', { misbehaviour: { kind: 'hang-until', until, times: 1 } }),
    ];
    const [transport, controller] = [newTransport(), new AbortController()];
    const request = { url: server.url, http_proxy: through.url };
    const sent = transport.send({ ...request, signal: controller.signal });
    sent.catch(() => {});
    await through.waitForHops(1);
    // In the same turn: the answer is on its way when the abort comes.
    answer();
    controller.abort();
    await expect(sent).rejects.toBe(controller.signal.reason);
    await expectNothingLeft(transport, through);
    await getText(transport, request);
    expect(through.connectionCount).toBe(2);
  });

  test.each<[string, Misbehaviour]>([
    ['is silent', { kind: 'hang' }],
    ['sends a byte now and then', { kind: 'drip', interval: 20 }],
  ])('H12 a proxy that %s runs into the handshake deadline', async (_, misbehaviour) => {
    const through = await proxy('http', { misbehaviour });
    const transport = newTransport({ timeout: { handshake: 100 } });
    const error = await failureOf(transport.send({ url: 'https://x.example', http_proxy: through.url }), TimeoutError);
    expect(error).toMatchObject({ deadline: 'handshake', phase: 'proxy-handshake' });
    await expectNothingLeft(transport, through);
  });

  test('H13 bytes glued to the answer belong to the tunnel', async () => {
    // Nothing that TLS can take: it fails at once if it gets them, and goes well if they were dropped.
    await expect(tunnel({ kind: 'early-bytes', bytes: 'not TLS at all' })).rejects.toMatchObject({
      code: 'ERR_TLS',
      phase: 'origin-tls',
    });
  });

  test('H14 maxSockets counts tunnels that are being opened', async () => {
    const [server, through] = [await origin('https'), await proxy('http', { delay: 10 })];
    const transport = newTransport({ maxSockets: 2 });
    await Promise.all(
      Array.from({ length: 8 }, () => getText(transport, { url: server.url, http_proxy: through.url })),
    );
    expect(through.connectionCount).toBe(2);
    expect(server.requests).toHaveLength(8);
  });

  test('H15 a certificate that is not trusted is told apart by its hop', async () => {
    const strangers = await createCa();
    const tls = await strangers.issue({ names: ['127.0.0.1'] });
    const [server, through] = [await origin('https'), await proxy('https')];
    const [strangeServer, strangeProxy] = [await origin('https', { tls }), await proxy('https', { tls })];
    const transport = newTransport();
    const ofOrigin = await failureOf(transport.send({ url: strangeServer.url, http_proxy: through.url }), TlsError);
    expect(ofOrigin).toMatchObject({ code: 'ERR_TLS', phase: 'origin-tls', hop: 'origin', hasConnectedToProxy: true });
    const ofProxy = await failureOf(transport.send({ url: server.url, http_proxy: strangeProxy.url }), ProxyTlsError);
    expect(ofProxy).toMatchObject({
      code: 'ERR_PROXY_TLS',
      phase: 'proxy-tls',
      hop: 'proxy',
      hasConnectedToProxy: false,
    });
    // Also for http origins: the proxy is verified all the same.
    const plain = await origin();
    await failureOf(transport.send({ url: plain.url, http_proxy: strangeProxy.url }), ProxyTlsError);
    expect([strangeServer.requests, server.connectionCount, plain.connectionCount]).toEqual([[], 0, 0]);
    await expectNothingLeft(transport);
  });

  test('H16 a tunnel that falls silent runs into the same deadline as CONNECT', async () => {
    const through = await proxy('http', { misbehaviour: { kind: 'silent-tunnel' } });
    const transport = newTransport({ timeout: { handshake: 100 } });
    const error = await failureOf(transport.send({ url: 'https://x.example', http_proxy: through.url }), TimeoutError);
    expect(error).toMatchObject({ deadline: 'handshake', phase: 'origin-tls', hop: 'origin' });
    await expectNothingLeft(transport, through);
  });

  test.each<[string, abstract new (...args: never[]) => Error, number]>([
    ['ftp', InvalidProxyUrlError, 0],
    // The proxy answers in HTTP what is SOCKS.
    ['socks5', ProxyProtocolError, 2],
    ['socks5h', ProxyProtocolError, 2],
    ['socks4', ProxyProtocolError, 2],
  ])('H17 %s is not taken for an http proxy', async (scheme, Class, connections) => {
    const through = await proxy();
    const http_proxy = through.url.replace('http:', `${scheme}:`);
    const transport = newTransport();
    for (const url of ['http://127.0.0.1:9', 'https://127.0.0.1:9']) {
      const error = await failureOf(transport.send({ url, http_proxy }), Class);
      expect(error.message).toMatch(/http/);
    }
    expect([through.hops.length, through.connectionCount]).toEqual([0, connections]);
    await expectNothingLeft(transport, through);
  });

  test('H17 localhost:3128 is an http proxy at localhost', async () => {
    const [server, through] = [await origin('https'), await proxy()];
    await getText(newTransport(), { url: server.url, http_proxy: `localhost:${through.port}` });
    expect(through.hops).toMatchObject([{ kind: 'connect' }]);
  });

  test('H18 nothing that can be inspected shows the password', async () => {
    const [server, through] = [await origin('https'), await proxy('http', { auth: AUTH })];
    const transport = newTransport();
    const response = await transport.send({ url: server.url, http_proxy: through.urlWithCredentials });
    const shown = [transport, transport.connections, response, response.route, response.explanation, response.body];
    for (const each of shown) {
      expect(secretsIn(inspect(each, { depth: Number.POSITIVE_INFINITY }))).toEqual([]);
      expect(secretsIn(JSON.stringify(each))).toEqual([]);
    }
    response.body.resume();
  });

  test('H19 a Proxy-Authorization of the caller never reaches an https origin', async () => {
    const [server, through] = [await origin('https'), await proxy()];
    const headers = { 'Proxy-Authorization': 'Basic bWluZTptaW5l' };
    await getText(newTransport(), { url: server.url, http_proxy: through.url, headers });
    expect(through.hops[0]?.username).toBe('mine');
    expect(server.requests[0]?.headers).not.toHaveProperty('proxy-authorization');
  });

  describe('ok, and still so', () => {
    test.each<[string, Misbehaviour]>([
      ['byte by byte', { kind: 'byte-by-byte' }],
      ['in two packets', { kind: 'split-reply' }],
      ['as HTTP/1.0', { kind: 'http10' }],
    ])('an answer to CONNECT %s', async (_, misbehaviour) => {
      expect(await tunnel(misbehaviour)).toContain('"method":"GET"');
    });

    test('an authority of its own for each hop', async () => {
      const other = await createCa();
      const server = await origin('https', { tls: await other.issue({ names: ['127.0.0.1'] }) });
      const through = await proxy('https');
      const request = { url: server.url, http_proxy: through.url };
      await getText(newTransport({ tls: { ca: other.certificate } }), request);
      const swapped = newTransport({ tls: trusting.tls, proxyTls: { ca: other.certificate } });
      await failureOf(swapped.send(request), ProxyTlsError);
    });

    test('an idle tunnel that the origin closes is not used again', async () => {
      const server = await origin('https', {
        handler: ({ socket }, response) => void response.end('bye', () => socket.end()),
      });
      const [through, transport] = [await proxy(), newTransport()];
      for (const count of [1, 2]) {
        await getText(transport, { url: server.url, http_proxy: through.url });
        await expectNothingLeft(transport, through);
        expect(through.hops).toHaveLength(count);
      }
    });
  });
});

describe('of axios', () => {
  test.each<[string, Misbehaviour]>([
    ['302', { kind: 'reply', status: 302, headers: { Location: 'http://127.0.0.1:1/' } }],
    ['403', { kind: 'reply', status: 403, headers: { 'Set-Cookie': 'a=b' }, body: '{"not":"the origin"}' }],
  ])('A1 an answer of %s to CONNECT is neither followed nor taken for the origin’s', async (status, misbehaviour) => {
    const through = await proxy('http', { misbehaviour });
    const sent = newTransport().axios.get('https://x.example', { http_proxy: through.url });
    expect(await causeOf(sent, ProxyTunnelError)).toMatchObject({ status: Number(status) });
    expect(through.hops).toHaveLength(1);
  });

  test('A2 a 407 whose page comes in a second packet is told whole', async () => {
    const through = await proxy('http', {
      misbehaviour: { kind: 'reply', status: 407, body: 'later', bodyLater: true },
    });
    const sent = newTransport().axios.get('https://x.example', { http_proxy: through.url });
    expect(String((await causeOf(sent, ProxyAuthenticationError)).body)).toBe('later');
  });

  test.each<[string, Misbehaviour, string]>([
    ['an end', { kind: 'end' }, 'ERR_PROXY_RESET'],
    ['half a header', { kind: 'half-header' }, 'ERR_PROXY_PROTOCOL'],
  ])('A3 %s during CONNECT fails at once', async (_, misbehaviour, code) => {
    const through = await proxy('http', { misbehaviour });
    const transport = newTransport();
    const error = await causeOf(transport.axios.get('https://x.example', { http_proxy: through.url }), ProxyError);
    expect(error.code).toBe(code);
    await expectNothingLeft(transport, through);
  });

  test('A4 the timeout fires while the proxy stalls, and leaves no socket', async () => {
    const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
    const transport = newTransport();
    await causeOf(transport.axios.get('https://x.example', { http_proxy: through.url, timeout: 100 }), TimeoutError);
    await expectNothingLeft(transport, through);
  });

  test('A5 an abort during CONNECT closes the socket', async () => {
    const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
    const [transport, controller] = [newTransport(), new AbortController()];
    const sent = transport.axios.get('https://x.example', { http_proxy: through.url, signal: controller.signal });
    sent.catch(() => {});
    await through.waitForHops(1);
    controller.abort();
    await expect(sent).rejects.toMatchObject({ code: 'ERR_CANCELED' });
    await expectNothingLeft(transport, through);
  });

  test.each(['http', 'https'] as const)('A6 percent-encoded credentials are decoded, for %s', async (scheme) => {
    const auth = { username: 'us@er', password: 'p:w%2F' };
    const [server, through] = [await origin(scheme), await proxy('http', { auth })];
    const http_proxy = through.url.replace('://', '://us%40er:p%3Aw%252F@');
    await newTransport().axios.get(server.url, { http_proxy });
    expect(through.hops).toMatchObject([{ authorized: true, username: 'us@er' }]);
  });

  test('A7 an IPv6 origin has brackets in the Host of a forwarded request', async () => {
    const [server, through] = [await origin('http', { host: '::1' }), await proxy()];
    await newTransport().axios.get(server.url, { http_proxy: through.url });
    expect(through.hops).toMatchObject([{ target: `${server.url}/`, headers: { host: `[::1]:${server.port}` } }]);
  });

  test.each<[LabHost]>([['127.0.0.1'], ['::1']])('A8 the environment’s proxy at %s is reached', async (host) => {
    const [server, through] = [await origin(), await proxy('http', { host })];
    const response = await newTransport().send({ url: server.url, env: { http_proxy: through.url } });
    response.body.resume();
    expect(through.hops).toHaveLength(1);
  });

  test('A9 a client certificate for the origin is not shown to the proxy', async () => {
    const mine = await ca.issue({ names: ['client.example'], client: true });
    const tls = { ...certificate, clientCa: ca.certificate };
    const [server, through] = [await origin('https', { tls }), await proxy('https', { tls })];
    await getText(newTransport({ tls: { ...trusting.tls, ...mine } }), { url: server.url, http_proxy: through.url });
    expect(through.hops[0]?.clientCertificate).toBeNull();
    expect(server.requests[0]?.clientCertificate).toBe('client.example');
    await getText(newTransport({ proxyTls: { ...trusting.proxyTls, ...mine } }), {
      url: server.url,
      http_proxy: through.url,
    });
    expect(through.hops[1]?.clientCertificate).toBe('client.example');
    expect(server.requests[1]?.clientCertificate).toBeNull();
  });

  test('A9 an origin that is not verified leaves the proxy verified, which is asked for by name', async () => {
    const [server, through] = [await origin('https'), await proxy('https')];
    const http_proxy = `https://localhost:${through.port}`;
    const strict = newTransport({ tls: { verify: false }, proxyTls: {} });
    await failureOf(strict.send({ url: server.url, http_proxy }), ProxyTlsError);
    await getText(newTransport(), { url: server.url, http_proxy });
    expect(through.hops.map(({ servername }) => servername)).toEqual(['localhost']);
  });

  test.each(['http', 'https'] as const)('A10 a SOCKS proxy is spoken to in SOCKS, for %s', async (scheme) => {
    const [server, through] = [await origin(scheme), await use(startSocks())];
    const transport = newTransport();
    await transport.axios.get(server.url, { http_proxy: through.urlFor('socks5') });
    await getText(transport, { url: server.url, env: { all_proxy: through.urlFor('socks5h') } });
    expect(through.hops).toMatchObject([
      { version: 5, target: new URL(server.url).host, reply: 0 },
      { version: 5, target: new URL(server.url).host, reply: 0 },
    ]);
    expect(server.requests).toHaveLength(2);
  });

  test('A11 host:port without a scheme is an http proxy, also for https', async () => {
    const [server, through] = [await origin('https'), await proxy()];
    const response = await newTransport().send({ url: server.url, env: { https_proxy: `127.0.0.1:${through.port}` } });
    response.body.resume();
    expect(through.hops).toHaveLength(1);
  });

  test('A12 proxy as a string says what to write instead', async () => {
    const sent = newTransport().axios.get('http://x.example', { proxy: 'http://127.0.0.1:1' as never });
    expect((await failureOf(sent, InvalidOptionError)).message).toContain(
      'write http_proxy: "http://user:password@host:port"',
    );
  });

  test.each<[string, object]>([
    ['A13 HTTP/2', { httpVersion: 2 }],
    ['A14 the fetch adapter', { adapter: 'fetch' }],
  ])('%s is refused, and does not go direct', async (_, config) => {
    const [server, through] = [await origin(), await proxy()];
    await failureOf(newTransport().axios.get(server.url, { http_proxy: through.url, ...config }), InvalidOptionError);
    expect([server.connectionCount, through.connectionCount]).toEqual([0, 0]);
  });

  test('A15 an error shows no password', async () => {
    const through = await proxy('http', { auth: { ...AUTH, password: 'another' } });
    const http_proxy = through.url.replace('://', `://user:${SECRETS.plainPassword}@`);
    for (const url of ['http://x.example', 'https://x.example']) {
      const error = await failureOf(newTransport().axios.get(url, { http_proxy }), AxiosError);
      expect(error.cause).toBeInstanceOf(ProxyAuthenticationError);
      expect(secretsIn(`${JSON.stringify(error)}${inspect(error, { depth: Number.POSITIVE_INFINITY })}`)).toEqual([]);
    }
  });

  test('A16 an https origin at an IP address gets no server name inside a tunnel', async () => {
    const [server, through] = [await origin('https'), await proxy()];
    await newTransport().axios.get(server.url, { http_proxy: through.url });
    expect(server.requests).toMatchObject([{ servername: null }]);
  });

  test('A17 a header without end is given up at 16 KiB', async () => {
    const through = await proxy('http', { misbehaviour: { kind: 'endless-header' } });
    const transport = newTransport();
    const error = await failureOf(
      transport.send({ url: 'https://x.example', http_proxy: through.url }),
      ProxyProtocolError,
    );
    expect(error.message).toContain('its header is over 16 KiB');
    await expectNothingLeft(transport, through);
    // What was on its way in the buffers of both ends comes on top.
    expect(through.hops[0]?.sent).toBeLessThan(8 * 1024 * 1024);
  });

  test('A18 four requests take one CONNECT', async () => {
    const [server, through] = [await origin('https'), await proxy()];
    const { axios } = newTransport();
    for (let index = 0; index < 4; index += 1) await axios.get(server.url, { http_proxy: through.url });
    expect(through.hops.map(({ headers }) => headers.connection)).toEqual([undefined]);
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1, 1, 1]);
  });

  test('A19 the environment’s proxy is used once, not twice', async () => {
    const [server, through] = [await origin('https'), await proxy()];
    for (const name of ['http_proxy', 'https_proxy', 'all_proxy']) process.env[name] = through.url;
    try {
      await newTransport().axios.get(server.url);
    } finally {
      scrubProxyVariables(process.env);
    }
    expect(through.hops).toMatchObject([{ kind: 'connect', target: `127.0.0.1:${server.port}` }]);
    expect(through.connectionCount).toBe(1);
  });

  test('A20 204 to CONNECT is no answer of the origin', async () => {
    expect(await tunnel({ kind: 'status', status: 204 })).toContain('"method":"GET"');
  });

  describe('ok, and still so', () => {
    test.each([
      ['127.0.0.0/8', '127.0.0.1'],
      ['::/64', '::1'],
      ['[::1]', '::1'],
      ['127.0.0.1', '127.0.0.1'],
    ] as const)('no_proxy %s keeps %s direct', async (no_proxy, host) => {
      const [server, through] = [await origin('http', { host }), await proxy()];
      const response = await newTransport().send({ url: server.url, env: { http_proxy: through.url, no_proxy } });
      response.body.resume();
      expect(response.route).toEqual({ kind: 'direct' });
      expect(through.connectionCount).toBe(0);
      expect(server.requests).toHaveLength(1);
    });

    test('origins share the connection to a forward proxy', async () => {
      const [first, second, through] = [await origin(), await origin(), await proxy()];
      const { axios } = newTransport();
      for (const { url } of [first, second]) await axios.get(url, { http_proxy: through.url });
      await until(() => through.hops.length === 2);
      expect(through.connectionCount).toBe(1);
    });
  });
});
