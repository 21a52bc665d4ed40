import { InvalidProxyUrlError } from '@cloudlane/proxy';
import { afterEach, expect, test } from '@jest/globals';
import { scrubProxyVariables } from '../support/environment.ts';
import { makeGot, makeNode } from './agents-clients.ts';
import { reasonOf } from './agents-faults.ts';
import { store } from './agents-lab.ts';
import { newTransport, proxy } from './lab.ts';

const HINTED = expect.stringContaining('the proxy is called http_proxy');

afterEach(() => {
  scrubProxyVariables(process.env);
});

test('the environment is read for each request', async () => {
  const [server, first, second] = [await store('https', 1), await proxy(), await proxy()];
  const env: Record<string, string> = { https_proxy: first.url };
  const client = makeGot(newTransport().agents({ env }), server.url);
  const seen = () => [first.hops.length, second.hops.length];
  await client.get('/bucket/wait');
  expect(seen()).toEqual([1, 0]);
  env.https_proxy = second.url;
  await client.get('/bucket/wait');
  expect(seen()).toEqual([1, 1]);
  env.no_proxy = 'other.example, 127.0.0.0/8';
  await client.get('/bucket/wait');
  // Neither of the tunnels, idle as they are, was used again.
  expect([server.connectionCount, ...seen()]).toEqual([3, 1, 1]);
  delete env.no_proxy;
  await client.get('/bucket/wait');
  expect([server.connectionCount, ...seen()]).toEqual([3, 1, 1]);
  expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2, 3, 2]);
});

test("without settings it is the process's", async () => {
  const [server, through] = [await store('http'), await proxy()];
  const client = makeNode(newTransport().agents(), server.url);
  await client.get('/bucket/wait');
  expect(through.hops).toHaveLength(0);
  process.env.http_proxy = through.url;
  await client.get('/bucket/wait');
  expect(through.hops).toMatchObject([{ kind: 'forward', target: `${server.url}/bucket/wait` }]);
});

test('settings of its own shut it out', async () => {
  const [server, through, other] = [await store('https'), await proxy(), await proxy()];
  process.env.https_proxy = other.url;
  const transport = newTransport();
  await makeNode(transport.agents({ http_proxy: through.url }), server.url).get('/bucket/wait');
  await makeNode(transport.agents({ http_proxy: null }), server.url).get('/bucket/wait');
  await makeNode(transport.agents({ trustEnv: false }), server.url).get('/bucket/wait');
  expect([through.hops.length, other.hops.length]).toEqual([1, 0]);
});

test('a setting that cannot be used is refused at once, a variable by each request that it applies to', async () => {
  const server = await store('http');
  const transport = newTransport();
  expect(() => transport.agents({ http_proxy: 'gopher://proxy.example' })).toThrow(InvalidProxyUrlError);
  const env: Record<string, string> = { http_proxy: 'gopher://proxy.example' };
  const client = makeNode(transport.agents({ env }), server.url);
  expect(await reasonOf(client.get('/bucket/wait'))).toBeInstanceOf(InvalidProxyUrlError);
  expect(server.connectionCount).toBe(0);
  env.no_proxy = '*';
  expect(String(await client.get('/bucket/wait'))).toBe('waited');
});

test.each<[string, object, object]>([
  ['a key that is close', { httpProxy: 'http://proxy.example' }, { option: 'httpProxy', reason: HINTED }],
  ['another', { proxy: 'http://proxy.example' }, { option: 'proxy', reason: HINTED }],
  ['a third', { proxyUrl: 'http://proxy.example' }, { option: 'proxyUrl', reason: HINTED }],
  ['an option of requests', { tls: {} }, { option: 'tls', reason: 'there is no such option' }],
  ['a scheme in a map', { http_proxy: { https: 'ftp://proxy.example' } }, { code: 'ERR_INVALID_PROXY_URL' }],
  [
    'a host in a map, by its source',
    { http_proxy: { http: 'http://proxy.example', 'https://a.example': 'http://' }, source: 'my setting' },
    { code: 'ERR_INVALID_PROXY_URL', source: expect.stringContaining('my setting') },
  ],
])('agents() refuses what no request could use: %s', (_what, settings, expected) => {
  const transport = newTransport();
  let thrown: unknown = null;
  try {
    transport.agents(settings);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject(expected);
});
