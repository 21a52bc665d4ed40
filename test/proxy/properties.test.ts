import { BlockList, isIPv4, isIPv6 } from 'node:net';
import {
  explainRoute,
  getEnvironProxies,
  InvalidOptionError,
  InvalidProxyUrlError,
  parseProxyUrl,
  resolveRoute,
  shouldBypass,
} from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { print } from './print.ts';

type Outcome = { readonly value: unknown } | { readonly error: unknown };

function run(call: (...args: never[]) => unknown, ...args: readonly unknown[]): Outcome {
  try {
    return { value: Reflect.apply(call, undefined, args) };
  } catch (error) {
    return { error };
  }
}

/** The value, or the message of one of our two errors; anything else fails the test. */
function settle(outcome: Outcome): unknown {
  if ('value' in outcome) return outcome.value;
  const { error } = outcome;
  if (error instanceof InvalidProxyUrlError || error instanceof InvalidOptionError) return error.message;
  throw error;
}

const piece = fc.constantFrom(
  'http://',
  'socks5://',
  'https:',
  '//',
  'user',
  ':',
  '@',
  '%',
  '%4',
  '%00',
  '[',
  ']',
  '::1',
  '/',
  '?',
  '#',
  '\\',
  ' ',
  ',',
  '*',
  '.',
  'proxy.example',
  '10.0.0.0',
  '/8',
  '65536',
  '3128',
  '\n',
  '\u0000',
  'ü',
  '\ud800',
  '\u200b',
  '。',
  '',
  'localhost',
);
const text = fc.oneof(
  fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join('')),
  fc.string({ unit: 'binary' }),
  fc.webUrl(),
);
const anything = fc.anything({
  withMap: true,
  withSet: true,
  withDate: true,
  withTypedArray: true,
  withNullPrototype: true,
  withSparseArray: true,
});
const target = fc.oneof(
  fc.constantFrom(
    'http://origin.example/',
    'https://10.0.0.1:8443/',
    'ws://[::1]/',
    'wss://origin.example./',
    'http://u:p@a.example/x?y#z',
  ),
  text,
);
const variable = fc.constantFrom(
  'http_proxy',
  'HTTP_PROXY',
  'Http_Proxy',
  'https_proxy',
  'all_proxy',
  'ALL_PROXY',
  'ws_proxy',
  'socks_proxy',
  'no_proxy',
  'NO_PROXY',
  'No_Proxy',
  'REQUEST_METHOD',
  '__proto__',
  'constructor',
);
const key = fc.oneof(
  fc.constantFrom(
    'http',
    'https',
    'all',
    'noProxy',
    'url',
    'auth',
    'headers',
    'https://origin.example',
    'all://[::1]',
    'http://a:1',
    '__proto__',
  ),
  text,
);
const loose = fc.oneof(text, anything);
const settings = fc.oneof(
  fc.record(
    {
      http_proxy: fc.oneof(loose, fc.dictionary(key, loose, { maxKeys: 4 })),
      noProxy: fc.oneof(loose, fc.array(text)),
      env: fc.oneof(fc.dictionary(variable, loose), anything),
      trustEnv: fc.oneof(fc.boolean(), anything),
      system: fc.oneof(
        fc.record({ http: loose, https: loose, socks: loose, bypass: loose, source: loose }, { requiredKeys: [] }),
        anything,
      ),
      source: loose,
    },
    { requiredKeys: [] },
  ),
  fc.record({ env: fc.dictionary(variable, text) }),
  anything,
);

