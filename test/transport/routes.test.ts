import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer, json } from 'node:stream/consumers';
import type { LabOrigin, LabProxy, OriginHandler } from '@cloudlane/testing';
import { startOrigin, startProxy } from '@cloudlane/testing';
import { ProxyAuthenticationError, type TransportRequest } from '@cloudlane/transport';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AUTH, certificate, failureOf, newTransport, type Scheme } from './lab.ts';

const BYTES = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7) % 251));

const ROUTES = ['direct', 'http proxy', 'https proxy'] as const;
/** `open`: the proxy asks for none. The others meet a proxy that wants credentials. */
const AUTHS = ['open', 'right', 'wrong', 'none'] as const;
const PAYLOADS = ['json', 'raw upload', 'stream upload', 'stream download'] as const;

type Payload = (typeof PAYLOADS)[number];
interface Row {
  readonly scheme: Scheme;
  readonly route: (typeof ROUTES)[number];
  readonly auth: (typeof AUTHS)[number];
  readonly payload: Payload;
}

const rows: Row[] = (['http', 'https'] as const).flatMap((scheme) =>
  ROUTES.flatMap((route) =>
    AUTHS.filter((auth) => route !== 'direct' || auth === 'open').flatMap((auth) =>
      PAYLOADS.map((payload) => ({ scheme, route, auth, payload })),
    ),
  ),
);

/** Echoes what it got, except that a download is `BYTES`. */
const answer: OriginHandler = async (request, response) => {
  if (request.url?.startsWith('/stream-download')) return void Readable.from([BYTES, BYTES]).pipe(response);
  return void response.end(await buffer(request));
};

const requests: Readonly<Record<Payload, () => Partial<TransportRequest>>> = {
  json: () => ({ method: 'POST', body: '{"größe":1}', headers: { 'Content-Type': 'application/json' } }),
  'raw upload': () => ({ method: 'PUT', body: BYTES }),
  'stream upload': () => ({ method: 'PUT', body: Readable.from([BYTES, BYTES]) }),
  'stream download': () => ({}),
};

const servers: Record<string, LabOrigin> = {};
const proxies: Record<string, LabProxy> = {};

beforeAll(async () => {
  for (const scheme of ['http', 'https'] as const) {
    const tls = scheme === 'https' && { tls: certificate };
    servers[scheme] = await startOrigin({ handler: answer, ...tls });
    proxies[`${scheme} open`] = await startProxy({ ...tls });
    proxies[`${scheme} closed`] = await startProxy({
      ...tls,
      auth: AUTH,
      realm: 'staff "only"',
      schemes: ['Negotiate', 'Basic'],
    });
  }
});

afterAll(async () => {
  for (const server of [...Object.values(proxies), ...Object.values(servers)]) await server.close();
});

function serversOf({ scheme, route, auth }: Row): { origin: LabOrigin; proxy: LabProxy | null } {
  const origin = servers[scheme];
  const proxy = proxies[`${route.replace(' proxy', '')} ${auth === 'open' ? 'open' : 'closed'}`] ?? null;
  if (!origin) throw new Error(`no ${scheme} origin`);
  return { origin, proxy };
}

function settingOf({ auth }: Row, proxy: LabProxy | null): string | null {
  if (proxy === null) return null;
  if (auth === 'right') return proxy.urlWithCredentials;
  return auth === 'wrong' ? proxy.url.replace('://', '://user:Wr0ng-Passw0rd@') : proxy.url;
}

function bodyOf(payload: Payload): Buffer {
  if (payload === 'json') return Buffer.from('{"größe":1}');
  return payload === 'raw upload' ? BYTES : Buffer.concat([BYTES, BYTES]);
}

