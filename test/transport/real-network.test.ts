// The transport on a host whose only neighbour is the proxy: a direct connection is impossible there, and a name that is
// looked up past the proxy is written down.
import type { Timings } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import {
  describeReal,
  type NetworkOptions,
  needs,
  type RealNetworkWithServers,
  running,
  startNetworkWithServers,
} from '../support/real-servers.ts';
import { withCredentials } from './lab.ts';

const PROCESS_TIMEOUT = 60_000;
const SCHEMES = ['http', 'https'] as const;
const PAYLOADS = ['json', 'upload', 'stream'] as const;

/** One request of the client. `http_proxy` left out: its environment decides. */
interface Call {
  readonly url: string;
  readonly http_proxy?: string | null;
  readonly payload: (typeof PAYLOADS)[number];
}

/** What came of it. */
interface Outcome {
  readonly status?: number;
  readonly answer?: string;
  readonly kind?: string;
  readonly reused?: boolean;
  readonly timings?: Timings;
  readonly error?: { readonly name: string; readonly phase: string };
}

/** Runs on the client: one call after the other over one transport, each outcome a line of JSON. */
const CARRY = `
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Transport } from '@cloudlane/transport';
const { calls, ca, proxyCa } = JSON.parse(process.env.TASK);
const transport = new Transport({ tls: { ca }, proxyTls: { ca: proxyCa }, timeout: { total: 30_000 } });
const body = Buffer.alloc(200_000, 'cloudlane ');
const requests = {
  json: () => ({}),
  upload: () => ({ method: 'PUT', body }),
  stream: () => ({ method: 'PUT', body: Readable.from([body.subarray(0, 70_000), body.subarray(70_000)]) }),
};
const carry = async ({ payload, ...call }) => {
  const response = await transport.send({ ...call, ...requests[payload]() });
  const answer = await text(response.body);
  const { status, route, reusedConnection: reused, timings } = response;
  return { status, answer, kind: route.kind, reused, timings };
};
for (const call of calls) {
  console.log(JSON.stringify(await carry(call).catch(({ name, phase }) => ({ error: { name, phase } }))));
}
await transport.close();`;

