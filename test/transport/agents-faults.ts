// What every client of others has to hear when the way through its agents fails.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { closedPort, type LabSocks, type Misbehaviour, startSocks } from '@cloudlane/testing';
import {
  ProxyAuthenticationError,
  ProxyConnectError,
  ProxyTunnelError,
  SocksError,
  TimeoutError,
  TlsError,
  type TransportError,
  type TransportOptions,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import type { MakeClient } from './agents-lab.ts';
import { AUTH, expectNothingLeft, newTransport, origin, proxy, use } from './lab.ts';

/**
 * Where a client puts the error of the transport: it is what the client fails with, or the `cause` of that, or gone but
 * for `code` and `message`.
 */
export type Place = 'itself' | 'cause' | 'code and message';

interface Fault {
  readonly name: string;
  readonly start: () => Promise<{ readonly url: string; readonly hops?: readonly unknown[] }>;
  readonly Class: abstract new (...args: never[]) => TransportError;
  readonly facts: { readonly code: string } & Readonly<Record<string, unknown>>;
  readonly options?: TransportOptions;
}

const misbehaving = (misbehaviour: Misbehaviour) => () => proxy('http', { misbehaviour });

const FAULTS: readonly Fault[] = [
  {
    name: 'wants credentials',
    start: () => proxy('http', { auth: AUTH }),
    Class: ProxyAuthenticationError,
    facts: {
      code: 'ERR_PROXY_AUTHENTICATION',
      status: 407,
      schemes: ['basic'],
      message: expect.stringContaining('it wants credentials'),
    },
  },
  {
    name: 'does not know the password',
    start: async () => {
      const through = await proxy('http', { auth: AUTH });
      return { url: through.url.replace('://', '://user:Wr0ng-Passw0rd@'), hops: through.hops };
    },
    Class: ProxyAuthenticationError,
    facts: {
      code: 'ERR_PROXY_AUTHENTICATION',
      message: expect.stringContaining('the credentials were not accepted'),
    },
  },
  {
    name: 'forbids',
    start: misbehaving({ kind: 'reply', status: 403 }),
    Class: ProxyTunnelError,
    facts: { code: 'ERR_PROXY_TUNNEL', status: 403, phase: 'proxy-handshake' },
  },
  {
    name: 'does not reach the origin',
    start: misbehaving({ kind: 'refuse-origin' }),
    Class: ProxyTunnelError,
    facts: { code: 'ERR_PROXY_TUNNEL', status: 502, retryable: true },
  },
  {
    name: 'is down',
    start: async () => ({ url: `http://127.0.0.1:${await closedPort()}` }),
    Class: ProxyConnectError,
    facts: { code: 'ERR_PROXY_CONNECT', phase: 'proxy-connect' },
  },
  {
    name: 'is silent',
    start: misbehaving({ kind: 'hang' }),
    Class: TimeoutError,
    facts: { code: 'ERR_TIMEOUT', deadline: 'handshake', phase: 'proxy-handshake' },
    options: { timeout: { handshake: 120 } },
  },
  {
    name: 'leads to an origin that is not trusted',
    start: () => proxy(),
    Class: TlsError,
    facts: { code: 'ERR_TLS', hop: 'origin' },
    options: { tls: {} },
  },
  {
    name: 'speaks SOCKS and does not know the password',
    start: async () => {
      const socks: LabSocks = await use(startSocks({ auth: AUTH }));
      return { url: socks.url.replace('://', '://user:Wr0ng-Passw0rd@'), hops: socks.hops };
    },
    Class: SocksError,
    facts: { code: 'ERR_SOCKS_AUTHENTICATION', step: 'authentication' },
  },
];

/** @param aborted what the client fails with when its AbortSignal fires */
export function failsWell(make: MakeClient, place: Place, aborted: object): void {
  describe('to an https origin through a proxy', () => {
    test.each(FAULTS)('that $name: fails once, with our error', async ({ start, Class, facts, options }) => {
      const [server, station] = [await origin('https'), await start()];
      const transport = newTransport(options);
      const client = make(transport.agents({ http_proxy: station.url }), server.url);
      const error = await reasonOf(client.get('/bucket/key'));
      if (place === 'code and message') {
        expect(error).toMatchObject({ code: facts.code, message: expect.stringContaining(new URL(station.url).host) });
      } else {
        const ours = place === 'cause' ? Reflect.get(error, 'cause') : error;
        expect(ours).toBeInstanceOf(Class);
        expect(ours).toMatchObject(facts);
      }
      if (station.hops) expect(station.hops).toHaveLength(1);
      expect(server.requests).toEqual([]);
      await expectNothingLeft(transport);
    });

    test('that never answers CONNECT: an abort ends it at once', async () => {
      const [server, station] = [await origin('https'), await proxy('http', { misbehaviour: { kind: 'hang' } })];
      const transport = newTransport();
      const client = make(transport.agents({ http_proxy: station.url }), server.url);
      const abort = new AbortController();
      const failed = reasonOf(client.get('/bucket/key', abort.signal));
      await station.waitForHops(1);
      await nextTurn();
      abort.abort();
      expect(await failed).toMatchObject(aborted);
      await expectNothingLeft(transport, station);
    });
  });
}

/** What a promise is rejected with; Node's own errors are of another realm, and not `instanceof Error` here. */
export async function reasonOf(promise: Promise<unknown>): Promise<object> {
  const reason = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (typeof reason !== 'object' || reason === null) throw new Error('the promise was fulfilled');
  return reason;
}
