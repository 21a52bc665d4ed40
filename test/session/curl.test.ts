// What toCurl prints is run by bash with the real curl: proxies and origins must see what they see of the transport.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LabOrigin, OriginRequest, ProxyHop } from '@cloudlane/testing';
import type { Transport, TransportRequest } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { curlObserver, toCurl } from '../../packages/session/src/curl.ts';
import { PreparedRequest } from '../../packages/session/src/prepared-request.ts';
import type { WireRequest } from '../../packages/session/src/wire-observer.ts';
import { expectWarning } from '../support/hygiene.ts';
import { describeReal } from '../support/real-needs.ts';
import { closeAfterTest } from '../support/resources.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import {
  AUTH,
  ca,
  certificate,
  newTransport,
  origin,
  proxy,
  SOCKS_SCHEMES,
  socks,
  trusting,
} from '../transport/lab.ts';

const DIRECT = { http_proxy: null } as const;
const ALL = { showSecrets: ['*'] } as const;
const PROGRAMS = [
  { program: 'bash', package: 'bash' },
  { program: 'curl', package: 'curl' },
  { program: 'base64', package: 'coreutils' },
];

/** A home whose .curlrc, and variables which, would change what curl does if they were heeded. */
async function hostileEnvironment(): Promise<NodeJS.ProcessEnv> {
  const home = await mkdtemp(join(tmpdir(), 'cloudlane-curl-'));
  closeAfterTest({ [Symbol.asyncDispose]: () => rm(home, { recursive: true }) });
  await writeFile(join(home, '.curlrc'), 'header = "X-From-Curlrc: 1"\n');
  const nowhere = 'http://127.0.0.1:1';
  return { PATH: process.env.PATH, HOME: home, LC_ALL: 'C.UTF-8', http_proxy: nowhere, https_proxy: nowhere };
}

/** What bash does with a command. */
async function run(command: string, input: Uint8Array = Buffer.alloc(0), env: NodeJS.ProcessEnv = {}): Promise<Buffer> {
  const hostile = await hostileEnvironment();
  const script = join(hostile.HOME ?? '', 'script');
  await writeFile(script, command);
  const child = spawn('bash', [script], { env: { ...hostile, ...env } });
  child.stdin.on('error', () => {}).end(input);
  const [output, errors, [code]] = await Promise.all([buffer(child.stdout), text(child.stderr), once(child, 'close')]);
  if (code !== 0) throw new Error(`bash ended with ${code}: ${errors.split('\n').slice(-3).join('\n')}`);
  return output;
}

/** Sends it by both ways. */
async function sendBoth(transport: Transport, request: TransportRequest, env?: NodeJS.ProcessEnv): Promise<void> {
  await buffer((await transport.send(request)).body);
  await run(toCurl(request, ALL), Buffer.alloc(0), env);
}

/**
 * The head as both must write it. Left out are `Connection`, which is about the connection and not the request, the
 * order of the lines, as curl writes its own first, and the spelling of the two names that curl always writes itself.
 */
function headOf(seen: Pick<OriginRequest, 'method' | 'target' | 'rawHeaders'> | undefined): object {
  const lines = (seen?.rawHeaders ?? []).flatMap((name, index, all) =>
    index % 2 ? [] : [`${name}: ${all[index + 1]}`],
  );
  const own = lines.map((line) => line.replace(/^(content-length|host):/i, (name) => name.toLowerCase()));
  return {
    method: seen?.method,
    target: seen?.target,
    lines: own.filter((line) => !/^connection:/i.test(line)).sort(),
  };
}

function expectSame(server: LabOrigin): void {
  const [ours, theirs, ...more] = server.requests;
  expect(more).toEqual([]);
  expect(headOf(theirs)).toEqual(headOf(ours));
  expect(theirs?.body.equals(ours?.body ?? Buffer.from('no request'))).toBe(true);
  expect(theirs?.complete).toBe(true);
}

function expectSameHops(hops: readonly ProxyHop[]): void {
  const [ours, theirs, ...more] = hops;
  expect(more).toEqual([]);
  expect(headOf(theirs)).toEqual(headOf(ours));
  expect(theirs).toMatchObject({ authorized: true, kind: ours?.kind, username: ours?.username });
}

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
const TRICKY = `it's "quoted" \\ $HOME \`id\` $(id) !x ; & | > # ~ * ? [a-z] {a,b} %41 @x`;

