// What decides about another try: onFailure, maxFailures, the delays that it would wait, and what may be given.
import { ProviderError, RateLimitError, ServiceUnavailableError } from '@cloudlane/connection';
import { InvalidOptionError } from '@cloudlane/proxy';
import { ResetError } from '@cloudlane/transport';
import {
  type OpenConnection,
  type ReconnectFailure,
  type ReconnectOptions,
  type RoutedWebSocket,
  reconnectWebSocket,
  WebSocketUpgradeError,
} from '@cloudlane/websocket';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { AUTH, expectNothingLeft, failureOf, newTransport, proxy, until } from '../transport/lab.ts';
import { answer, connect, type EchoOrigin, echoOf, startEcho } from './lab.ts';
import { counter, FOREVER, nextOf, noting, reconnect, reconnectBy } from './reconnect-lab.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

/** Pauses are as long as they can be. */
function longestPauses(): void {
  jest.spyOn(Math, 'random').mockReturnValue(1);
}

const facts = { phase: 'request', hop: 'origin', proxy: null, url: 'wss://api.example/' } as const;
const broken = new ResetError('it broke', facts);
const forbidden = new WebSocketUpgradeError('no', {
  ...facts,
  status: 403,
  statusText: '',
  headers: {},
  body: Buffer.alloc(0),
});

/** Opens what a row of letters says: O is a WebSocket, F fails for a while, X for good; then O for ever. */
function opens(row: string, server: EchoOrigin): OpenConnection & { readonly count: () => number } {
  const left = [...row];
  const count = { value: 0 };
  const open = (): Promise<RoutedWebSocket> => {
    count.value += 1;
    const next = left.shift() ?? 'O';
    if (next !== 'O') return Promise.reject(next === 'F' ? broken : forbidden);
    return connect(server.url, { http_proxy: null });
  };
  return Object.assign(open, { count: () => count.value });
}

/** Iterates until it ends, or has had so many connections; which failures were told, and the error that it ended with. */
async function run(open: OpenConnection, options: ReconnectOptions, connections = 1) {
  const { failures, onFailure } = noting(() => undefined);
  const iterator = reconnectBy(open, { onFailure, ...options });
  let error: unknown = null;
  try {
    for (let index = 0; index < connections; index += 1) await nextOf(iterator);
    await iterator.return();
  } catch (reason) {
    error = reason;
  }
  expect(await iterator.next()).toEqual({ done: true, value: undefined });
  return { failures, error };
}

