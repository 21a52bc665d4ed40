// The promise: the proxy of a call is that of the call, else of setHttpProxy, else of the constructor, else of the
// environment. Each proxy goes out from an address of its own, so that the origin tells which one a call came by.
import { Connection } from '@cloudlane/connection';
import type { HttpProxy } from '@cloudlane/proxy';
import { type LabOrigin, type LabProxy, type OriginHandler, startOrigin, startProxy } from '@cloudlane/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, ca, certificate, newTransport, origin, proxy, type Scheme, use } from '../transport/lab.ts';
import { type CallOutcome, callInOtherProcess, connectTo, newGate, type PlannedCall } from './lab.ts';

type Way = 'direct' | 'E' | 'A' | 'B' | 'C';

const ADDRESSES: Readonly<Record<Way, string>> = {
  direct: '127.0.0.1',
  E: '127.0.0.2',
  A: '127.0.0.3',
  B: '127.0.0.4',
  C: '127.0.0.5',
};

const tellFrom: OriginHandler = ({ socket }, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ from: socket.remoteAddress }));
};

let origins: Readonly<Record<Scheme, LabOrigin>>;
let proxies: Readonly<Record<Exclude<Way, 'direct'>, LabProxy>>;

beforeAll(async () => {
  const start = (way: Way, auth = {}) => startProxy({ localAddress: ADDRESSES[way], ...auth });
  const [http, https, E, A, B, C] = await Promise.all([
    startOrigin({ handler: tellFrom }),
    startOrigin({ handler: tellFrom, tls: certificate }),
    start('E', { auth: AUTH }),
    start('A'),
    start('B'),
    start('C'),
  ]);
  origins = { http, https };
  proxies = { E, A, B, C };
});

afterAll(async () => {
  await Promise.all([...Object.values(proxies), ...Object.values(origins)].map((each) => each.close()));
});

function urlOf(way: Way): string | null {
  return way === 'direct' ? null : proxies[way].urlWithCredentials;
}

function optionsFor(scheme: Scheme): PlannedCall['options'] {
  return { baseUrl: origins[scheme].url, ...(scheme === 'https' && { tls: { ca: ca.certificate } }) };
}

/** Who says what, in the order in which they are asked. */
interface Row {
  readonly scheme: Scheme;
  readonly env: 'unset' | 'E';
  readonly constructed: 'unset' | 'A' | 'null';
  readonly set: 'not called' | 'B' | 'null' | 'undefined';
  readonly call: 'unset' | 'C' | 'null';
}

const ROWS: readonly Row[] = (['http', 'https'] as const).flatMap((scheme) =>
  (['unset', 'E'] as const).flatMap((env) =>
    (['unset', 'A', 'null'] as const).flatMap((constructed) =>
      (['not called', 'B', 'null', 'undefined'] as const).flatMap((set) =>
        (['unset', 'C', 'null'] as const).map((call): Row => ({ scheme, env, constructed, set, call })),
      ),
    ),
  ),
);

/** The rule in other words than the code's: the first who has an opinion decides. */
function expected({ scheme, env, constructed, set, call }: Row): { readonly way: Way; readonly source: string } {
  const instance = set === 'not called' ? constructed : set;
  const opinions: readonly (readonly [string, string])[] = [
    ['call http_proxy', call],
    [set === 'not called' ? 'constructor http_proxy' : 'setHttpProxy', instance],
    [`env:${scheme}_proxy`, env],
  ];
  const [source, opinion] = opinions.find(([, each]) => each !== 'unset' && each !== 'undefined') ?? ['none', 'null'];
  return { way: opinion === 'null' ? 'direct' : (opinion as Way), source };
}

