/** The credentials that a netrc file has for a host. */
export interface NetrcEntry {
  /** In lower case, without the brackets of an IPv6 address; null: any host that has no entry of its own. */
  readonly machine: string | null;
  readonly login: string | null;
  readonly account: string | null;
  readonly password: string | null;
}

/** A netrc file that is not one. Its message has nothing of its content. */
export class NetrcSyntaxError extends Error {
  /** @param line counted from 1 */
  constructor(line: number, what: string) {
    super(`line ${line}: ${what}`);
  }
}

/**
 * Reads the text of a netrc file: words, over any number of lines. A word in double quotes may have blanks in it, and
 * `\n`, `\r`, `\t`, or any other character behind a backslash (curl, GNU inetutils); elsewhere a backslash is one (curl).
 * `#` where a keyword could stand begins a comment. Macros (`macdef`) are passed over, up to the first empty line.
 * @throws NetrcSyntaxError
 */
export function parseNetrc(text: string): NetrcEntry[] {
  const words = new Words(text);
  const entries: Writable<NetrcEntry>[] = [];
  for (let keyword = words.keyword(); keyword !== null; keyword = words.keyword()) {
    const entry = entries.at(-1);
    switch (keyword) {
      case 'machine':
        entries.push({ ...EMPTY, machine: toHost(words.value(keyword)) });
        break;
      case 'default':
        entries.push({ ...EMPTY });
        break;
      case 'macdef':
        words.value(keyword);
        words.skipMacro();
        break;
      case 'login':
      case 'account':
      case 'password': {
        const value = words.value(keyword);
        if (!entry) throw words.fault(`${keyword} comes before any machine`);
        entry[keyword] ??= value;
        break;
      }
      default:
        // The word itself may be part of a password.
        throw words.fault(
          'has neither machine, default, login, account, password nor macdef where one of them must be',
        );
    }
  }
  return entries;
}

/**
 * The first entry for the host; else the first that is for any.
 * @param host as `URL.hostname` has it
 * @param login if only an entry with that one will do
 */
export function findNetrcEntry(entries: readonly NetrcEntry[], host: string, login: string | null): NetrcEntry | null {
  const name = toHost(host);
  const known = entries.filter((entry) => login === null || entry.login === login);
  return known.find(({ machine }) => machine === name) ?? known.find(({ machine }) => machine === null) ?? null;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const EMPTY: NetrcEntry = { machine: null, login: null, account: null, password: null };
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function toHost(name: string): string {
  return name.toLowerCase().replace(/^\[(.*)\]$/, '$1');
}

class Words {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Null at the end. */
  keyword(): string | null {
    // A byte order mark is a blank, too.
    this.#take(/(?:\s+|#.*)*/y);
    return this.#take(/\S+/y)?.[0] ?? null;
  }

  value(keyword: string): string {
    this.#take(/\s*/y);
    const quoted = this.#take(/"((?:[^"\\]|\\.)*)"/sy);
    const value = quoted ? undoEscapes(quoted[1] ?? '') : this.#take(/[^\s"]\S*/y)?.[0];
    if (value === undefined) throw this.fault(`${keyword} has no value, or one whose quotes do not end`);
    return value;
  }

  skipMacro(): void {
    this.#take(/.*?(?:\n[ \t\r]*(?=\n)|$)/sy);
  }

  fault(what: string): NetrcSyntaxError {
    return new NetrcSyntaxError(this.#text.slice(0, this.#at).split('\n').length, what);
  }

  #take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match) this.#at += match[0].length;
    return match;
  }
}

function undoEscapes(text: string): string {
  return text.replaceAll(/\\(.)/gs, (_, char: string) => ESCAPES[char] ?? char);
}
