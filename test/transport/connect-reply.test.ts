import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type ConnectReply,
  ConnectReplyError,
  ConnectReplyParser,
  MAX_REPLY_HEAD,
} from '../../packages/transport/src/connect-reply.ts';

type Outcome = { readonly reply: ConnectReply } | { readonly error: string } | 'incomplete';

/** What comes of a text (one byte a character) that arrives in these pieces. */
function read(...pieces: readonly string[]): Outcome {
  const parser = new ConnectReplyParser();
  try {
    for (const [index, piece] of pieces.entries()) {
      const reply = parser.push(Buffer.from(piece, 'latin1'));
      if (reply) return { reply: withRest(reply, pieces.slice(index + 1)) };
    }
    return 'incomplete';
  } catch (error) {
    if (error instanceof ConnectReplyError) return { error: error.message };
    throw error;
  }
}

/** Bytes behind the head are the same bytes, whichever packet brings them. */
function withRest(reply: ConnectReply, later: readonly string[]): ConnectReply {
  return { ...reply, rest: Buffer.concat([reply.rest, Buffer.from(later.join(''), 'latin1')]) };
}

function reply(
  status: number,
  statusText: string,
  headers: Readonly<Record<string, string | string[]>> = {},
  rest = '',
): Outcome {
  return { reply: { status, statusText, headers: { ...headers }, rest: Buffer.from(rest, 'latin1') } };
}

const REPLIES: readonly (readonly [string, string, Outcome])[] = [
  ['the usual one', 'HTTP/1.1 200 Connection established\r\n\r\n', reply(200, 'Connection established')],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nVia: a\r\n\r\n', reply(200, 'OK', { via: 'a' })],
  ['no reason phrase', 'HTTP/1.1 204\r\n\r\n', reply(204, '')],
  ['an empty reason phrase', 'HTTP/1.1 201 \r\n\r\n', reply(201, '')],
  ['lone line feeds', 'HTTP/1.1 200 OK\nA: b\n\nrest', reply(200, 'OK', { a: 'b' }, 'rest')],
  ['line ends of both kinds', 'HTTP/1.1 200 OK\r\nA: b\n\r\nrest', reply(200, 'OK', { a: 'b' }, 'rest')],
  ['an interim reply first', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', reply(200, 'OK')],
  [
    'two interim replies first',
    `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(2)}HTTP/1.1 200 OK\r\n\r\n`,
    reply(200, 'OK'),
  ],
  ['101, which is final', 'HTTP/1.1 101 Switching Protocols\r\n\r\n', reply(101, 'Switching Protocols')],
  ['bytes behind the head', 'HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01', reply(200, 'OK', {}, '\x16\x03\x01')],
  [
    'bytes behind that look like a head',
    'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 no\r\n\r\n',
    reply(200, 'OK', {}, 'HTTP/1.1 500 no\r\n\r\n'),
  ],
  [
    'headers given twice',
    'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nPROXY-AUTHENTICATE: NTLM\r\n\r\n',
    reply(407, 'No', { 'proxy-authenticate': 'Basic, NTLM' }),
  ],
  [
    'cookies',
    'HTTP/1.1 403 No\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n',
    reply(403, 'No', { 'set-cookie': ['a=1', 'b=2'] }),
  ],
  [
    'white space around a value',
    'HTTP/1.1 200 OK\r\nA: \t b c \t\r\nB:\r\n\r\n',
    reply(200, 'OK', { a: 'b c', b: '' }),
  ],
  [
    'a header named like a member of every object',
    'HTTP/1.1 200 OK\r\nConstructor: x\r\n\r\n',
    reply(200, 'OK', { constructor: 'x' }),
  ],
  ['a head without an end', 'HTTP/1.1 200 OK\r\nA: b\r\n', 'incomplete'],
  ['nothing', '', 'incomplete'],
];

const NOT_HTTP = { error: 'it does not start with HTTP/' };
const BAD_STATUS = { error: 'its status line is not HTTP/1.x' };
const BAD_HEADER = { error: 'a header line is malformed' };
const TOO_LONG = { error: 'its header is over 16 KiB' };

const FAULTS: readonly (readonly [string, string, Outcome])[] = [
  ['one byte of garbage', '\x15', NOT_HTTP],
  ['SOCKS', '\x05\x00', NOT_HTTP],
  ['a page without a head', '<html>', NOT_HTTP],
  ['an empty line first', '\r\nHTTP/1.1 200 OK\r\n\r\n', NOT_HTTP],
  ['garbage behind an interim reply', 'HTTP/1.1 100 Continue\r\n\r\nSSH-2.0', NOT_HTTP],
  ['another version', 'HTTP/2 200 OK\r\n\r\n', BAD_STATUS],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', BAD_STATUS],
  ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n', BAD_STATUS],
  ['no status', 'HTTP/1.1\r\n\r\n', BAD_STATUS],
  ['a header line without a colon', 'HTTP/1.1 200 OK\r\nwhat\r\n\r\n', BAD_HEADER],
  ['a header name with a blank', 'HTTP/1.1 200 OK\r\nA : b\r\n\r\n', BAD_HEADER],
  ['a folded header line', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', BAD_HEADER],
  ['a head over the cap', `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(MAX_REPLY_HEAD)}\r\n\r\n`, TOO_LONG],
  ['a head over the cap without an end', `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(MAX_REPLY_HEAD)}`, TOO_LONG],
  ['interim replies without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000), TOO_LONG],
];

describe('the reader of answers to CONNECT', () => {
  test.each(REPLIES)('understands %s', (_, text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  test.each(FAULTS)('refuses %s', (_, text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  test.each([...REPLIES, ...FAULTS])('comes to the same wherever %s is split in two', (_, text, expected) => {
    const step = Math.max(1, Math.floor(text.length / 400));
    for (let at = 0; at <= text.length; at += step) expect(read(text.slice(0, at), text.slice(at))).toEqual(expected);
  });

  test.each(REPLIES)('comes to the same if %s arrives byte by byte', (_, text, expected) => {
    expect(read(...text)).toEqual(expected);
  });

  test('takes a head of exactly 16 KiB', () => {
    const text = `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(MAX_REPLY_HEAD - 24)}\r\n\r\n`;
    expect(text).toHaveLength(MAX_REPLY_HEAD);
    expect(read(text, 'rest')).toMatchObject({ reply: { status: 200, rest: Buffer.from('rest') } });
    expect(read(`${text.slice(0, -4)}a\r\n\r\n`)).toEqual(TOO_LONG);
  });

  test('never throws anything but ConnectReplyError, and splits do not matter', () => {
    const fragment = fc.constantFrom(
      'HTTP/1.1 200 OK',
      'HTTP/1.1 100',
      'HTTP/1.0 407 No',
      'HTTP/',
      '\r\n',
      '\n',
      '\r',
      '\r\n\r\n',
      ': ',
      'a',
      'Set-Cookie: a',
      '__proto__: x',
      'Content-Length: 5',
      ' ',
      '\0',
      '\xff',
    );
    const text = fc.array(fc.oneof(fragment, fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 12 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(120), { maxLength: 5 }), (fragments, cuts) => {
        const whole = Buffer.from(fragments.join(''), 'latin1').toString('latin1');
        const places = [...new Set([0, ...cuts.filter((cut) => cut < whole.length), whole.length])].sort(
          (a, b) => a - b,
        );
        const pieces = places.slice(1).map((place, index) => whole.slice(places[index], place));
        expect(read(...pieces)).toEqual(read(whole));
      }),
      { numRuns: 500 },
    );
  });
});
