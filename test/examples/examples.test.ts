import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { S3Storage } from '@cloudlane/driver-aws';
import { createCa, type LabOrigin, type OriginOptions, startOrigin, startProxy } from '@cloudlane/testing';
import { sharedTransport, Transport } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { WebSocketServer } from 'ws';
import { behindOneProxy } from '../../examples/agents.ts';
import { accountEmail } from '../../examples/any-endpoint.ts';
import { fetchJson } from '../../examples/axios.ts';
import { startEmbeddedS3 } from '../../examples/embedded-s3.ts';
import { whyItFailed } from '../../examples/errors.ts';
import { explain } from '../../examples/explain.ts';
import { fourWays } from '../../examples/four-ways.ts';
import { refusedByProxy } from '../../examples/lab.ts';
import { ExampleConnection } from '../../examples/own-driver.ts';
import { routeOf } from '../../examples/routes.ts';
import { search } from '../../examples/session.ts';
import { copyThrough } from '../../examples/streams.ts';
import { statusOf } from '../../examples/transport.ts';
import { scrubProxyVariables } from '../support/environment.ts';
import { use } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';

const auth = { username: 'user', password: SECRETS.proxyPassword };
const startAuthenticating = async () => use(startProxy({ auth }));
const startJson = async (body: unknown, options: OriginOptions = {}): Promise<LabOrigin> =>
  use(
    await startOrigin({
      ...options,
      handler: (_request, response) =>
        void response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body)),
    }),
  );
const droplets = {
  droplets: [{ id: 7, name: 'web', status: 'active', networks: { v4: [], v6: [] }, tags: [] }],
  links: {},
  meta: { total: 1 },
};

test('the tour ends well, and shows forward, tunnel, SOCKS and direct calls with what the proxy saw', async () => {
  const env = scrubProxyVariables({ ...process.env });
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['examples/dist/tour.js'], { env });
  expect(stderr).toBe('');
  expect(stdout).toMatch(
    /^createContainer +environment http_proxy +forward via north .* PUT http:\/\/…\/tour as north → 200 +new/m,
  );
  expect(stdout).toMatch(/^deleteObject +this call: null +direct +.* nothing /m);
  expect(stdout).toMatch(/^createContainer \(https\) .*tunnel via north .* CONNECT 127\.0\.0\.1:\d+ as north → 200/m);
  expect(stdout).toMatch(/^getObject \(https\) .* ciphertext in the open tunnel +reused/m);
  expect(stdout).toMatch(/^headObject \(https\) .*tunnel via east .* CONNECT 127\.0\.0\.1:\d+ as east → 200 +new/m);
  expect(stdout).toMatch(/^deleteObject \(https\) .*socks via west .* SOCKS5 127\.0\.0\.1:\d+ as west → 0 +new/m);
  expect(stdout.trimEnd().endsWith('Every call took the route that was claimed.')).toBe(true);
  expect(stdout).not.toMatch(/p@ss|100% secret|über TLS|bastion/);
});

test('four ways: each call took its own', async () => {
  const origin = await startJson(droplets);
  const [first, second, third] = [
    await startAuthenticating(),
    await startAuthenticating(),
    await startAuthenticating(),
  ];
  const names = await fourWays(SECRETS.token, second.urlWithCredentials, third.urlWithCredentials, {
    baseUrl: origin.url,
    env: { http_proxy: first.urlWithCredentials },
  });
  expect(names).toEqual(['web', 'web', 'web', 'web']);
  expect([first, second, third].map(({ hops }) => hops.map(({ kind, authorized }) => [kind, authorized]))).toEqual([
    [['forward', true]],
    [['forward', true]],
    [['forward', true]],
  ]);
  expect(origin.requests).toHaveLength(4);
});

test('explain tells the variable and the rule', () => {
  const told = JSON.parse(explain(SECRETS.token, { https_proxy: 'http://user:pw@proxy.example:3128' }));
  expect(told).toMatchObject({ route: { kind: 'tunnel' }, source: 'env:https_proxy' });
});

describe('errors are told apart', () => {
  const account = { accessKeyId: 'key', secretAccessKey: SECRETS.secretKey, transport: sharedTransport() };

  test.each([
    [
      'a proxy that wants credentials',
      async () => (await startAuthenticating()).url,
      /^the proxy wants basic credentials$/,
    ],
    [
      'a proxy that is down',
      async () => 'http://127.0.0.1:1',
      /^the proxy http:\/\/127\.0\.0\.1:1 failed in proxy-connect$/,
    ],
  ])('%s', async (_what, proxy, expected) => {
    const origin = await startJson({});
    expect(await whyItFailed(new S3Storage({ ...account, endpoint: origin.url, http_proxy: await proxy() }))).toMatch(
      expected,
    );
    expect(origin.requests).toHaveLength(0);
  });

  test('an origin that is down', async () => {
    const storage = new S3Storage({ ...account, endpoint: 'http://127.0.0.1:1', http_proxy: null });
    expect(await whyItFailed(storage)).toBe('the origin failed in origin-connect (ERR_CONNECT)');
  });

  test('an object that is not there', async () => {
    const origin = await use(
      await startOrigin({
        handler: (_request, response) => void response.writeHead(404, { 'x-amz-request-id': 'R1' }).end(),
      }),
    );
    expect(await whyItFailed(new S3Storage({ ...account, endpoint: origin.url, http_proxy: null }))).toBe(
      'no such object (request R1)',
    );
  });
});

