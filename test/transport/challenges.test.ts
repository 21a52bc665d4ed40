import { parseChallenges } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';
import { readChallenges } from '../../packages/transport/src/proxy-answer.ts';

test.each<[string | string[] | undefined, string[], string | null]>([
  [undefined, [], null],
  ['', [], null],
  ['Basic', ['basic'], null],
  ['Basic realm="staff"', ['basic'], 'staff'],
  ['Basic realm=staff', ['basic'], 'staff'],
  ['BASIC REALM="staff"', ['basic'], 'staff'],
  ['Basic realm = "staff", charset="UTF-8"', ['basic'], 'staff'],
  ['Basic realm=""', ['basic'], ''],
  ['Basic realm="a, b"', ['basic'], 'a, b'],
  ['Basic realm="say \\"hi\\", \\\\o/"', ['basic'], 'say "hi", \\o/'],
  ['Negotiate, NTLM, Basic realm="x"', ['negotiate', 'ntlm', 'basic'], 'x'],
  ['Digest realm="d", nonce="n,o", qop="auth,auth-int", Basic realm="b"', ['digest', 'basic'], 'd'],
  ['Negotiate YII=, Basic realm="x"', ['negotiate', 'basic'], 'x'],
  ['NTLM TlRMTVNTUAAC==', ['ntlm'], null],
  ['Bearer error="invalid_token", realm="late"', ['bearer'], 'late'],
  [',, Basic realm="x",,', ['basic'], 'x'],
  [['Negotiate', 'Basic realm="x"'], ['negotiate', 'basic'], 'x'],
])('challenges %j offer %j with realm %j', (field, schemes, realm) => {
  expect(readChallenges(field)).toEqual({ schemes, realm });
});

describe('a field of challenges', () => {
  test.each<[field: string | string[], challenges: [string, string | null, Record<string, string>][]]>([
    // RFC 9110 §11.6.1, its own example.
    [
      'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
      [
        ['basic', null, { realm: 'simple' }],
        ['newauth', null, { realm: 'apps', type: '1', title: 'Login to "apps"' }],
      ],
    ],
    ['Digest realm="a, b", qop="auth,auth-int"', [['digest', null, { realm: 'a, b', qop: 'auth,auth-int' }]]],
    ['Digest qop="auth, Basic realm=\\"no\\""', [['digest', null, { qop: 'auth, Basic realm="no"' }]]],
    [
      'Negotiate YIIab+/-._~==, Negotiate ,NTLM',
      [
        ['negotiate', 'YIIab+/-._~==', {}],
        ['negotiate', null, {}],
        ['ntlm', null, {}],
      ],
    ],
    [
      ['NTLM', 'Digest nonce=a'],
      [
        ['ntlm', null, {}],
        ['digest', null, { nonce: 'a' }],
      ],
    ],
    ['Digest\tNONCE =\t"a" ,\topaque= b', [['digest', null, { nonce: 'a', opaque: 'b' }]]],
    ['Digest nonce=a==, opaque="c=="', [['digest', null, { nonce: 'a==', opaque: 'c==' }]]],
    ['Digest nonce="first", nonce="second"', [['digest', null, { nonce: 'first' }]]],
    ['Digest realm="a\\\\", nonce="b"', [['digest', null, { realm: 'a\\', nonce: 'b' }]]],
    ['Digest realm="caf\u00e9"', [['digest', null, { realm: 'caf\u00e9' }]]],
  ])('%j is read', (field, challenges) => {
    expect(plain(field)).toEqual(challenges);
  });

  test.each<[field: string, challenges: [string, string | null, Record<string, string>][]]>([
    ['realm="no scheme", Basic realm="x"', [['basic', null, { realm: 'x' }]]],
    ['Digest nonce="never closed, Basic realm=x', [['digest', null, { nonce: 'never closed, Basic realm=x' }]]],
    ['Digest nonce="ends in a backslash\\', [['digest', null, { nonce: 'ends in a backslash' }]]],
    ['Digest realm="a" junk "b, c", nonce="n"', [['digest', null, { realm: 'a', nonce: 'n' }]]],
    ['"what", Basic realm="x"', [['basic', null, { realm: 'x' }]]],
    ['=, ==, Basic realm="x"', [['basic', null, { realm: 'x' }]]],
    [
      'Basic realm=a b, Digest nonce=n',
      [
        ['basic', null, { realm: 'a' }],
        ['digest', null, { nonce: 'n' }],
      ],
    ],
  ])('%j is read as far as it makes sense', (field, challenges) => {
    expect(plain(field)).toEqual(challenges);
  });

  test.each(['"\\', '"', '\\"', 'a=', 'a ', 'a="', '",', 'a\t=\t'])('that repeats %j is read in no time', (part) => {
    // Quadratic time would take minutes.
    expect(parseChallenges(`Digest ${part.repeat(1_000_000 / part.length)}`).length).toBeGreaterThan(0);
  });
});

function plain(field: string | string[]): [string, string | null, Record<string, string>][] {
  return parseChallenges(field).map(({ scheme, token68, params }) => [scheme, token68, Object.fromEntries(params)]);
}
