// What a session does is the same whether interceptors that change nothing are registered or not.
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { type HttpResponse, type RequestOptions, Session, type SessionOptions } from '@cloudlane/session';
import type { LabOrigin, OriginHandler } from '@cloudlane/testing';
import { describe, expect, test } from '@jest/globals';
import { newTransport, origin } from '../transport/lab.ts';

/** One feature of a session: a call of it, and what its caller is told. */
interface Feature {
  readonly session?: SessionOptions;
  readonly method?: string;
  readonly path?: string;
  readonly options?: (log: unknown[]) => RequestOptions;
  readonly read?: (response: HttpResponse) => Promise<unknown>;
}

const packed = gzipSync('packed '.repeat(100));
const lines = ['one', 'two', 'three'];
const handler: OriginHandler = async (request, response) => {
  for await (const _ of request);
  const { pathname } = new URL(request.url ?? '', 'http://origin.example');
  if (pathname.startsWith('/redirect')) response.writeHead(Number(pathname.slice(-3)), { Location: '/end?r=1' }).end();
  else if (pathname === '/loop') response.writeHead(302, { Location: '/loop' }).end();
  else if (pathname === '/missing') response.writeHead(404).end('none');
  else if (pathname === '/empty') response.writeHead(204).end();
  else if (pathname === '/cookies') response.writeHead(302, { Location: '/end', 'Set-Cookie': 'a=1; Path=/' }).end();
  else if (pathname === '/packed') response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(packed);
  else if (pathname === '/lines') response.end(lines.join('\n'));
  else if (pathname === '/slow') response.write('never complete');
  else if (pathname === '/challenge' && !request.headers.authorization) response.writeHead(401).end('who?');
  else response.end('end');
};

const again = {
  apply: (request: { setHeader: (name: string, value: string) => void }) => {
    if (again.isAsked) request.setHeader('Authorization', 'secret');
  },
  answerChallenge: () => (again.isAsked = true),
  isAsked: false,
};

async function failing(): Promise<void> {
  throw new RangeError('of the hook');
}

const FEATURES: Readonly<Record<string, Feature>> = {
  'a GET with headers and parameters': {
    options: () => ({ headers: { 'x-a': ' b ', 'X-Ü': null }, params: { q: 'ä b' } }),
  },
  'a latin-1 header': { options: () => ({ headers: { 'X-Latin': 'ü' } }) },
  'a header that cannot be sent': { options: () => ({ headers: { 'X-Bad': 'a\r\nX-Injected: b' } }) },
  'a HEAD': { method: 'HEAD' },
  'a method of its own': { method: 'PURGE' },
  'a POST without a body': { method: 'POST' },
  JSON: { method: 'POST', options: () => ({ json: { a: 1 } }) },
  'a form': { method: 'POST', options: () => ({ data: { a: 'b c' } }) },
  'text that says it is JSON': {
    method: 'POST',
    options: () => ({ data: ' not json ', headers: { 'Content-Type': 'application/json' } }),
  },
  'a part of more bytes': { method: 'POST', options: () => ({ data: new Uint8Array([65, 66, 67]).subarray(1) }) },
  'empty text': { method: 'POST', options: () => ({ data: '' }) },
  'bytes, without a type': { method: 'PUT', options: () => ({ data: Buffer.from('bytes') }) },
  'a stream': { method: 'PUT', options: () => ({ data: Readable.from(['a', 'b']) }) },
  'an iterable that looks plain': {
    method: 'PUT',
    options: () => ({
      data: {
        [Symbol.asyncIterator]: async function* () {
          yield 'it';
        },
      },
    }),
  },
  'a stream and a redirect': { method: 'PUT', path: '/redirect307', options: () => ({ data: Readable.from(['a']) }) },
  'a fresh stream and a redirect': {
    method: 'PUT',
    path: '/redirect307',
    options: () => ({ data: () => Readable.from(['a']) }),
  },
  'a file': {
    method: 'POST',
    path: '/redirect308',
    options: () => ({ files: { f: { content: 'x', filename: 'f.txt' } } }),
  },
  'a POST that becomes a GET': { method: 'POST', path: '/redirect303', options: () => ({ json: 1 }) },
  'no redirect': { path: '/redirect302', options: () => ({ allowRedirects: false }) },
  'too many redirects': { path: '/loop', options: () => ({ maxRedirects: 2 }) },
  'too many redirects, in safe mode': { path: '/loop', options: () => ({ maxRedirects: 2, safeMode: true }) },
  cookies: { path: '/cookies', options: () => ({ cookies: { b: '2' } }) },
  auth: { options: () => ({ auth: ['user', 'pw'] }) },
  'a challenge': { path: '/challenge', options: () => ({ auth: again }) },
  'encodeUri: false': { path: '/{a}|b?c=[d]', options: () => ({ encodeUri: false, params: { e: '{f}' } }) },
  prefetch: { path: '/packed', options: () => ({ prefetch: true }) },
  'packed content': { path: '/packed' },
  lines: { path: '/lines', read: (response) => collect(response.iterLines()) },
  'the raw body': {
    path: '/packed',
    read: async ({ body }) => Buffer.concat(await collect<Buffer>(body)).equals(packed),
  },
  'no content': { path: '/empty' },
  'danger mode': { path: '/missing', options: () => ({ dangerMode: true }) },
  'safe mode': { path: '/missing', options: () => ({ safeMode: true, dangerMode: true }) },
  'a deadline': { path: '/slow', options: () => ({ timeout: { idle: 50 } }) },
  'keepAlive: false': { options: () => ({ keepAlive: false }) },
  progress: {
    method: 'PUT',
    path: '/packed',
    options: (log) => ({
      data: 'x'.repeat(1000),
      onUploadProgress: (sent, total) => log.push(['up', sent, total]),
      onDownloadProgress: (received, total) => log.push(['down', received, total]),
    }),
  },
  hooks: {
    options: (log) => ({
      hooks: {
        args: (args) => void log.push(args.method),
        preRequest: (request) => request.setHeader('X-Hook', 'pre'),
        response: (response) => void log.push(response.status),
        postRequest: (request) => void log.push(request.headers),
      },
    }),
  },
  'a hook that fails': {
    options: () => ({
      hookErrors: 'throw',
      hooks: { response: failing },
    }),
  },
  'an unknown option': { options: () => ({ proxy: 'http://proxy.example' }) as never },
  'an abort': { options: () => ({ signal: AbortSignal.abort(new RangeError('aborted')) }) },
};