describe('onFailure', () => {
  test('is told of each failure what, how many in a row, the wait, and whether it is worth another try', async () => {
    longestPauses();
    const server = await startEcho('ws');
    const open = opens('FFOFFFX', server);
    const options = { initialDelay: 1, maxDelay: 10 };
    const { failures, error } = await run(open, options, 2);
    const of = (count: number, delay: number): ReconnectFailure => ({
      error: broken,
      failures: count,
      delay,
      isTransient: true,
    });
    expect(failures).toEqual([
      ...[of(1, 1), of(2, 2), of(1, 8), of(2, 10), of(3, 10)],
      { error: forbidden, failures: 4, delay: 10, isTransient: false },
    ]);
    expect(error).toBe(forbidden);
  });

  type Told = ReconnectOptions['onFailure'];
  const later = () => new Promise<void>((resolve) => setImmediate(resolve));
  const ROWS: readonly (readonly [what: string, row: string, decide: Told, opened: number, error: unknown])[] = [
    ['gives up what is worth another try', 'F', () => false, 1, broken],
    ['gives up in a while', 'FFF', ({ failures }) => failures < 3, 3, broken],
    ['insists on what is not worth another try', 'XX', () => true, 3, null],
    ['leaves it to the rule by undefined: again', 'FF', () => undefined, 3, null],
    ['leaves it to the rule by undefined: not again', 'FX', () => undefined, 2, forbidden],
    ['sets a pause for what is not worth another try', 'XX', () => 0, 3, null],
    ['may take its time to give up', 'F', () => later().then(() => false), 1, broken],
    ['may take its time to insist', 'XF', () => later().then(() => true), 3, null],
    ['may take its time to leave it to the rule', 'FX', () => later().then(() => undefined), 2, forbidden],
    ['may take its time to set a pause', 'XX', () => later().then(() => 0), 3, null],
  ];

  test.each(ROWS)('%s', async (_, row, onFailure, opened, error) => {
    const open = opens(row, await startEcho('ws'));
    expect(await run(open, { onFailure })).toMatchObject({ error });
    expect(open.count()).toBe(opened);
  });

  test('sets a pause instead of the delay', async () => {
    longestPauses();
    const options = { initialDelay: FOREVER, maxDelay: FOREVER, onFailure: () => 0 };
    expect(await run(opens('FFX', await startEcho('ws')), options)).toMatchObject({ error: null });
  });

  test.each<[what: string, decision: true | number | undefined, initialDelay: number]>([
    ['true waits for the delay', true, 40],
    ['undefined waits for the delay', undefined, 40],
    ['a number is waited for', 40, 0],
  ])('%s', async (_, decision, initialDelay) => {
    longestPauses();
    const told: string[] = [];
    const open = opens('F', await startEcho('ws'));
    const opening: OpenConnection = (signal) => {
      told.push('opens');
      return open(signal);
    };
    const onFailure = (): true | number | undefined => {
      // Timers end in the order of their time.
      setTimeout(() => told.push('earlier'), 20);
      return decision;
    };
    expect(await run(opening, { initialDelay, onFailure })).toMatchObject({ error: null });
    expect(told).toEqual(['opens', 'earlier', 'opens']);
  });

  test.each<[how: string, fail: (reason: Error) => Promise<never>]>([
    [
      'at once',
      (reason) => {
        throw reason;
      },
    ],
    ['later', (reason) => later().then(() => Promise.reject(reason))],
  ])('ends the iteration with what it throws %s, and nothing is left', async (_, fail) => {
    const [server, transport] = [await startEcho('ws', { instead: () => answer(503) }), newTransport()];
    const through = await proxy('https', { auth: AUTH });
    const reason = new Error('of onFailure');
    const options = { transport, http_proxy: through.urlWithCredentials, onFailure: () => fail(reason) };
    const iterator = reconnect(server.url, options);
    expect(await failureOf(iterator.next(), Error)).toBe(reason);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    await expectNothingLeft(transport, server.origin, through);
    expect(server.origin.connectionCount).toBe(1);
  });

  test.each(['yes', '', Number.NaN, -1, Number.POSITIVE_INFINITY, FOREVER + 1, {}, [], 5n, Symbol('s')])(
    'may not answer %p',
    async (decision) => {
      const given: ReconnectOptions = Object.fromEntries([['onFailure', () => decision]]);
      const open = opens('F', await startEcho('ws'));
      const { error } = await run(open, given);
      expect(error).toBeInstanceOf(InvalidOptionError);
      expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'onFailure' });
      expect(open.count()).toBe(1);
    },
  );
});

