// Whose certificates a session takes, and which it shows: rows R9 to R12 of Requests' "Advanced usage".
import { mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidOptionError } from '@cloudlane/proxy';
import { type HttpResponse, Session, type SessionOptions } from '@cloudlane/session';
import { createCa, type IssuedCertificate, type LabCa, type LabOrigin, startOrigin } from '@cloudlane/testing';
import { ProxyTlsError, TlsError, type TransportOptions } from '@cloudlane/transport';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectWarning } from '../support/hygiene.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import {
  AUTH,
  ca,
  certificate,
  failureOf,
  newTransport,
  origin,
  proxy,
  socks,
  withCredentials,
} from '../transport/lab.ts';
import { selfSigned } from './self-signed.ts';

/** Who has signed an origin's certificate. Each is trusted by whom it is named after; nobody trusts `other`. */
const NAMES = ['call', 'session', 'env', 'extra', 'transport', 'other'] as const;
type Name = (typeof NAMES)[number];

let directory: string;
let authorities: Readonly<Record<Name, LabCa>>;
let origins: Readonly<Record<Name, LabOrigin>>;
const files = (name: string): string => join(directory, name);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudlane-verify-'));
  const made = await Promise.all(
    NAMES.map(async (name) => {
      const authority = await createCa();
      await writeFile(files(name), authority.certificate);
      const tls = await authority.issue({ names: ['127.0.0.1'] });
      return { name, authority, server: await startOrigin({ tls }) };
    }),
  );
  authorities = Object.fromEntries(made.map(({ name, authority }) => [name, authority])) as typeof authorities;
  origins = Object.fromEntries(made.map(({ name, server }) => [name, server])) as typeof origins;
  await writeFile(files('lab'), ca.certificate);
});

afterAll(async () => {
  await Promise.all(Object.values(origins).map((server) => server.close()));
  await rm(directory, { recursive: true });
});

/** A session whose transport trusts nobody but Node's own authorities. */
function newSession(options: SessionOptions = {}, transport: TransportOptions = {}): Session {
  return new Session({ transport: newTransport({ tls: {}, proxyTls: {}, ...transport }), prefetch: true, ...options });
}

// The transport tells of each origin once.
const told = new Set<string>();

function expectInsecure(...urls: readonly string[]): void {
  for (const url of urls) {
    if (!told.has(url)) expectWarning('CLOUDLANE_INSECURE', url);
    told.add(url);
  }
}

type Verify = boolean | string | undefined;

/** The origins that a session takes. */
async function trustedBy(session: Session, verify?: Verify): Promise<Name[]> {
  const trusted: Name[] = [];
  for (const name of NAMES) {
    const outcome = await session
      .get(origins[name].url, verify === undefined ? {} : { verify })
      .catch((error) => error);
    if (outcome instanceof TlsError) continue;
    expect(outcome).toMatchObject({ status: 200 });
    trusted.push(name);
  }
  return trusted;
}

const VARIABLES = [null, 'REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS'] as const;
const VALUES = ['unset', 'true', 'false', 'path'] as const;
type Value = (typeof VALUES)[number];

function verifyOf(value: Value, name: Name): Verify {
  return { unset: undefined, true: true, false: false, path: files(name) }[value];
}

/** The rule in other words than the code's: the first who has an opinion decides; true leaves it to the environment. */
function expectedTrust(call: Value, session: Value, hasEnvironment: boolean): readonly Name[] {
  const [opinion, owner] = call === 'unset' ? ([session, 'session'] as const) : ([call, 'call'] as const);
  if (opinion === 'false') return NAMES;
  if (opinion === 'path') return [owner];
  return hasEnvironment ? ['env'] : [];
}

