import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import {
  type CallContext,
  ConflictError,
  Connection,
  type ConnectionOptions,
  InvalidCredentialsError,
  JsonResponse,
  KeyConnection,
  MalformedResponseError,
  type MutableHeaders,
  type MutableParams,
  NotFoundError,
  ProviderError,
  type ProviderErrorDetails,
  RateLimitError,
  RawResponse,
  type ResponseFormat,
  ServiceUnavailableError,
  UserAndKeyConnection,
  XmlResponse,
} from '@cloudlane/connection';
import type { HttpResponse, PreparedRequest } from '@cloudlane/session';
import type { LabOrigin } from '@cloudlane/testing';
import type { RequestBody } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { SECRETS } from '../support/secrets.ts';
import { failureOf, newTransport, origin, proxy } from '../transport/lab.ts';
import { connectTo, newGate } from './lab.ts';

class XmlConnection extends Connection {
  protected override get format(): ResponseFormat {
    return 'xml';
  }
}

/** An origin that gives this answer to everything. */
function answering(
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
  status = 200,
): Promise<LabOrigin> {
  return origin('http', { handler: (_, response) => void response.writeHead(status, headers).end(body) });
}

function xmlConnectionTo({ url }: LabOrigin): XmlConnection {
  return new XmlConnection({ baseUrl: url, transport: newTransport() });
}

/** What an option is refused for. */
function refusal(option: string): object {
  return expect.objectContaining({ code: 'ERR_INVALID_OPTION', option });
}

describe('where the API is', () => {
  test.each<[options: ConnectionOptions, url: string]>([
    [{ baseUrl: 'https://api.example' }, 'https://api.example/'],
    [{ baseUrl: new URL('http://api.example:8080/v2/') }, 'http://api.example:8080/v2/'],
    [{ host: 'api.example' }, 'https://api.example/'],
    [{ host: 'api.example', secure: false }, 'http://api.example/'],
    [{ host: 'api.example', port: 8443, path: 'v2' }, 'https://api.example:8443/v2'],
    [{ host: 'api.example', path: '/v2/' }, 'https://api.example/v2/'],
    // No magic by port number.
    [{ host: 'api.example', port: 443, secure: false }, 'http://api.example:443/'],
    [{ host: 'api.example', port: 80 }, 'https://api.example:80/'],
    [{ host: '::1' }, 'https://[::1]/'],
    [{ host: '[::1]', port: 8443 }, 'https://[::1]:8443/'],
    [{ baseUrl: 'http://[::1]:80/' }, 'http://[::1]/'],
    [{ host: 'bücher.example' }, 'https://xn--bcher-kva.example/'],
    [{}, 'https://default.example/v1'],
  ])('%j is %s', (options, url) => {
    expect(new Connection(options, 'https://default.example/v1').baseUrl.href).toBe(url);
  });

  test.each<[options: ConnectionOptions, option: string, reason: RegExp]>([
    [{ baseUrl: 'https://api.example', host: 'api.example' }, 'baseUrl', /contradicts host/],
    [{ baseUrl: 'https://api.example', port: 443 }, 'baseUrl', /contradicts port/],
    [{ baseUrl: 'https://api.example', secure: true }, 'baseUrl', /contradicts secure/],
    [{ baseUrl: 'https://api.example', path: '/v2' }, 'baseUrl', /contradicts path/],
    [{ port: 443 }, 'port', /needs host/],
    [{ path: '/v2' }, 'path', /needs host/],
    [{ baseUrl: 'api.example' }, 'baseUrl', /write https:\/\/host\/path/],
    [{ baseUrl: 'ftp://api.example' }, 'baseUrl', /http:\/\/ or https:\/\//],
    [{ baseUrl: 'https://' }, 'baseUrl', /URL/],
    [{ host: 'https://api.example' }, 'host', /alone/],
    [{ host: 'api.example/v2' }, 'host', /alone/],
    [{ host: 'api.example\\v2' }, 'host', /alone/],
    [{ host: 'user@api.example' }, 'host', /alone/],
    [{ host: 'api.example:443' }, 'host', /URL/],
    [{ host: '' }, 'host', /URL/],
    [{ host: 'api.example', port: 0 }, 'port', /1 to 65535/],
    [{ host: 'api.example', port: 65_536 }, 'port', /1 to 65535/],
    [{ host: 'api.example', port: 80.5 }, 'port', /1 to 65535/],
    [{ host: 'api.example', port: Number.NaN }, 'port', /1 to 65535/],
    [{ baseUrl: 'http://api.example', tls: { verify: false } }, 'tls', /no effect/],
  ])('%j is refused', (options, option, reason) => {
    expect(() => new Connection(options, 'https://default.example')).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_OPTION', option, reason: expect.stringMatching(reason) }),
    );
  });

  test('has to be said', () => {
    expect(() => new Connection()).toThrow(refusal('baseUrl'));
  });

  test('at an IPv6 address is reached there', async () => {
    const target = await origin('http', { host: '::1' });
    const answer = await connectTo(target).request<{ headers: { host: string } }>('/six');
    expect(answer.object.headers.host).toBe(`[::1]:${target.port}`);
  });

  test('with a user name in the URL is authorized there, and prints without its password', async () => {
    const target = await origin();
    const url = new URL(target.url);
    url.username = 'user';
    url.password = SECRETS.originPassword;
    const connection = new Connection({ baseUrl: url, transport: newTransport() });
    await connection.request('/');
    const expected = Buffer.from(`user:${SECRETS.originPassword}`).toString('base64');
    expect(target.requests[0]?.headers.authorization).toBe(`Basic ${expected}`);
    expect(JSON.stringify(connection)).not.toContain('s3cr3t');
  });
});

