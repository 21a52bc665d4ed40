/**
 * Passwords and tokens for tests: distinctive, so that one that is printed is found. Whatever a test file prints is
 * searched for all of them (see setup.ts). None opens anything.
 */
export const SECRETS = {
  /** What a proxy wants. Has everything that URLs, Basic and log lines treat specially. */
  proxyPassword: 's3cr3t-pässwörd:%40 @/#"',
  /** The same for programs that take letters and digits only. */
  plainPassword: 'Pl41nS3cr3tPassw0rd',
  originPassword: 'or1gin-s3cr3t+&=',
  token: 'tok3n-n3ver-to-be-printed',
  secretKey: 's3cr3t/access+key=n3ver-printed',
} as const;

/** The names of the secrets that a text contains, plain, percent-encoded or inside Base64. */
export function secretsIn(text: string): string[] {
  if (text === '') return [];
  return Object.entries(forms())
    .filter(([, pattern]) => pattern.test(text))
    .map(([name]) => name);
}

function forms(): Record<string, RegExp> {
  return Object.fromEntries(
    Object.entries(SECRETS).map(([name, secret]) => {
      const url = new URL('http://proxy.example');
      url.password = secret;
      const percentEncoded = [encodeURIComponent(secret), encodeURI(secret), url.password, quoted(secret)];
      const base64 = (['utf8', 'latin1'] as const).flatMap((encoding) => insideBase64(Buffer.from(secret, encoding)));
      const all = [secret, ...percentEncoded, ...base64].map(escapeRegExp);
      return [name, new RegExp(all.join('|'), 'i')];
    }),
  );
}

/** As JSON and `inspect` write it. */
function quoted(secret: string): string {
  return JSON.stringify(secret).slice(1, -1);
}

/** The characters of Base64 that depend on these bytes alone, for each place they can have within a longer text. */
function insideBase64(bytes: Buffer): string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  });
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