describe('R12 the call decides whom to trust, then the session, the environment, and Node', () => {
  const ROWS = VALUES.flatMap((call) => VALUES.map((session) => [call, session] as const));

  test.each(ROWS)('call %s, session %s, over every environment', async (call, sessionValue) => {
    if ([call, sessionValue].includes('false') && expectedTrust(call, sessionValue, true) === NAMES)
      expectInsecure(...Object.values(origins).map(({ url }) => url));
    for (const trustEnv of [true, false]) {
      for (const variable of VARIABLES) {
        const env = variable === null ? {} : { [variable]: files('env') };
        const session = newSession({ env, trustEnv, verify: verifyOf(sessionValue, 'session') });
        const trusted = await trustedBy(session, verifyOf(call, 'call'));
        const expected = expectedTrust(call, sessionValue, variable !== null && trustEnv);
        expect({ trustEnv, variable, trusted }).toEqual({ trustEnv, variable, trusted: expected });
        await session.transport.close();
      }
    }
  });

  test.each<[variables: readonly (readonly [string, string])[], trusted: readonly Name[]]>([
    [
      [
        ['REQUESTS_CA_BUNDLE', 'env'],
        ['SSL_CERT_FILE', 'other'],
        ['CURL_CA_BUNDLE', 'other'],
      ],
      ['env'],
    ],
    [
      [
        ['SSL_CERT_FILE', 'env'],
        ['CURL_CA_BUNDLE', 'other'],
      ],
      ['env'],
    ],
    [
      [
        ['CURL_CA_BUNDLE', 'env'],
        ['NODE_EXTRA_CA_CERTS', 'extra'],
      ],
      ['env', 'extra'],
    ],
    [
      [
        ['REQUESTS_CA_BUNDLE', ''],
        ['SSL_CERT_FILE', 'env'],
      ],
      ['env'],
    ],
    [
      [
        ['REQUESTS_CA_BUNDLE', ''],
        ['NODE_EXTRA_CA_CERTS', ''],
      ],
      [],
    ],
  ])('of the variables %j', async (variables, trusted) => {
    const env = Object.fromEntries(variables.map(([name, file]) => [name, file && files(file)]));
    expect(await trustedBy(newSession({ env }))).toEqual(trusted);
  });

  test('TLS options of the transport and the session come before the environment', async () => {
    const env = { REQUESTS_CA_BUNDLE: files('env') };
    const tls = { ca: authorities.transport.certificate };
    expect(await trustedBy(newSession({ env }, { tls }))).toEqual(['transport']);
    expect(await trustedBy(newSession({ env, tls }))).toEqual(['transport']);
    expect(await trustedBy(newSession({ env, tls }), true)).toEqual(['transport']);
    expect(await trustedBy(newSession({ env, tls }), files('call'))).toEqual(['call']);
    expect(await trustedBy(newSession({ env, tls: { minVersion: 'TLSv1.3' } }))).toEqual(['env']);
    expectInsecure(...Object.values(origins).map(({ url }) => url));
    expect(await trustedBy(newSession({ env, tls: { verify: false } }))).toEqual(NAMES);
    expect(await trustedBy(newSession({ env, tls: { verify: false } }), true)).toEqual(['env']);
    expect(() => newSession({ tls, verify: true })).toThrow(expect.objectContaining({ option: 'verify' }));
  });

  test.each(['REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS'])(
    '%s that names nothing is an error that names it',
    async (variable) => {
      const session = newSession({ env: { [variable]: files('nothing') } });
      await expect(session.get(origins.env.url)).rejects.toMatchObject({ option: `env:${variable}` });
      await expect(session.get(origins.env.url)).rejects.toBeInstanceOf(InvalidOptionError);
    },
  );

  test(
    'of the process’s own environment too',
    async () => {
      const script = `
        import { get } from '@cloudlane/session';
        const codes = [];
        for (const url of ${JSON.stringify([origins.env.url, origins.extra.url, origins.other.url])})
          codes.push(await get(url, { prefetch: true }).then(({ status }) => status, ({ code }) => code));
        console.log(codes.join(' '));
        process.exit();
      `;
      const [bundle, extra, none] = await Promise.all([
        runScript(script, { SSL_CERT_FILE: files('env') }),
        runScript(script, { NODE_EXTRA_CA_CERTS: files('extra') }),
        runScript(script),
      ]);
      expect([bundle.output, extra.output, none.output]).toEqual([
        '200 ERR_TLS ERR_TLS\n',
        'ERR_TLS 200 ERR_TLS\n',
        'ERR_TLS ERR_TLS ERR_TLS\n',
      ]);
      expect([bundle.errors, extra.errors, none.errors]).toEqual(['', '', '']);
    },
    PROCESS_TIMEOUT,
  );
});

