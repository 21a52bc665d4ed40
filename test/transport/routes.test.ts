import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer, json } from 'node:stream/consumers';
import {
  type LabOrigin,
  type LabProxy,
  type LabSocks,
  type OriginHandler,
  startOrigin,
  startProxy,
  startSocks,
} from '@cloudlane/testing';
import { ProxyAuthenticationError, SocksError, type TransportError, type TransportRequest } from '@cloudlane/transport';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AUTH, certificate, failureOf, isSocks, looksUp, newTransport, type Scheme, SOCKS_SCHEMES } from './lab.ts';

const BYTES = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7) % 251));
/** A name that only the SOCKS proxies of this file know, and the certificate of the https origin. */
const PRIVATE = 'origin.example';

const ROUTES = ['direct', 'http', 'https', ...SOCKS_SCHEMES] as const;
/** `open`: the proxy asks for none. The others meet a proxy that wants credentials, in SOCKS4 a user id. */
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
const socksProxies: Record<string, LabSocks> = {};

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
  const hosts = { [PRIVATE]: '127.0.0.1' };
  socksProxies.open = await startSocks({ hosts });
  socksProxies.closed = await startSocks({ hosts, auth: AUTH, userId: AUTH.username });
});

afterAll(async () => {
  const all = [...Object.values(proxies), ...Object.values(socksProxies), ...Object.values(servers)];
  for (const server of all) await server.close();
});

/** What a row goes through, and where to: names where names can be looked up on either side. */
function wayOf({ scheme, route, auth }: Row) {
  const origin = servers[scheme];
  if (!origin) throw new Error(`no ${scheme} origin`);
  const proxy = proxies[`${route} ${auth === 'open' ? 'open' : 'closed'}`] ?? null;
  const socks = (isSocks(route) && socksProxies[auth === 'open' ? 'open' : 'closed']) || null;
  proxy?.reset();
  socks?.reset();
  const host = socks ? (looksUp(route) ? 'localhost' : PRIVATE) : '127.0.0.1';
  return {
    origin,
    authority: `${host}:${origin.port}`,
    http_proxy: settingOf(route, auth, proxy, socks),
    proxy,
    socks,
  };
}

function settingOf(route: Row['route'], auth: Row['auth'], proxy: LabProxy | null, socks: LabSocks | null) {
  const [url, right] =
    isSocks(route) && socks
      ? [socks.urlFor(route), socks.urlFor(route, { credentials: true })]
      : [proxy?.url ?? null, proxy?.urlWithCredentials ?? null];
  if (auth === 'right') return right;
  if (auth !== 'wrong' || url === null) return url;
  return url.replace('://', url.startsWith('socks4') ? '://mallory@' : '://user:Wr0ng-Passw0rd@');
}

function bodyOf(payload: Payload): Buffer {
  if (payload === 'json') return Buffer.from('{"größe":1}');
  return payload === 'raw upload' ? BYTES : Buffer.concat([BYTES, BYTES]);
}

