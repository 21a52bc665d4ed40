// In letters and symbols that no shell reads as anything else.
const PLAIN = /^[\w@%+=:,./-]+$/;
// Control and format characters: they would break the line, move the cursor, or not be seen at all.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\\': '\\\\',
  "'": "\\'",
};

/**
 * One word for bash that stands for exactly this text, in UTF-8. Always on one line: what cannot be seen is written as
 * an escape, in `$'…'`; all else in plain single quotes (POSIX §2.2.2). No word of a shell can hold a NUL.
 */
export function quoteForShell(text: string): string {
  if (PLAIN.test(text)) return text;
  if (!INVISIBLE.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  return `$'${text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\\']/gu, (character) => SHORT_ESCAPES[character] ?? escapeBytes(Buffer.from(character)))}'`;
}

/** As `quoteForShell`, for text that goes out with one byte for each character, as headers do. */
export function quoteLatin1ForShell(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what is beyond ASCII
  if (/^[\x00-\x7f]*$/.test(text)) return quoteForShell(text);
  return `$'${text.replaceAll(/[^ -~]|[\\']/gu, (character) => SHORT_ESCAPES[character] ?? escapeBytes(Buffer.from(character, 'latin1')))}'`;
}

function escapeBytes(bytes: Buffer): string {
  return [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