/** jest compares buffers byte by byte in JavaScript, far too slowly for these. */
function digest(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const allowed = rows.filter(({ auth }) => auth === 'open' || auth === 'right');
const refused = rows.filter(({ auth }) => auth === 'wrong' || auth === 'none');

describe.each(allowed)('$scheme origin, $route, $auth credentials: $payload', (row) => {
  test('arrives whole, by that route only', async () => {
    const { origin, proxy } = serversOf(row);
    const transport = newTransport();
    proxy?.reset();
    const before = origin.requests.length;
    const path = `/${row.payload.replaceAll(' ', '-')}?q=%20`;

    const response = await transport.send({
      url: `${origin.url}${path}`,
      http_proxy: settingOf(row, proxy),
      ...requests[row.payload](),
    });
    expect(digest(await buffer(response.body))).toBe(digest(bodyOf(row.payload)));
    expect(response).toMatchObject({ status: 200, statusText: 'OK', reusedConnection: false });

    const seen = origin.requests.slice(before);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({
      method: requests[row.payload]().method ?? 'GET',
      target: path,
      complete: true,
    });
    const uploaded = row.payload === 'stream download' ? Buffer.alloc(0) : bodyOf(row.payload);
    expect(digest(seen[0]?.body ?? '')).toBe(digest(uploaded));
    expect(seen[0]?.headers).not.toHaveProperty('proxy-authorization');
    expect(seen[0]?.headers.host).toBe(`127.0.0.1:${origin.port}`);
    // What a forward proxy adds shows that the request took it; a tunnel adds nothing.
    expect(seen[0]?.headers.via).toBe(response.route.kind === 'forward' ? '1.1 cloudlane-lab' : undefined);

    if (proxy === null) return expect(response.route).toEqual({ kind: 'direct' });
    const forward = row.scheme === 'http';
    expect(response.route.kind).toBe(forward ? 'forward' : 'tunnel');
    expect(proxy.hops).toHaveLength(1);
    expect(proxy.hops[0]).toMatchObject({
      kind: forward ? 'forward' : 'connect',
      target: forward ? `${origin.url}${path}` : `127.0.0.1:${origin.port}`,
      status: 200,
      authorized: true,
      username: row.auth === 'right' ? 'user' : null,
    });
    expect(proxy.hops[0]?.headers.host).toBe(`127.0.0.1:${origin.port}`);
  });
});

describe.each(refused)('$scheme origin, $route, $auth credentials: $payload', (row) => {
  test('is refused by the proxy, and the origin sees nothing', async () => {
    const { origin, proxy } = serversOf(row);
    const transport = newTransport();
    proxy?.reset();
    const before = [origin.requests.length, origin.connectionCount];

    const error = await failureOf(
      transport.send({ url: `${origin.url}/`, http_proxy: settingOf(row, proxy), ...requests[row.payload]() }),
      ProxyAuthenticationError,
    );
    expect(error).toMatchObject({
      code: 'ERR_PROXY_AUTHENTICATION',
      phase: row.scheme === 'http' ? 'response' : 'proxy-handshake',
      hop: 'proxy',
      status: 407,
      schemes: ['negotiate', 'basic'],
      realm: 'staff "only"',
      url: `${origin.url}/`,
      hasConnectedToProxy: true,
      retryable: false,
    });
    expect(error.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(error.body.toString()).toContain('This proxy needs credentials.');
    expect(error.message).toContain(
      row.auth === 'wrong' ? 'the credentials were not accepted' : 'it wants credentials; write http://user:password@',
    );
    expect(error.message).not.toContain('Wr0ng-Passw0rd');
    expect(proxy?.hops).toMatchObject([
      { status: 407, authorized: false, username: row.auth === 'wrong' ? 'user' : null },
    ]);
    expect([origin.requests.length, origin.connectionCount]).toEqual(before);
  });
});

test('an answer prints as <Response [200]>', async () => {
  const { origin } = serversOf({ scheme: 'http', route: 'direct', auth: 'open', payload: 'json' });
  const response = await newTransport().send({ url: origin.url, method: 'POST', body: '{"a":1}', http_proxy: null });
  expect(String(response)).toBe('<Response [200]>');
  expect(await json(response.body)).toEqual({ a: 1 });
});
