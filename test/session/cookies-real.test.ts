// Cookies of several hosts, whose names only the proxy knows: through Squid, forwarded and tunnelled, and through Dante.
import type { RequestListener } from 'node:http';
import { Session } from '@cloudlane/session';
import { createCa, type LabOrigin, startOrigin } from '@cloudlane/testing';
import { Transport } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { type Served, serve } from '../support/real-serve.ts';
import { describeReal, needs, type Requirement, running } from '../support/real-servers.ts';
import { closeAfterTest } from '../support/resources.ts';

const HOSTS = ['lab.example', 'a.lab.example', 'b.lab.example', 'other.example', 'a.co.uk', 'b.co.uk'];
type Scheme = 'http' | 'https';

const ca = await createCa();
const certificate = await ca.issue({ names: HOSTS });

/** Sets each `set` of the query as a cookie, and leads to `to` if there is one. */
const answer: RequestListener = (request, response) => {
  const { searchParams } = new URL(request.url ?? '', 'http://any.example');
  const to = searchParams.get('to');
  response.setHeader('Set-Cookie', searchParams.getAll('set'));
  if (to !== null) response.setHeader('Location', to);
  response.writeHead(to === null ? 200 : 302).end();
};

interface ProxyKind {
  readonly name: string;
  readonly requirements: readonly Requirement[];
  readonly script: string;
  readonly ports: number;
  readonly scheme: string;
  /** The address that it connects from. */
  readonly from: string;
}

const PROXIES: readonly ProxyKind[] = [
  { name: 'Squid', requirements: needs.squid, script: 'squid.sh', ports: 4, scheme: 'http', from: '127.0.0.2' },
  { name: 'Dante', requirements: needs.dante, script: 'dante.sh', ports: 1, scheme: 'socks5h', from: '127.0.0.4' },
];

for (const kind of PROXIES)
  describeReal(kind.name, kind.requirements, () => {
    const env = { PRIVATE_HOSTS: HOSTS.join(' ') };
    const proxy = running<Served>(() => serve(kind.script, { ports: kind.ports, env }));
    const proxyUrl = () => `${kind.scheme}://127.0.0.1:${proxy().ports[0]}`;
    describe.each<Scheme>(['http', 'https'])('%s', (scheme) => testCookies(scheme, kind, proxyUrl));
  });

function testCookies(scheme: Scheme, { from }: ProxyKind, proxyUrl: () => string): void {
  const origin = running<LabOrigin & { stop(): Promise<void> }>(() => startServer(scheme));

  /** A URL of that host, whose answer sets these cookies. */
  const at = (host: string, ...set: readonly string[]) =>
    `${scheme}://${host}:${origin().port}/?${new URLSearchParams(set.map((cookie): [string, string] => ['set', cookie]))}`;

  function newSession(cookies: Record<string, string> = {}): Session {
    const transport = closeAfterTest(new Transport());
    return new Session({
      prefetch: true,
      transport,
      http_proxy: proxyUrl(),
      trustEnv: false,
      tls: { ca: ca.certificate },
      cookies,
    });
  }

  /** The Cookie header that a host sees. */
  async function seenBy(session: Session, host: string): Promise<string | undefined> {
    await session.get(at(host));
    const request = origin().requests.at(-1);
    expect([request?.headers.host, request?.remoteAddress]).toEqual([`${host}:${origin().port}`, from]);
    return request?.headers.cookie?.toString();
  }

  test('a Domain cookie goes to the hosts of the domain, and to no other', async () => {
    const session = newSession();
    await session.get(at('a.lab.example', 'd=1; Domain=lab.example'));
    const seen = [];
    for (const host of HOSTS) seen.push(await seenBy(session, host));
    expect(seen).toEqual(['d=1', 'd=1', 'd=1', undefined, undefined, undefined]);
  });

  test('a cookie without Domain stays with its host', async () => {
    const session = newSession();
    await session.get(at('lab.example', 'h=1'));
    const seen = [];
    for (const host of HOSTS) seen.push(await seenBy(session, host));
    expect(seen).toEqual(['h=1', undefined, undefined, undefined, undefined, undefined]);
  });

  test('one for a public suffix, or for somebody else, is refused', async () => {
    const session = newSession();
    await session.get(at('a.co.uk', 'suffix=1; Domain=co.uk', 'own=2; Domain=a.co.uk'));
    await session.get(at('a.lab.example', 'top=3; Domain=example', 'other=4; Domain=other.example'));
    const seen = [];
    for (const host of HOSTS) seen.push(await seenBy(session, host));
    expect(seen).toEqual([undefined, undefined, undefined, undefined, 'own=2', undefined]);
  });

  test(`a Secure one is ${scheme === 'https' ? 'kept' : 'refused'}`, async () => {
    const session = newSession();
    await session.get(at('lab.example', 's=1; Secure', '__Host-p=2; Secure; Path=/'));
    expect(session.cookies.size).toBe(scheme === 'https' ? 2 : 0);
    expect(await seenBy(session, 'lab.example')).toBe(scheme === 'https' ? 's=1; __Host-p=2' : undefined);
  });

  test('what a redirect sets goes where it leads, if it is meant for it; what the caller gave does not', async () => {
    const session = newSession({ given: '1' });
    const before = origin().requests.length;
    const to = encodeURIComponent(at('b.lab.example', 'late=4'));
    await session.get(`${at('a.lab.example', 'd=2; Domain=lab.example', 'h=3')}&to=${to}`, { cookies: { call: '5' } });
    expect(
      origin()
        .requests.slice(before)
        .map(({ headers }) => [headers.host, headers.cookie]),
    ).toEqual([
      [`a.lab.example:${origin().port}`, 'given=1; call=5'],
      [`b.lab.example:${origin().port}`, 'd=2'],
    ]);
    expect(await seenBy(session, 'a.lab.example')).toBe('given=1; d=2; h=3');
    expect(await seenBy(session, 'b.lab.example')).toBe('given=1; d=2; late=4');
  });
}

async function startServer(scheme: Scheme): Promise<LabOrigin & { stop(): Promise<void> }> {
  const origin = await startOrigin({ handler: answer, ...(scheme === 'https' && { tls: certificate }) });
  return Object.assign(origin, { stop: () => origin.close() });
}