describe('with interceptors that change nothing, the same is sent and told of', () => {
  test.each(Object.keys(FEATURES))('%s', async (name) => {
    const feature = FEATURES[name] ?? {};
    const without = await run(feature, () => {});
    let passed = 0;
    const withSome = await run(feature, ({ axios }) => {
      axios.interceptors.request.use((config) => {
        passed += 1;
        return { ...config };
      });
      axios.interceptors.response.use(async (response) => ({ ...response }));
    });
    expect(withSome).toEqual(without);
    expect(passed).toBe(name === 'an unknown option' ? 0 : 1);
  });
});

async function run(feature: Feature, register: (session: Session) => void): Promise<unknown> {
  again.isAsked = false;
  const target = await origin('http', { handler });
  const session = new Session({ transport: newTransport(), http_proxy: null, ...feature.session });
  register(session);
  const log: unknown[] = [];
  const { method = 'GET', path = '/', options = () => ({}), read = (response) => response.text() } = feature;
  const told = await session
    .request(method, `${target.url}${path}`, options(log))
    .then(async (response) => ({ ...outline(response), content: await read(response) }))
    .catch((error: unknown) => ({ error: String(error), code: Reflect.get(Object(error), 'code') }));
  return unnumbered({ told, log, seen: target.requests.map(shown) }, target);
}

function outline({ status, headers, history, request, error, url }: HttpResponse): object {
  const { date: _, ...rest } = headers;
  const errorOf = error === null ? null : String(error);
  return {
    status,
    headers: rest,
    url,
    error: errorOf,
    sent: request.headers,
    history: history.map((each) => each.status),
  };
}

function shown({ method, target, rawHeaders, body }: LabOrigin['requests'][number]): object {
  return { method, target, rawHeaders, body: String(body) };
}

/** Without what is another each time: ports and boundaries. */
function unnumbered(value: unknown, { port }: LabOrigin): unknown {
  const text = JSON.stringify(value).replaceAll(String(port), 'PORT');
  const [, boundary] = /boundary=([^"\\]+)/.exec(text) ?? [];
  return JSON.parse(boundary === undefined ? text : text.replaceAll(boundary, 'BOUNDARY'));
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
