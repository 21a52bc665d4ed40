// 253 characters, each as three percent-encoded bytes.
const LONGEST_INPUT = 253 * 9;

/**
 * A host name in lower-case ASCII (UTS #46, as browsers do it), or `undefined` if it is none. IPv4 addresses in odd
 * spellings come out in the usual one.
 */
export function toAsciiHost(text: string): string | undefined {
  if (text === '' || text.length > LONGEST_INPUT || /[\s\p{Cc}/?#@:\\[\]]/u.test(text)) return undefined;
  try {
    return new URL(`http://${text}/`).hostname;
  } catch {
    return undefined;
  }
}