describe('an action', () => {
  test.each([
    ['', '', '/'],
    ['', '/', '/'],
    ['', 'droplets', '/droplets'],
    ['', '/droplets', '/droplets'],
    ['/v2', '', '/v2'],
    ['/v2/', '', '/v2/'],
    ['/v2', '/', '/v2/'],
    ['/v2', 'droplets', '/v2/droplets'],
    ['/v2/', '/droplets/', '/v2/droplets/'],
    ['/v2', '?page=2', '/v2?page=2'],
    ['/v2?key=1', 'droplets?page=2', '/v2/droplets?key=1&page=2'],
    ['/v2', 'a//b', '/v2/a//b'],
    ['', '//a//b/', '//a//b/'],
    ['', 'http://other.example/', '/http://other.example/'],
    ['', '//other.example/x', '//other.example/x'],
    ['', 'a%2Fb%20c', '/a%2Fb%20c'],
    ['', 'ä b#c', '/%C3%A4%20b%23c'],
    ['', 'a?b=c?d#e', '/a?b=c?d%23e'],
    ['', '.hidden/..more', '/.hidden/..more'],
  ])('below %j, %j is %j, at the API’s own host', async (base, action, target) => {
    const server = await answering('null');
    const connection = new Connection({ baseUrl: server.url + base, transport: newTransport() });
    await connection.request(action);
    expect(server.requests.map((request) => request.target)).toEqual([target]);
  });

  test.each([
    '..',
    '../admin',
    'zones/..',
    'zones/../',
    'a/./b',
    '.',
    '%2e%2E/x',
    '.%2e',
    'a\\..\\b',
    '.\t./x',
    'x/.\n.',
  ])('%j would be resolved to another path and is refused', async (action) => {
    const server = await answering('null');
    const connection = new Connection({ baseUrl: `${server.url}/v2`, transport: newTransport() });
    await expect(connection.request(action)).rejects.toEqual(refusal('action'));
    expect(() => connection.explain(action)).toThrow(refusal('action'));
    expect(server.requests).toEqual([]);
  });
});

