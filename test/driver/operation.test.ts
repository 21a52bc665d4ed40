import type { CallOptions } from '@cloudlane/connection';
import {
  finishedOperation,
  OperationFailedError,
  type OperationStatus,
  OperationTimeoutError,
  runningOperation,
  type WaitOptions,
} from '@cloudlane/driver';
import { describe, expect, test } from '@jest/globals';

const status = (state: OperationStatus['state'], progress: number | null = null): OperationStatus => ({
  state,
  progress,
  raw: { state },
});

/** An operation that goes through these states, and a log of what was called with which options. */
function operationThrough(first: OperationStatus, ...later: readonly OperationStatus[]) {
  const calls: [string, CallOptions][] = [];
  const left = [...later];
  const operation = runningOperation(
    'op-1',
    first,
    async (options) => {
      calls.push(['poll', options]);
      return left.shift() ?? status('running');
    },
    async (options) => {
      calls.push(['finish', options]);
      return 'result';
    },
  );
  return { operation, calls };
}

const fast: WaitOptions = { pollMs: 0 };

describe('a finished operation', () => {
  test('has no id and gives its result', async () => {
    const operation = finishedOperation({ id: 'node-1' }, { the: 'payload' });
    expect(operation).toMatchObject({ id: null, state: 'done', progress: 100, raw: { the: 'payload' } });
    expect(await operation.wait()).toEqual({ id: 'node-1' });
  });
});

describe('a running operation', () => {
  test('is the value of one moment; nothing is asked for before wait()', async () => {
    const { operation, calls } = operationThrough(status('pending', 5), status('done'));
    expect(operation).toMatchObject({ id: 'op-1', state: 'pending', progress: 5, raw: { state: 'pending' } });
    expect(calls).toEqual([]);
    await operation.wait(fast);
    expect(operation.state).toBe('pending');
  });

  test('is polled until it is done, then its result is fetched', async () => {
    const { operation, calls } = operationThrough(
      status('pending'),
      status('running', 50),
      status('running'),
      status('done'),
    );
    const seen: unknown[] = [];
    const result = await operation.wait({ ...fast, onPoll: (state, progress) => seen.push([state, progress]) });
    expect(result).toBe('result');
    expect(calls.map(([name]) => name)).toEqual(['poll', 'poll', 'poll', 'finish']);
    expect(seen).toEqual([
      ['running', 50],
      ['running', null],
      ['done', null],
    ]);
  });

  test('that is done already is not polled', async () => {
    const { operation, calls } = operationThrough(status('done'));
    await operation.wait({ pollMs: 1e6 });
    expect(calls.map(([name]) => name)).toEqual(['finish']);
  });

  test('hands on the options of calls, and only those', async () => {
    const { operation, calls } = operationThrough(status('running'), status('done'));
    const { signal } = new AbortController();
    const options = { signal, timeout: 5_000, http_proxy: null, headers: { a: 'b' } };
    await operation.wait({ ...options, pollMs: 0, maxWaitMs: 5_000, onPoll: () => {} });
    expect(calls).toEqual([
      ['poll', options],
      ['finish', options],
    ]);
  });

  test.each([
    [{ ...status('failed'), reason: 'no capacity' }, 'The operation op-1 failed: no capacity'],
    [status('failed'), 'The operation op-1 failed: the provider gives no reason'],
  ])('that fails is an error: %#', async (failed, message) => {
    for (const { operation, calls } of [operationThrough(failed), operationThrough(status('running'), failed)]) {
      const error: unknown = await operation.wait(fast).catch((each: unknown) => each);
      expect(error).toBeInstanceOf(OperationFailedError);
      expect(error).toMatchObject({ code: 'ERR_OPERATION_FAILED', operationId: 'op-1', message });
      expect(calls.map(([name]) => name)).not.toContain('finish');
    }
  });

  test('fails if a poll fails', async () => {
    const operation = runningOperation(
      'op-1',
      status('running'),
      () => Promise.reject(new RangeError('down')),
      async () => 1,
    );
    await expect(operation.wait(fast)).rejects.toThrow('down');
  });

  test('that takes too long is an error; the last look is at the end of the time', async () => {
    const { operation, calls } = operationThrough(status('running'));
    const started = performance.now();
    const error: unknown = await operation.wait({ pollMs: 60_000, maxWaitMs: 30 }).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(OperationTimeoutError);
    expect(error).toMatchObject({ code: 'ERR_OPERATION_TIMEOUT', operationId: 'op-1' });
    expect(performance.now() - started).toBeGreaterThanOrEqual(29);
    expect(calls.map(([name]) => name)).toEqual(['poll']);
  });

  test('that is done at the end of the time is done', async () => {
    const { operation } = operationThrough(status('running'), status('done'));
    expect(await operation.wait({ pollMs: 60_000, maxWaitMs: 5 })).toBe('result');
  });

  test('is not waited for at all with maxWaitMs: 0', async () => {
    const { operation, calls } = operationThrough(status('running'));
    await expect(operation.wait({ maxWaitMs: 0 })).rejects.toThrow(OperationTimeoutError);
    expect(calls).toEqual([]);
  });

  test('is left with the signal’s reason, at once', async () => {
    const { operation, calls } = operationThrough(status('running'));
    const controller = new AbortController();
    const reason = { why: 'the user left' };
    const waiting = operation.wait({ pollMs: 60_000, signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(operation.wait({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(calls).toEqual([]);
  });

  test('can be waited for twice', async () => {
    const { operation } = operationThrough(status('running'), status('done'), status('done'));
    expect(await Promise.all([operation.wait(fast), operation.wait(fast)])).toEqual(['result', 'result']);
  });

  test.each([
    ['pollMs', -1],
    ['pollMs', Number.NaN],
    ['pollMs', 2 ** 31],
    ['maxWaitMs', -1],
    ['maxWaitMs', Number.NaN],
  ])('refuses %s: %d', async (option, value) => {
    const { operation, calls } = operationThrough(status('running'));
    await expect(operation.wait({ [option]: value })).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option });
    expect(calls).toEqual([]);
  });
});