function plan(row: Row): PlannedCall {
  const { scheme, constructed, set, call } = row;
  const settingOf = (opinion: string): HttpProxy => (opinion === 'null' ? null : urlOf(opinion as Way));
  return {
    options: { ...optionsFor(scheme), ...(constructed !== 'unset' && { http_proxy: settingOf(constructed) }) },
    ...(set !== 'not called' && { set: set === 'undefined' ? {} : { to: settingOf(set) } }),
    action: `/row-${ROWS.indexOf(row)}`,
    ...(call !== 'unset' && { http_proxy: settingOf(call) }),
  };
}

describe('environment, constructor, setHttpProxy and call', () => {
  const outcomes = new Map<Row, CallOutcome>();

  beforeAll(async () => {
    const environments = {
      unset: {},
      E: { http_proxy: proxies.E.urlWithCredentials, https_proxy: proxies.E.urlWithCredentials },
    };
    await Promise.all(
      (['unset', 'E'] as const).map(async (env) => {
        const rows = ROWS.filter((row) => row.env === env);
        const results = await callInOtherProcess(environments[env], rows.map(plan));
        for (const [index, row] of rows.entries()) outcomes.set(row, results[index] as CallOutcome);
      }),
    );
  });

  test.each(ROWS)('$scheme: environment $env, constructor $constructed, setHttpProxy $set, call $call', (row) => {
    const { way, source } = expected(row);
    const outcome = outcomes.get(row);
    expect(outcome?.error).toBeUndefined();
    expect(outcome?.object).toEqual({ from: ADDRESSES[way] });
    expect(outcome?.explanation).toMatchObject({
      source,
      route: { kind: way === 'direct' ? 'direct' : row.scheme === 'http' ? 'forward' : 'tunnel' },
    });
    expect(outcome?.followed).toEqual(outcome?.explanation);
  });

  test('every forwarded call was seen by its proxy, and by no other', () => {
    for (const [name, { hops }] of Object.entries(proxies)) {
      const seen = hops.filter(({ kind }) => kind === 'forward').map(({ target }) => new URL(target).pathname);
      const meant = ROWS.filter((row) => row.scheme === 'http' && expected(row).way === name);
      expect(meant.length).toBeGreaterThan(0);
      expect(seen.toSorted()).toEqual(meant.map((row) => plan(row).action).toSorted());
      expect(hops.filter(({ kind }) => kind === 'connect').length).toBeGreaterThan(0);
    }
  });

  test('no explanation shows a password', () => {
    expect(secretsIn(JSON.stringify([...outcomes.values()]))).toEqual([]);
  });
});