/** A way to an origin: null is direct. */
const WAYS = [
  'direct',
  'http',
  'http with credentials',
  'https',
  'https with credentials',
  'socks',
  'socks with credentials',
];

async function openWay(way: string): Promise<{ http_proxy: string | null; seen: () => number }> {
  if (way === 'direct') return { http_proxy: null, seen: () => 1 };
  const [scheme = ''] = way.split(' ');
  const auth = way.endsWith('credentials') ? { auth: AUTH } : {};
  const opened = scheme === 'socks' ? await socks(auth) : await proxy(scheme === 'https' ? 'https' : 'http', auth);
  const http_proxy = 'auth' in auth ? withCredentials(opened.url, AUTH) : opened.url;
  return { http_proxy, seen: () => opened.hops.filter(({ authorized }) => authorized).length };
}

const BAD: readonly (readonly [what: string, issue: () => Promise<IssuedCertificate>])[] = [
  ['for another host', () => ca.issue({ names: ['other.example'] })],
  ['self-signed', async () => selfSigned()],
  ['expired', () => ca.issue({ names: ['127.0.0.1'], notAfter: new Date(Date.now() - 1_000) })],
  ['not valid yet', () => ca.issue({ names: ['127.0.0.1'], notBefore: new Date(Date.now() + 3_600_000) })],
  ['of an untrusted authority', () => authorities.other.issue({ names: ['127.0.0.1'] })],
];

describe.each(WAYS)('R9 by %s', (way) => {
  test.each(BAD)('a certificate %s is refused', async (_, issue) => {
    const [target, { http_proxy, seen }] = [await origin('https', { tls: await issue() }), await openWay(way)];
    const session = newSession(
      { http_proxy, prefetch: true },
      { tls: { ca: ca.certificate }, proxyTls: { ca: ca.certificate } },
    );
    for (const options of [{}, { verify: true }, { verify: files('lab') }]) {
      const error = await failureOf(session.get(target.url, options), TlsError);
      expect(error).toMatchObject({ code: 'ERR_TLS', phase: 'origin-tls', hop: 'origin' });
    }
    expect(target.requests).toEqual([]);
    expect(seen()).toBeGreaterThan(0);
  });

  test('R10 a valid one is taken', async () => {
    const [target, { http_proxy, seen }] = [await origin('https'), await openWay(way)];
    const session = newSession({ http_proxy }, { proxyTls: { ca: ca.certificate } });
    const response = await session.get(target.url, { verify: files('lab') });
    expect([response.status, response.connection?.tls?.isVerified, target.requests.length]).toEqual([200, true, 1]);
    expect(seen()).toBe(1);
  });
});

