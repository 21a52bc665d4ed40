// What a connection takes for its session holds for the calls to its API, too, unless that would spoil their answers.
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import {
  Connection,
  type ConnectionOptions,
  type MutableParams,
  NotFoundError,
  RawResponse,
} from '@cloudlane/connection';
import { HarRecorder, type Hooks, StreamConsumedError } from '@cloudlane/session';
import type { OriginHandler } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { RouteLab } from '../session/lab.ts';
import { lateWay } from '../session/late-way.ts';
import { failureOf, newTransport, origin } from '../transport/lab.ts';
import { connectTo } from './lab.ts';

const READS: Hooks = { response: async (response) => void (await response.content()) };
const BEGINS: Hooks = { response: (response) => void response.content().catch(() => {}) };

function linesTo(): { readonly to: PassThrough; readonly lines: () => string[] } {
  const to = new PassThrough({ encoding: 'utf8' });
  return {
    to,
    lines: () =>
      String(to.read() ?? '')
        .split('\n')
        .filter(Boolean),
  };
}

const gzipped: OriginHandler = (_, response) =>
  void response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(gzipSync('packed'));

describe('a raw answer is a stream', () => {
  test.each<[what: string, options: ConnectionOptions]>([
    ['prefetch', { prefetch: true }],
    ['a hook that reads', { hooks: READS }],
    ['a hook that begins to read', { hooks: BEGINS }],
    ['a hook that sees the arguments', { prefetch: true, hooks: { args: () => {} } }],
    ['all behaviour', { safeMode: true, dangerMode: true, encodeUri: false, allowRedirects: true, strictMode: true }],
  ])('with %s', async (_, options) => {
    const target = await origin('http', { handler: (_request, response) => void response.end('whole') });
    const answer = await connectTo(target, options).request('/object', { raw: true });
    expect(answer).toBeInstanceOf(RawResponse);
    expect([await text(answer.object), answer.headers['content-length']]).toEqual(['whole', '5']);
  });

  test('that is not read before it is asked for, though the session prefetches', async () => {
    const target = await origin('http', { handler: (_, response) => void response.write('begun') });
    const { object } = await connectTo(target, { prefetch: true }).request('/object', { raw: true });
    expect(String((await object[Symbol.asyncIterator]().next()).value)).toBe('begun');
  });

  test('as it came, or unpacked with headers to match', async () => {
    const target = await origin('http', { handler: gzipped });
    const packed = await connectTo(target).request('/object', { raw: true });
    expect(packed.headers['content-encoding']).toBe('gzip');
    expect((await packed.object.toArray()).length).toBeGreaterThan(0);
    const unpacked = await connectTo(target, { hooks: READS }).request('/object', { raw: true });
    expect([await text(unpacked.object), unpacked.headers['content-encoding']]).toEqual(['packed', undefined]);
    expect(unpacked.http.headers['content-encoding']).toBe('gzip');
  });

  test('unless a hook has taken it', async () => {
    const hooks: Hooks = { response: (response) => void response.body.resume() };
    const connection = connectTo(await origin(), { hooks });
    await failureOf(connection.request('/object', { raw: true }), StreamConsumedError);
  });
});

