import { once } from 'node:events';
import http, { type OutgoingHttpHeaders } from 'node:http';
import https from 'node:https';
import { json } from 'node:stream/consumers';
import { basicCredentials, type ForeignAgents } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { BYTES, digest, stationOf, WAYS } from './agents-lab.ts';
import { AUTH, newTransport, origin, proxy, type Scheme } from './lab.ts';

const CREDENTIALS = basicCredentials(AUTH.username, AUTH.password);
type Given = OutgoingHttpHeaders | readonly string[];

function request(agents: ForeignAgents, url: string, headers: Given, method = 'GET', path = '/') {
  const [node, agent] = url.startsWith('https:') ? [https, agents.https] : [http, agents.http];
  return node.request(url, { agent, headers, method, path });
}

/** The ways in which a client gives headers; Node writes the head of the last two at once. */
const SHAPES: readonly (readonly [string, (headers: Record<string, string>, host: string) => Given])[] = [
  ['as an object', (headers) => headers],
  ['as a list', (headers, host) => ['Host', host, ...Object.entries(headers).flat()]],
  ['beside Expect', (headers) => ({ ...headers, Expect: '100-continue' })],
];

async function answerTo(sent: http.ClientRequest, body = ''): Promise<{ bytes: number }> {
  sent.end(body);
  const [response] = await once(sent, 'response');
  expect(response.statusCode).toBe(200);
  return (await json(response)) as { bytes: number };
}

function proxyHeaders(rawHeaders: readonly string[] = []): string[] {
  return rawHeaders.filter((name, index) => index % 2 === 0 && /^proxy-/i.test(name));
}

describe.each(SHAPES)('headers %s', (_name, shape) => {
  const rows = (['http', 'https'] as const).flatMap((scheme) => WAYS.map((way) => [scheme, way] as const));

  test.each(rows)('to an %s origin, %s: arrive, and what is for a proxy does not', async (scheme, way) => {
    const [server, station] = [await origin(scheme), await stationOf(way)];
    const agents = newTransport().agents({ http_proxy: station?.urlWithCredentials ?? null });
    const mine = {
      'X-Mine': 'a b',
      'Proxy-Authorization': CREDENTIALS,
      'Proxy-Connection': 'keep-alive',
      'X-Last': '1',
    };
    for (let call = 0; call < 2; call += 1) {
      await answerTo(request(agents, server.url, shape(mine, `127.0.0.1:${server.port}`), 'GET', '/a?b=%20'));
    }
    expect(server.requests).toHaveLength(2);
    for (const { target, headers, rawHeaders } of server.requests) {
      expect(target).toBe('/a?b=%20');
      expect(headers).toMatchObject({ host: `127.0.0.1:${server.port}`, 'x-mine': 'a b', 'x-last': '1' });
      expect(proxyHeaders(rawHeaders)).toEqual([]);
    }
    for (const hop of station?.hops ?? []) expect(hop).toMatchObject({ authorized: true });
  });

  test.each(['http', 'https'] as const)(
    "to an %s origin: a proxy gets the client's own credentials",
    async (scheme) => {
      const [server, through] = [await origin(scheme), await proxy('http', { auth: AUTH })];
      const agents = newTransport().agents({ http_proxy: through.url });
      const mine = { 'Proxy-Authorization': CREDENTIALS };
      await answerTo(request(agents, server.url, shape(mine, `127.0.0.1:${server.port}`)));
      expect(through.hops).toMatchObject([
        { authorized: true, username: AUTH.username, target: expect.stringContaining(String(server.port)) },
      ]);
      const [hop] = through.hops;
      expect(proxyHeaders(hop?.rawHeaders)).toEqual(['Proxy-Authorization']);
    },
  );

  test.each(['http', 'https'] as const)('to an %s origin: an upload arrives whole', async (scheme) => {
    const [server, through] = [await origin(scheme), await proxy('http', { auth: AUTH })];
    const agents = newTransport().agents({ http_proxy: through.urlWithCredentials });
    const headers = shape({ 'Content-Length': String(BYTES.length) }, `127.0.0.1:${server.port}`);
    const sent = request(agents, server.url, headers, 'PUT', '/upload');
    if ('Expect' in headers) await once(sent, 'continue');
    sent.end(BYTES);
    const [response] = await once(sent, 'response');
    await json(response);
    expect(digest(server.requests[0]?.body ?? Buffer.alloc(0))).toBe(digest(BYTES));
  });
});

describe('a header for the proxy that is set after the request was made', () => {
  async function late(scheme: Scheme, http_proxy: string | null) {
    const server = await origin(scheme);
    const sent = request(newTransport().agents({ http_proxy }), server.url, {}, 'POST');
    sent.setHeader('Proxy-Authorization', CREDENTIALS);
    await answerTo(sent, 'body');
    expect(server.requests).toMatchObject([{ body: Buffer.from('body') }]);
    expect(proxyHeaders(server.requests[0]?.rawHeaders)).toEqual([]);
  }

  test.each(['http', 'https'] as const)('does not reach an %s origin without a proxy', (scheme) => late(scheme, null));

  test('does not reach the end of a tunnel', async () => late('https', (await proxy()).url));

  test('reaches the proxy that forwards', async () => {
    const through = await proxy('http', { auth: AUTH });
    await late('http', through.url);
    expect(through.hops).toMatchObject([{ kind: 'forward', authorized: true }]);
  });
});

// RFC 9112 §3.2.4
test('OPTIONS * keeps its meaning through a proxy', async () => {
  const [server, through] = [await origin(), await proxy()];
  const agents = newTransport().agents({ http_proxy: through.url });
  await answerTo(request(agents, server.url, {}, 'OPTIONS', '*'));
  expect(through.hops).toMatchObject([{ target: server.url }]);
  expect(server.requests).toMatchObject([{ method: 'OPTIONS', target: '*' }]);
});