test('streams: the copy equals the file', async () => {
  const server = await use(startEmbeddedS3());
  const directory = await mkdtemp(join(tmpdir(), 'cloudlane-example-'));
  await use({ [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) });
  const [from, to] = [join(directory, 'from'), join(directory, 'to')];
  const content = Buffer.from('0123456789abcdef'.repeat(20_000));
  await writeFile(from, content);
  const storage = new S3Storage({
    accessKeyId: 'S3RVER',
    secretAccessKey: 'S3RVER',
    endpoint: server.endpoint,
    http_proxy: (await startAuthenticating()).urlWithCredentials,
  });
  await storage.createContainer('copies');
  expect(await copyThrough(storage, 'copies', from, to, content.length)).toBe(content.length);
  expect((await readFile(to)).equals(content)).toBe(true);
});

test('any endpoint, with the auth of the driver', async () => {
  const origin = await startJson({ account: { email: 'a@b.example' } });
  expect(
    await accountEmail(SECRETS.token, {
      baseUrl: origin.url,
      http_proxy: (await startAuthenticating()).urlWithCredentials,
    }),
  ).toBe('a@b.example');
  expect(origin.requests[0]?.headers.authorization).toBe(`Bearer ${SECRETS.token}`);
});

test('axios takes the proxy of the call', async () => {
  const proxy = await startAuthenticating();
  expect(await fetchJson((await startJson({ a: 1 })).url, proxy.urlWithCredentials)).toEqual({ a: 1 });
  expect(proxy.hops).toHaveLength(1);
});

test('a driver of your own sends its token', async () => {
  const origin = await startJson({ ok: true });
  const connection = new ExampleConnection({ token: SECRETS.token, baseUrl: origin.url, http_proxy: null });
  expect((await connection.request('/things')).object).toEqual({ ok: true });
  expect(origin.requests[0]).toMatchObject({
    target: '/things',
    headers: { authorization: `Bearer ${SECRETS.token}` },
  });
});

test('routes: the map decides by host and scheme', () => {
  expect(routeOf('https://api.example').route).toMatchObject({ kind: 'tunnel', proxy: { host: 'proxy.example' } });
  expect(routeOf('https://internal.example')).toMatchObject({
    route: { kind: 'direct' },
    why: expect.stringContaining('null'),
  });
  expect(routeOf('http://api.example').route).toMatchObject({ kind: 'forward', proxy: { host: 'other.example' } });
});

test('transport: one HEAD through a tunnel', async () => {
  const ca = await createCa();
  const origin = await startJson({}, { tls: await ca.issue({ names: ['127.0.0.1'] }) });
  expect(await statusOf(origin.url, (await startAuthenticating()).urlWithCredentials, ca.certificate)).toMatch(
    /^200 <TunnelHTTPConnection \['https:\/\/127\.0\.0\.1:\d+', HTTP\/1\.1, (ACTIVE|IDLE), Request Count: 1\]>$/,
  );
});

test('agents: clients of others take the proxy, and share its tunnels', async () => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
  const ca = await createCa();
  const feed = new WebSocketServer({ noServer: true });
  const origin = await use(
    await startOrigin({
      tls: await ca.issue({ names: ['127.0.0.1'] }),
      handler: ({ url }, response) =>
        void response.end(
          url === '/status' ? '{"ok":true}' : '<R><Buckets><Bucket><Name>one</Name></Bucket></Buckets></R>',
        ),
      upgrade: (request, socket, head) => feed.handleUpgrade(request, socket, head, () => {}),
    }),
  );
  const proxy = await startAuthenticating();
  const { buckets, status, socket } = await behindOneProxy(
    proxy.urlWithCredentials,
    ca.certificate,
    { accessKeyId: 'key', secretAccessKey: SECRETS.secretKey },
    { s3: origin.url, api: `${origin.url}/status`, feed: origin.url.replace('https', 'wss') },
  );
  expect([buckets, status]).toEqual([1, { ok: true }]);
  expect(proxy.hops).toMatchObject([{ kind: 'connect', authorized: true, target: `127.0.0.1:${origin.port}` }]);
  expect(origin.requests.map(({ connection }) => connection)).toEqual([1, 1, 1]);
  const closed = once(socket, 'close');
  socket.close();
  await closed;
});

test('session: defaults and one setting', async () => {
  const origin = await startJson({ found: 2 });
  expect(await search(origin.url, (await startAuthenticating()).urlWithCredentials, 'two words')).toEqual({ found: 2 });
  expect(origin.requests[0]?.target).toBe('/?q=two%20words');
});

test('lab: a refusal that nothing slips past', async () => {
  expect(await refusedByProxy()).toEqual({ reason: 'ERR_PROXY_AUTHENTICATION', originSaw: 0 });
});

test('the shared transport is one for all', () => {
  expect(sharedTransport()).toBe(sharedTransport());
  expect(sharedTransport()).toBeInstanceOf(Transport);
});
