import { chmod, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import { findNetrcEntry, NetrcSyntaxError, parseNetrc } from '../../packages/session/src/netrc.ts';
import { NetrcAuth } from '../../packages/session/src/netrc-auth.ts';
import { expectWarning } from '../support/hygiene.ts';
import { use } from '../support/resources.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { failureOf, origin } from '../transport/lab.ts';
import { prepare, send } from './auth-loop.ts';

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cloudlane-netrc-'));
  await use({ [Symbol.asyncDispose]: () => rm(path, { recursive: true }) });
  return path;
}

async function netrc(text: string, mode = 0o600, name = '.netrc'): Promise<string> {
  const path = join(await directory(), name);
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

/** What a request for the URL is authorized with: `login:password`, or nothing. */
async function credentialsFor(
  auth: NetrcAuth,
  url: string,
  headers: Record<string, string> = {},
): Promise<string | null> {
  const request = prepare(url, { headers });
  await auth.apply(request);
  const header = request.header('Authorization');
  if (header === undefined) return null;
  const [, encoded] = /^Basic (.+)$/.exec(header) ?? [];
  return encoded === undefined ? header : Buffer.from(encoded, 'base64').toString();
}

describe('a netrc file', () => {
  test.each<[text: string, entries: (string | null)[][]]>([
    ['', []],
    ['machine a login b password c', [['a', 'b', null, 'c']]],
    ['\ufeffmachine\ta\r\n\tpassword\n\n c\n\tlogin b account d', [['a', 'b', 'd', 'c']]],
    ['default login b password c', [[null, 'b', null, 'c']]],
    [
      'machine a login b machine c password d default',
      [
        ['a', 'b', null, null],
        ['c', null, null, 'd'],
        [null, null, null, null],
      ],
    ],
    ['machine A.Example login B', [['a.example', 'B', null, null]]],
    ['machine [::1] login b', [['::1', 'b', null, null]]],
    ['machine a login "b c" password "\\"\\\\\\n\\r\\t\\d"', [['a', 'b c', null, '"\\\n\r\td']]],
    ['machine a password "x\ny"', [['a', null, null, 'x\ny']]],
    ['machine a password ""', [['a', null, null, '']]],
    ['machine a password x"y\\z,#', [['a', null, null, 'x"y\\z,#']]],
    ['# machine no\nmachine a # login no\n#\n  # x\nlogin b #password no', [['a', 'b', null, null]]],
    ['machine a password #c login #d', [['a', '#d', null, '#c']]],
    ['machine a login machine password default', [['a', 'machine', null, 'default']]],
    ['machine a login b login c', [['a', 'b', null, null]]],
    [
      'machine a\nmacdef init\nmachine no login no\n\tquit "\n\nmachine b login c\nmacdef last\nmachine no',
      [
        ['a', null, null, null],
        ['b', 'c', null, null],
      ],
    ],
    ['macdef init\ncd /\r\n\r\nmachine a', [['a', null, null, null]]],
  ])('%j is read', (text, entries) => {
    const read = parseNetrc(text).map(({ machine, login, account, password }) => [machine, login, account, password]);
    expect(read).toEqual(entries);
  });

  test.each<[text: string, line: number]>([
    ['machine', 1],
    ['machine a\nlogin', 2],
    ['login a', 1],
    [`machine a\n\npassword "${SECRETS.plainPassword}`, 3],
    [`machine a password two ${SECRETS.plainPassword}`, 1],
    [`machine a password "two" ${SECRETS.plainPassword}`, 1],
    [`machine a password "two"${SECRETS.plainPassword}`, 1],
  ])('%j is none, in line %d', (text, line) => {
    let failure: unknown;
    try {
      parseNetrc(text);
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(NetrcSyntaxError);
    expect(String(failure)).toContain(`line ${line}:`);
    expect(secretsIn(inspect(failure))).toEqual([]);
  });

  test.each<[host: string, login: string | null, found: string | null]>([
    ['one.example', null, 'first'],
    ['one.example', 'second', 'second'],
    ['one.example', 'other', null],
    ['[::1]', null, 'local'],
    ['two.example', null, 'any'],
    ['example', null, 'any'],
    ['sub.one.example', null, 'any'],
  ])('for %s and login %j has %j', (host, login, found) => {
    const text =
      'default login any machine one.example login first machine ONE.example login second machine ::1 login local';
    expect(findNetrcEntry(parseNetrc(text), host, login)?.login ?? null).toBe(found);
  });
});

describe('the credentials of a request', () => {
  test('are those of its host, whatever the port', async () => {
    const target = await origin();
    const auth = new NetrcAuth(await netrc(`machine 127.0.0.1 login me password ${SECRETS.plainPassword}`));
    await send(auth, target.url);
    await send(auth, target.url.replace('127.0.0.1', 'localhost'));
    const expected = `Basic ${Buffer.from(`me:${SECRETS.plainPassword}`).toString('base64')}`;
    expect(target.requests.map(({ headers }) => headers.authorization)).toEqual([expected, undefined]);
  });

  test.each<[url: string, credentials: string | null]>([
    ['http://good.example/', 'me:good'],
    ['https://GOOD.example:8443/', 'me:good'],
    ['http://good.example@evil.example/', null],
    // CVE-2024-47081: the text before the first colon is no host.
    ['http://good.example:@evil.example/', null],
    ['http://good.example:80@evil.example/', null],
    ['http://evil.example/good.example', null],
    ['http://evil.example\\@good.example/', null],
    ['http://good.example.evil.example/', null],
    ['http://user@good.example/', 'user:users'],
    ['http://us%65r@good.example/', 'user:users'],
    ['http://nobody@good.example/', null],
    ['http://%zz@good.example/', null],
    ['http://me:own@good.example/', null],
    ['http://nopassword.example/', null],
    ['http://account.example/', 'acc:p'],
    ['http://[::1]:8080/', 'me:local'],
  ])('of %s are %j', async (url, credentials) => {
    const auth = new NetrcAuth(
      await netrc(`machine good.example login me password good
        machine good.example login user password users
        machine nopassword.example login me
        machine account.example account acc password p
        machine ::1 login me password local`),
    );
    expect(await credentialsFor(auth, url)).toBe(credentials);
  });

  test('are no other than those it has', async () => {
    const auth = new NetrcAuth(await netrc('default login me password x'));
    expect(await credentialsFor(auth, 'http://a.example/', { authorization: 'Custom own' })).toBe('Custom own');
    expect(await credentialsFor(auth, 'http://a.example/')).toBe('me:x');
  });
});

describe('the file', () => {
  test('is the one given, else that of NETRC, else that in the home directory, which may be missing', async () => {
    const file = (login: string) => netrc(`default login ${login} password x`);
    const [given, named, home] = [await file('given'), await file('named'), await file('home')];
    const HOME = join(home, '..');
    const url = 'http://a.example/';
    expect(await credentialsFor(new NetrcAuth(given, { env: { NETRC: named, HOME } }), url)).toBe('given:x');
    expect(await credentialsFor(new NetrcAuth(undefined, { env: { NETRC: named, HOME } }), url)).toBe('named:x');
    const atHome = new NetrcAuth(undefined, { env: { NETRC: '', HOME } });
    expect(await credentialsFor(atHome, url)).toBe('home:x');
    await rm(home);
    expect(await credentialsFor(atHome, url)).toBeNull();
    expect(await credentialsFor(new NetrcAuth(undefined, { env: { HOME: given } }), url)).toBeNull();
  });

  test('that was asked for and is not there is refused', async () => {
    const missing = join(await directory(), 'missing');
    const option = (make: () => unknown) =>
      failureOf(Promise.resolve().then(make), InvalidOptionError).then((error) => error.option);
    expect(await option(() => new NetrcAuth(missing))).toBe('path');
    expect(await option(() => new NetrcAuth(undefined, { env: { NETRC: missing } }))).toBe('env:NETRC');
    expect(() => new NetrcAuth(undefined, { env: { HOME: missing } })).not.toThrow();
  });

  test('that was asked for and vanishes, or cannot be read, fails the request', async () => {
    const path = await netrc('default login me password x');
    const auth = new NetrcAuth(path);
    await rm(path);
    expect((await failureOf(credentialsFor(auth, 'http://a.example/'), InvalidOptionError)).message).toMatch(/ENOENT/);
    const folder = new NetrcAuth(await directory());
    expect((await failureOf(credentialsFor(folder, 'http://a.example/'), InvalidOptionError)).message).toMatch(
      /EISDIR/,
    );
  });

  test('that is no netrc file fails the request, without telling what is in it', async () => {
    const path = await netrc(`machine a.example\nlogin me\npassword two ${SECRETS.plainPassword}`);
    const error = await failureOf(
      credentialsFor(new NetrcAuth(undefined, { env: { HOME: join(path, '..') } }), 'http://a.example/'),
      InvalidOptionError,
    );
    expect(error.message).toContain(`${path} cannot be used: line 3: `);
    expect(secretsIn(inspect(error))).toEqual([]);
  });

  test('is read again when it has changed, and only then', async () => {
    const path = await netrc('default login me password one');
    const auth = new NetrcAuth(path);
    const url = 'http://a.example/';
    const then = new Date(1_700_000_000_000);
    await utimes(path, then, then);
    expect(await credentialsFor(auth, url)).toBe('me:one');
    // The same size, time and file: nobody can tell.
    await writeFile(path, 'default login me password two');
    await utimes(path, then, then);
    expect(await credentialsFor(auth, url)).toBe('me:one');
    await utimes(path, then, new Date(1_700_000_001_000));
    expect(await credentialsFor(auth, url)).toBe('me:two');
    const other = await netrc('default login me password six');
    await utimes(other, then, new Date(1_700_000_001_000));
    await rename(other, path);
    expect(await credentialsFor(auth, url)).toBe('me:six');
  });

  test('gives one warning if others can read passwords in it', async () => {
    const path = await netrc('default login me password x', 0o640);
    expectWarning('CLOUDLANE_NETRC', path);
    for (const auth of [new NetrcAuth(path), new NetrcAuth(path)]) {
      expect(await credentialsFor(auth, 'http://a.example/')).toBe('me:x');
    }
    await credentialsFor(new NetrcAuth(await netrc('default login me', 0o644)), 'http://a.example/');
  });
});

test('nothing of the file is printed', async () => {
  const auth = new NetrcAuth(await netrc(`default login me password ${SECRETS.plainPassword}`));
  await credentialsFor(auth, 'http://a.example/');
  expect(secretsIn(inspect(auth, { showHidden: true, depth: 9 }) + JSON.stringify(auth))).toEqual([]);
});
