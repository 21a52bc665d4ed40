import { describe, expect, test } from '@jest/globals';
import { SECRETS, secretsIn } from './secrets.ts';

describe('secretsIn', () => {
  const { proxyPassword } = SECRETS;
  const url = new URL('http://proxy.example');
  url.password = proxyPassword;

  test.each([
    ['plain', proxyPassword],
    ['in a URL', `${url}`],
    ['percent-encoded', encodeURIComponent(proxyPassword)],
    ['percent-encoded in small letters', encodeURIComponent(proxyPassword).toLowerCase()],
    ['in JSON', JSON.stringify({ proxyPassword })],
    ['in Base64', Buffer.from(proxyPassword).toString('base64')],
    ['in Basic after a one-letter user', Buffer.from(`u:${proxyPassword}`).toString('base64')],
    ['in Basic after a two-letter user', Buffer.from(`me:${proxyPassword}`).toString('base64')],
    ['in Basic after a three-letter user', Buffer.from(`you:${proxyPassword}`).toString('base64')],
    ['in Basic as Latin-1', Buffer.from(`alice:${proxyPassword}`, 'latin1').toString('base64')],
  ])('finds a secret %s', (_form, text) => {
    expect(secretsIn(`before ${text} after`)).toEqual(['proxyPassword']);
  });

  test('finds none where the secret is masked', () => {
    expect(secretsIn('http://alice:***@proxy.example:3128')).toEqual([]);
  });
});
