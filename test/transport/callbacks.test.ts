// What a call is given to talk to its caller by: a progress callback, an abort signal; and what is neither.
import diagnostics from 'node:diagnostics_channel';
import { Readable } from 'node:stream';
import { InvalidOptionError } from '@cloudlane/proxy';
import type { RequestBody, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, failureOf, newTransport, origin, proxy, use } from './lab.ts';

const BODIES: readonly (readonly [name: string, make: () => RequestBody])[] = [
  ['text', () => 'four'],
  ['bytes', () => Buffer.from('four')],
  ['a stream', () => Readable.from(['fo', 'ur'])],
];

describe.each(BODIES)('a callback that throws while %s is sent', (_, make) => {
  test.each(['http', 'https'] as const)('fails the call, and nothing else: %s', async (scheme) => {
    const phases: unknown[] = [];
    const note = (message: unknown): void => void phases.push(Reflect.get(Object(message), 'phase'));
    diagnostics.subscribe('cloudlane:request:phase', note);
    await use({ [Symbol.asyncDispose]: async () => void diagnostics.unsubscribe('cloudlane:request:phase', note) });
    const fault = new RangeError('of the caller');
    const [server, through, transport] = [await origin(scheme, { handler: () => {} }), await proxy(), newTransport()];
    const onUploadProgress = (): never => {
      throw fault;
    };
    const request = { url: server.url, http_proxy: through.url, method: 'PUT', body: make(), onUploadProgress };
    expect(await transport.send(request).catch((error: unknown) => error)).toBe(fault);
    await expectNothingLeft(transport, through);
    // It waits for no answer any more.
    expect(phases).not.toContain('response');
  });

  test('fails what is under way on a single connection, too', async () => {
    const [server, transport] = [await origin('http', { handler: () => {} }), newTransport()];
    const connection = await use(transport.open(server.url, { http_proxy: null }));
    const fault = new RangeError('of the caller');
    const onUploadProgress = (): never => {
      throw fault;
    };
    const asked = async (): Promise<unknown> => {
      await connection.request('PUT', '/', { body: make(), onUploadProgress });
      return await connection.getResponse();
    };
    expect(await asked().catch((error: unknown) => error)).toBe(fault);
    await expectNothingLeft(transport);
  });
});

test.each<[option: string, value: unknown]>([
  ['onUploadProgress', 'yes'],
  ['onUploadProgress', null],
  ['onUploadProgress', {}],
  ['signal', 'stop'],
  ['signal', null],
  ['signal', {}],
  ['signal', new AbortController()],
  ['method', 5],
  ['method', null],
  ['method', ['GET']],
])('%s: %p is refused before anything is done', async (option, value) => {
  const [server, transport, body] = [await origin(), newTransport(), Readable.from(['four'])];
  const request = { url: server.url, http_proxy: null, method: 'PUT', body, [option]: value } as TransportRequest;
  expect(await failureOf(transport.send(request), InvalidOptionError)).toMatchObject({
    option,
    message: expect.stringContaining('must be a'),
  });
  expect([server.connectionCount, transport.connections, body.destroyed]).toEqual([0, [], false]);
  body.destroy();
});

test('undefined is as good as nothing, and an empty method is GET', async () => {
  const server = await origin();
  const request = { url: server.url, http_proxy: null, signal: undefined, onUploadProgress: undefined };
  for (const method of [undefined, ''])
    (await newTransport().send({ ...request, method, http_proxy: null })).body.resume();
  expect(server.requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
});

test('a signal of another realm is one, too', async () => {
  const server = await origin('http', { handler: () => {} });
  // What has its methods, but not its prototype.
  const { signal } = new AbortController();
  const foreign = {
    aborted: false,
    addEventListener: signal.addEventListener.bind(signal),
    removeEventListener: signal.removeEventListener.bind(signal),
    throwIfAborted: signal.throwIfAborted.bind(signal),
  };
  expect(foreign instanceof AbortSignal).toBe(false);
  const sent = newTransport().send({ url: server.url, http_proxy: null, timeout: 50, signal: foreign as AbortSignal });
  expect(await sent.catch(({ code }: { code: unknown }) => code)).toBe('ERR_TIMEOUT');
});