describe('maxFailures', () => {
  test.each<[row: string, maxFailures: number | undefined, opened: number, ends: boolean]>([
    ['F', 1, 1, true],
    ['F', 2, 2, false],
    ['FFF', 3, 3, true],
    ['FFF', 2.5, 3, true],
    ['FFF', 4, 4, false],
    // One that succeeds begins the count anew.
    ['FFOFFOFF', 3, 9, false],
    ['FFOFFOFFF', 3, 9, true],
    ['FOFF', 2, 4, true],
    ['F'.repeat(40), undefined, 41, false],
    ['F'.repeat(40), Number.POSITIVE_INFINITY, 41, false],
  ])('%s with %s opens %i times', async (row, maxFailures, opened, ends) => {
    const open = opens(row, await startEcho('ws'));
    const connections = [...`${row}O`].filter((letter) => letter === 'O').length;
    const { failures, error } = await run(open, { maxFailures }, connections);
    expect([open.count(), error]).toEqual([opened, ends ? broken : null]);
    expect(failures).toHaveLength([...row].filter((letter) => letter === 'F').length);
  });

  test('counts what is insisted on, and asks about the last one too', async () => {
    const { failures, onFailure } = noting(() => true);
    const open = opens('FXXX', await startEcho('ws'));
    expect(await run(open, { maxFailures: 3, onFailure })).toMatchObject({ error: forbidden });
    expect([open.count(), failures.map(({ failures: count }) => count)]).toEqual([3, [1, 2, 3]]);
  });

  test('the error is that of the last, not of the first', async () => {
    const { error } = await run(opens('XF', await startEcho('ws')), { maxFailures: 2, onFailure: () => true });
    expect(error).toBe(broken);
  });
});

describe('the wait grows', () => {
  /** Delays that failures after these were told. */
  const delaysOf = async (row: string, options: ReconnectOptions): Promise<number[]> => {
    longestPauses();
    const connections = [...row].filter((letter) => letter === 'O').length + 1;
    const all = await run(
      opens(row, await startEcho('ws')),
      { initialDelay: 1, maxDelay: 50, ...options },
      connections,
    );
    return all.failures.map(({ delay }) => delay);
  };

  test.each<[row: string, stableAfter: number | undefined, delays: number[]]>([
    ['FFFFFFFF', undefined, [1, 2, 4, 8, 16, 32, 50, 50]],
    // Connections that end too soon are no better than failures.
    ['OF', undefined, [2]],
    ['OOOF', undefined, [8]],
    ['FFOF', undefined, [1, 2, 8]],
    ['OOOF', 600_000, [8]],
    // Each of them has been open for long enough: the wait after it is a first one.
    ['OF', 0, [2]],
    ['OOOF', 0, [2]],
    ['FFFFOF', 0, [1, 2, 4, 8, 2]],
    ['OOOFFOOF', 0, [2, 4, 2]],
  ])('%s, stable after %s', async (row, stableAfter, delays) => {
    expect(await delaysOf(row, { stableAfter })).toEqual(delays);
  });

  test('until a connection has been open for stableAfter', async () => {
    longestPauses();
    const { failures, onFailure } = noting(() => undefined);
    const open = opens('FFFOF', await startEcho('ws'));
    const iterator = reconnectBy(open, { initialDelay: 1, stableAfter: 5, onFailure });
    await nextOf(iterator);
    const openedAt = performance.now();
    await until(() => performance.now() - openedAt > 5);
    await nextOf(iterator);
    expect(failures.map(({ delay }) => delay)).toEqual([1, 2, 4, 2]);
  });
});

