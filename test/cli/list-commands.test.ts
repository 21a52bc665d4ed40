import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type LabOrigin, type LabProxy, type OriginHandler, startOrigin, startProxy } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { startEmbeddedS3 } from '../../examples/embedded-s3.ts';
import { scrubProxyVariables } from '../support/environment.ts';
import { use } from '../support/resources.ts';
import { SECRETS } from '../support/secrets.ts';
import { runCommand } from './terminal.ts';

const startAuthenticating = async (): Promise<LabProxy> =>
  use(startProxy({ auth: { username: 'user', password: SECRETS.proxyPassword } }));
const start = async (handler: OriginHandler): Promise<LabOrigin> => use(startOrigin({ handler }));
const account = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: SECRETS.secretKey };

const DROPLETS = {
  droplets: [
    {
      id: 7,
      name: 'web',
      status: 'active',
      size_slug: 's-1vcpu-1gb',
      region: { slug: 'fra1' },
      networks: { v4: [{ ip_address: '192.0.2.7', type: 'public' }], v6: [] },
      tags: [],
    },
  ],
  links: {},
  meta: { total: 1 },
};

describe('cloudlane buckets', () => {
  test('lists the buckets of an account over the proxy that --http-proxy names', async () => {
    const server = await use(startEmbeddedS3());
    const proxy = await startAuthenticating();
    const env = { ...account, AWS_ENDPOINT_URL_S3: server.endpoint };
    const { code, out, err } = await runCommand(
      ['buckets', '--provider', 's3', '--http-proxy', proxy.urlWithCredentials],
      env,
    );
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^NAME +CREATED/) });
    expect(err).toBe(
      `route: forward http://user:***@127.0.0.1:${proxy.port} (constructor http_proxy: one proxy for every URL)`,
    );
    expect(proxy.hops).toMatchObject([{ kind: 'forward', method: 'GET', authorized: true, status: 200 }]);
  });

  test('takes the proxy of the environment, and prints JSON', async () => {
    const server = await use(startEmbeddedS3());
    const proxy = await startAuthenticating();
    const env = { ...account, AWS_ENDPOINT_URL: server.endpoint, http_proxy: proxy.urlWithCredentials };
    const { code, out } = await runCommand(['buckets', '--json'], env);
    expect({ code, list: JSON.parse(out) }).toEqual({ code: 0, list: [] });
    expect(proxy.hops).toHaveLength(1);
  });

  test('says what the proxy wants, and sends nothing by another way', async () => {
    const origin = await start((_request, response) => void response.end());
    const proxy = await startAuthenticating();
    const { code, out, err } = await runCommand(['buckets', '--http-proxy', proxy.url], {
      ...account,
      AWS_ENDPOINT_URL: origin.url,
    });
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/was refused: 407, it wants credentials.*\[ERR_PROXY_AUTHENTICATION\]/);
    expect(origin.requests).toHaveLength(0);
  });

  test.each([
    [
      'credentials that are missing',
      ['buckets'],
      {},
      /AWS_ACCESS_KEY_ID cannot be used: is not set in the environment/,
    ],
    [
      'a provider that has no storage',
      ['buckets', '--provider', 'digitalocean'],
      account,
      /--provider cannot be used: knows no storage of "digitalocean"; write s3/,
    ],
    [
      'a proxy that cannot be used',
      ['buckets', '--http-proxy', 'http://u:s3cr3t@:1'],
      account,
      /InvalidProxyUrl|cannot be used/,
    ],
  ])('refuses %s with exit code 2', async (_what, args, env, message) => {
    const { code, out, err } = await runCommand(args, env);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
  });

  test('an interrupt ends the call with exit code 130', async () => {
    const interrupt = new AbortController();
    const origin = await start(() => interrupt.abort());
    const { code } = await runCommand(['buckets'], { ...account, AWS_ENDPOINT_URL: origin.url }, interrupt.signal);
    expect(code).toBe(130);
  });
});

describe('cloudlane nodes', () => {
  test('lists nodes in a table', async () => {
    const origin = await start(
      (_request, response) => void response.setHeader('Content-Type', 'application/json').end(JSON.stringify(DROPLETS)),
    );
    const env = { DIGITALOCEAN_ACCESS_TOKEN: SECRETS.token, DIGITALOCEAN_API_URL: `${origin.url}/v2` };
    const { code, out, err } = await runCommand(['nodes', '--direct'], env);
    expect(code).toBe(0);
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['ID', 'NAME', 'STATE', 'SIZE', 'LOCATION', 'ADDRESSES'],
      ['7', 'web', 'running', 's-1vcpu-1gb', 'fra1', '192.0.2.7'],
    ]);
    expect(err).toBe('route: direct (constructor http_proxy: null means direct)');
    expect(origin.requests[0]?.headers.authorization).toBe(`Bearer ${SECRETS.token}`);
  });

  test('tells what the provider says', async () => {
    const refuse: OriginHandler = (_request, response) =>
      void response
        .writeHead(401, { 'Content-Type': 'application/json' })
        .end('{"id":"unauthorized","message":"Unable to authenticate you"}');
    const origin = await start(refuse);
    const env = { DIGITALOCEAN_TOKEN: SECRETS.token, DIGITALOCEAN_API_URL: origin.url };
    const { code, err } = await runCommand(['nodes', '--direct'], env);
    expect(code).toBe(1);
    expect(err).toMatch(/unauthorized: Unable to authenticate you \[ERR_INVALID_CREDENTIALS\]$/);
  });
});

test('the installed command runs, from its own environment', async () => {
  const env = { ...scrubProxyVariables({ ...process.env }), https_proxy: 'http://user:pw@proxy.example:3128' };
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['packages/cli/bin/cloudlane.js', 'route', 'https://a.example'],
    { env },
  );
  expect(stdout).toContain('tunnel http://user:***@proxy.example:3128');
});
