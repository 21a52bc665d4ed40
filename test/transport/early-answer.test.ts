import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import {
  ProxyAuthenticationError,
  type RequestBody,
  ResetError,
  type Transport,
  type TransportRequest,
} from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { expectNothingLeft, failureOf, newTransport, until } from './lab.ts';
import { ENDINGS, type Ending, type Layer, type Refuser, startRefuser } from './refuser.ts';

/** More than all buffers on the way hold. */
const SIZE = 8 * 1024 * 1024;
const RUNS = Number(process.env.CLOUDLANE_EARLY_ANSWERS ?? 3);
const PAGE = 'this is far too much';
const TOO_MUCH = answer('413 Content Too Large');
const NO_CREDENTIALS = answer('407 Proxy Authentication Required', 'Proxy-Authenticate: Basic realm="lab"\r\n');

function answer(status: string, headers = ''): string {
  return `HTTP/1.1 ${status}\r\n${headers}Content-Length: ${PAGE.length}\r\n\r\n${PAGE}`;
}

const BODIES: Readonly<Record<string, () => RequestBody>> = {
  'a buffer': () => Buffer.alloc(SIZE),
  'a stream': () => Readable.from(chunks()),
};

function* chunks(): Generator<Buffer> {
  for (let sent = 0; sent < SIZE; sent += 65_536) yield Buffer.alloc(65_536);
}

/** How the refuser is reached: it is the origin, or a proxy as well, or the proxy that would forward. */
interface Route {
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly url: string;
  /** Scheme of the proxy. */
  readonly via?: string;
}

const FORWARDERS: readonly Route[] = [
  { name: 'an http proxy that would forward', layers: [], url: 'http://origin.example', via: 'http' },
  { name: 'an https proxy that would forward', layers: ['tls'], url: 'http://origin.example', via: 'https' },
];

const ROUTES: readonly Route[] = [
  { name: 'an http origin', layers: [], url: 'http:' },
  { name: 'an https origin', layers: ['tls'], url: 'https:' },
  { name: 'an https origin by an http proxy', layers: ['connect', 'tls'], url: 'https:', via: 'http' },
  { name: 'an https origin by an https proxy', layers: ['tls', 'connect', 'tls'], url: 'https:', via: 'https' },
  { name: 'an http origin by SOCKS', layers: ['socks5'], url: 'http:', via: 'socks5h' },
  { name: 'an https origin by SOCKS', layers: ['socks5', 'tls'], url: 'https:', via: 'socks5h' },
  ...FORWARDERS,
];

async function start(
  { layers, url, via }: Route,
  said: string,
  ending: Ending,
): Promise<{ refuser: Refuser; request: TransportRequest }> {
  const refuser = await startRefuser({ layers, answer: said, ending });
  const { authority } = refuser;
  const http_proxy = via === undefined ? null : `${via}://${authority}`;
  return { refuser, request: { url: url.endsWith(':') ? `${url}//${authority}` : url, http_proxy } };
}

const CASES = Object.keys(ENDINGS).flatMap((ending) =>
  Object.keys(BODIES).map((body) => [body, ending as Ending] as const),
);

async function upload(transport: Transport, request: TransportRequest, body: string): Promise<string> {
  const response = await transport.send({ ...request, method: 'PUT', body: BODIES[body]?.() ?? null });
  return `${response.status} ${await text(response.body)}`;
}

/** How often of `RUNS` the answer is heard, or what came instead. */
async function repeat(transport: Transport, request: TransportRequest, body: string): Promise<string[]> {
  const answers: string[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    answers.push(await upload(transport, request, body).catch((error: unknown) => String(error)));
  }
  return answers;
}

describe.each(ROUTES)('the early answer of $name', (route) => {
  test.each(CASES)('to %s is heard though the server then %s', async (body, ending) => {
    const { request } = await start(route, TOO_MUCH, ending);
    expect(await repeat(newTransport(), request, body)).toEqual(Array(RUNS).fill(`413 ${PAGE}`));
  });
});

describe.each(FORWARDERS)('the early 407 of $name', (route) => {
  test.each(CASES)('to %s is told though it then %s', async (body, ending) => {
    const { request } = await start(route, NO_CREDENTIALS, ending);
    const error = await failureOf(upload(newTransport(), request, body), ProxyAuthenticationError);
    expect([error.schemes, String(error.body)]).toEqual([['basic'], PAGE]);
  });
});

describe.each(ROUTES)('the connection of an early answer of $name', (route) => {
  async function expectClosed(said: string, body: string, ending: Ending): Promise<void> {
    const { refuser, request } = await start(route, said, ending);
    const transport = newTransport();
    await repeat(transport, request, body);
    await expectNothingLeft(transport);
    await refuser.readToTheEnd();
  }

  test.each(CASES)('to %s is closed though the server %s', (body, ending) => expectClosed(TOO_MUCH, body, ending));
});

describe.each(ROUTES)('without an answer of $name', (route) => {
  test.each(CASES.filter(([, ending]) => ending !== 'stops reading'))(
    'an upload of %s fails when it %s',
    async (body, ending) => {
      const { refuser, request } = await start(route, '', ending);
      const transport = newTransport();
      const error = await failureOf(upload(transport, request, body), ResetError);
      expect(error).toMatchObject({ code: 'ERR_RESET', retryable: false, reusedConnection: false });
      await expectNothingLeft(transport);
      await refuser.readToTheEnd();
    },
  );
});

test('a refused upload whose rest nobody reads gives its connection up', async () => {
  const answer = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno';
  const refuser = await startRefuser({ layers: [], answer, ending: 'stops reading' });
  const transport = newTransport({ maxSockets: 1 });
  const body = Buffer.alloc(8 * 1024 * 1024);
  for (let call = 0; call < 2; call += 1) {
    const sent = { method: 'PUT', url: `http://${refuser.authority}`, http_proxy: null, body };
    expect(await text((await transport.send(sent)).body)).toBe('no');
  }
});

test('an early answer that is no refusal does not hold its connection beyond the idle deadline', async () => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const refuser = await startRefuser({ layers: [], answer, ending: 'stops reading' });
  const transport = newTransport({ timeout: { idle: 100 } });
  const body = Buffer.alloc(30 * 1024 * 1024);
  const sent = { method: 'PUT', url: `http://${refuser.authority}`, http_proxy: null, body };
  expect(await text((await transport.send(sent)).body)).toBe('ok');
  await until(() => transport.connections.length === 0);
});
