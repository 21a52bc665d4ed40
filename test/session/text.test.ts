// The charset of an answer, and what its bytes mean.
import { describe, expect, test } from '@jest/globals';
import { charsetOf, decodeText, PiecewiseDecoder } from '../../packages/session/src/text.ts';

test.each<[contentType: string | undefined, charset: string | null]>([
  [undefined, null],
  ['', null],
  ['text/html', null],
  ['text/html; charset=utf-8', 'utf-8'],
  ['text/html;charset=UTF-8', 'utf-8'],
  ['text/html; Charset="Shift_JIS"', 'shift_jis'],
  ['text/html ;  charset = latin1 ; x=y', 'latin1'],
  ["text/html; charset='utf-8'", 'utf-8'],
  ['text/html; charset="utf\\-8"', 'utf-8'],
  ['text/html; charset="utf-8', 'utf-8'],
  ['text/html; charset=', null],
  ['text/html; charset=""', null],
  ['text/html; charset', null],
  ['text/html;; charset=utf-16', 'utf-16'],
  ['text/html; a="x; charset=latin1"; charset=utf-16', 'utf-16'],
  ['text/html; a="\\"; charset=latin1"; charset=utf-16', 'utf-16'],
  ['text/html; xcharset=latin1', null],
  ['text/html; charset=utf-8; charset=latin1', 'utf-8'],
  ['text/html; charset=utf-8, text/html', 'utf-8'],
  ['charset=utf-8', null],
])('the charset of %j is %j', (contentType, charset) => {
  expect(charsetOf(contentType)).toBe(charset);
});

test('a hostile content type costs little', () => {
  for (const part of ['; charset', ';charset="\\"', '; a="', ';=', '; ', ';a=b'])
    expect(charsetOf(`text/html${part.repeat(20_000)}`)).not.toBe('utf-8');
});

const TEXTS: readonly [name: string, bytes: Buffer, encoding: string | null, text: string][] = [
  ['UTF-8', Buffer.from('ü€😀'), 'utf-8', 'ü€😀'],
  ['UTF-8 without a charset', Buffer.from('ü€😀'), null, 'ü€😀'],
  ['UTF-8 with a mark', Buffer.from('\ufeffü'), 'utf-8', 'ü'],
  ['UTF-8 with a mark and no charset', Buffer.from('\ufeffü'), null, 'ü'],
  ['only the first mark goes', Buffer.from('\ufeff\ufeffü'), null, '\ufeffü'],
  ['UTF-16LE with a mark and no charset', Buffer.from('\ufeffü😀', 'utf16le'), null, 'ü😀'],
  ['UTF-16BE with a mark and no charset', Buffer.from('\ufeffü😀', 'utf16le').swap16(), null, 'ü😀'],
  ['UTF-16BE with a mark, called UTF-16', Buffer.from('\ufeffü', 'utf16le').swap16(), 'UTF-16', 'ü'],
  ['UTF-8 with a mark, called UTF-16', Buffer.from('\ufeffü'), 'utf-16', 'ü'],
  ['UTF-16LE without a mark, called UTF-16', Buffer.from('ü', 'utf16le'), 'utf-16', 'ü'],
  ['latin1 means windows-1252', Buffer.from([0x93, 0xe9, 0x80, 0x94]), 'latin1', '“é€”'],
  ['bytes that Node 22 loses', Buffer.from([0xff, 0, 0x41]), 'iso-8859-1', 'ÿ\0A'],
  ['Shift_JIS', Buffer.from('82b1835c', 'hex'), 'Shift_JIS', 'こソ'],
  ['an unknown charset is UTF-8', Buffer.from('ü'), 'klingon', 'ü'],
  ['one that browsers refuse is UTF-8', Buffer.from('ü'), 'utf-7', 'ü'],
  ['what is no UTF-8 is replaced', Buffer.from([0x61, 0xff, 0x62, 0xe2, 0x82]), null, 'a\ufffdb\ufffd'],
  ['nothing', Buffer.alloc(0), null, ''],
  ['a mark alone', Buffer.from('\ufeff'), null, ''],
  ['half a mark', Buffer.from([0xfe]), null, '\ufffd'],
];

describe.each(TEXTS)('%s', (_name, bytes, encoding, text) => {
  test('at once', () => {
    expect(decodeText(bytes, encoding)).toBe(text);
  });

  test('byte by byte', () => {
    const decoder = new PiecewiseDecoder(encoding);
    const pieces = Array.from(bytes, (byte) => decoder.decode(Uint8Array.of(byte)));
    expect(pieces.join('') + decoder.end()).toBe(text);
  });
});

test('an ISO-2022-JP escape that is cut off is replaced, not thrown', () => {
  const decoder = new PiecewiseDecoder('iso-2022-jp');
  const pieces = Array.from(Buffer.from('1b283030', 'hex'), (byte) => decoder.decode(Uint8Array.of(byte)));
  expect(pieces.join('') + decoder.end()).toContain('\ufffd');
});