const REQUESTS: readonly [name: string, path: string, request: Omit<TransportRequest, 'url'>][] = [
  ['a bare GET', '/', {}],
  ['GET with headers of its own', '/', { headers: { 'user-agent': 'mine', ACCEPT: 'text/html', 'x-a': 'b' } }],
  ['HEAD', '/', { method: 'HEAD' }],
  ['OPTIONS', '/a', { method: 'options' }],
  ['DELETE', '/a', { method: 'DELETE' }],
  ['a method of no standard', '/', { method: 'M-SEARCH' }],
  ['POST without a body', '/', { method: 'POST' }],
  ['PUT without a body', '/', { method: 'PUT' }],
  ['POST with an empty body', '/', { method: 'POST', body: '' }],
  ['GET with an empty body', '/', { body: new Uint8Array(0) }],
  ['DELETE with a length of 0', '/', { method: 'DELETE', headers: { 'content-length': 0 } }],
  ['POST of text', '/', { method: 'POST', body: 'a=1&b=2' }],
  ['POST of JSON', '/', { method: 'POST', body: '{"a": "ü"}', headers: { 'content-type': 'application/json' } }],
  ['PATCH', '/', { method: 'PATCH', body: 'x', headers: { 'Content-Type': 'text/plain', 'Content-Length': '1' } }],
  ['GET with a body', '/', { body: 'x' }],
  ['a body for the shell', '/', { method: 'POST', body: TRICKY }],
  ['a body that looks like a file name', '/', { method: 'POST', body: '@/etc/hostname' }],
  ['a body that looks like an option', '/', { method: 'POST', body: '--next' }],
  ['a body of lines', '/', { method: 'POST', body: '\n  a\r\n\tb\u001b[31m\n\n' }],
  ['a body of all letters', '/', { method: 'POST', body: '日本語 𝒳 é 👩‍👩‍👧 \u2028 \ufeff \u202e' }],
  ['a body of bytes', '/', { method: 'POST', body: EVERY_BYTE }],
  ['a body with a NUL', '/', { method: 'PUT', body: 'a\0b' }],
  ['a body that is no UTF-8', '/', { method: 'PUT', body: Buffer.from([0xff, 0x41]) }],
  ['bytes that are text', '/', { method: 'PUT', body: Buffer.from('\ufefftext\n') }],
  ['a body too long for one argument', '/', { method: 'POST', body: `it's${'\n'.repeat(50)}${'x'.repeat(150_000)}` }],
  ['letters too long for one argument', '/', { method: 'POST', body: '日'.repeat(60_000) }],
  ['bytes too long for one argument', '/', { method: 'POST', body: Buffer.alloc(150_000, 0xfe) }],
  ['a body in chunks', '/', { method: 'POST', body: 'abc', headers: { 'Transfer-Encoding': 'chunked' } }],
  ['a repeated query', '/p?a=1&a=2&b=&c&=d&a=%26', {}],
  ['an empty query', '/p?', {}],
  ['a query of all sorts', `/p?q=it's "x" $(id) \`id\` [1-3] {a,b} é+%20|^\\`, {}],
  ['a path of all sorts', "/a b/it's/[1-3]/{a,b}/%2F/%2e/é/;x=1//c/", {}],
  ['a path of dots', '/a/%2e%2e/..;/b', {}],
  ['a fragment', '/p?a#b', {}],
  ['headers without a value', '/', { headers: { 'X-Empty': '', 'X-Blank': ' \t', accept: '', 'User-Agent': '' } }],
  ['headers in lists', '/', { headers: { 'X-List': ['a', 'b', ''], cookie: ['a=1', 'b=2'], 'X-None': [] } }],
  ['headers left out', '/', { headers: { 'X-Null': null, 'X-Undefined': undefined, 'X-Number': 7 } }],
  ['a header for the shell', '/', { headers: { 'X-Tricky': TRICKY, "X'!#$%&*+.^_`|~": "'" } }],
  ['a header beyond ASCII', '/', { headers: { 'X-Latin': "it's é\u00a0\u0085ÿ \\ caf\u00e9abc" } }],
  ['a header beyond ASCII, and bytes', '/', { method: 'POST', body: EVERY_BYTE, headers: { 'X-Latin': 'é' } }],
  ['a header that ends like an option of curl', '/', { headers: { 'X-A': ';', 'X-B': 'a;', 'X-C': ':' } }],
  ['a host of its own', '/', { headers: { host: 'other.example:81' } }],
  ['an expectation', '/', { method: 'POST', body: 'x', headers: { Expect: '100-continue' } }],
  ['secrets', '/?token=a%20b&X-Amz-Signature=1', { headers: { authorization: 'Bearer x', Cookie: 'a=b' } }],
  ['deadlines', '/', { timeout: { total: 60_000, connect: 5_000, handshake: 2_500 } }],
];