describe('the override points', () => {
  const DOCUMENTED = ['morphAction', 'addDefaultParams', 'addDefaultHeaders', 'encodeData', 'preConnect', 'success'];

  /** Logs each call with its context; `pace` is what it returns. */
  function logging(log: [string, CallContext][], pace: <T>(value: T) => T | Promise<T>, options: ConnectionOptions) {
    const note = <T>(name: string, context: CallContext, value: T): T | Promise<T> => {
      log.push([name, context]);
      return pace(value);
    };
    return new (class extends Connection {
      protected override morphAction(action: string, context: CallContext) {
        return note('morphAction', context, `morphed/${action}`);
      }
      protected override addDefaultParams(params: MutableParams, context: CallContext) {
        params.added = 'param';
        return note('addDefaultParams', context, undefined);
      }
      protected override addDefaultHeaders(headers: MutableHeaders, context: CallContext) {
        headers['X-Added'] = 'header';
        return note('addDefaultHeaders', context, undefined);
      }
      protected override encodeData(data: unknown, context: CallContext): RequestBody | Promise<RequestBody> {
        return note('encodeData', context, `encoded ${String(data)}`);
      }
      protected override preConnect(request: PreparedRequest, context: CallContext) {
        const seen = createHash('md5').update(
          `${request.method} ${request.url.pathname}${request.url.search} ${request.body}`,
        );
        request.setHeader('X-Signature', `${request.header('x-added')} ${seen.digest('hex')}`);
        return note('preConnect', context, undefined);
      }
      protected override success(response: HttpResponse, context: CallContext) {
        return note('success', context, response.ok);
      }
      protected override parseBody(_response: HttpResponse, context: CallContext) {
        return note('parseBody', context, 'parsed');
      }
      protected override async parseError(
        _response: HttpResponse,
        context: CallContext,
      ): Promise<ProviderErrorDetails> {
        return await note('parseError', context, { message: 'told' });
      }
    })(options);
  }

  const paces = {
    sync: <T>(value: T): T => value,
    async: <T>(value: T): Promise<T> => new Promise((resolve) => setImmediate(resolve, value)),
  };

  test.each(['sync', 'async'] as const)('are called in the documented order, %s', async (pace) => {
    const target = await origin();
    const log: [string, CallContext][] = [];
    const connection = logging(log, paces[pace], { baseUrl: target.url, transport: newTransport() });
    const context = { bucket: 'one' };
    const answer = await connection.request('x', { method: 'put', data: 'data', params: { own: 1 }, context });
    expect(answer.object).toBe('parsed');
    expect(log.map(([name]) => name)).toEqual([...DOCUMENTED, 'parseBody']);
    for (const [, given] of log) expect(given).toBe(context);
    const [request] = target.requests;
    expect(request).toMatchObject({ method: 'PUT', target: '/morphed/x?own=1&added=param' });
    expect(String(request?.body)).toBe('encoded data');
    const digest = createHash('md5').update(`PUT ${request?.target} ${request?.body}`).digest('hex');
    expect(request?.headers['x-signature']).toBe(`header ${digest}`);
  });

  test('end in parseError if it was no success', async () => {
    const target = await answering('no', {}, 500);
    const log: [string, CallContext][] = [];
    const connection = logging(log, paces.async, { baseUrl: target.url, transport: newTransport() });
    await expect(connection.request('x')).rejects.toMatchObject({ code: 'ERR_PROVIDER' });
    // Nothing to encode.
    expect(log.map(([name]) => name)).toEqual([...DOCUMENTED.filter((name) => name !== 'encodeData'), 'parseError']);
  });

  test('see the context of their own call only', async () => {
    const target = await answering('null');
    const log: [string, CallContext][] = [];
    const connection = logging(log, paces.async, { baseUrl: target.url, transport: newTransport() });
    await Promise.all([connection.request('a', { context: { call: 'a' } }), connection.request('b')]);
    await connection.request('c');
    const contexts = new Map<CallContext, number>();
    for (const [, context] of log) contexts.set(context, (contexts.get(context) ?? 0) + 1);
    expect([...contexts.keys()]).toEqual(expect.arrayContaining([{ call: 'a' }, {}, {}]));
    expect([...contexts.values()]).toEqual([6, 6, 6]);
  });

  test('that do not look at the body leave no connection behind', async () => {
    const target = await answering('x'.repeat(100_000));
    const log: [string, CallContext][] = [];
    const transport = newTransport({ maxSockets: 1 });
    const connection = logging(log, paces.sync, { baseUrl: target.url, transport });
    for (let call = 0; call < 3; call += 1) expect((await connection.request('x')).object).toBe('parsed');
  });

  test('that fail fail the call, and nothing is sent', async () => {
    const target = await origin();
    class Failing extends Connection {
      protected override async preConnect(): Promise<void> {
        throw new RangeError('no key');
      }
    }
    await expect(new Failing({ baseUrl: target.url, transport: newTransport() }).request('/')).rejects.toThrow(
      'no key',
    );
    expect(target.connectionCount).toBe(0);
  });

  test('may call success what is no 2xx', async () => {
    class Lenient extends Connection {
      protected override success(response: HttpResponse): boolean {
        return response.status === 404;
      }
    }
    const target = await answering('{"known":false}', {}, 404);
    const answer = await new Lenient({ baseUrl: target.url, transport: newTransport() }).request('/');
    expect([answer.status, answer.object]).toEqual([404, { known: false }]);
  });
});