async function carry(
  { runInClient, nginx, squid }: RealNetworkWithServers,
  calls: readonly Call[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome[]> {
  const task = JSON.stringify({ calls, ca: nginx.ca, proxyCa: squid.ca });
  const { stdout, stderr } = await runInClient(CARRY, { ...env, TASK: task });
  expect(stderr).toBe('');
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** The origin by the name that only the proxy's host knows. */
function originUrl({ nginx, originHost }: RealNetworkWithServers, scheme: (typeof SCHEMES)[number]): string {
  const url = new URL(scheme === 'http' ? nginx.httpUrl : nginx.httpsUrl);
  url.hostname = originHost;
  return url.origin;
}

const ROUTES = ['http', 'https', 'socks5h'] as const;

function proxyUrl({ squid, dante }: RealNetworkWithServers, route: (typeof ROUTES)[number]): string {
  if (route === 'socks5h') return withCredentials(dante.basicUrlFor('socks5h'), dante.credentials);
  return withCredentials(route === 'http' ? squid.basicUrl : squid.tlsBasicUrl, squid.credentials);
}

function everyCall(network: RealNetworkWithServers): Call[] {
  return ROUTES.flatMap((route) =>
    SCHEMES.flatMap((scheme) =>
      PAYLOADS.map((payload) => ({
        url: `${originUrl(network, scheme)}${payload === 'json' ? '/echo' : `/files/${route}-${scheme}-${payload}`}`,
        http_proxy: proxyUrl(network, route),
        payload,
      })),
    ),
  );
}

async function expectEveryCallToArrive(network: RealNetworkWithServers): Promise<Outcome[]> {
  const outcomes = await carry(network, everyCall(network));
  const expected = ROUTES.flatMap((route) =>
    SCHEMES.flatMap((scheme) => {
      const usual = scheme === 'http' ? 'forward' : 'tunnel';
      return PAYLOADS.map((payload) => [payload === 'json' ? 200 : 201, route === 'socks5h' ? 'socks' : usual]);
    }),
  );
  expect(outcomes.map(({ status, kind, error }) => error ?? [status, kind])).toEqual(expected);
  for (const { answer } of outcomes.filter(({ status }) => status === 200)) {
    expect(JSON.parse(answer ?? '')).toMatchObject({ from: network.proxy.outgoingAddress, proxyAuthorization: '' });
  }
  return outcomes;
}

const everything = [...needs.network, ...needs.squid, ...needs.dante, ...needs.nginx];

function withNetwork(
  name: string,
  options: NetworkOptions,
  body: (network: () => RealNetworkWithServers) => void,
): void {
  describeReal(name, everything, () => body(running(() => startNetworkWithServers(options))));
}

/** From the request's first byte to the answer's. */
function answerTime(outcome: Outcome | undefined): number {
  return (outcome?.timings?.request ?? 0) + (outcome?.timings?.firstByte ?? 0);
}

withNetwork('where the proxy is the only way out', {}, (network) => {
  test(
    'every kind of proxy carries every payload, and no name is looked up past it',
    async () => {
      const before = await network().askedNames();
      await expectEveryCallToArrive(network());
      expect(await network().askedNames()).toEqual(before);
      await network().squid.logged({ user: 'alice', method: 'CONNECT' });
      await network().dante.logged({ user: network().dante.credentials.username });
    },
    PROCESS_TIMEOUT,
  );

  test(
    'the environment’s proxy is taken, and no_proxy fails instead of hiding it',
    async () => {
      const url = `${originUrl(network(), 'https')}/echo`;
      const env = { http_proxy: proxyUrl(network(), 'http') };
      expect(await carry(network(), [{ url, payload: 'json' }], env)).toMatchObject([{ status: 200, kind: 'tunnel' }]);
      const bypassed = { ...env, no_proxy: network().originHost };
      expect(await carry(network(), [{ url, payload: 'json' }], bypassed)).toMatchObject([
        { error: { name: 'ConnectError', phase: 'origin-dns' } },
      ]);
    },
    PROCESS_TIMEOUT,
  );

  describe('what cannot be reached', () => {
    test.each<[string, () => Omit<Call, 'payload'>, string, string]>([
      ['direct', () => ({ url: network().nginx.httpUrl, http_proxy: null }), 'ConnectError', 'origin-connect'],
      ['a name, direct', () => ({ url: originUrl(network(), 'http'), http_proxy: null }), 'ConnectError', 'origin-dns'],
      [
        'a name that socks5 has looked up here',
        () => ({ url: originUrl(network(), 'http'), http_proxy: network().dante.openUrlFor('socks5') }),
        'ConnectError',
        'origin-dns',
      ],
      [
        'a proxy that is not there',
        () => ({ url: originUrl(network(), 'https'), http_proxy: `http://${network().proxy.address}:1` }),
        'ProxyConnectError',
        'proxy-connect',
      ],
    ])(
      '%s fails in its phase',
      async (_, call, name, phase) => {
        const [outcome] = await carry(network(), [{ ...call(), payload: 'json' }]);
        expect(outcome?.error).toEqual({ name, phase });
      },
      PROCESS_TIMEOUT,
    );

    test(
      'is asked for where names are looked up here, which the record shows',
      async () => {
        const url = originUrl(network(), 'http');
        const before = await network().askedNames();
        await carry(network(), [{ url, http_proxy: network().dante.openUrlFor('socks5'), payload: 'json' }]);
        const after = await network().askedNames();
        expect(after.slice(before.length)).toContain(network().originHost);
      },
      PROCESS_TIMEOUT,
    );
  });
});

withNetwork('with 50 ms each way and 1 % of the packets lost', { delayMs: 50, lossPercent: 1 }, (network) => {
  test(
    'every kind of proxy carries every payload',
    async () => {
      await expectEveryCallToArrive(network());
    },
    PROCESS_TIMEOUT,
  );

  test.each<[(typeof ROUTES)[number], (typeof SCHEMES)[number], (keyof Timings)[]]>([
    ['http', 'http', ['proxyConnect']],
    ['http', 'https', ['proxyConnect', 'proxyHandshake', 'originTls']],
    ['https', 'https', ['proxyConnect', 'proxyTls', 'proxyHandshake', 'originTls']],
    ['socks5h', 'https', ['proxyConnect', 'proxyHandshake', 'originTls']],
  ])(
    'through an %s proxy to an %s origin each step takes its turn, and a second request takes one',
    async (route, scheme, steps) => {
      const call: Call = {
        url: `${originUrl(network(), scheme)}/echo`,
        http_proxy: proxyUrl(network(), route),
        payload: 'json',
      };
      const [first, second] = await carry(network(), [call, call]);
      const all = ['proxyConnect', 'proxyTls', 'proxyHandshake', 'originTls'] as const;
      // A round trip is 100 ms; the clocks of timers and of packets differ by less than one.
      const took = (outcome: Outcome | undefined): string[] =>
        all.filter((step) => (outcome?.timings?.[step] ?? 0) >= 99);
      expect(took(first)).toEqual(steps);
      expect(answerTime(first)).toBeGreaterThanOrEqual(99);
      expect(second).toMatchObject({ reused: true, timings: { proxyConnect: null, originTls: null } });
      expect(answerTime(second)).toBeGreaterThanOrEqual(99);
    },
    PROCESS_TIMEOUT,
  );
});