describe('R11 verify', () => {
  test('may be a file, or a directory of them', async () => {
    await mkdir(files('several'));
    await Promise.all([
      writeFile(files('several/one.pem'), authorities.call.certificate),
      writeFile(files('several/two.pem'), authorities.env.certificate),
      writeFile(files('several/README'), 'no certificate'),
      writeFile(files('bundle'), authorities.call.certificate + authorities.extra.certificate),
    ]);
    const session = newSession();
    expect(await trustedBy(session, files('call'))).toEqual(['call']);
    expect(await trustedBy(session, files('bundle'))).toEqual(['call', 'extra']);
    expect(await trustedBy(session, files('several'))).toEqual(['call', 'env']);
    expect(await trustedBy(newSession({ env: { SSL_CERT_FILE: files('several') } }))).toEqual(['call', 'env']);
  });

  test.each(['session', 'call'])('that leads nowhere fails the call: of the %s', async (place) => {
    await mkdir(files('empty'), { recursive: true });
    await writeFile(files('text'), 'no certificate');
    for (const path of ['nothing', 'empty', 'text']) {
      const verify = files(path);
      const session = newSession(place === 'session' ? { verify } : {});
      const answer = session.get(origins.call.url, place === 'call' ? { verify } : {});
      const error = await failureOf(answer, InvalidOptionError);
      expect([error.option, error.message.includes(verify)]).toEqual(['verify', true]);
    }
    for (const verify of [1, null, {}] as never[]) {
      const session = newSession(place === 'session' ? { verify } : {});
      const answer = session.get(origins.call.url, place === 'call' ? { verify } : {});
      expect((await failureOf(answer, InvalidOptionError)).option).toBe('verify');
    }
  });

  test.each(['direct', 'http', 'https', 'socks'])('false, then true, verifies again: %s', async (way) => {
    const [target, { http_proxy }] = [await origin('https'), await openWay(way)];
    expectInsecure(target.url);
    const session = newSession({ http_proxy, verify: false }, { proxyTls: { ca: ca.certificate } });
    for (const isReused of [false, true]) {
      const { connection, reusedConnection } = await session.get(target.url);
      expect([connection?.tls?.isVerified, reusedConnection]).toEqual([false, isReused]);
    }
    await failureOf(session.get(target.url, { verify: true }), TlsError);
    session.verify = true;
    await failureOf(session.get(target.url), TlsError);
    session.verify = files('lab');
    const verified = await session.get(target.url);
    expect([verified.connection?.tls?.isVerified, verified.reusedConnection]).toEqual([true, false]);
    await failureOf(session.get(target.url, { verify: files('other') }), TlsError);
    expect(target.requests).toHaveLength(3);
  });

  test('reads a file again once it has changed, and leaves the old connections behind', async () => {
    const session = newSession({ verify: files('changing') });
    await writeFile(files('changing'), authorities.call.certificate);
    expect(await trustedBy(session)).toEqual(['call']);
    await writeFile(files('changing'), authorities.session.certificate);
    // Whatever the clock's steps.
    await utimes(files('changing'), new Date(), new Date(1_000));
    expect(await trustedBy(session)).toEqual(['session']);
  });

  test.each(['verify', 'env'])('reads a directory again once one of its files has changed: of %s', async (place) => {
    const directory = files(`changing of ${place}`);
    const file = join(directory, 'a.pem');
    await mkdir(directory);
    await symlink(join(directory, 'loop'), join(directory, 'loop'));
    const session = newSession(place === 'env' ? { env: { SSL_CERT_FILE: directory } } : { verify: directory });
    await writeFile(file, authorities.call.certificate);
    expect(await trustedBy(session)).toEqual(['call']);
    const before = await stat(directory);
    await writeFile(file, authorities.session.certificate);
    await utimes(file, new Date(), new Date(1_000));
    expect((await stat(directory)).mtimeMs).toBe(before.mtimeMs);
    expect(await trustedBy(session)).toEqual(['session']);
  });
});

describe('a file that cannot be used fails the calls alone that need it:', () => {
  const BROKEN: readonly (readonly [what: string, options: () => SessionOptions, option: string])[] = [
    ['a variable', () => ({ env: { REQUESTS_CA_BUNDLE: files('nothing') } }), 'env:REQUESTS_CA_BUNDLE'],
    ['more authorities', () => ({ env: { NODE_EXTRA_CA_CERTS: files('nothing') } }), 'env:NODE_EXTRA_CA_CERTS'],
    ['verify', () => ({ env: {}, verify: files('nothing') }), 'verify'],
    ['cert', () => ({ env: {}, cert: files('nothing') }), 'cert'],
  ];

  test.each(BROKEN)('%s, to http by every way', async (_, options) => {
    const plain = await origin();
    for (const way of ['direct', 'http', 'socks']) {
      const { http_proxy } = await openWay(way);
      const session = newSession({ http_proxy, ...options() }, { tls: {}, proxyTls: {} });
      expect((await session.get(plain.url)).status).toBe(200);
    }
    expect(plain.requests).toHaveLength(3);
  });

  test.each(BROKEN)('%s, where http redirects to https', async (_, options, option) => {
    const secure = await origin('https');
    const handler = (_request: unknown, response: ServerResponse): void =>
      void response.writeHead(302, { Location: secure.url }).end();
    const plain = await origin('http', { handler });
    // What is asked for must not give way to what the transport trusts. Beside that, no variable counts.
    const session = newSession(options(), { tls: option.startsWith('env:') ? {} : { ca: ca.certificate } });
    for (const again of [1, 2]) {
      await expect(session.get(plain.url)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option });
      expect(plain.requests).toHaveLength(again);
    }
    expect(secure.connectionCount).toBe(0);
  });

  test.each(BROKEN.slice(0, 2))('%s, where an https proxy must be verified', async (_, options, option) => {
    const [plain, A] = [await origin(), await proxy('https')];
    const session = newSession({ http_proxy: A.url, verify: false, ...options() });
    await expect(session.get(plain.url)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option });
    expect(A.connectionCount).toBe(0);
    expect((await session.get(plain.url, { http_proxy: null })).status).toBe(200);
  });

  test('a variable, beside verify: false', async () => {
    const target = await origin('https');
    expectInsecure(target.url);
    const session = newSession({ env: { REQUESTS_CA_BUNDLE: files('nothing') } });
    expect((await session.get(target.url, { verify: false })).status).toBe(200);
    await expect(session.get(target.url)).rejects.toMatchObject({ option: 'env:REQUESTS_CA_BUNDLE' });
  });

  test('a variable, beside authorities of verify', async () => {
    const target = await origin('https');
    const session = newSession({ env: { REQUESTS_CA_BUNDLE: files('nothing') } });
    expect((await session.get(target.url, { verify: files('lab') })).status).toBe(200);
  });

  test('and no call once it can be used', async () => {
    const env = { REQUESTS_CA_BUNDLE: files('late') };
    const session = newSession({ env });
    const errors = [1, 2].map(() => failureOf(session.get(origins.env.url), InvalidOptionError));
    const [first, second] = await Promise.all(errors);
    expect([first?.option, second?.option]).toEqual(['env:REQUESTS_CA_BUNDLE', 'env:REQUESTS_CA_BUNDLE']);
    // Each call's own: it is not kept beyond that, as some faults pass without a trace.
    expect(first).not.toBe(second);
    await writeFile(files('late'), authorities.env.certificate);
    expect((await session.get(origins.env.url)).status).toBe(200);
  });

  test('a link to itself', async () => {
    await symlink(files('loop'), files('loop'));
    const session = newSession({ verify: files('loop') });
    expect((await failureOf(session.get(origins.env.url), InvalidOptionError)).option).toBe('verify');
    expect((await session.get((await origin()).url)).status).toBe(200);
  });
});