describe('the environment of a process', () => {
  const way = async (
    env: Readonly<Record<string, string>>,
    scheme: Scheme,
    rest: Omit<PlannedCall, 'options' | 'action'> = {},
  ) => {
    const [outcome] = await callInOtherProcess(env, [{ options: optionsFor(scheme), action: '/env', ...rest }]);
    return [outcome?.object.from, outcome?.explanation.source];
  };

  test('http_proxy alone serves https too, as a fallback', async () => {
    const env = { http_proxy: proxies.A.url };
    const [http, https] = await Promise.all([way(env, 'http'), way(env, 'https')]);
    expect(http).toEqual([ADDRESSES.A, 'env:http_proxy']);
    expect(https).toEqual([ADDRESSES.A, 'env:http_proxy']);
  });

  test('names in upper case and all_proxy count', async () => {
    const env = { HTTP_PROXY: proxies.A.url, ALL_PROXY: proxies.B.url };
    const [http, https] = await Promise.all([way(env, 'http'), way(env, 'https')]);
    expect(http).toEqual([ADDRESSES.A, 'env:HTTP_PROXY']);
    expect(https).toEqual([ADDRESSES.B, 'env:ALL_PROXY']);
  });

  test('no_proxy holds for the environment’s proxy, and for no explicit one', async () => {
    const env = { http_proxy: proxies.E.urlWithCredentials, no_proxy: '127.0.0.1' };
    const action = '/no-proxy';
    const options = optionsFor('http');
    const outcomes = await callInOtherProcess(env, [
      { options, action },
      { options: { ...options, http_proxy: proxies.A.url }, action },
      { options, set: { to: proxies.B.url }, action },
      { options, http_proxy: proxies.C.url, action },
      { options: { ...options, http_proxy: proxies.A.url, noProxy: '127.0.0.1' }, action },
    ]);
    expect(outcomes.map(({ object, explanation }) => [object.from, explanation.source])).toEqual([
      [ADDRESSES.direct, 'env:no_proxy'],
      [ADDRESSES.A, 'constructor http_proxy'],
      [ADDRESSES.B, 'setHttpProxy'],
      [ADDRESSES.C, 'call http_proxy'],
      [ADDRESSES.direct, 'option noProxy'],
    ]);
  });

  test('a broken variable fails the calls that need it, and only those', async () => {
    const env = { https_proxy: `ftp://user:${encodeURIComponent(SECRETS.proxyPassword)}@proxy.example` };
    const outcomes = await callInOtherProcess(env, [
      { options: optionsFor('https'), action: '/broken' },
      { options: optionsFor('https'), http_proxy: proxies.A.url, action: '/broken' },
      { options: optionsFor('http'), action: '/broken' },
    ]);
    expect(outcomes[0]?.error).toMatchObject({ name: 'InvalidProxyUrlError', source: 'env:https_proxy' });
    expect(outcomes[0]?.error?.message).toContain('Write it as scheme://user:password@host:port');
    expect(secretsIn(JSON.stringify(outcomes))).toEqual([]);
    expect(outcomes[1]?.object.from).toBe(ADDRESSES.A);
    expect(outcomes[2]?.object.from).toBe(ADDRESSES.direct);
    expect(origins.https.requests.filter(({ target }) => target === '/broken')).toHaveLength(1);
  });
});