describeReal('a command makes the same request as the transport', PROGRAMS, () => {
  test.each(REQUESTS)('%s', async (_name, path, request) => {
    const server = await origin();
    await sendBoth(newTransport(), { ...DIRECT, ...request, url: `${server.url}${path}` });
    expectSame(server);
  });

  test('with the credentials of the URL', async () => {
    const server = await origin();
    const url = new URL(server.url);
    Object.assign(url, { username: 'ü:x', password: SECRETS.originPassword });
    await sendBoth(newTransport(), { ...DIRECT, url });
    expectSame(server);
    expect(server.requests[0]?.headers.authorization).toMatch(/^Basic /);
  });

  test('to a name with a final dot', async () => {
    const server = await origin();
    const front = await proxy('http', { hosts: { 'origin.example': '127.0.0.1', 'origin.example.': '127.0.0.1' } });
    await sendBoth(newTransport(), { http_proxy: front.url, url: `http://origin.example.:${server.port}/` });
    expectSame(server);
    expectSameHops(front.hops);
  });

  test('with the target that was asked for, byte for byte', async () => {
    const server = await origin();
    const target = `/a b/'é"/../x?token=1'&b`.replace(' ', '%20').replace('é', '%c3%a9');
    await run(toCurl(Object.assign({ ...DIRECT, url: server.url }, { target }), ALL));
    expect(server.requests.map((seen) => seen.target)).toEqual([target]);
  });

  test('with a target that was asked for, through a proxy', async () => {
    const server = await origin();
    const front = await proxy();
    await run(toCurl(Object.assign({ http_proxy: front.url, url: `${server.url}/x` }, { target: '/a/../b?' }), ALL));
    expect(front.hops.map((hop) => hop.target)).toEqual([`${server.url}/a/../b?`]);
  });

  test('with a body from the standard input, where it was a stream', async () => {
    const server = await origin();
    const request = { ...DIRECT, url: server.url, method: 'POST', headers: { 'Content-Type': 'a/b' } };
    const command = toCurl({ ...request, body: Readable.from([EVERY_BYTE]) }, ALL);
    expect(command).toMatch(/ # the body was a stream; give it on the standard input$/);
    await buffer((await newTransport().send({ ...request, body: Readable.from([EVERY_BYTE]) })).body);
    await run(command, EVERY_BYTE);
    expectSame(server);
    expect(server.requests[0]?.headers['transfer-encoding']).toBe('chunked');
  });

  test('with a body from the standard input, where it was a stream of a known length', async () => {
    const server = await origin();
    const make = (): TransportRequest => ({
      ...DIRECT,
      url: server.url,
      method: 'PUT',
      headers: { 'Content-Length': 256 },
      body: Readable.from([EVERY_BYTE]),
    });
    await buffer((await newTransport().send(make())).body);
    await run(toCurl(make(), ALL), EVERY_BYTE);
    expectSame(server);
  });

  test('with a long body from the standard input', async () => {
    const server = await origin();
    const body = Buffer.alloc(1024 * 1024 + 1, 'a');
    const request = { ...DIRECT, url: server.url, method: 'POST', body };
    const command = toCurl(request, ALL);
    expect(command.length).toBeLessThan(1000);
    expect(command).toMatch(/ # the body, 1048577 bytes, is too long to be printed; give it on the standard input$/);
    await buffer((await newTransport().send(request)).body);
    await run(command, body);
    expectSame(server);
  });
});

describeReal('a command takes the same route as the transport', PROGRAMS, () => {
  test.each(['http', 'https'] as const)('%s forward, with credentials', async (scheme) => {
    const server = await origin();
    const front = await proxy(scheme, { auth: AUTH });
    const request = {
      ...trusting,
      url: `${server.url}/a?b`,
      method: 'POST',
      body: 'x',
      http_proxy: front.urlWithCredentials,
    };
    await sendBoth(newTransport(), request, { no_proxy: '*' });
    expectSame(server);
    expectSameHops(front.hops);
    expect(front.hops[0]).toMatchObject({ kind: 'forward', username: AUTH.username });
  });

  test.each(['http', 'https'] as const)('%s tunnel to https, with credentials and authorities', async (scheme) => {
    const server = await origin('https');
    const front = await proxy(scheme, { auth: AUTH });
    const request = {
      ...trusting,
      url: `${server.url}/a?b`,
      headers: { 'user-agent': 'u' },
      http_proxy: front.urlWithCredentials,
    };
    await sendBoth(newTransport(), request, { no_proxy: '*' });
    expectSame(server);
    expectSameHops(front.hops);
    expect(front.hops[0]).toMatchObject({ kind: 'connect', username: AUTH.username });
  });

  test('headers for the proxy', async () => {
    const server = await origin('https');
    const front = await proxy();
    const headers = { 'X-For-Proxy': "it's é", 'X-Empty': '', 'User-Agent': 'to the proxy' };
    await sendBoth(newTransport(), { ...trusting, url: server.url, http_proxy: { url: front.url, headers } });
    expectSame(server);
    expectSameHops(front.hops);
  });

  test('a Proxy-Authorization of the request, for the proxy alone', async () => {
    const server = await origin('https');
    const front = await proxy('http', { auth: AUTH });
    const basic = Buffer.from(`${AUTH.username}:${AUTH.password}`).toString('base64');
    const headers = { 'Proxy-Authorization': `Basic ${basic}`, 'Proxy-Other': 'x' };
    await sendBoth(newTransport(), { ...trusting, url: server.url, headers, http_proxy: front.url });
    expectSame(server);
    expectSameHops(front.hops);
  });

  test('credentials with an empty password', async () => {
    const server = await origin();
    const front = await proxy('http', { auth: { username: 'us%41er', password: '' } });
    await sendBoth(newTransport(), { url: server.url, http_proxy: front.urlWithCredentials });
    expectSameHops(front.hops);
  });

  test.each(SOCKS_SCHEMES.flatMap((scheme) => (['http', 'https'] as const).map((to) => [scheme, to] as const)))(
    '%s to %s',
    async (scheme, to) => {
      const server = await origin(to);
      const front = await socks({ auth: AUTH, userId: 'the:user%41', hosts: { 'origin.example': '127.0.0.1' } });
      const isRemote = scheme === 'socks5h' || scheme === 'socks4a';
      const url = new URL(server.url);
      url.hostname = isRemote ? 'origin.example' : 'localhost';
      const http_proxy = front.urlFor(scheme, { credentials: true });
      await sendBoth(newTransport(), { ...trusting, url, http_proxy }, { no_proxy: '*' });
      expectSame(server);
      const [ours, theirs] = front.hops;
      const { version, target, addressType, username, userId, authorized } = { ...ours };
      expect(theirs).toMatchObject({ version, target, addressType, username, userId, authorized });
    },
  );

  test('no route but direct, whatever the environment says', async () => {
    const server = await origin('https');
    await sendBoth(newTransport(), { ...trusting, ...DIRECT, url: server.url }, { all_proxy: 'http://127.0.0.1:1' });
    expectSame(server);
  });

  test('a connection of its own', async () => {
    const server = await origin();
    await sendBoth(newTransport(), { ...DIRECT, url: server.url, keepAlive: false });
    expect(server.requests.map((seen) => seen.headers.connection)).toEqual(['close', 'close']);
  });

  test('with a client certificate for each hop', async () => {
    const tls = { ...certificate, clientCa: ca.certificate, requireClientCertificate: true };
    const [server, front] = [await origin('https', { tls }), await proxy('https', { tls })];
    const [forOrigin, forProxy] = await Promise.all(
      ['origin', 'proxy'].map((name) => ca.issue({ names: [name], client: true })),
    );
    await sendBoth(newTransport(), {
      url: server.url,
      http_proxy: front.url,
      tls: { ca: [ca.certificate], cert: forOrigin?.cert ?? '', key: forOrigin?.key ?? '' },
      proxyTls: { ca: Buffer.from(ca.certificate), cert: forProxy?.cert ?? '', key: forProxy?.key ?? '' },
    });
    expectSame(server);
    expectSameHops(front.hops);
  });

  test('any certificate where verification is off, and files of authorities', async () => {
    const server = await origin('https');
    expectWarning('CLOUDLANE_INSECURE');
    await sendBoth(newTransport(), { ...DIRECT, url: server.url, tls: { verify: false } });
    expectSame(server);
    await expect(run(toCurl({ ...DIRECT, url: server.url, tls: {} }))).rejects.toThrow(/bash ended with 60/);
    const home = await mkdtemp(join(tmpdir(), 'cloudlane-curl-'));
    closeAfterTest({ [Symbol.asyncDispose]: () => rm(home, { recursive: true }) });
    const verify = join(home, "it's ca.pem");
    await writeFile(verify, ca.certificate);
    for (const each of [verify, home]) await run(toCurl({ ...DIRECT, url: server.url, tls: { verify: each } }));
    expect(server.requests.length).toBe(4);
  });
});

describe('secrets', () => {
  const PASSWORD = encodeURIComponent(SECRETS.proxyPassword);
  const TOKEN = encodeURIComponent(SECRETS.token);
  const secretKey = SECRETS.secretKey;
  const BASE: TransportRequest = { ...DIRECT, url: 'https://api.example/a', method: 'POST' };
  const form = (body: string | Uint8Array, type: string): Partial<TransportRequest> => ({
    body,
    headers: { 'Content-Type': type },
  });
  const parts = `--b\r\nContent-Disposition: form-data; name="client_secret"\r\n\r\n${SECRETS.token}\r\n--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\nContent-Type: a/b\r\n\r\n\u0000\u00ff\r\n--b--\r\n`;

  // What is hidden, the names that show it, and what is printed all the same.
  test.each<[name: string, request: Partial<TransportRequest>, shownBy: string, always: string]>([
    [
      'Authorization',
      { headers: { AUTHORIZATION: `Bearer ${SECRETS.token}` } },
      'authorization',
      "--header 'AUTHORIZATION: ***'",
    ],
    ['cookies', { headers: { cookie: [`a=${SECRETS.token}`] } }, 'Cookie', "--header 'cookie: ***'"],
    [
      'parameters',
      { url: `http://api.example/?a=%20b&access_token=${TOKEN}&x=+` },
      'ACCESS_TOKEN',
      "'http://api.example/?a=%20b&access_token=***&x=+'",
    ],
    [
      'parameters in a target',
      { target: `/p?client%5Fsecret=${TOKEN}` },
      'client_secret',
      "--request-target '/p?client%5Fsecret=***'",
    ],
    [
      'signed URLs in headers',
      { headers: { Referer: `http://a.example/?sig=${TOKEN}` } },
      'sig',
      "--header 'Referer: http://a.example/?sig=***'",
    ],
    [
      'credentials in the URL',
      { url: `https://user:${PASSWORD}@api.example/` },
      'authorization',
      '--globoff --path-as-is https://api.example/',
    ],
    [
      'credentials of the proxy',
      { http_proxy: `http://user:${PASSWORD}@p.example` },
      'proxy',
      "--proxy http://p.example:80 --proxy-user 'user:***'",
    ],
    ['a token for the proxy', { http_proxy: `http://${TOKEN}@p.example` }, 'proxy', "--proxy-user '***:'"],
    [
      'headers for the proxy',
      { http_proxy: { url: 'http://p.example', headers: { 'X-Id': SECRETS.token } } },
      'proxy',
      "--proxy-header 'X-Id: ***'",
    ],
    [
      'Proxy-Authorization',
      { http_proxy: 'http://p.example', headers: { 'Proxy-Authorization': SECRETS.token } },
      'proxy',
      "--proxy-header 'Proxy-Authorization: ***'",
    ],
    [
      'keys',
      { tls: { cert: 'the certificate', key: secretKey } },
      'key',
      "--cert <(printf %s 'the certificate') --key '***'",
    ],
    ['passphrases', { tls: { cert: 'c', key: 'k', passphrase: SECRETS.token } }, 'passphrase', "--pass '***'"],
    [
      'keys for the proxy',
      { http_proxy: 'https://p.example', proxyTls: { cert: 'c', key: secretKey } },
      'key',
      "--proxy-key '***'",
    ],
    [
      'fields of a form',
      form(`user=a?b&password=${TOKEN}&c=1`, 'application/x-www-form-urlencoded'),
      'password',
      "--data-raw 'user=a?b&password=***&c=1'",
    ],
    ['fields of a form without a type', { body: `a=1&password=${TOKEN}` }, 'password', "--data-raw 'a=1&password=***'"],
    [
      'fields of JSON',
      form(`{ "a":1.0, "password" : "${SECRETS.token}\\"" ,"b":[]}`, 'application/json'),
      'password',
      `--data-raw '{ "a":1.0, "password" :"***" ,"b":[]}'`,
    ],
    [
      'objects in JSON',
      form(`{"auth":{"a":["${SECRETS.token}"],"b":"}"},"c":2}`, 'application/x+json'),
      'auth',
      `--data-raw '{"auth":"***","c":2}'`,
    ],
    [
      'JSON without a type, and broken off',
      { body: `[{"p\\u0061ssword": ["${SECRETS.token}"` },
      'body',
      `--data-raw '[{"p\\u0061ssword":"***"'`,
    ],
    [
      'JSON by the line',
      form(`{"a":"token:"}\n{"apiKey":"${SECRETS.token}"}\n`, 'application/x-ndjson'),
      'apikey',
      `--data-raw $'{"a":"token:"}\\n{"apiKey":"***"}\\n'`,
    ],
    [
      'elements of XML',
      form(`\ufeff<a><p:Password x="1">${SECRETS.token}</p:Password></a>`, 'text/xml'),
      'Password',
      `<a><p:Password x="1">***</p:Password></a>'`,
    ],
    [
      'marked text in XML',
      form(`<a><pin>1</pin><pass><![CDATA[<]]>${SECRETS.token}<![CDATA[x]]></pass><b/></a>`, 'application/xml'),
      'pass',
      '<a><pin>***</pin><pass>***</pass><b/></a>',
    ],
    [
      'attributes of XML',
      form(`<a b="c" x:password="d" apiKey='${SECRETS.token}'/>`, 'application/xml'),
      'apikey',
      `<a b="c" x:password="***" apiKey="***"/>`,
    ],
    [
      'parts of a form with files',
      form(Buffer.from(parts, 'latin1'), 'multipart/form-data; boundary=b'),
      'client_secret',
      '--data-binary @-',
    ],
    [
      'bodies that are compressed',
      { body: SECRETS.token, headers: { 'content-encoding': 'gzip' } },
      'body',
      '# the body, 25 bytes, is compressed, and may hold secrets; give it on the standard input',
    ],
  ])('%s are not printed, unless they are asked for by name', (_name, request, shownBy, always) => {
    const masked = toCurl({ ...BASE, ...request }, { showSecrets: ['x-other'] });
    expect(secretsIn(decodeBase64(masked))).toEqual([]);
    expect(masked).toContain(always);
    expect(secretsIn(decodeBase64(toCurl({ ...BASE, ...request }, { showSecrets: [shownBy] })))).not.toEqual([]);
    expect(secretsIn(decodeBase64(toCurl({ ...BASE, ...request }, ALL)))).not.toEqual([]);
  });

  test.each([
    ['text/xml', `<${'a'.repeat(900_000)}`],
    ['text/xml', '<a>'.repeat(300_000)],
    ['text/xml', '<a><![CDATA['.repeat(70_000)],
    ['application/json', '"password":['.repeat(80_000)],
    ['multipart/form-data; boundary=b', `--b\r\n${'name="a"'.repeat(100_000)}`],
    ['', `a=${'&b=c'.repeat(200_000)}`],
    ['application/x-www-form-urlencoded', `?${'?a=='.repeat(200_000)}`],
  ])('are looked for in a long body of %p in a time that grows with its length alone', (type, body) => {
    expect(toCurl({ ...BASE, ...form(body, type) }).length).toBeGreaterThan(100);
  });

  test('leave the rest of a form with files as it was', () => {
    const command = toCurl({ ...BASE, ...form(Buffer.from(parts, 'latin1'), 'multipart/form-data; boundary="b"') });
    expect(decodeBase64(command)).toContain(parts.replace(SECRETS.token, '***'));
  });

  test('are names of secrets only, not words that contain one', () => {
    const body = '{"keyboard":1,"design":2,"max_tokens":3,"authorId":4,"spin":5}';
    expect(toCurl({ ...BASE, body })).toContain(body);
  });

  function decodeBase64(command: string): string {
    return command.replace(/<<<'([^']*)'/, (_all, encoded) => Buffer.from(encoded, 'base64').toString('latin1'));
  }
});

test('a command is one line of visible characters, and short where the request is plain', () => {
  expect(toCurl({ http_proxy: null, url: 'http://api.example', headers: { 'User-Agent': 'u', Accept: '*/*' } })).toBe(
    "curl --disable --header 'User-Agent: u' --header 'Accept: */*' --noproxy '*' --globoff --path-as-is http://api.example/",
  );
  const body = Array.from({ length: 0x3000 }, (_, code) => String.fromCharCode(code))
    .join('')
    .slice(1);
  expect(toCurl({ ...DIRECT, url: 'http://api.example', body }, ALL)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
});

test.each([
  [1500, '--max-time 1.5'],
  [{ total: 0.1 }, '--max-time 0.001'],
  [{ connect: 1000, handshake: 500 }, '--connect-timeout 1.5'],
  [{ connect: 1000, total: 2000 }, '--connect-timeout 16 --max-time 2'],
  [{ connect: 1000, handshake: 0, idle: 5, firstByte: 5, total: 0 }, ''],
  [{ handshake: 1000 }, ''],
])('the deadlines %j become %p', (timeout, words) => {
  const command = toCurl({ ...DIRECT, url: 'http://api.example/', timeout });
  expect(command).toContain(`--noproxy '*' ${words === '' ? '' : `${words} `}--globoff`);
});

test('a command tells what curl cannot do', () => {
  const tls = { servername: 'x', fingerprint256: 'y', minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
  const url = 'https://api.example/';
  const command = toCurl({ url, http_proxy: 'https://p.example', tls, proxyTls: { minVersion: 'TLSv1.2' } });
  expect(command).toContain(' --tlsv1.3 --tls-max 1.3 ');
  expect(command.split(' # ')[1]).toBe(
    'curl has no option for tls.servername; curl has no option for tls.fingerprint256; curl has no option for proxyTls.minVersion',
  );
});

describe('the observer', () => {
  const sent = (transported: TransportRequest): WireRequest => ({
    request: new PreparedRequest(
      {
        method: 'GET',
        url: new URL(transported.url),
        target: null,
        headers: {},
        content: { body: null, headers: {}, renew: null },
      },
      () => Promise.reject(new Error('is not sent')),
    ),
    transported,
    startedAt: 0,
  });
  const REQUEST: TransportRequest = { ...DIRECT, url: 'http://api.example/?token=t', headers: { authorization: 'a' } };

  test('prints one command for each request that goes out', () => {
    const to = new PassThrough();
    const observer = curlObserver({ format: 'curl', to, showSecrets: ['token'] });
    observer.sending?.(sent(REQUEST));
    observer.sending?.(sent({ ...REQUEST, body: 'a\nb' }));
    const commands = [REQUEST, { ...REQUEST, body: 'a\nb' }].map((each) => toCurl(each, { showSecrets: ['token'] }));
    expect(String(to.read())).toBe(commands.map((command) => `${command}\n`).join(''));
  });

  test('does not disturb a request that it cannot print, or has nowhere to print to', async () => {
    const to = new PassThrough();
    const observer = curlObserver({ format: 'curl', to });
    observer.sending?.(sent({ ...REQUEST, http_proxy: 'nonsense://' }));
    observer.sending?.(sent(REQUEST));
    expect(String(to.read()).split('\n').length).toBe(2);
    to.end();
    observer.sending?.(sent(REQUEST));
    to.destroy();
    observer.sending?.(sent(REQUEST));
    await nextTurn();
    expect(to.errored).toBe(null);
  });

  test('refuses options that cannot be used', () => {
    const refused = (options: object): unknown => {
      try {
        return Reflect.apply(curlObserver, undefined, [options]);
      } catch (error) {
        return Reflect.get(Object(error), 'option');
      }
    };
    expect(refused({ format: 'wget' })).toBe('debug');
    expect(refused({ to: process.stderr })).toBe('debug');
    expect(refused({ format: 'curl', to: 'stderr' })).toBe('debug.to');
    expect(refused({ format: 'curl', showSecret: ['token'] })).toBe('debug.showSecret');
    expect(refused({ format: 'curl', showSecrets: 'token' })).toBe('showSecrets');
    expect(refused({ format: 'curl', showSecrets: [1] })).toBe('showSecrets');
  });
});
