// Cookies as text: our JSON, and the cookies.txt of curl.
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InvalidOptionError } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CookieJar } from '../../packages/session/src/cookie-jar.ts';
import type { CookieInfo } from '../../packages/session/src/cookie-rules.ts';
import { describeReal } from '../support/real-servers.ts';
import { use } from '../support/resources.ts';
import { SECRETS, secretsIn } from '../support/secrets.ts';
import { PROCESS_TIMEOUT, runScript } from '../transport/child-process.ts';
import { failureOf, origin } from '../transport/lab.ts';

const curl = promisify(execFile);

/** A directory that is gone after the test. */
async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cloudlane-cookies-'));
  await use({ [Symbol.asyncDispose]: () => rm(path, { recursive: true }) });
  return path;
}

/** All of a jar, values too. */
function contentOf(jar: CookieJar): CookieInfo[] {
  return [...jar].map((cookie) => ({ ...cookie }));
}

function jarOf(url: string, ...setCookie: readonly string[]): CookieJar {
  const jar = new CookieJar();
  jar.store(new URL(url), setCookie);
  return jar;
}

function messageOf(text: string): string {
  try {
    CookieJar.deserialize(text);
  } catch (error) {
    if (error instanceof InvalidOptionError) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

// Cookies of all kinds, as answers set them.
const label = fc.stringMatching(/^[a-z]([a-z0-9]{0,5})$/);
const host = fc.oneof(
  fc.tuple(label, label).map(([sub, name]) => `${sub}.${name}.example`),
  fc.constantFrom('a.b.co.uk', 'localhost', 'intranet', 'test', '127.0.0.1', '[::1]', 'bücher.example'),
);
const name = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}$/);
const value = fc.stringMatching(/^[\x20-\x3a\x3c-\x7e\x80-\xff]{0,12}$/);
const attributes = fc.tuple(
  fc.constantFrom('', '; Secure'),
  fc.constantFrom('', '; HttpOnly'),
  fc.constantFrom('', '; Path=/', '; Path=/v1', '; Path=/a%20b/ü'),
  fc.constantFrom('', '; SameSite=Lax', '; SameSite=None'),
  fc.constantFrom('', '; Max-Age=100000', '; Expires=Fri, 31 Dec 2199 23:59:59 GMT', '; Max-Age=1e9', '; Max-Age=0'),
);
const answer = fc.tuple(host, fc.boolean(), name, value, attributes).map(([from, below, key, text, rest]) => {
  const domain = below ? `; Domain=${from.split('.').slice(-2).join('.')}` : '';
  return [`https://${from}/v1/x`, `${key}=${text}${rest.join('')}${domain}`] as const;
});

function filled(answers: readonly (readonly [url: string, setCookie: string])[]): CookieJar {
  const jar = new CookieJar();
  for (const [url, setCookie] of answers) jar.store(new URL(url), [setCookie]);
  return jar;
}

