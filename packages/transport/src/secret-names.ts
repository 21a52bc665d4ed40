// In any part of a name: wherever it stands, a secret is meant.
const SECRET_PART =
  /pass(word|wd|phrase|code)|pwd|secret|token(?!s)|credential|signature|authori[sz]ation|assertion|verifier|cookie|session[_-]?id|(api|access|private)[_-]?key/i;
// As a whole word only: "keyboard" and "design" are none.
const SECRET_WORD: ReadonlySet<string> = new Set(['key', 'keys', 'pass', 'pin', 'otp', 'sig', 'auth']);

// The key of an idempotent request is none, and must reach whoever carries it out.
const NO_SECRET_HEADER = /(^|-)idempotency-key$/i;
// Of a field they are a number, as in max_tokens.
const TOKENS = /tokens/i;

/**
 * Whether a header's value authorizes, and so must not be shown, nor sent to anybody but the one it is meant for: every
 * name that means a secret as a field does so as a header.
 */
export function isSecretHeader(name: string): boolean {
  return (isSecretField(name) || TOKENS.test(name)) && !NO_SECRET_HEADER.test(name);
}

/**
 * Whether the value of a query parameter or of a field in a body is likely to be a secret, going by its name. It says so
 * too often rather than too rarely: a page token is masked too.
 */
export function isSecretField(name: string): boolean {
  if (SECRET_PART.test(name)) return true;
  const words = name
    .replaceAll(/(\p{Ll}|\p{N})(?=\p{Lu})/gu, '$1 ')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u);
  return words.some((word) => SECRET_WORD.has(word));
}