/** jest compares buffers far too slowly. */
function digest(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const allowed = rows.filter(({ auth }) => auth === 'open' || auth === 'right');
const refused = rows.filter(({ auth }) => auth === 'wrong' || auth === 'none');

describe.each(allowed)('$scheme origin, $route route, $auth credentials: $payload', (row) => {
  test('arrives whole, by that route only', async () => {
    const { origin, authority, http_proxy, proxy, socks } = wayOf(row);
    const transport = newTransport();
    const before = origin.requests.length;
    const path = `/${row.payload.replaceAll(' ', '-')}?q=%20`;

    const url = `${row.scheme}://${authority}${path}`;
    const response = await transport.send({ url, http_proxy, ...requests[row.payload]() });
    expect(digest(await buffer(response.body))).toBe(digest(bodyOf(row.payload)));
    expect(response).toMatchObject({ status: 200, statusText: 'OK', reusedConnection: false });

    const seen = origin.requests.slice(before);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({
      method: requests[row.payload]().method ?? 'GET',
      target: path,
      complete: true,
      servername: row.scheme === 'https' && socks ? authority.split(':')[0] : null,
    });
    const uploaded = row.payload === 'stream download' ? Buffer.alloc(0) : bodyOf(row.payload);
    expect(digest(seen[0]?.body ?? '')).toBe(digest(uploaded));
    expect(seen[0]?.headers).not.toHaveProperty('proxy-authorization');
    expect(seen[0]?.headers.host).toBe(authority);
    // What a forward proxy adds shows that the request took it; a tunnel adds nothing.
    expect(seen[0]?.headers.via).toBe(response.route.kind === 'forward' ? '1.1 cloudlane-lab' : undefined);

    const forward = row.scheme === 'http';
    if (proxy) {
      expect(response.route.kind).toBe(forward ? 'forward' : 'tunnel');
      expect(proxy.hops).toHaveLength(1);
      expect(proxy.hops[0]).toMatchObject({
        kind: forward ? 'forward' : 'connect',
        target: forward ? url : authority,
        status: 200,
        authorized: true,
        username: row.auth === 'right' ? 'user' : null,
      });
      expect(proxy.hops[0]?.headers.host).toBe(authority);
    } else if (socks) {
      expect(response.route).toMatchObject({ kind: 'socks', proxy: { scheme: row.route } });
      expect(socks.hops).toEqual([expect.objectContaining(socksHop(row, authority))]);
    } else expect(response.route).toEqual({ kind: 'direct' });
  });
});

/** What a SOCKS proxy sees of a row that it lets through. */
function socksHop({ route, auth }: Row, authority: string): Partial<LabSocks['hops'][number]> {
  const isRight = auth === 'right';
  const address = looksUp(route)
    ? ({ target: authority.replace('localhost', '127.0.0.1'), addressType: 'ipv4' } as const)
    : ({ target: authority, addressType: 'name' } as const);
  const version = route.startsWith('socks4')
    ? ({ version: 4, methods: [], username: null, userId: isRight ? 'user' : '', reply: 90 } as const)
    : ({
        version: 5,
        methods: isRight ? [0, 2] : [0],
        username: isRight ? 'user' : null,
        userId: null,
        reply: 0,
      } as const);
  return { kind: 'socks', authorized: true, ...address, ...version };
}

describe.each(refused.filter(({ route }) => !isSocks(route)))(
  '$scheme origin, $route route, $auth credentials: $payload',
  (row) => {
    test('is refused by the proxy, and the origin sees nothing', async () => {
      const { error, hops } = await refusalOf(row, ProxyAuthenticationError);
      const isWrong = row.auth === 'wrong';
      expect(error).toMatchObject({
        code: 'ERR_PROXY_AUTHENTICATION',
        phase: row.scheme === 'http' ? 'response' : 'proxy-handshake',
        status: 407,
        schemes: ['negotiate', 'basic'],
        realm: 'staff "only"',
      });
      expect(error.headers['content-type']).toBe('text/html; charset=utf-8');
      expect(error.body.toString()).toContain('This proxy needs credentials.');
      expect(error.message).toContain(
        isWrong ? 'the credentials were not accepted' : 'it wants credentials; write http://user:password@',
      );
      expect(hops).toMatchObject([{ status: 407, authorized: false, username: isWrong ? 'user' : null }]);
    });
  },
);

describe.each(refused.filter(({ route }) => isSocks(route)))(
  '$scheme origin, $route route, $auth credentials: $payload',
  (row) => {
    test('is refused by the proxy, and the origin sees nothing', async () => {
      const { error, hops } = await refusalOf(row, SocksError);
      const isWrong = row.auth === 'wrong';
      const [facts, says, hop] = row.route.startsWith('socks4')
        ? [{ step: 'request', replyCode: 93 }, 'the user id is not', { reply: 93, userId: isWrong ? 'mallory' : '' }]
        : isWrong
          ? [{ step: 'authentication', replyCode: 1 }, 'the credentials were not accepted', { username: 'user' }]
          : [{ step: 'greeting', replyCode: 255 }, 'it wants credentials; write socks5h://', { username: null }];
      expect(error).toMatchObject({ code: 'ERR_SOCKS_AUTHENTICATION', phase: 'proxy-handshake', ...facts });
      expect(error.message).toContain(says);
      expect(hops).toMatchObject([{ authorized: false, ...hop }]);
    });
  },
);

async function refusalOf<E extends TransportError>(row: Row, Class: abstract new (...args: never[]) => E) {
  const { origin, authority, http_proxy, proxy, socks } = wayOf(row);
  const before = [origin.requests.length, origin.connectionCount];
  const url = `${row.scheme}://${authority}/`;
  const error = await failureOf(newTransport().send({ url, http_proxy, ...requests[row.payload]() }), Class);
  expect(error).toMatchObject({ hop: 'proxy', url, hasConnectedToProxy: true, retryable: false });
  expect(error.message).not.toContain('Wr0ng-Passw0rd');
  expect([origin.requests.length, origin.connectionCount]).toEqual(before);
  expect((proxy ?? socks)?.connectionCount).toBe(1);
  return { error, hops: (proxy ?? socks)?.hops };
}

test('an answer prints as <Response [200]>', async () => {
  const { origin } = wayOf({ scheme: 'http', route: 'direct', auth: 'open', payload: 'json' });
  const response = await newTransport().send({ url: origin.url, method: 'POST', body: '{"a":1}', http_proxy: null });
  expect(String(response)).toBe('<Response [200]>');
  expect(await json(response.body)).toEqual({ a: 1 });
});