describe('serialize and deserialize', () => {
  test('keep every cookie, in its order', () => {
    fc.assert(
      fc.property(
        fc.array(answer, { maxLength: 8 }),
        fc.dictionary(name, fc.stringMatching(/^[a-z0-9]{0,8}$/), { maxKeys: 3 }),
        (answers, given) => {
          const jar = filled(answers);
          for (const [key, text] of Object.entries(given)) jar.set(key, text);
          const copy = CookieJar.deserialize(jar.serialize());
          expect(contentOf(copy)).toEqual(contentOf(jar));
          expect(JSON.parse(copy.serialize())).toEqual(JSON.parse(jar.serialize()));
          for (const [url] of answers)
            expect(copy.header(new URL(url), { isOwnOrigin: true })).toBe(
              jar.header(new URL(url), { isOwnOrigin: true }),
            );
        },
      ),
    );
  });

  test('keep which of a given and a received cookie is the later', () => {
    const url = new URL('http://h.example/');
    const jar = new CookieJar({ a: 'given', b: 'given' });
    jar.store(url, ['a=received', 'b=received']);
    jar.set('b', 'later');
    const copy = CookieJar.deserialize(jar.serialize());
    expect(copy.header(url, { isOwnOrigin: true })).toBe('b=later; a=received');
    copy.store(url, ['b=latest']);
    expect(copy.get('b', url)).toBe('latest');
  });

  test('leave out what has expired, and what this jar would refuse', () => {
    const jar = jarOf(
      'https://h.example/',
      'kept=1',
      'past=2; Max-Age=60',
      'suffix=3; Domain=h.example',
      '__Host-x=4; Secure; Path=/',
    );
    const text = jar
      .serialize()
      .replace(/"expires": "[^"]+"/, '"expires": "1999-12-31T00:00:00.000Z"')
      .replace(/("name": "suffix"[^}]*"domain": )"h.example"/, '$1"co.uk"')
      .replace(/("name": "__Host-x"[^}]*"secure": )true/, '$1false');
    expect([...CookieJar.deserialize(text)].map((cookie) => cookie.name)).toEqual(['kept']);
  });

  test.each([
    ['{', 'is not the JSON of a cookie jar of version 1'],
    [`{ "version": 1, "cookies": [ ${SECRETS.token}`, 'is not the JSON of a cookie jar of version 1'],
    ['{ "version": 2, "cookies": [] }', 'is not the JSON of a cookie jar of version 1'],
    ['{ "version": 1, "cookies": {} }', 'is not the JSON of a cookie jar of version 1'],
    ['{ "version": 1, "cookies": [ null ] }', 'entry 0 is not a cookie'],
    [SECRETS.token, 'line 1 is not one of a cookies.txt'],
    [`# x\n\nh.example\tTRUE\t/\tFALSE\t${SECRETS.token}\tn\tv`, 'line 3 is not one of a cookies.txt'],
    [`h.example\tyes\t/\tFALSE\t0\tn\t${SECRETS.token}`, 'line 1 is not one of a cookies.txt'],
    [`h.example\tTRUE\t/\tFALSE\t0\tn\tv\t${SECRETS.token}`, 'line 1 is not one of a cookies.txt'],
    ['h.example\tTRUE\t/\tFALSE\t0', 'line 1 is not one of a cookies.txt'],
  ])('refuse %j without repeating it', (text, reason) => {
    const message = messageOf(text);
    expect([message, secretsIn(message)]).toEqual([expect.stringContaining(reason), []]);
  });

  test.each(['name', 'value', 'domain', 'path', 'expires', 'secure', 'httpOnly', 'hostOnly', 'sameSite', 'changed'])(
    'refuse a cookie without a valid %s',
    (field) => {
      const { cookies, ...rest } = JSON.parse(jarOf('http://h.example/', 'a=1').serialize());
      const text = JSON.stringify({ ...rest, cookies: [...cookies, { ...cookies[0], [field]: [] }] });
      expect(messageOf(text)).toContain('entry 1 is not a cookie');
    },
  );
});

