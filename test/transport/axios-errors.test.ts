// Every failure of the way is an AxiosError to the code of others, and has the typed error as its cause.
import { getEventListeners, once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { InvalidOptionError, InvalidProxyUrlError } from '@cloudlane/proxy';
import { closedPort } from '@cloudlane/testing';
import {
  ClosedError,
  ConnectError,
  ProtocolError,
  ProxyAuthenticationError,
  ProxyConnectError,
  ProxyTunnelError,
  ResetError,
  TimeoutError,
  TlsError,
  type Transport,
} from '@cloudlane/transport';
import { describe, expect, jest, test } from '@jest/globals';
import axios, { AxiosError, type AxiosRequestConfig, CanceledError } from 'axios';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { AUTH, expectNothingLeft, failureOf, newTransport, origin, proxy } from './lab.ts';

type Failing = () => Promise<AxiosRequestConfig & { readonly over?: Transport }>;

const FAILURES: readonly [string, abstract new (...args: never[]) => Error, Failing][] = [
  ['ERR_CONNECT', ConnectError, async () => ({ url: `http://127.0.0.1:${await closedPort()}`, http_proxy: null })],
  ['ERR_TLS', TlsError, async () => ({ url: (await origin('https')).url, http_proxy: null, tls: {} })],
  [
    'ERR_TIMEOUT',
    TimeoutError,
    async () => ({ url: (await origin('http', { handler: () => {} })).url, http_proxy: null, timeout: 50 }),
  ],
  [
    'ERR_RESET',
    ResetError,
    async () => ({
      url: (await origin('http', { handler: (_, response) => void response.write('half', () => response.destroy()) }))
        .url,
      http_proxy: null,
    }),
  ],
  [
    'ERR_PROTOCOL',
    ProtocolError,
    async () => ({
      ...{ url: (await origin()).url, http_proxy: null, method: 'put', headers: { 'Content-Length': '5' } },
      data: new Blob(['much more']).stream(),
    }),
  ],
  [
    'ERR_CLOSED',
    ClosedError,
    async () => {
      const over = newTransport();
      await over.close();
      return { url: 'http://x.example', http_proxy: null, over };
    },
  ],
  [
    'ERR_PROXY_CONNECT',
    ProxyConnectError,
    async () => ({ url: 'http://x.example', http_proxy: `http://127.0.0.1:${await closedPort()}` }),
  ],
  [
    'ERR_PROXY_AUTHENTICATION',
    ProxyAuthenticationError,
    async () => ({ url: 'https://x.example', http_proxy: (await proxy('http', { auth: AUTH })).url }),
  ],
  [
    'ERR_PROXY_TUNNEL',
    ProxyTunnelError,
    async () => {
      const misbehaviour = { kind: 'reply', status: 403, body: '{"not":"the origin"}' } as const;
      return { url: 'https://x.example', http_proxy: (await proxy('http', { misbehaviour })).url };
    },
  ],
];

describe('an AxiosError with its cause', () => {
  test.each(FAILURES)('%s', async (code, Class, make) => {
    const { over = newTransport(), ...config } = await make();
    const error = await failureOf(over.axios.request(config), AxiosError);
    expect(error.cause).toBeInstanceOf(Class);
    expect(axios.isAxiosError(error)).toBe(true);
    expect(error).toMatchObject({ name: 'AxiosError', code, message: error.cause?.message });
    expect(error.cause).toMatchObject({ code });
    expect(error.config?.url).toBe(config.url);
    expect(error.request).toMatchObject({ method: config.method?.toUpperCase() ?? 'GET' });
    // Nothing of what a proxy has answered may be taken for the origin's.
    expect([error.response, error.status]).toEqual([undefined, undefined]);
  });

  test('the words of timeoutErrorMessage in place of ours', async () => {
    const server = await origin('http', { handler: () => {} });
    const config = { http_proxy: null, timeout: 50, timeoutErrorMessage: 'too slow' };
    const error = await failureOf(newTransport().axios.get(server.url, config), AxiosError);
    expect(error).toMatchObject({ message: 'too slow', code: 'ERR_TIMEOUT' });
    expect(error.cause).toMatchObject({ deadline: 'total', milliseconds: 50 });
  });

  test('a body that is not what its coding says, with what the decoder says', async () => {
    const server = await origin('http', {
      handler: (_, response) => void response.writeHead(200, { 'Content-Encoding': 'gzip' }).end('not gzip'),
    });
    const error = await failureOf(newTransport().axios.get(server.url, { http_proxy: null }), AxiosError);
    expect(error).toMatchObject({ code: 'ERR_BAD_RESPONSE', message: 'incorrect header check' });
    expect(error.cause).toMatchObject({ code: 'Z_DATA_ERROR' });
  });

  test('a body in more codings than are undone, with its count; and its connection is freed', async () => {
    const codings = Array(6).fill('gzip').join();
    const server = await origin('http', {
      handler: ({ url }, response) => {
        response.writeHead(200, { 'Content-Encoding': codings }).write('x');
        if (url === '/whole') response.end();
      },
    });
    const transport = newTransport();
    const error = await failureOf(transport.axios.get(server.url, { http_proxy: null }), AxiosError);
    expect(error).toMatchObject({ code: 'ERR_BAD_RESPONSE', message: expect.stringContaining('in 6 content codings') });
    expect(error.cause).toMatchObject({ code: 'ERR_TOO_MANY_CODINGS' });
    await expectNothingLeft(transport);
    const asItIs = { http_proxy: null, decompress: false };
    expect((await transport.axios.get(`${server.url}/whole`, asItIs)).data).toBe('x');
  });

  test('but a call that was wrong is told as it is', async () => {
    const { axios } = newTransport();
    await failureOf(axios.get('http://x.example', { http_proxy: 'http://127.0.0.1:port' }), InvalidProxyUrlError);
    await failureOf(axios.get('http://x.example', { http_proxy: null, timeout: -1 }), InvalidOptionError);
  });

  test('but a stream that breaks off fails with the typed error', async () => {
    const server = await origin('http', { handler: (_, response) => void response.writeHead(200).write('half') });
    const transport = newTransport();
    const { data } = await transport.axios.get<Readable>(server.url, { http_proxy: null, responseType: 'stream' });
    await once(data, 'readable');
    await server.close();
    await failureOf(text(data), ResetError);
  });
});

/** What can be made of an error without asking for what it holds. */
function printsOf(error: Error): string {
  return [
    inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
    inspect({ ...error }, { depth: Number.POSITIVE_INFINITY }),
    inspect(error.cause, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
    JSON.stringify(error),
    JSON.stringify({ ...error }),
    String(error.stack),
    String(error),
  ].join('\n');
}

describe('nothing secret is printed of an error', () => {
  const credentials = {
    headers: { Authorization: `Bearer ${SECRETS.token}`, Cookie: SECRETS.originPassword },
    auth: { username: 'me', password: SECRETS.originPassword },
  };

  test('of a proxy that refuses', async () => {
    for (const scheme of ['http', 'https'] as const) {
      const [server, through] = [await origin(scheme), await proxy('http', { auth: AUTH })];
      const http_proxy = through.url.replace('://', `://user:${SECRETS.plainPassword}@`);
      const config = { ...credentials, http_proxy, baseURL: server.url };
      const sent = newTransport().axios.get(`/path?sig=${SECRETS.token}`, config);
      const error = await failureOf(sent, AxiosError);
      expect(secretsIn(printsOf(error))).toEqual([]);
      expect(JSON.parse(JSON.stringify(error))).toMatchObject({
        ...{ code: 'ERR_PROXY_AUTHENTICATION', method: 'GET', url: `${server.url}/path?sig=***` },
        cause: { name: 'ProxyAuthenticationError', hop: 'proxy' },
      });
      expect(inspect(error)).toContain('was refused: 407');
      // But who asks for the config has it.
      expect(error.config?.auth?.password).toBe(SECRETS.originPassword);
      expect(server.connectionCount).toBe(0);
    }
  });

  test('of an answer that axios itself does not understand', async () => {
    const server = await origin('http', { handler: (_, response) => void response.end('no JSON') });
    const strict = { responseType: 'json', transitional: { silentJSONParsing: false } } as const;
    const sent = newTransport().axios.get(server.url, { ...credentials, http_proxy: null, ...strict });
    const error = await failureOf(sent, AxiosError);
    expect(error.code).toBe('ERR_BAD_RESPONSE');
    expect(secretsIn(printsOf(error))).toEqual([]);
  });

  test('of a call that was cancelled before, or is cancelled', async () => {
    const server = await origin('http', { handler: () => {} });
    const { axios } = newTransport();
    const controller = new AbortController();
    const sent = axios.get(server.url, { ...credentials, http_proxy: null, signal: controller.signal });
    sent.catch(() => {});
    await server.waitForRequests(1);
    controller.abort();
    const again = axios.get(server.url, { ...credentials, http_proxy: null, signal: controller.signal });
    for (const call of [sent, again]) {
      expect(secretsIn(printsOf(await failureOf(call, CanceledError)))).toEqual([]);
    }
    expect(server.requests).toHaveLength(1);
  });
});

describe('cancelling', () => {
  test.each(['a signal', 'a CancelToken', 'both'])(
    'with %s during CONNECT rejects as axios does and leaves no socket',
    async (how) => {
      const through = await proxy('http', { misbehaviour: { kind: 'hang' } });
      const transport = newTransport();
      const controller = new AbortController();
      const source = axios.CancelToken.source();
      const sent = transport.axios.get('https://x.example', {
        http_proxy: through.url,
        ...(how !== 'a CancelToken' && { signal: controller.signal }),
        ...(how !== 'a signal' && { cancelToken: source.token }),
      });
      sent.catch(() => {});
      await through.waitForHops(1);
      if (how === 'a CancelToken') source.cancel('enough');
      else controller.abort();
      const error = await failureOf(sent, CanceledError);
      expect(axios.isCancel(error)).toBe(true);
      expect([error.code, error.message]).toEqual(['ERR_CANCELED', how === 'a CancelToken' ? 'enough' : 'canceled']);
      await expectNothingLeft(transport, through);
    },
  );

  test('before the call sends nothing', async () => {
    const server = await origin();
    const { axios: client } = newTransport();
    const source = axios.CancelToken.source();
    source.cancel('never');
    for (const config of [{ signal: AbortSignal.abort() }, { cancelToken: source.token }]) {
      await failureOf(client.get(server.url, { http_proxy: null, ...config }), CanceledError);
    }
    expect(server.connectionCount).toBe(0);
  });

  test('while the request is made sends nothing', async () => {
    const server = await origin();
    const { axios: client } = newTransport();
    const { token } = axios.CancelToken.source();
    for (const config of [{}, { cancelToken: token }]) {
      const controller = new AbortController();
      const transformRequest = () => controller.abort();
      const sent = client.get(server.url, {
        ...{ http_proxy: null, signal: controller.signal, transformRequest },
        ...config,
      });
      await failureOf(sent, CanceledError);
    }
    expect(server.requests).toEqual([]);
  });

  test('comes before a timeout that is longer, and after one that is shorter', async () => {
    const server = await origin('http', { handler: () => {} });
    const { axios } = newTransport();
    const signal = AbortSignal.timeout(50);
    await failureOf(axios.get(server.url, { http_proxy: null, timeout: 60_000, signal }), CanceledError);
    const controller = new AbortController();
    const late = axios.get(server.url, { http_proxy: null, timeout: 50, signal: controller.signal });
    expect((await failureOf(late, AxiosError)).cause).toBeInstanceOf(TimeoutError);
  });

  test('leaves no listener behind on what may outlive many calls', async () => {
    const server = await origin('http', {
      handler: ({ url }, response) => void response.writeHead(Number(url?.slice(1))).end(),
    });
    const { axios: client } = newTransport();
    const { signal } = new AbortController();
    const { token } = axios.CancelToken.source();
    const unsubscribe = jest.spyOn(token, 'unsubscribe');
    const subscribe = jest.spyOn(token, 'subscribe');
    for (const config of [{ signal }, { signal, cancelToken: token }]) {
      await client.get(`${server.url}/200`, { http_proxy: null, ...config });
      await failureOf(client.get(`${server.url}/500`, { http_proxy: null, ...config }), AxiosError);
      const { data } = await client.get(`${server.url}/200`, { http_proxy: null, responseType: 'stream', ...config });
      data.resume();
      await once(data, 'close');
    }
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(subscribe).toHaveBeenCalledTimes(3);
    expect(unsubscribe.mock.calls).toEqual(expect.arrayContaining(subscribe.mock.calls));
  });

  test('fails a stream that is being read', async () => {
    const server = await origin('http', { handler: (_, response) => void response.writeHead(200).write('half') });
    const transport = newTransport();
    const controller = new AbortController();
    const { data } = await transport.axios.get<Readable>(server.url, {
      http_proxy: null,
      responseType: 'stream',
      signal: controller.signal,
    });
    await once(data, 'readable');
    const read = text(data);
    controller.abort();
    await expect(read).rejects.toBe(controller.signal.reason);
    await expectNothingLeft(transport, server);
  });
});
