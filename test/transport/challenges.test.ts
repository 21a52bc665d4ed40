import { expect, test } from '@jest/globals';
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