describe('an https proxy', () => {
  test('is verified by the environment’s bundle as well', async () => {
    const tls = await authorities.env.issue({ names: ['127.0.0.1'] });
    const A = await proxy('https', { tls });
    const plain = await origin();
    const trusting = newSession({ http_proxy: A.url, env: { REQUESTS_CA_BUNDLE: files('env') } });
    for (const url of [plain.url, origins.env.url]) expect((await trusting.get(url)).status).toBe(200);
    expect(A.hops.map(({ kind }) => kind)).toEqual(['forward', 'connect']);
    const distrusting = newSession({ http_proxy: A.url, env: { REQUESTS_CA_BUNDLE: files('env') }, trustEnv: false });
    for (const url of [plain.url, origins.env.url]) await failureOf(distrusting.get(url), ProxyTlsError);
    const own = newSession(
      { http_proxy: A.url, env: { REQUESTS_CA_BUNDLE: files('env') } },
      { proxyTls: { ca: ca.certificate } },
    );
    await failureOf(own.get(plain.url), ProxyTlsError);
  });

  test.each<[what: string, verify: () => boolean | string]>([
    ['false', () => false],
    ['a path', () => files('lab')],
  ])('is verified though verify is %s: that is for origins', async (_, verify) => {
    const [plain, secure, A] = [await origin(), await origin('https'), await proxy('https')];
    for (const session of [newSession({ http_proxy: A.url, verify: verify() }), newSession({ http_proxy: A.url })]) {
      for (const { url } of [plain, secure]) await failureOf(session.get(url, { verify: verify() }), ProxyTlsError);
    }
    expect([A.hops, plain.requests, secure.requests]).toEqual([[], [], []]);
  });

  test('is shown no client certificate of the origin’s', async () => {
    const clientCa = ca.certificate;
    const A = await proxy('https', { tls: { ...certificate, clientCa } });
    const target = await origin('https', { tls: { ...certificate, clientCa } });
    const { cert, key } = await ca.issue({ names: ['me'], client: true });
    await writeFile(files('me'), cert + key);
    const trusting = { tls: { ca: ca.certificate }, proxyTls: { ca: ca.certificate } };
    await newSession({ http_proxy: A.url, cert: files('me') }, trusting).get(target.url);
    expect([A.hops[0]?.clientCertificate, target.requests[0]?.clientCertificate]).toEqual([null, 'me']);
  });
});