describe('whatever it is given', () => {
  test('the package throws its own two errors or none, and explains what it decides', () => {
    fc.assert(
      fc.property(fc.oneof(target, anything), settings, (url, given) => {
        const decided = settle(run(resolveRoute, url, given));
        const explained = settle(run(explainRoute, url, given));
        if (typeof explained === 'string') return expect(decided).toBe(explained);
        return expect(Reflect.get(Object(explained), 'route')).toStrictEqual(decided);
      }),
      { numRuns: 1500 },
    );
  });

  test('parseProxyUrl, shouldBypass and getEnvironProxies throw no other errors', () => {
    fc.assert(
      fc.property(loose, loose, fc.oneof(fc.dictionary(variable, loose), anything), (first, second, env) => {
        settle(run(parseProxyUrl, first));
        settle(run(shouldBypass, first, second));
        settle(run(shouldBypass, 'http://origin.example/', second));
        settle(run(getEnvironProxies, env));
      }),
      { numRuns: 1500 },
    );
  });

  test('a proxy that is named is used or refused, never left out', () => {
    fc.assert(
      fc.property(
        text.filter((value) => value.trim() !== ''),
        fc.constantFrom('http', 'https', 'ws', 'wss'),
        (value, scheme) => {
          const url = `${scheme}://origin.example/`;
          const ways = [
            { http_proxy: value },
            { http_proxy: { [scheme]: value } },
            { http_proxy: { url: value } },
            { env: { [`${scheme}_proxy`]: value } },
            { env: { ALL_PROXY: value } },
            { env: {}, system: { [scheme.replace('ws', 'http')]: value } },
          ];
          for (const way of ways) {
            const outcome = run(resolveRoute, url, way);
            if ('value' in outcome) expect(outcome.value).not.toEqual({ kind: 'direct' });
            else expect(outcome.error).toBeInstanceOf(InvalidProxyUrlError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('what it accepts, it can show and read again', () => {
    fc.assert(
      fc.property(text, (value) => {
        const outcome = run(parseProxyUrl, value);
        if ('error' in outcome) return;
        const { scheme, host, port } = Object(outcome.value);
        const shown = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
        expect(parseProxyUrl(shown)).toStrictEqual({ scheme, host, port });
      }),
      { numRuns: 500 },
    );
  });
});

describe('a password', () => {
  const raw = fc.array(
    fc.oneof(
      fc.constantFrom('@', ':', '/', '#', '?', '%', '\\', ' ', '\n', '[', ']', ',', '://', 'ü'),
      fc.string({ maxLength: 3 }),
    ),
    {
      maxLength: 6,
    },
  );
  const password = raw.map((parts) => `pass-${parts.join('')}-word`);
  const frame = fc.constantFrom(
    (userinfo: string) => `http://${userinfo}@proxy.example:3128`,
    (userinfo: string) => `http://${userinfo}@proxy.example:99999`,
    (userinfo: string) => `http://${userinfo}@proxy.example/path`,
    (userinfo: string) => `ftp://${userinfo}@proxy.example`,
    (userinfo: string) => `${userinfo}@[::1]:1`,
    (userinfo: string) => `socks5://${userinfo}%@proxy.example`,
    (userinfo: string) => `http://${userinfo}@`,
  );

  test('is in nothing that can be printed', () => {
    fc.assert(
      fc.property(password, frame, fc.boolean(), (secret, make, escaped) => {
        const written = escaped ? encodeURIComponent(secret.replace(/\p{Surrogate}/gu, '')) : secret;
        const value = make(`user:${written}`);
        const outcomes = [
          run(parseProxyUrl, value),
          run(resolveRoute, 'http://origin.example/', { http_proxy: value }),
          run(explainRoute, 'http://origin.example/', { http_proxy: value }),
          run(explainRoute, 'https://origin.example/', { env: { all_proxy: value, no_proxy: value } }),
          run(explainRoute, value, {
            http_proxy: { url: 'http://proxy', auth: { username: 'user', password: secret } },
          }),
          run(resolveRoute, 'http://origin.example/', { http_proxy: 'http://proxy', noProxy: value }),
          run(resolveRoute, 'http://origin.example/', { http_proxy: { [value]: 'http://proxy' } }),
          run(resolveRoute, 'http://origin.example/', {
            http_proxy: { url: 'http://proxy', headers: { 'Proxy-Authorization': secret } },
          }),
          run(getEnvironProxies, { all_proxy: value, no_proxy: value }),
        ];
        for (const outcome of outcomes) {
          settle(outcome);
          const printed = print('value' in outcome ? outcome.value : outcome.error);
          expect(printed).not.toContain(secret);
          expect(printed).not.toContain(written);
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('shouldBypass', () => {
  const v4 = fc.oneof(
    fc.ipV4(),
    fc.tuple(fc.constantFrom('10.0.0.', '10.0.1.', '11.0.0.'), fc.nat(255)).map(([head, last]) => head + last),
  );
  const v6 = fc.oneof(
    fc.ipV6(),
    fc
      .tuple(fc.constantFrom('fd00::', 'fd00:0:0:1::', '2001:db8::'), fc.nat(0xffff))
      .map(([head, last]) => head + last.toString(16)),
  );

  test.each([
    ['ipv4', v4, 32],
    ['ipv6', v6.filter((address) => !/^[0:]*:ffff:/i.test(address)), 128],
  ] as const)('agrees with node:net about %s blocks', (family, address, widest) => {
    fc.assert(
      fc.property(address, address, fc.nat(widest), (block, inside, bits) => {
        const oracle = new BlockList();
        oracle.addSubnet(block, bits, family);
        const url = family === 'ipv6' ? `http://[${inside}]/` : `http://${inside}/`;
        expect(shouldBypass(url, `${block}/${bits}`)).toBe(oracle.check(inside, family));
      }),
      { numRuns: 500 },
    );
  });

  test('knows an address in each of its spellings', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const { hostname } = new URL(`http://[${address}]/`);
        for (const spelling of [
          address,
          address.toUpperCase(),
          `[${address}]`,
          hostname,
          hostname.slice(1, -1),
          `${address}%eth0`,
        ]) {
          expect(shouldBypass(`http://${hostname}/`, spelling)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('takes for addresses what node:net takes for them', () => {
    const part = fc.constantFrom(
      '0',
      '1',
      '255',
      '256',
      '01',
      '.',
      ':',
      '::',
      'f',
      'ffff',
      '10000',
      '1.2.3.4',
      'g',
      '',
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
        (address) => {
          const matchesAll =
            shouldBypass('http://10.9.8.7/', `${address}/0`) || shouldBypass('http://[fd00::9]/', `${address}/0`);
          expect(matchesAll).toBe(isIPv4(address) || isIPv6(address));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('very long input', () => {
  const LONG = 200_000;
  test.each<[string, () => unknown]>([
    ['a proxy of letters', () => run(parseProxyUrl, 'a'.repeat(LONG))],
    ['a proxy of colons', () => run(parseProxyUrl, ':'.repeat(LONG))],
    ['a proxy of @', () => run(parseProxyUrl, '@'.repeat(LONG))],
    ['a proxy of brackets', () => run(parseProxyUrl, `http://${'['.repeat(LONG)}`)],
    ['a proxy of blanks', () => run(parseProxyUrl, `a${' '.repeat(LONG)}b`)],
    ['a proxy of digits', () => run(parseProxyUrl, `http://proxy:${'1'.repeat(LONG)}`)],
    ['a proxy of international letters', () => run(parseProxyUrl, `http://${'ü'.repeat(LONG)}`)],
    ['a password', () => run(parseProxyUrl, `http://u:${'%41'.repeat(LONG)}@proxy`)],
    ['an entry of dots', () => run(shouldBypass, 'http://a.example/', '.'.repeat(LONG))],
    ['an entry of digits and dots', () => run(shouldBypass, 'http://a.example/', '1.'.repeat(LONG))],
    ['an entry of colons', () => run(shouldBypass, 'http://a.example/', ':'.repeat(LONG))],
    ['an entry of stars', () => run(shouldBypass, 'http://a.example/', '*.'.repeat(LONG))],
    ['a list of blanks', () => run(shouldBypass, 'http://a.example/', `${' '.repeat(LONG)}x`)],
    ['a list of commas', () => run(shouldBypass, 'http://a.example/', ', '.repeat(LONG))],
    ['a list of hosts', () => run(shouldBypass, 'http://a.example/', 'b.example,'.repeat(LONG / 20))],
    ['an URL of zones', () => run(resolveRoute, `http://[${'%'.repeat(LONG)}`, { env: {} })],
    ['an URL of letters', () => run(resolveRoute, 'h'.repeat(LONG), { env: {} })],
    ['a key', () => run(resolveRoute, 'http://a.example/', { http_proxy: { [`http://${'a:'.repeat(LONG)}`]: 'p' } })],
  ])('%s is dealt with in linear time', (_name, call) => {
    const start = performance.now();
    call();
    expect(performance.now() - start).toBeLessThan(1500);
  });
});