describe('setHttpProxy', () => {
  test('returns the connection and can be read back', async () => {
    const connection = connectTo(await origin());
    expect(connection.http_proxy).toBeUndefined();
    expect(connection.setHttpProxy('http://proxy.example:3128')).toBe(connection);
    expect(connection.http_proxy).toBe('http://proxy.example:3128');
    expect(connection.setHttpProxy(null).http_proxy).toBeNull();
    expect(connection.setHttpProxy(undefined).http_proxy).toBeUndefined();
  });

  test.each(['http', 'https'] as const)('leaves a %s call alone that is under way', async (scheme) => {
    const gate = newGate();
    const slow = await origin(scheme, {
      handler: (_, response) => gate.opened.then(() => void response.end('"late"')),
    });
    const [A, B] = await Promise.all([proxy(), proxy()]);
    const connection = connectTo(slow, { http_proxy: A.url });
    const underWay = connection.request('/slow');
    await slow.waitForRequests(1);
    connection.setHttpProxy(B.url);
    gate.open();
    const answer = await underWay;
    expect(answer.object).toBe('late');
    expect(answer.http.explanation).toMatchObject({ source: 'constructor http_proxy' });
    expect([A.hops.length, B.hops.length]).toEqual([1, 0]);
    await connection.request('/next');
    expect([A.hops.length, B.hops.length]).toEqual([1, 1]);
  });

  test('leaves a call alone whose override points are still running', async () => {
    const gate = newGate();
    const running = newGate();
    class Waiting extends Connection {
      protected override async morphAction(action: string): Promise<string> {
        running.open();
        await gate.opened;
        return action;
      }
    }
    const [target, A, B] = await Promise.all([origin(), proxy(), proxy()]);
    const connection = new Waiting({ baseUrl: target.url, transport: newTransport(), http_proxy: A.url });
    const underWay = connection.request('/first');
    await running.opened;
    connection.setHttpProxy(B.url);
    gate.open();
    await underWay;
    expect([A.hops.length, B.hops.length]).toEqual([1, 0]);
  });

  test('of one connection does not touch another', async () => {
    const [target, A, B] = await Promise.all([origin(), proxy(), proxy()]);
    const transport = newTransport();
    const [one, two] = [
      connectTo(target, { transport, http_proxy: A.url }),
      connectTo(target, { transport, http_proxy: A.url }),
    ];
    one.setHttpProxy(B.url);
    await Promise.all([one.request('/one'), two.request('/two')]);
    expect(A.hops.map((hop) => new URL(hop.target).pathname)).toEqual(['/two']);
    expect(B.hops.map((hop) => new URL(hop.target).pathname)).toEqual(['/one']);
  });

  test.each(['http', 'https'] as const)(
    'never sends a later %s call over the old proxy’s idle sockets',
    async (scheme) => {
      const [target, A, B] = await Promise.all([origin(scheme), proxy(), proxy()]);
      const connection = connectTo(target, { http_proxy: A.url });
      await connection.request('/');
      connection.setHttpProxy(B.url);
      await connection.request('/');
      connection.setHttpProxy(null);
      const direct = await connection.request('/');
      expect(direct.http.reusedConnection).toBe(false);
      connection.setHttpProxy(A.url);
      const again = await connection.request('/');
      expect(again.http.reusedConnection).toBe(true);
      expect([A.connectionCount, B.connectionCount, target.connectionCount]).toEqual([1, 1, 3]);
    },
  );

  test('opens a new socket for other credentials at the same proxy', async () => {
    const [target, A] = await Promise.all([origin(), proxy()]);
    const connection = connectTo(target, { http_proxy: A.url });
    await connection.request('/');
    connection.setHttpProxy(A.url.replace('://', '://alice:other@'));
    await connection.request('/');
    expect(A.hops.map(({ connection: number, username }) => [number, username])).toEqual([
      [1, null],
      [2, 'alice'],
    ]);
  });

  test('that is refused leaves the old setting', async () => {
    const [target, A] = await Promise.all([origin(), proxy()]);
    const connection = connectTo(target, { http_proxy: A.url });
    expect(() => connection.setHttpProxy('ftp://proxy.example')).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_PROXY_URL', source: 'setHttpProxy' }),
    );
    expect(connection.http_proxy).toBe(A.url);
    await connection.request('/');
    expect(A.hops).toHaveLength(1);
  });

  test('does not follow what the caller does to the object later', async () => {
    const map: Record<string, string> = { http: 'http://one.example' };
    const url = new URL('http://one.example');
    const target = await origin();
    const [mapped, direct] = [connectTo(target, { http_proxy: map }), connectTo(target, { http_proxy: url })];
    map.http = 'http://two.example';
    url.host = 'two.example';
    for (const connection of [mapped, direct]) {
      expect(connection.explain()).toMatchObject({ route: { proxy: { host: 'one.example' } } });
    }
  });
});

test.each(['http', 'https'] as const)(
  '50 %s calls at once alternate two proxies through one connection',
  async (scheme) => {
    const target = await use(startOrigin({ handler: tellFrom, ...(scheme === 'https' && { tls: certificate }) }));
    const [A, B] = await Promise.all([
      proxy('http', { localAddress: ADDRESSES.A }),
      proxy('http', { localAddress: ADDRESSES.B }),
    ]);
    const connection = connectTo(target);
    const calls = Array.from({ length: 50 }, (_, index) =>
      connection.request(`/call-${index}`, { http_proxy: index % 2 === 0 ? A.url : B.url }),
    );
    const answers = await Promise.all(calls);
    expect(answers.map(({ object }) => object)).toEqual(
      answers.map((_, index) => ({ from: index % 2 === 0 ? ADDRESSES.A : ADDRESSES.B })),
    );
    for (const each of [A, B]) {
      const served =
        scheme === 'http'
          ? each.hops.length
          : target.requests.filter(({ remoteAddress }) => remoteAddress === (each === A ? ADDRESSES.A : ADDRESSES.B))
              .length;
      expect(served).toBe(25);
    }
    expect(connection.http_proxy).toBeUndefined();
  },
);