describe('a wait that was asked for (Retry-After) counts', () => {
  type Row = readonly [what: string, retryAfter: string, options: ReconnectOptions, delay: unknown];
  const ROWS: readonly Row[] = [
    ['if it is longer', '7', { initialDelay: 5_000 }, 7_000],
    ['unless the own one is longer', '7', { initialDelay: 9_000 }, 9_000],
    ['up to maxDelay', '7', { maxDelay: 2_000 }, 2_000],
    ['up to a minute', '3600', {}, 60_000],
    ['with maxDelay: 0 not at all', '7', { maxDelay: 0 }, 0],
    ['as a date, too', new Date(Date.now() + 86_400_000).toUTCString(), { maxDelay: 5_000 }, 5_000],
    ['not if it cannot be read', 'soon', { initialDelay: 4 }, 4],
  ];

  test.each(ROWS.flatMap((row) => [429, 503].map((status) => [status, ...row] as const)))(
    'of an origin that says %i, %s',
    async (status, _, retryAfter, options, delay) => {
      longestPauses();
      const count = counter();
      const server = await startEcho('wss', {
        instead: () => (count() === 1 ? answer(status, { 'Retry-After': retryAfter }) : null),
      });
      const through = await proxy('http', { auth: AUTH });
      const { failures, onFailure } = noting();
      const socket = await nextOf(
        reconnect(server.url, { http_proxy: through.urlWithCredentials, onFailure, ...options }),
      );
      expect(failures).toMatchObject([{ error: { status }, failures: 1, delay, isTransient: true }]);
      expect(await echoOf(socket, 'later')).toBe('later');
    },
  );

  const said = (status: number, retryAfter: number | null) => ({
    provider: 'Example',
    request: 'POST https://api.example/tickets',
    status,
    retryAfter,
  });
  test.each<[what: string, error: unknown, told: Omit<ReconnectFailure, 'error' | 'failures'>]>([
    ['a rate limit', new RateLimitError('slowly', said(429, 5_000)), { delay: 5_000, isTransient: true }],
    ['an hour', new RateLimitError('slowly', said(429, 3_600_000)), { delay: 60_000, isTransient: true }],
    ['no more than we', new RateLimitError('slowly', said(429, 1)), { delay: 2, isTransient: true }],
    ['being unavailable', new ServiceUnavailableError('not now', said(503, 250)), { delay: 250, isTransient: true }],
    ['nothing', new ServiceUnavailableError('not now', said(503, null)), { delay: 2, isTransient: true }],
    ['a refusal', new ProviderError('no', said(403, 9)), { delay: 9, isTransient: false }],
    ['words of a stranger', Object.assign(new Error('no'), { retryAfter: 9 }), { delay: 2, isTransient: false }],
  ])('of a provider, whose error the function throws: %s', async (_, error, told) => {
    longestPauses();
    const { failures, onFailure } = noting(() => false);
    const iterator = reconnectBy(() => Promise.reject(error), { initialDelay: 2, onFailure });
    await expect(iterator.next()).rejects.toBe(error);
    expect(failures).toEqual([{ error, failures: 1, ...told }]);
  });
});

// More rows of these are in bad-input.test.ts.
describe('what cannot be used is refused at once, before anything is opened', () => {
  const given = (option: string, value: unknown): object => Object.fromEntries([[option, value]]);
  const open = (): Promise<never> => Promise.reject(new Error('opened'));

  test.each<[option: string, value: unknown]>([
    ...[5, 'yes', true, null, {}].map((value): [string, unknown] => ['onFailure', value]),
    ...['3', true, null, 3n, {}, 0.5].map((value): [string, unknown] => ['maxFailures', value]),
    ...[5, {}, 'now'].map((value): [string, unknown] => ['signal', value]),
  ])('%s: %p, of a URL and of a function', (option, value) => {
    const refused = expect.objectContaining({ name: 'InvalidOptionError', code: 'ERR_INVALID_OPTION', option });
    expect(() => reconnectWebSocket('ws://127.0.0.1:9', given(option, value))).toThrow(refused);
    expect(() => reconnectWebSocket(open, given(option, value))).toThrow(refused);
  });

  test.each<[option: string, value: unknown]>([
    ['noProxy', 5],
    ['env', 5],
    ['trustEnv', 'yes'],
    ['timeout', -1],
    ['headers', 5],
    ['transport', {}],
  ])('%s: %p, of a URL', (option, value) => {
    const refused = expect.objectContaining({ name: 'InvalidOptionError', option: expect.stringContaining(option) });
    expect(() => reconnectWebSocket('ws://127.0.0.1:9', given(option, value))).toThrow(refused);
  });

  test.each([
    ['option http_proxy', given('http_proxy', 5)],
    ['env:ws_proxy', { env: { ws_proxy: `gopher://me:${SECRETS.plainPassword}@127.0.0.1:1` } }],
  ])('a proxy that cannot be used: %s', (source, options) => {
    const refused = expect.objectContaining({ code: 'ERR_INVALID_PROXY_URL', source });
    expect(() => reconnectWebSocket('ws://127.0.0.1:9', options)).toThrow(refused);
  });
});
