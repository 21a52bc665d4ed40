/** One way to authenticate that a server or proxy offers (RFC 9110 §11.6.1). */
export interface Challenge {
  /** In lower case: `basic`, `digest`, `bearer` … */
  readonly scheme: string;
  /** What Negotiate and NTLM have instead of parameters. */
  readonly token68: string | null;
  /** Names in lower case; values without quotes. Of a name that is given twice, the first counts. */
  readonly params: ReadonlyMap<string, string>;
}

/**
 * The challenges in a `WWW-Authenticate` or `Proxy-Authenticate` field, in order. What is not well-formed is passed over
 * as far as the next comma: a server that offers nonsense beside Basic still offers Basic.
 */
export function parseChallenges(field: string | readonly string[] | undefined): Challenge[] {
  const challenges: { scheme: string; token68: string | null; params: Map<string, string> }[] = [];
  const reader = new Reader(typeof field === 'string' ? field : (field ?? []).join(', '));
  // The commas between challenges are also those between one challenge's parameters: only what follows a name tells.
  for (reader.take(SEPARATORS); !reader.atEnd; reader.take(TO_COMMA), reader.take(SEPARATORS)) {
    if (reader.sees(PARAMETER)) {
      readParameter(reader, challenges.at(-1)?.params);
      continue;
    }
    const [scheme] = reader.take(SCHEME) ?? [];
    if (scheme === undefined) continue;
    const params = new Map<string, string>();
    reader.take(SPACES);
    challenges.push({ scheme: scheme.toLowerCase(), token68: reader.take(TOKEN68)?.[1] ?? null, params });
    if (reader.sees(PARAMETER)) readParameter(reader, params);
  }
  return challenges;
}

// Each begins where the last one ended, and none can match in two ways: the time stays linear, whatever is sent.
const SPACES = /[ \t]*/y;
const SEPARATORS = /[\s,]*/y;
const SCHEME = /[^\s,="]+(?=[\s,]|$)/y;
const TOKEN68 = /([\w.~+/-]+=*)[ \t]*(?=,|$)/y;
const PARAMETER = /([^\s,="]+)[ \t]*=[ \t]*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)(?:"|\\?$)/sy;
const UNQUOTED = /[^\s,"]*/y;
const TO_COMMA = /(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))*/sy;

function readParameter(reader: Reader, params: Map<string, string> | undefined): void {
  const [, name = ''] = reader.take(PARAMETER) ?? [];
  const quoted = reader.take(QUOTED)?.[1]?.replaceAll(/\\(.)/gs, '$1');
  const value = quoted ?? reader.take(UNQUOTED)?.[0] ?? '';
  if (params && !params.has(name.toLowerCase())) params.set(name.toLowerCase(), value);
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  sees(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#text);
  }

  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match) this.#at += match[0].length;
    return match;
  }
}