describe('a saved jar', () => {
  test.each(['jar.json', 'jar'])('comes back from %s', async (file) => {
    const path = join(await directory(), file);
    const jar = jarOf('https://h.example/', 'a="x y"; Secure; SameSite=Strict', 'b=é; Max-Age=60');
    await jar.set('given', '1').save(path);
    expect(contentOf(await CookieJar.load(path))).toEqual(contentOf(jar));
    expect(JSON.parse(await readFile(path, 'utf8')).version).toBe(1);
  });

  test('can be read by its owner alone, also if the file was there', async () => {
    const path = join(await directory(), 'jar.json');
    await writeFile(path, 'old');
    await chmod(path, 0o644);
    await jarOf('http://h.example/', 'a=1').save(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('is replaced as a whole: whoever has it open reads the old one', async () => {
    const dir = await directory();
    const path = join(dir, 'jar.json');
    await writeFile(path, 'old');
    const { ino } = await stat(path);
    await jarOf('http://h.example/', 'a=1').save(path);
    expect((await stat(path)).ino).not.toBe(ino);
    expect(await readdir(dir)).toEqual(['jar.json']);
  });

  test('stays as it was if the new one does not fit the format', async () => {
    const path = join(await directory(), 'cookies.txt');
    await jarOf('http://h.example/', 'a=1').save(path);
    const before = await readFile(path, 'utf8');
    const failure = await failureOf(new CookieJar({ given: '1' }).save(path), InvalidOptionError);
    expect(failure.message).toContain('no place for given, a cookie without a host');
    expect(await readFile(path, 'utf8')).toBe(before);
  });

  test('leaves nothing behind if it cannot take its place', async () => {
    const dir = await directory();
    await mkdir(join(dir, 'jar.json'));
    await expect(jarOf('http://h.example/', 'a=1').save(join(dir, 'jar.json'))).rejects.toMatchObject({
      code: 'EISDIR',
    });
    expect(await readdir(dir)).toEqual(['jar.json']);
  });

  test('stays as it was if no other file can be made beside it', async () => {
    const dir = await directory();
    const path = join(dir, 'j'.repeat(250)); // A name can have 255 bytes.
    await writeFile(path, 'old');
    await expect(jarOf('http://h.example/', 'a=1').save(path)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    expect([await readFile(path, 'utf8'), (await readdir(dir)).length]).toEqual(['old', 1]);
  });

  test('that is not there is the system’s error', async () => {
    await expect(CookieJar.load(join(await directory(), 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describeReal('prlimit', [{ program: 'prlimit', package: 'util-linux' }], () => {
  test(
    'a saved jar stays as it was if there is no room for the new one',
    async () => {
      const dir = await directory();
      const { output, errors } = await runScript(`
      import { spawnSync } from 'node:child_process';
      import { readdirSync } from 'node:fs';
      import { CookieJar } from './packages/session/src/cookie-jar.ts';
      const path = ${JSON.stringify(join(dir, 'jar.json'))};
      const jar = new CookieJar({ old: '1' });
      await jar.save(path);
      spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=1000']);
      const code = await jar.set('new', '2'.repeat(2_000)).save(path).then(() => 'saved', (error) => error.code);
      const kept = [...await CookieJar.load(path)].map(({ name }) => name);
      console.log(JSON.stringify({ code, kept, files: readdirSync(${JSON.stringify(dir)}) }));
    `);
      expect(errors).toBe('');
      expect(JSON.parse(output)).toEqual({ code: 'EFBIG', kept: ['old'], files: ['jar.json'] });
    },
    PROCESS_TIMEOUT,
  );
});

describe('cookies.txt', () => {
  test('keeps every cookie, to the second and without SameSite', async () => {
    const path = join(await directory(), 'cookies.txt');
    await fc.assert(
      fc.asyncProperty(fc.array(answer, { maxLength: 8 }), async (answers) => {
        const jar = filled(answers);
        await jar.save(path);
        const expected = contentOf(jar).map((cookie) => ({
          ...cookie,
          expires: cookie.expires && new Date(Math.floor(cookie.expires.getTime() / 1000) * 1000),
          sameSite: null,
        }));
        expect(contentOf(await CookieJar.load(path))).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  test('is written as curl writes it', async () => {
    const path = join(await directory(), 'jar');
    const jar = jarOf(
      'https://a.h.example/v1/x',
      's=1',
      'd=2; Domain=h.example; Secure; HttpOnly; Path=/',
      'e=; Expires=Fri, 31 Dec 2199 23:59:59 GMT',
      'u=ü',
    );
    await jar.save(path, { format: 'netscape' });
    expect((await readFile(path, 'latin1')).split('\n')).toEqual([
      '# Netscape HTTP Cookie File',
      '',
      'a.h.example\tFALSE\t/v1\tFALSE\t0\ts\t1',
      '#HttpOnly_.h.example\tTRUE\t/\tTRUE\t0\td\t2',
      'a.h.example\tFALSE\t/v1\tFALSE\t7258118399\te\t',
      'a.h.example\tFALSE\t/v1\tFALSE\t0\tu\tü',
      '',
    ]);
  });

  test('is read as others write it', () => {
    const lines = [
      '\ufeff# HTTP Cookie File',
      '# a comment',
      'h.example\tTRUE\t/\tFALSE\t0\tdomain\t1\r',
      '.h.example\tFALSE\t/\tfalse\t-1\thostOnly\t2',
      'h.example\tFALSE\t/\tFALSE\t7258118399.5\tempty',
      'h.example\tFALSE\t/\tFALSE\t1\tpast\t3',
      '.co.uk\tTRUE\t/\tFALSE\t0\tsuffix\t4',
      'h.example\tFALSE\t/\tFALSE\t0\t\tnameless',
      '#HttpOnly_h.example\tFALSE\t/\tTRUE\t0\t__Host-x\t5',
      'h.example\tFALSE\t/\tFALSE\t0\t__Host-y\t6',
      '   ',
    ];
    const jar = CookieJar.deserialize(lines.join('\n'));
    expect(
      [...jar].map(({ name, hostOnly, httpOnly, expires }) => [name, hostOnly, httpOnly, expires?.getTime()]),
    ).toEqual([
      ['domain', false, false, undefined],
      ['hostOnly', true, false, undefined],
      ['empty', true, false, 7258118399500],
      ['__Host-x', true, true, undefined],
    ]);
  });

  test('is no format by another name', async () => {
    const save = Reflect.apply(CookieJar.prototype.save, new CookieJar(), ['/nowhere/jar', { format: 'mozilla' }]);
    await failureOf(Promise.resolve(save), InvalidOptionError);
  });
});

describeReal('curl', [{ program: 'curl', package: 'curl' }], () => {
  const SET = ['s=1', 'p=2; Path=/v1', 'q="a b"; Max-Age=600; HttpOnly', 'elsewhere=3; Path=/v2', 'u=\u00e9', 'e='];

  test('sends the cookies of a file that a jar wrote', async () => {
    const lab = await origin();
    const path = join(await directory(), 'cookies.txt');
    const jar = jarOf(`${lab.url}/`, ...SET);
    await jar.save(path);
    await curl('curl', ['--silent', '--fail', '--noproxy', '*', '--cookie', path, `${lab.url}/v1/x`]);
    const sent = lab.requests[0]?.headers.cookie;
    expect(new Set(String(sent).split('; '))).toEqual(new Set(['p=2', 's=1', 'q="a b"', 'u=\u00e9', 'e=']));
    expect(new Set(jar.header(new URL(`${lab.url}/v1/x`), { isOwnOrigin: false })?.split('; '))).toEqual(
      new Set(String(sent).split('; ')),
    );
  });

  test('sends the cookies of a domain to a host below, and no other', async () => {
    const lab = await origin();
    const path = join(await directory(), 'cookies.txt');
    await jarOf('http://a.lab.example/', 'd=1; Domain=lab.example', 'h=2', 'secure=3')
      .set('x', '4', { domain: 'lab.example', secure: true })
      .save(path);
    const resolve = ['a.lab.example', 'b.lab.example'].flatMap((host) => [
      '--resolve',
      `${host}:${lab.port}:127.0.0.1`,
    ]);
    for (const host of ['a', 'b'])
      await curl('curl', [
        '--silent',
        '--fail',
        '--noproxy',
        '*',
        ...resolve,
        '--cookie',
        path,
        `http://${host}.lab.example:${lab.port}/`,
      ]);
    expect(lab.requests.map(({ headers }) => String(headers.cookie).split('; ').sort())).toEqual([
      ['d=1', 'h=2', 'secure=3'],
      ['d=1'],
    ]);
  });

  test('writes a file that a jar reads', async () => {
    const lab = await origin('http', {
      handler: (_request, response) =>
        void response.setHeader('set-cookie', [...SET, 'd=4; Domain=lab.example', 'past=5; Max-Age=0']).end(),
    });
    const path = join(await directory(), 'cookies.txt');
    const url = `http://a.lab.example:${lab.port}/x`; // Deeper down, curl's default path ends in a slash.
    await curl('curl', [
      '--silent',
      '--fail',
      '--noproxy',
      '*',
      '--resolve',
      `a.lab.example:${lab.port}:127.0.0.1`,
      '--cookie-jar',
      path,
      url,
    ]);
    const jar = await CookieJar.load(path);
    const ours = jarOf(url, ...SET, 'd=4; Domain=lab.example');
    const facts = (each: CookieJar) =>
      contentOf(each)
        .map(({ expires, ...cookie }) => ({ ...cookie, ends: expires !== null }))
        .sort((one, other) => one.name.localeCompare(other.name));
    expect(facts(jar)).toEqual(facts(ours));
  });
});
