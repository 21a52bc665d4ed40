import { isSecretField, isSecretHeader } from '@cloudlane/transport';
import { describe, expect, test } from '@jest/globals';

const BOTH = [
  ...['Authorization', 'Proxy-Authorization', 'Cookie', 'Set-Cookie', 'Cookie2', 'X-Auth', 'X-Auth-User', 'X-Auth-Key'],
  ...['X-Auth-Token', 'X-Amz-Security-Token', 'X-CSRF-Token', 'Private-Token', 'X-Vault-Token', 'access_token'],
  ...['X-Passwd', 'X-Password', 'Passcode', 'Passphrase', 'X-Pass', 'pwd', 'X-Pin', 'X-OTP', 'X-Credential'],
  ...['X-Session-Id', 'X-SessionId', 'session_id', 'JSESSIONID', 'X-Sig', 'X-Hub-Signature-256', 'X-Amz-Signature'],
  ...['X-Api-Key', 'X-ApiKey', 'x-api-keys', 'access-key', 'AccessKeyId', 'X-Private-Key', 'Sec-WebSocket-Key', 'Key'],
  ...['x-amz-server-side-encryption-customer-key', 'X-Client-Secret', 'client_assertion', 'code_verifier'],
];

describe('a secret as a header and as a field:', () => {
  test.each(BOTH.flatMap((name) => [name, name.toLowerCase()]))('%s', (name) => {
    expect([isSecretHeader(name), isSecretField(name)]).toEqual([true, true]);
  });
});

describe('ordinary, whatever the origin that a redirect leads to:', () => {
  test.each([
    ...['Accept', 'Accept-Charset', 'Accept-Encoding', 'Accept-Language', 'Accept-Patch', 'Accept-Ranges'],
    ...['Cache-Control', 'Pragma', 'Vary', 'Age', 'Date', 'Expires', 'ETag', 'Last-Modified', 'Via', 'Warning', 'TE'],
    ...['If-Match', 'If-None-Match', 'If-Modified-Since', 'If-Unmodified-Since', 'If-Range', 'Range', 'Content-Range'],
    ...['Content-Type', 'Content-Length', 'Content-Encoding', 'Content-Language', 'Content-Location', 'Content-MD5'],
    ...['Content-Disposition', 'Digest', 'Repr-Digest', 'Expect', 'Trailer', 'Transfer-Encoding', 'Upgrade', 'Host'],
    ...['User-Agent', 'From', 'Referer', 'Origin', 'DNT', 'Forwarded', 'X-Forwarded-For', 'X-Requested-With', 'Prefer'],
    ...['X-Request-Id', 'X-Correlation-Id', 'traceparent', 'tracestate', 'X-Amzn-Trace-Id', 'Priority', 'Max-Forwards'],
    ...[
      'X-Amz-Date',
      'X-Amz-Content-Sha256',
      'X-Amz-Acl',
      'X-Amz-Meta-Author',
      'X-Amz-Storage-Class',
      'X-Amz-Copy-Source',
    ],
    ...['X-Amz-Request-Payer', 'X-Amz-Target', 'x-amz-sdk-checksum-algorithm', 'x-ms-version', 'X-GitHub-Api-Version'],
    ...['Idempotency-Key', 'X-Idempotency-Key', 'Depth', 'Destination', 'Overwrite', 'Connection', 'Keep-Alive'],
    ...[
      'Link',
      'Location',
      'Refresh',
      'Retry-After',
      'Server',
      'Allow',
      'WWW-Authenticate',
      'Strict-Transport-Security',
    ],
    ...['Sec-Fetch-Site', 'Sec-WebSocket-Version', 'Access-Control-Request-Headers', 'X-Design', 'X-Keyboard'],
  ])('%s', (name) => {
    expect([isSecretHeader(name), isSecretHeader(name.toLowerCase())]).toEqual([false, false]);
  });
});

test('tokens are counted in fields, and handed over in headers', () => {
  expect([isSecretField('max_tokens'), isSecretHeader('X-Access-Tokens')]).toEqual([false, true]);
});
