import { createRequire } from 'node:module';

/** Where a text stops being JSON (RFC 8259), and what could have stood there. */
export interface JsonFault {
  /** In UTF-16 units from 0; the text's length if it is cut off. */
  readonly position: number;
  /** For people; nothing of the text is in it. */
  readonly expected: string;
}

/**
 * The first place at which a text stops being JSON, null if it does not. Takes one pass and no recursion: an answer may
 * be nested at will.
 */
export function findJsonFault(text: string): JsonFault | null {
  // Needed only when something went wrong, so that it is loaded only then.
  const { createScanner }: typeof import('jsonc-parser') = createRequire(import.meta.url)('jsonc-parser');
  const scanner = createScanner(text);
  const open: State[] = [];
  let state: State = 'value';
  for (;;) {
    scanner.scan();
    const at = scanner.getTokenOffset();
    const first = text.charAt(at);
    if (first === '' && state === 'end') return null;
    if (first !== '' && ' \t\r\n'.includes(first)) continue;
    const isWord = /[-\dtfn]/.test(first);
    const next: Next | undefined = NEXT[state][isWord ? 'word' : first];
    if (next === undefined) return { position: at, expected: EXPECTED[state] };
    const word = isWord ? wordAt(text, at) : '';
    if (isWord && !WORD.test(word)) return { position: at + word.length, expected: restOf(word) };
    if (scanner.getTokenError() !== 0 && first === '"') return faultInString(text, at);
    if (next === 'firstName') open.push('moreNames');
    if (next === 'firstValue') open.push('moreValues');
    if (next === 'close') open.pop();
    state = next === 'after' || next === 'close' ? (open.at(-1) ?? 'end') : next;
    // The scanner takes `nulls` for one word.
    if (isWord) scanner.setPosition(at + word.length);
  }
}

type State = 'value' | 'firstValue' | 'firstName' | 'name' | 'colon' | 'moreValues' | 'moreNames' | 'end';

type Next = State | 'after' | 'close';

const EXPECTED: Readonly<Record<State, string>> = {
  value: 'a value',
  firstValue: 'a value or ]',
  firstName: 'a name in double quotes or }',
  name: 'a name in double quotes',
  colon: 'a colon',
  moreValues: 'a comma or ]',
  moreNames: 'a comma or }',
  end: 'the end of the text',
};

/** By the token's first character, or `word`: what it leads to. What is not here is a fault. */
const VALUE = { '{': 'firstName', '[': 'firstValue', '"': 'after', word: 'after' } as const;
const NEXT: Readonly<Record<State, Readonly<Record<string, Next>>>> = {
  value: VALUE,
  firstValue: { ...VALUE, ']': 'close' },
  firstName: { '"': 'colon', '}': 'close' },
  name: { '"': 'colon' },
  colon: { ':': 'value' },
  moreValues: { ',': 'value', ']': 'close' },
  moreNames: { ',': 'name', '}': 'close' },
  end: {},
};

const WORD = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

/** As much of the text as can be the beginning of a number, or of true, false or null. */
function wordAt(text: string, at: number): string {
  const beginning =
    /t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|n(?:u(?:ll?)?)?|-?(?:(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d*)?|\.|[eE][+-]?\d*)?)?/y;
  beginning.lastIndex = at;
  return beginning.exec(text)?.[0] ?? '';
}

function restOf(word: string): string {
  return /^[tfn]/.test(word) ? 'the rest of true, false or null' : 'a digit';
}

function faultInString(text: string, at: number): JsonFault {
  let position = at + 1;
  for (;;) {
    const char = text.charAt(position);
    if (char === '') return { position, expected: 'the quote that ends a string' };
    if (char < ' ') return { position, expected: 'escaped: it is a control character in a string' };
    const escaped = char === '\\' ? ESCAPE.exec(text.slice(position, position + 6)) : null;
    if (char === '\\' && !escaped) return faultInEscape(text, position);
    position += escaped?.[0].length ?? 1;
  }
}

const ESCAPE = /^\\(?:["\\/bfnrt]|u[\da-fA-F]{4})/;

function faultInEscape(text: string, at: number): JsonFault {
  if (text.charAt(at + 1) !== 'u') return { position: at + 1, expected: 'one of "\\/bfnrtu, after a backslash' };
  const digits = /^[\da-fA-F]*/.exec(text.slice(at + 2, at + 6))?.[0].length ?? 0;
  return { position: at + 2 + digits, expected: 'a hexadecimal digit, as \\u wants four' };
}