describe('parameters and headers', () => {
  class Defaults extends Connection {
    protected override addDefaultParams(params: MutableParams): void {
      params.per_page = 100;
      params.version ??= '1';
    }
    protected override addDefaultHeaders(headers: MutableHeaders): void {
      headers.Authorization = 'Default';
      headers['X-Default'] = 'default';
    }
  }

  test('of the call win over a driver’s; null leaves out, undefined does not', async () => {
    const target = await origin();
    const connection = new Defaults({ baseUrl: target.url, transport: newTransport() });
    const targets = async (params: Record<string, string | number | null | undefined>) => {
      await connection.request('/', { params });
      return target.requests.at(-1)?.target;
    };
    expect(await targets({})).toBe('/?per_page=100&version=1');
    expect(await targets({ per_page: 5 })).toBe('/?per_page=5&version=1');
    expect(await targets({ per_page: null, version: null })).toBe('/');
    expect(await targets({ per_page: undefined, version: undefined })).toBe('/?per_page=100&version=1');
  });

  test('encode what URLs do not carry', async () => {
    const target = await origin();
    await connectTo(target).request('/?own=1', {
      params: { 'a b': 'ä&=+/?#', list: ['1', '2'], flag: false, none: null },
    });
    expect(target.requests[0]?.target).toBe('/?own=1&a%20b=%C3%A4%26%3D%2B%2F%3F%23&list=1&list=2&flag=false');
  });

  test('null is really absent on the wire', async () => {
    const target = await origin();
    const connection = new Defaults({ baseUrl: target.url, transport: newTransport() });
    const none = { 'user-agent': null, ACCEPT: null, 'Accept-Encoding': null, authorization: null, 'x-default': null };
    await connection.request('/', { headers: none });
    const names = target.requests[0]?.rawHeaders.filter((_, index) => index % 2 === 0);
    expect(names?.map((name) => name.toLowerCase()).toSorted()).toEqual(['connection', 'host']);
  });

  test('userAgent: null sends none, a text instead of ours', async () => {
    const target = await origin();
    await connectTo(target).request('/');
    await connectTo(target, { userAgent: null }).request('/');
    await connectTo(target, { userAgent: 'tool/1' }).request('/');
    expect(target.requests.map(({ headers }) => headers['user-agent'])).toEqual([
      expect.stringMatching(/^cloudlane\/\d+\.\d+\.\d+/),
      undefined,
      'tool/1',
    ]);
  });

  test('in another spelling are the same headers', async () => {
    const target = await origin();
    const connection = new Defaults({ baseUrl: target.url, transport: newTransport() });
    await connection.request('/', { headers: { AUTHORIZATION: 'Own', 'x-list': ['a', 'b'], 'x-number': 5 } });
    expect(target.requests[0]?.headers).toMatchObject({ authorization: 'Own', 'x-list': 'a, b', 'x-number': '5' });
  });

  test('keep a driver’s content type', async () => {
    class Versioned extends Connection {
      protected override addDefaultHeaders(headers: MutableHeaders): void {
        headers['content-type'] = 'application/vnd.v2+json';
      }
    }
    const target = await origin();
    const connection = new Versioned({ baseUrl: target.url, transport: newTransport() });
    await connection.request('/', { method: 'POST', json: {} });
    await connection.request('/', { method: 'POST', json: {}, headers: { 'Content-Type': 'text/x' } });
    expect(target.requests.map(({ headers }) => headers['content-type'])).toEqual([
      'application/vnd.v2+json',
      'text/x',
    ]);
  });

  test('auth of the options is for the API, and for no other URL of the session', async () => {
    const [target, other] = await Promise.all([origin(), origin()]);
    const connection = connectTo(target, { auth: (request) => request.setHeader('Authorization', SECRETS.token) });
    await connection.request('/');
    await (await connection.session.get(other.url)).content();
    expect(target.requests[0]?.headers.authorization).toBe(SECRETS.token);
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('of the session, written to, are for later calls', async () => {
    const target = await origin();
    const connection = connectTo(target);
    connection.session.headers = { ...connection.session.headers, 'X-Later': '1' };
    connection.session.params = { later: true };
    await connection.request('/');
    expect(target.requests[0]).toMatchObject({ target: '/?later=true', headers: { 'x-later': '1' } });
  });
});

describe('a body', () => {
  test('as JSON has its content type', async () => {
    const target = await origin();
    await connectTo(target).request('/', { method: 'POST', json: { name: 'ü', none: null } });
    expect(target.requests[0]).toMatchObject({
      headers: { 'content-type': 'application/json', 'content-length': '25' },
    });
    expect(JSON.parse(String(target.requests[0]?.body))).toEqual({ name: 'ü', none: null });
  });

  test.each<[name: string, json: unknown, sent: string]>([
    ['null', null, 'null'],
    ['false', false, 'false'],
    ['0', 0, '0'],
    ['an empty text', '', '""'],
  ])('as JSON may be %s', async (_name, json, sent) => {
    const target = await origin();
    await connectTo(target).request('/', { method: 'POST', json });
    expect(String(target.requests[0]?.body)).toBe(sent);
  });

  test('given twice is refused before anything else happens', async () => {
    const target = await origin();
    await expect(connectTo(target).request('/', { method: 'POST', json: {}, data: 'x' })).rejects.toEqual(
      refusal('json'),
    );
    expect(target.connectionCount).toBe(0);
  });

  test('data: null is none', async () => {
    const target = await origin();
    await connectTo(target).request('/', { method: 'POST', json: { a: 1 }, data: null });
    await connectTo(target).request('/', { method: 'POST', data: null });
    expect(target.requests.map(({ body }) => String(body))).toEqual(['{"a":1}', '']);
  });

  test('that nothing can send is refused', async () => {
    const target = await origin();
    await expect(connectTo(target).request('/', { method: 'POST', data: { a: 1 } })).rejects.toEqual(refusal('body'));
    expect(target.connectionCount).toBe(0);
  });

  test('as a stream is sent as it comes, and progress is told', async () => {
    const target = await origin();
    const told: [number, number | null][] = [];
    async function* chunks() {
      yield 'one ';
      yield Buffer.from('two');
    }
    const onUploadProgress = (sent: number, total: number | null) => void told.push([sent, total]);
    await connectTo(target).request('/', { method: 'PUT', data: chunks(), onUploadProgress });
    expect(String(target.requests[0]?.body)).toBe('one two');
    expect(told).toEqual([
      [4, null],
      [7, null],
    ]);
  });
});

describe('an answer', () => {
  test.each([200, 201, 202, 203, 204, 206, 207, 226, 299])('%d is a success', async (status) => {
    const target = await answering(status === 204 ? '' : '{"a":1}', {}, status);
    const answer = await connectTo(target).request('/');
    expect(answer).toBeInstanceOf(JsonResponse);
    expect([answer.status, answer.object]).toEqual([status, status === 204 ? null : { a: 1 }]);
  });

  test.each<[body: string, object: unknown]>([
    ['', null],
    [' \n', null],
    ['null', null],
    ['"text"', 'text'],
    ['\uFEFF{"bom":true}', { bom: true }],
    ['{"__proto__": {"polluted": true}}', JSON.parse('{"__proto__": {"polluted": true}}')],
  ])('%j in JSON', async (body, object) => {
    expect((await connectTo(await answering(body)).request('/')).object).toEqual(object);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  test('a HEAD has none, whatever its headers say', async () => {
    const target = await answering('', { 'Content-Length': '1000', 'Content-Encoding': 'gzip', ETag: '"e"' });
    const answer = await connectTo(target).request('/', { method: 'HEAD' });
    expect([answer.object, answer.headers.etag]).toEqual([null, '"e"']);
  });

  test.each([
    ['gzip', gzipSync('{"packed":true}')],
    ['br', brotliCompressSync('{"packed":true}')],
  ])('in %s is unpacked, and asked for', async (coding, body) => {
    const target = await answering(body, { 'Content-Encoding': coding });
    expect((await connectTo(target).request('/')).object).toEqual({ packed: true });
    expect(target.requests[0]?.headers['accept-encoding']).toContain(coding);
  });

  test('in XML: text stays text', async () => {
    const rows: readonly [string, unknown][] = [
      ['<a>00123</a>', { a: '00123' }],
      ['<a>1e5</a>', { a: '1e5' }],
      ['<a>true</a>', { a: 'true' }],
      ['<a> x </a>', { a: ' x ' }],
      ['<a> </a>', { a: ' ' }],
      ['<a/>', { a: '' }],
      ['<a></a>', { a: '' }],
      ['<a>&lt;&amp;&gt;&quot;&apos;</a>', { a: '<&>"\'' }],
      ['<a>&#x1F600;&#65;</a>', { a: '😀A' }],
      ['<a>&amp;lt;</a>', { a: '&lt;' }],
      ['<a>&#38;amp;</a>', { a: '&amp;' }],
      ['<a><![CDATA[<b>&amp;</b>]]></a>', { a: '<b>&amp;</b>' }],
      ['<a><![CDATA[<!DOCTYPE html>]]></a>', { a: '<!DOCTYPE html>' }],
      ['<a><!-- <!DOCTYPE x> -->t</a>', { a: 't' }],
      ['<a id="1">t</a>', { a: 't' }],
      ['<?xml version="1.0" encoding="UTF-8"?>\n<a>ü</a>', { a: 'ü' }],
      ['<a><b>1</b><b>2</b><c>3</c></a>', { a: { b: ['1', '2'], c: '3' } }],
      ['<a>\n  <b>1</b>\n  <b> </b>\n</a>\n', { a: { b: ['1', ' '] } }],
      ['<n:a xmlns:n="urn:x"><n:b>1</n:b></n:a>', { 'n:a': { 'n:b': '1' } }],
      ['', null],
    ];
    const bodies = rows.map(([body]) => body);
    const target = await origin('http', { handler: (_, response) => void response.end(bodies.shift()) });
    const connection = xmlConnectionTo(target);
    for (const [body, object] of rows) {
      const answer = await connection.request('/');
      expect(answer).toBeInstanceOf(XmlResponse);
      expect([body, answer.object]).toEqual([body, object]);
    }
    expect(target.requests[0]?.headers.accept).toBe('application/xml');
  });

  test.each([
    ['<a>1', /Unclosed tag/],
    ['<a><b></a>', /closing tag/],
    ['<a>1</a><b>2</b>', /possible root/],
    ['text', /not XML/],
    ['<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', /document types are not accepted/],
    ['<?xml version="1.0"?>\n<!DOCTYPE a><a/>', /document types are not accepted/],
    ['<!-- --><!DOCTYPE a><a/>', /document types are not accepted/],
    [`${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}`, /nested/],
    ['<a><__proto__><polluted>1</polluted></__proto__></a>', /__proto__/],
  ])('XML %.60j is malformed', async (body, reason) => {
    const connection = xmlConnectionTo(await answering(body, { 'Content-Type': 'application/xml' }));
    const error = await failureOf(connection.request('/thing'), MalformedResponseError);
    expect(error).toMatchObject({ code: 'ERR_MALFORMED_RESPONSE', status: 200, contentType: 'application/xml', body });
    expect(error.message).toMatch(reason);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  test('truncated JSON is malformed: the error has the body, bounded, and does not print it', async () => {
    const body = `{"token": ${SECRETS.token}, "list": [${'1,'.repeat(100_000)}`;
    const connection = connectTo(await answering(body, { 'Content-Type': 'application/json' }));
    const error = await failureOf(connection.request('/keys'), MalformedResponseError);
    expect(error.request).toMatch(/^GET http:.*\/keys$/);
    expect(error.message).toContain('Connection: the answer (200) to GET');
    expect(error.body).toBe(body.slice(0, 64 * 1024));
    // V8 quotes the text around the fault.
    expect(`${error.message} ${JSON.stringify(error)}`).not.toContain('tok3n');
    expect(JSON.stringify(error)).not.toContain('list');
  });

  test('an HTML page is named for what it is', async () => {
    const target = await answering('<html>Sign in<br></html>', { 'Content-Type': 'text/html; charset=utf-8' });
    for (const connection of [connectTo(target), xmlConnectionTo(target)]) {
      const { message } = await failureOf(connection.request('/'), MalformedResponseError);
      expect(message).toContain('it is an HTML page: something between here and the provider answered');
    }
  });

  test('that does not unpack is a typed error', async () => {
    const target = await answering('not gzip at all', { 'Content-Encoding': 'gzip' });
    await expect(connectTo(target).request('/')).rejects.toMatchObject({
      code: 'ERR_PROTOCOL',
      phase: 'body',
      hop: 'origin',
      cause: { code: 'Z_DATA_ERROR' },
    });
  });

  test('raw is a stream, handed over before it is complete', async () => {
    const gate = newGate();
    const target = await origin('http', {
      handler: async (_, response) => {
        response.write('first ');
        await gate.opened;
        response.end('second');
      },
    });
    const answer = await connectTo(target).request('/object', { raw: true });
    expect(answer).toBeInstanceOf(RawResponse);
    const [first] = await once(answer.object, 'data');
    expect(String(first)).toBe('first ');
    gate.open();
    expect(await text(answer.object)).toBe('second');
    // What is taken as it is is not asked for in another form.
    expect(target.requests[0]?.headers).toMatchObject({ accept: '*/*' });
    expect(target.requests[0]?.headers['accept-encoding']).toBeUndefined();
  });

  test('raw that was refused is an error all the same, and leaves no connection behind', async () => {
    const target = await answering('gone', {}, 404);
    const connection = connectTo(target, { transport: newTransport({ maxSockets: 1 }) });
    for (let call = 0; call < 2; call += 1) {
      const error = await failureOf(connection.request('/', { raw: true }), NotFoundError);
      expect(error.message).toMatch(/: gone$/);
    }
    expect(target.connectionCount).toBe(1);
  });
});

describe('a refusal', () => {
  test.each<[status: number, Class: typeof ProviderError, code: string, retryable: boolean]>([
    [301, ProviderError, 'ERR_PROVIDER', false],
    [400, ProviderError, 'ERR_PROVIDER', false],
    [401, InvalidCredentialsError, 'ERR_INVALID_CREDENTIALS', false],
    [403, ProviderError, 'ERR_PROVIDER', false],
    [404, NotFoundError, 'ERR_NOT_FOUND', false],
    [407, ProviderError, 'ERR_PROVIDER', false],
    [409, ConflictError, 'ERR_CONFLICT', false],
    [412, ConflictError, 'ERR_CONFLICT', false],
    [422, ProviderError, 'ERR_PROVIDER', false],
    [429, RateLimitError, 'ERR_RATE_LIMIT', true],
    [500, ProviderError, 'ERR_PROVIDER', false],
    [501, ProviderError, 'ERR_PROVIDER', false],
    [502, ServiceUnavailableError, 'ERR_SERVICE_UNAVAILABLE', true],
    [503, ServiceUnavailableError, 'ERR_SERVICE_UNAVAILABLE', true],
    [504, ServiceUnavailableError, 'ERR_SERVICE_UNAVAILABLE', true],
    [505, ProviderError, 'ERR_PROVIDER', false],
    [599, ProviderError, 'ERR_PROVIDER', false],
  ])('%d is %p, %s', async (status, Class, code, retryable) => {
    const target = await answering('why not', { Location: 'http://elsewhere.example/' }, status);
    const error = await failureOf(connectTo(target).request('/thing?sig=abc'), ProviderError);
    expect(error.constructor).toBe(Class);
    expect(error).toMatchObject({
      name: Class.name,
      code,
      status,
      retryable,
      provider: 'Connection',
      retryAfter: null,
    });
    expect(error.message).toBe(`Connection: GET ${target.url}/thing?sig=*** was answered with ${status}: why not`);
  });

  class Telling extends Connection {
    override get provider(): string {
      return 'example';
    }
    protected override async parseError(response: HttpResponse): Promise<ProviderErrorDetails> {
      return await response.json<ProviderErrorDetails>();
    }
  }

  test('has the provider’s code and request id; `kind` wins over the status', async () => {
    const details = { message: 'Slow down', providerCode: 'Throttling', requestId: 'req-1', kind: 'rate-limit' };
    const target = await answering(JSON.stringify(details), {}, 400);
    const error = await failureOf(
      new Telling({ baseUrl: target.url, transport: newTransport() }).request('/'),
      RateLimitError,
    );
    expect(error).toMatchObject({ status: 400, providerCode: 'Throttling', requestId: 'req-1', retryable: true });
    expect(error.message).toMatch(/^example: GET .* was answered with 400: Throttling: Slow down$/);
  });

  test.each<[value: string | undefined, milliseconds: unknown]>([
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['Fri, 31 Dec 1999 23:59:59 GMT', 0],
    ['soon', null],
    ['-5', null],
    ['1.5', null],
    ['9'.repeat(400), null],
    ['2030-01-01', null],
    [undefined, null],
  ])('Retry-After: %s is %p milliseconds', async (value, milliseconds) => {
    const target = await answering('', value === undefined ? {} : { 'Retry-After': value }, 503);
    await expect(connectTo(target).request('/')).rejects.toMatchObject({ retryAfter: milliseconds });
  });

  test('Retry-After with a date is the time until then', async () => {
    const target = await answering('', { 'Retry-After': new Date(Date.now() + 60_000).toUTCString() }, 429);
    const { retryAfter } = await failureOf(connectTo(target).request('/'), RateLimitError);
    expect(retryAfter).toBeGreaterThan(50_000);
    expect(retryAfter).toBeLessThanOrEqual(60_000);
  });

  test('of the proxy is a transport error, not the provider’s', async () => {
    const [target, guarded] = await Promise.all([
      origin(),
      proxy('http', { auth: { username: 'user', password: SECRETS.plainPassword } }),
    ]);
    const connection = connectTo(target, { http_proxy: guarded.url });
    await expect(connection.request('/')).rejects.toMatchObject({
      code: 'ERR_PROXY_AUTHENTICATION',
      hop: 'proxy',
      phase: 'response',
      schemes: ['basic'],
    });
    expect(target.connectionCount).toBe(0);
  });

  test('by a 407 that the origin gave is the provider’s', async () => {
    const target = await answering('', {}, 407);
    await expect(connectTo(target).request('/')).rejects.toMatchObject({ code: 'ERR_PROVIDER', status: 407 });
  });
});

describe('a call', () => {
  test('past its deadline fails, typed, also in the middle of the body', async () => {
    const target = await origin('http', { handler: (_, response) => void response.write('{"begun":') });
    await expect(connectTo(target).request('/', { timeout: 50 })).rejects.toMatchObject({
      code: 'ERR_TIMEOUT',
      deadline: 'total',
      phase: 'body',
    });
    await target.waitUntilIdle();
  });

  test('lays its deadlines over the connection’s', async () => {
    const target = await origin('http', { handler: () => {} });
    const connection = connectTo(target, { timeout: { total: 30_000, firstByte: 40 } });
    await expect(connection.request('/')).rejects.toMatchObject({ code: 'ERR_TIMEOUT', deadline: 'firstByte' });
    await expect(connection.request('/', { timeout: { firstByte: 0, total: 30 } })).rejects.toMatchObject({
      code: 'ERR_TIMEOUT',
      deadline: 'total',
      milliseconds: 30,
    });
  });

  test('aborted fails with the signal’s reason and leaves no socket', async () => {
    const target = await origin('http', { handler: () => {} });
    const controller = new AbortController();
    const call = connectTo(target).request('/', { signal: controller.signal });
    await target.waitForRequests(1);
    const reason = { why: 'the user left' };
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
    await target.waitUntilIdle();
  });

  test('aborted before it began sends nothing', async () => {
    const target = await origin();
    const reason = new RangeError('too late');
    await expect(connectTo(target).request('/', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(target.connectionCount).toBe(0);
  });
});

describe('a key', () => {
  test.each(['', '   ', 'key\n', 'ke\u0000y'])('%j is refused', (key) => {
    expect(() => new KeyConnection(key, {}, 'https://api.example')).toThrow(refusal('key'));
    expect(() => new UserAndKeyConnection(key, 'key', {}, 'https://api.example')).toThrow(refusal('userId'));
  });

  test('reaches the driver’s override points, and its options the connection', async () => {
    class Example extends UserAndKeyConnection {
      protected override addDefaultHeaders(headers: MutableHeaders): void {
        headers.Authorization = `${this.userId} ${this.key}`;
      }
    }
    const [target, A] = await Promise.all([origin(), proxy()]);
    const connection = new Example('me', SECRETS.secretKey, {
      baseUrl: target.url,
      transport: newTransport(),
      http_proxy: A.url,
    });
    await connection.request('/');
    expect(target.requests[0]?.headers.authorization).toBe(`me ${SECRETS.secretKey}`);
    expect(A.hops).toHaveLength(1);
  });
});
