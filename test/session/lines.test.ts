// Lines of a stream: the same however it was cut, each of them at once.
import { InvalidOptionError } from '@cloudlane/proxy';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type LinesOptions, splitLines } from '../../packages/session/src/lines.ts';
import { decodeText } from '../../packages/session/src/text.ts';

type Settings = LinesOptions & { encoding: string | null };
const utf8: Settings = { encoding: 'utf-8' };

async function collect(items: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function* from(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function linesOf(chunks: readonly Uint8Array[], settings: Settings = utf8): Promise<string[]> {
  return collect(splitLines(from(chunks), settings));
}

/** What is right: the whole text, cut at once. */
function model(bytes: Uint8Array, { encoding, delimiter, skipEmpty = false }: Settings): string[] {
  const lines = decodeText(bytes, encoding).split(delimiter ?? /\r\n|\n|\r/);
  if (lines.at(-1) === '') lines.pop();
  return skipEmpty ? lines.filter((line) => line !== '') : lines;
}

function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const cuts = [0, ...places.map((place) => Math.min(place, bytes.length)).sort((a, b) => a - b), bytes.length];
  return cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
}

/** The text in another encoding; TextEncoder knows UTF-8 only. */
function utf16(text: string, order: 'le' | 'be'): Uint8Array {
  const bytes = Buffer.from(text, 'utf16le');
  return order === 'le' ? bytes : bytes.swap16();
}

const TEXT = 'first\r\nsecond\r\rfourth\n\n\r\n{"a":"ü€😀\u2028\u0085\v\f"}\n\rlast';
const CORPUS: readonly [name: string, bytes: Uint8Array, settings: Settings][] = [
  ['nothing', Buffer.alloc(0), utf8],
  ['one line without an end', Buffer.from('only'), utf8],
  ['one newline', Buffer.from('\n'), utf8],
  ['only returns', Buffer.from('\r\r\r'), utf8],
  ['every kind of newline', Buffer.from(TEXT), utf8],
  ['a newline at the end', Buffer.from(`${TEXT}\r\n`), utf8],
  ['a return at the end', Buffer.from(`${TEXT}\r`), utf8],
  ['without empty lines', Buffer.from(`${TEXT}\n\n`), { ...utf8, skipEmpty: true }],
  ['a mark of UTF-8', Buffer.from(`\ufeff${TEXT}`), utf8],
  ['a mark and no charset', Buffer.from(`\ufeff${TEXT}`), { encoding: null }],
  ['two marks', Buffer.from(`\ufeff\ufeff${TEXT}`), utf8],
  ['a mark alone', Buffer.from('\ufeff'), { encoding: null }],
  ['the beginning of a mark', Buffer.from([0xef, 0xbb]), { encoding: null }],
  ['bytes that are no UTF-8', Buffer.from([0xf0, 0x9f, 10, 0xc3, 13, 10, 0xff, 0xed, 0xa0, 0x80]), utf8],
  ['a character cut off at the end', Buffer.from([65, 10, 0xe2, 0x82]), utf8],
  ['UTF-16LE', utf16(TEXT, 'le'), { encoding: 'utf-16le' }],
  ['UTF-16BE with a mark and no charset', utf16(`\ufeff${TEXT}`, 'be'), { encoding: null }],
  ['UTF-16 whose mark tells the order', utf16(`\ufeff${TEXT}`, 'be'), { encoding: 'UTF-16' }],
  // こ\nソ\r\n表: the second bytes of ソ and 表 are a backslash.
  ['Shift_JIS', Buffer.from('82b10a835c0d0a955c', 'hex'), { encoding: 'shift_jis' }],
  ['an unknown charset', Buffer.from(TEXT), { encoding: 'klingon' }],
  ['a delimiter', Buffer.from('a||b|c||||d|'), { ...utf8, delimiter: '||' }],
  ['a delimiter that overlaps itself', Buffer.from('xaaaayaaazaa'), { ...utf8, delimiter: 'aa' }],
  ['a delimiter of many bytes', Buffer.from('a😀\nb😀\n\nc😀'), { ...utf8, delimiter: '😀\n' }],
  ['a delimiter at the end', Buffer.from('a\0b\0'), { ...utf8, delimiter: '\0' }],
  ['a delimiter and no empty ones', Buffer.from('\0\0a\0\0'), { ...utf8, delimiter: '\0', skipEmpty: true }],
  ['\\n as the delimiter', Buffer.from(TEXT), { ...utf8, delimiter: '\n' }],
];

describe('lines', () => {
  test('of the corpus are what a reader expects', async () => {
    expect(await linesOf([Buffer.from(TEXT)])).toEqual([
      ...['first', 'second', '', 'fourth', '', '', '{"a":"ü€😀\u2028\u0085\v\f"}', '', 'last'],
    ]);
    expect(await linesOf([Buffer.from('82b10a835c0d0a955c', 'hex')], { encoding: 'shift_jis' })).toEqual([
      'こ',
      'ソ',
      '表',
    ]);
    expect(await linesOf([Buffer.from('a||b|c||||d|')], { ...utf8, delimiter: '||' })).toEqual(['a', 'b|c', '', 'd|']);
  });

  test.each(CORPUS)('%s: the same for every cut in two, and byte by byte', async (_name, bytes, settings) => {
    const right = model(bytes, settings);
    for (let place = 0; place <= bytes.length; place += 1)
      expect({ place, lines: await linesOf(cutAt(bytes, [place]), settings) }).toEqual({ place, lines: right });
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(await linesOf(single, settings)).toEqual(right);
  });

  test('are the same for any chunking of any text', async () => {
    const piece = fc.constantFrom('\r', '\n', '\r\n', 'a', 'ab', '|', '||', '\ufeff', 'ü', '€', '😀', '\u2028', '');
    const bytes = fc.oneof(
      fc.array(piece, { maxLength: 20 }).map((pieces) => Buffer.from(pieces.join(''))),
      fc.uint8Array({ maxLength: 30 }),
    );
    const settings = fc.record({
      encoding: fc.constantFrom(null, 'utf-8', 'utf-16', 'utf-16be', 'shift_jis', 'latin1'),
      skipEmpty: fc.boolean(),
    });
    const delimited = fc.option(fc.constantFrom('|', '||', '\r\n', 'a\n', 'aba'), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(bytes, settings, delimited, fc.array(fc.nat(60)), async (whole, base, delimiter, places) => {
        const all = delimiter === undefined ? base : { ...base, delimiter };
        expect(await linesOf(cutAt(whole, places), all)).toEqual(model(whole, all));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a line', () => {
  // How many bytes had been asked for when each line came.
  async function arrivals(text: string, settings: Settings = utf8): Promise<[line: string, bytes: number][]> {
    let asked = 0;
    async function* byteByByte(): AsyncGenerator<Uint8Array> {
      for (const byte of Buffer.from(text)) {
        asked += 1;
        yield Uint8Array.of(byte);
      }
      asked = Number.POSITIVE_INFINITY;
    }
    const seen: [string, number][] = [];
    for await (const line of splitLines(byteByByte(), settings)) seen.push([line, asked]);
    return seen;
  }

  test.each<[string, Settings, [string, number][]]>([
    [
      'ab\nc\n',
      utf8,
      [
        ['ab', 3],
        ['c', 5],
      ],
    ],
    [
      'ab\r\nc\rd\r',
      utf8,
      [
        ['ab', 3],
        ['c', 6],
        ['d', 8],
      ],
    ],
    [
      '€\n\n',
      { encoding: null },
      [
        ['€', 4],
        ['', 5],
      ],
    ],
    [
      'a\nb',
      utf8,
      [
        ['a', 2],
        ['b', Number.POSITIVE_INFINITY],
      ],
    ],
    [
      'a--b-',
      { ...utf8, delimiter: '--' },
      [
        ['a', 3],
        ['b-', Number.POSITIVE_INFINITY],
      ],
    ],
  ])('of %j is out before the next byte is asked for', async (text, settings, expected) => {
    expect(await arrivals(text, settings)).toEqual(expected);
  });

  test('comes out of a chunk although a later one fails', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a\nb\nc');
      throw new Error('reset');
    }
    const lines = splitLines(failing(), utf8);
    expect([await lines.next(), await lines.next()]).toEqual([
      { done: false, value: 'a' },
      { done: false, value: 'b' },
    ]);
    await expect(lines.next()).rejects.toThrow('reset');
  });
});

test('who stops early ends the source', async () => {
  let ended = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.from('a\nb\n');
    } finally {
      ended = true;
    }
  }
  for await (const line of splitLines(endless(), utf8)) {
    expect(line).toBe('a');
    break;
  }
  expect(ended).toBe(true);
});

describe('maxLength', () => {
  const failure = { name: 'InvalidOptionError', option: 'maxLength', message: expect.stringContaining('is 3') };

  test.each<[string, LinesOptions]>([
    ['abc\nabc\r\nabcd', {}],
    ['abc\nabc\r\nabcd\n', {}],
    ['abc--abc--abcd--', { delimiter: '--' }],
    ['abc--abc--abc-', { delimiter: '--' }],
  ])('ends %j after the lines before the long one, for every chunking', async (text, options) => {
    const bytes = Buffer.from(text);
    for (let place = 0; place <= bytes.length; place += 1) {
      const seen: string[] = [];
      const reading = (async () => {
        const settings = { ...utf8, ...options, maxLength: 3 };
        for await (const line of splitLines(from(cutAt(bytes, [place])), settings)) seen.push(line);
      })();
      await expect(reading).rejects.toMatchObject(failure);
      expect(seen).toEqual(['abc', 'abc']);
    }
  });

  test('stops an endless line, and ends the source', async () => {
    let sent = 0;
    let ended = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          sent += 1;
          yield Buffer.from('xy');
        }
      } finally {
        ended = true;
      }
    }
    await expect(splitLines(endless(), { ...utf8, maxLength: 3 }).next()).rejects.toMatchObject(failure);
    expect({ sent, ended }).toEqual({ sent: 2, ended: true });
  });

  test('is 16 Mi units unless told, and any with Infinity', async () => {
    const long = Buffer.alloc(2 ** 24, 'x');
    expect((await linesOf([long]))[0]).toHaveLength(2 ** 24);
    await expect(linesOf([long, long.subarray(0, 1)])).rejects.toMatchObject({ option: 'maxLength' });
    const [line] = await linesOf([long, long.subarray(0, 1)], { ...utf8, maxLength: Number.POSITIVE_INFINITY });
    expect(line).toHaveLength(2 ** 24 + 1);
  });
});

test.each<[string, LinesOptions]>([
  ['newlines', {}],
  ['a delimiter', { delimiter: '--' }],
])('a long line in small chunks takes work in proportion, with %s', async (_name, options) => {
  // With a second look at what is already there this would read 128 GiB.
  const chunk = Buffer.alloc(64, 'x');
  const lines = await linesOf(Array<Uint8Array>(65_536).fill(chunk), { ...utf8, ...options });
  expect(lines.map((line) => line.length)).toEqual([65_536 * 64]);
});

test.each<[string, LinesOptions]>([
  ['delimiter', { delimiter: '' }],
  ['maxLength', { maxLength: 0 }],
  ['maxLength', { maxLength: Number.NaN }],
])('a wrong %s is refused at once', (option, options) => {
  expect(() => splitLines(from([]), { ...utf8, ...options })).toThrow(InvalidOptionError);
  expect(() => splitLines(from([]), { ...utf8, ...options })).toThrow(expect.objectContaining({ option }));
});