describe('an API call takes of its session', () => {
  test('hooks, each once', async () => {
    const target = await origin();
    const seen: string[] = [];
    const hooks: Hooks = {
      args: (args) => {
        seen.push(`args ${args.method} ${args.url}`);
        args.headers = { ...args.headers, 'X-Args': '1' };
      },
      preRequest: (request) => {
        seen.push(`preRequest ${request.method}`);
        request.setHeader('X-Pre', '1');
      },
      response: ({ status }) => void seen.push(`response ${status}`),
      postRequest: (_, { response }) => void seen.push(`postRequest ${response?.status}`),
    };
    await connectTo(target, { hooks }).request('/things', { method: 'POST', json: { a: 1 }, params: { b: 2 } });
    expect(seen).toEqual([`args POST ${target.url}/things?b=2`, 'preRequest POST', 'response 200', 'postRequest 200']);
    expect(target.requests[0]).toMatchObject({
      method: 'POST',
      target: '/things?b=2',
      headers: { 'x-args': '1', 'x-pre': '1', 'content-type': 'application/json' },
    });
  });

  test('cookies, those that come with answers too', async () => {
    const handler: OriginHandler = (_, response) =>
      void response.writeHead(200, { 'Set-Cookie': 'kept=2; Path=/' }).end('{}');
    const target = await origin('http', { handler });
    const connection = connectTo(target, { cookies: { given: '1' } });
    await connection.request('/');
    await connection.request('/');
    expect(target.requests.map(({ headers }) => headers.cookie)).toEqual(['given=1', expect.stringMatching(/kept=2/)]);
    expect(connection.session.cookies.get('kept', target.url)).toBe('2');
  });

  test('verbose and debug', async () => {
    const target = await origin();
    const [verbose, debug] = [linesTo(), linesTo()];
    const options = { verbose: { to: verbose.to, showRoute: true }, debug: { format: 'curl', to: debug.to } } as const;
    await connectTo(target, options).request('/things');
    expect(verbose.lines()).toEqual([expect.stringMatching(new RegExp(`GET   ${target.url}/things   direct$`))]);
    expect(debug.lines().join('\n')).toContain(`${target.url}/things`);
  });

  test('har, of refusals too', async () => {
    const target = await origin('http', {
      handler: ({ url }, response) => void response.writeHead(url === '/gone' ? 404 : 200).end('{}'),
    });
    const har = new HarRecorder({ content: true });
    const connection = connectTo(target, { har });
    await connection.request('/things', { method: 'PUT', json: { a: 1 } });
    await failureOf(connection.request('/gone'), NotFoundError);
    const { entries } = har.toJSON().log;
    expect(entries.map(({ request, response }) => [request.method, request.url, response.status])).toEqual([
      ['PUT', `${target.url}/things`, 200],
      ['GET', `${target.url}/gone`, 404],
    ]);
  });

  test('keepAlive', async () => {
    const target = await origin();
    for (const keepAlive of [false, true]) {
      const connection = connectTo(target, { keepAlive });
      await connection.request('/');
      await connection.request('/');
    }
    expect(target.requests.map(({ connection }) => connection)).toEqual([1, 2, 3, 3]);
  });

  test('maxRetries, with the body once more', async () => {
    const target = await origin();
    const { url, options, tries } = await lateWay(new RouteLab('direct', 'http'), target, 3);
    await connectTo({ url }, { ...options, maxRetries: 2 }).request('/things', { method: 'POST', json: { a: 1 } });
    expect([tries(), target.requests.map(({ body }) => body)]).toEqual([3, [expect.anything()]]);
    expect(String(target.requests[0]?.body)).toBe('{"a":1}');
  });
});

/** Keeps what a driver sees of the parameters. */
class Seeing extends Connection {
  seen: object = {};

  protected override addDefaultParams(params: MutableParams): void {
    this.seen = { ...params };
  }
}

describe('the call’s own', () => {
  test('params may be URLSearchParams, and headers Headers', async () => {
    const target = await origin();
    const connection = new Seeing({ baseUrl: target.url, transport: newTransport() });
    await connection.request('/things', {
      params: new URLSearchParams('a=1&a=2&b=%20'),
      headers: new Headers({ 'X-A': 'call' }),
    });
    expect(connection.seen).toEqual({ a: ['1', '2'], b: [' '] });
    expect(target.requests[0]).toMatchObject({ target: '/things?a=1&a=2&b=%20', headers: { 'x-a': 'call' } });
  });

  test.each<[name: string, value: unknown]>([
    ['params', 'a=b'],
    ['params', new Map([['a', 'b']])],
    ['headers', 'a: b'],
    ['headers', new Map([['a', 'b']])],
  ])('%s: %p are refused', async (name, value) => {
    const target = await origin();
    await expect(connectTo(target).request('/', { [name]: value })).rejects.toMatchObject({
      code: 'ERR_INVALID_OPTION',
      option: name,
    });
    expect(target.requests).toEqual([]);
  });
});