describe('cert', () => {
  async function setUp(): Promise<{ target: LabOrigin; session: (options?: SessionOptions) => Session }> {
    const target = await origin('https', { tls: { ...certificate, clientCa: ca.certificate } });
    for (const name of ['me', 'you']) {
      const { cert, key } = await ca.issue({ names: [name], client: true });
      await writeFile(files(`${name}.pem`), cert + key);
      await writeFile(files(`${name}.cert`), cert);
      await writeFile(files(`${name}.key`), key);
    }
    return { target, session: (options) => newSession(options, { tls: { ca: ca.certificate } }) };
  }
  const shown = ({ requests }: LabOrigin) =>
    requests.map(({ clientCertificate, connection }) => [clientCertificate, connection]);

  test('may be one file, or a pair', async () => {
    const { target, session } = await setUp();
    await session({ cert: files('me.pem') }).get(target.url);
    await session({ cert: [files('you.cert'), files('you.key')] }).get(target.url);
    await session().get(target.url, { cert: files('me.pem'), verify: files('lab') });
    expect(target.requests.map(({ clientCertificate }) => clientCertificate)).toEqual(['me', 'you', 'me']);
  });

  test('that changes takes no connection of another', async () => {
    const { target, session } = await setUp();
    const one = session({ cert: files('me.pem') });
    const answers: HttpResponse[] = [await one.get(target.url)];
    one.cert = [files('you.cert'), files('you.key')];
    answers.push(await one.get(target.url), await one.get(target.url, { cert: null }));
    one.cert = null;
    answers.push(await one.get(target.url), await one.get(target.url, { cert: files('me.pem') }));
    expect(shown(target)).toEqual([
      ['me', 1],
      ['you', 2],
      [null, 3],
      [null, 3],
      ['me', 1],
    ]);
  });

  test('null takes those of tls away', async () => {
    const { target } = await setUp();
    const { cert, key } = await ca.issue({ names: ['me'], client: true });
    const passphrase = 'for nothing';
    const session = newSession({ tls: { ca: ca.certificate, cert, key, passphrase } });
    await session.get(target.url);
    await session.get(target.url, { cert: null });
    session.cert = null;
    await session.get(target.url);
    await session.get(target.url, { cert: files('you.pem') });
    session.cert = undefined;
    for (const options of [{}, { cert: null }, { cert: undefined }])
      await session.get(target.url, { verify: files('lab'), ...options });
    const shown = target.requests.map(({ clientCertificate }) => clientCertificate);
    expect(shown).toEqual(['me', null, null, 'you', 'me', null, 'me']);
  });

  test('whose file is written anew is read again, and takes no old connection', async () => {
    const { target, session } = await setUp();
    const one = session({ cert: files('me.pem') });
    await one.get(target.url);
    const { cert, key } = await ca.issue({ names: ['me again'], client: true });
    await writeFile(files('me.pem'), cert + key);
    await utimes(files('me.pem'), new Date(), new Date(1_000));
    await one.get(target.url);
    expect(shown(target)).toEqual([
      ['me', 1],
      ['me again', 2],
    ]);
  });

  test('that cannot be read fails the call', async () => {
    const { target, session } = await setUp();
    for (const cert of [files('nothing'), [files('me.cert'), files('nothing')]] as const) {
      await expect(session({ cert }).get(target.url)).rejects.toMatchObject({
        code: 'ERR_INVALID_OPTION',
        option: 'cert',
        message: expect.stringContaining(files('nothing')),
      });
    }
    expect(() => newSession({ cert: files('me.pem'), tls: { cert: 'x', key: 'y' } })).toThrow(InvalidOptionError);
    expect(target.requests).toEqual([]);
  });

  test('is kept when verify changes, and the other way round', async () => {
    const { target, session } = await setUp();
    expectInsecure(target.url);
    const one = session({ cert: files('me.pem') });
    await one.get(target.url);
    await one.get(target.url, { verify: false });
    await one.get(target.url, { verify: files('lab') });
    expect(target.requests.map(({ clientCertificate }) => clientCertificate)).toEqual(['me', 'me', 'me']);
    expect(target.requests[1]?.connection).toBe(2);
  });
});
